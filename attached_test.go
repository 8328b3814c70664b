package muster_test

import (
	"testing"

	"github.com/muster-im/muster/internal/xmpptest"
)

// TestAttachedScripts runs the transcripts of rooms against two servers, one of
// which is attached to the other as its room service (XEP-0114).
func TestAttachedScripts(t *testing.T) {
	xmpptest.Run(t, "testdata/script/muc-*.txt", xmpptest.NewAttached,
		"muc-register-service", // nobody tells the rooms that an account of the other server is gone
		"muc-commands",         // rooms do not know whether the other server has an account nobody
	)
}
