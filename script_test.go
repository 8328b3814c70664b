package muster_test

import (
	"testing"

	"go.uber.org/goleak"

	"github.com/muster-im/muster/internal/xmpptest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// TestScripts runs the transcripts of testdata/script against a whole server, on
// each engine.
func TestScripts(t *testing.T) {
	xmpptest.OnEngines(t, func(t *testing.T, start xmpptest.Start) {
		t.Helper()
		xmpptest.Run(t, "testdata/script/*.txt", start)
	})
}
