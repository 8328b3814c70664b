package muster_test

import (
	"testing"

	"go.uber.org/goleak"

	"github.com/muster-im/muster/internal/xmpptest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// TestScripts runs the transcripts of testdata/script against a whole server.
func TestScripts(t *testing.T) { xmpptest.Run(t, "testdata/script/*.txt", xmpptest.NewServer) }
