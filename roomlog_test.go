package muster_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/muster-im/muster/internal/xmpptest"
)

// logged is a server whose room logs are read when it has ended.
type logged struct {
	xmpptest.System
	dir string
}

func (l *logged) Close() error {
	err := l.System.Close()
	name := filepath.Join(l.dir, "coven@conf.test", "2000", "01", "01.txt")
	got, readErr := os.ReadFile(name)
	const want = `[00:00:00] Logging is switched on. Occupants: Romeo
[00:00:00] <i>\[Juliet\] joins the room
[00:00:00] [<i>\[Juliet\]] <script>
	[00:00:00] [Romeo] I never said that
[00:00:00] * Romeo sighs
[00:00:00] Romeo has set the subject to: Love
[00:00:00] <i>\[Juliet\] is now known as Jule
[00:00:00] Jule has been kicked: Late & loud
[00:00:00] Logging is switched off
`
	if readErr == nil && string(got) != want {
		readErr = fmt.Errorf("the log is\n%s\nwant\n%s", got, want)
	}
	return errors.Join(err, readErr)
}

// TestRoomLog: what the transcript says is in the room's file.
func TestRoomLog(t *testing.T) {
	t.Parallel()
	xmpptest.Run(t, "testdata/script/muc-log.txt", func(t testing.TB, files map[string]string) xmpptest.System {
		dir := filepath.Join(t.TempDir(), "logs")
		files["muster.toml"] += fmt.Sprintf("outdir = %q\n", dir)
		return &logged{xmpptest.NewServer(t, files), dir}
	})
}

// TestRoomLogStops: a log says when its room leaves memory, and why people have to.
func TestRoomLogStops(t *testing.T) {
	t.Parallel()
	xmpptest.Run(t, "testdata/script/muc-log-stop.txt", func(t testing.TB, files map[string]string) xmpptest.System {
		dir := filepath.Join(t.TempDir(), "logs")
		files["muster.toml"] += fmt.Sprintf("outdir = %q\n", dir)
		return &filed{xmpptest.NewServer(t, files), func() error {
			got, err := os.ReadFile(filepath.Join(dir, "coven@conf.test", "2000", "01", "01.txt"))
			const want = `[00:00:00] Chatroom is created
[00:00:00] Romeo joins the room
[00:00:00] Chatroom configuration modified
[00:10:30] Romeo has been removed: The room hibernates, because nothing happens in it. Enter again when you like.
[00:10:30] Chatroom is stopped
[00:15:00] Chatroom is started
[00:15:00] Romeo joins the room
[00:15:00] Romeo leaves the room
[00:15:00] Chatroom is stopped
`
			if err == nil && string(got) != want {
				err = fmt.Errorf("the log is\n%s\nwant\n%s", got, want)
			}
			return err
		}}
	})
}
