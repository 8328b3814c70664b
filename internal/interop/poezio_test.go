package interop_test

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"testing"
)

// nobody is the user that poezio runs as for root, whom it refuses.
const nobody = 65534

// poezio logs an account in with poezio.
func poezio(t *testing.T, h *host, name string) *screen {
	t.Helper()
	dir, err := os.MkdirTemp("", "poezio") // not t.TempDir, which is below what only we may enter
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	pem, err := os.ReadFile(h.certificate())
	if err != nil {
		t.Fatal(err)
	}
	write(t, dir, "ca.crt", string(pem))
	write(t, dir, "config/poezio/poezio.cfg", fmt.Sprintf(`[Poezio]
jid = %[1]s@localhost
password = secret-%[1]s
custom_host = 127.0.0.1
custom_port = %[2]s
ca_cert_path = %[3]s/ca.crt
default_nick = %[1]s
rooms =
use_remote_bookmarks = false
plugins_autoload =
`, name, h.port, dir))
	command := []string{"/usr/bin/poezio"}
	if os.Geteuid() == 0 {
		id := strconv.Itoa(nobody)
		command = []string{"/usr/bin/setpriv", "--reuid=" + id, "--regid=" + id, "--clear-groups", "/usr/bin/poezio"}
		err := filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			return os.Chown(path, nobody, nobody)
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	s := newScreen(t, name, dir, command...)
	t.Cleanup(func() { // what it could not make sense of
		problems, err := os.ReadFile(filepath.Join(dir, "data/poezio/logs/errors.log"))
		if err != nil || len(problems) > 0 {
			t.Errorf("%s's poezio logs: %v\n%s", name, err, problems)
		}
	})
	s.until("Authentication success")
	s.until("Your JID is " + name + "@localhost/")
	return s
}

// TestPoezio: two people with poezio, as README.md tells it.
func TestPoezio(t *testing.T) {
	needs(t, "/usr/bin/tmux", "tmux")
	needs(t, "/usr/bin/poezio", "poezio")
	h := newHost(t, rooms)
	h.start(t)
	h.addUser(t, "romeo")
	h.addUser(t, "juliet")
	romeo, juliet := poezio(t, h, "romeo"), poezio(t, h, "juliet")

	romeo.say("/add juliet@localhost")
	juliet.until("romeo@localhost", "wants to subscribe")
	juliet.say("/accept romeo@localhost")
	romeo.until("[+] juliet@localhost")
	juliet.until("[+] romeo@localhost")

	romeo.say("/version localhost")
	romeo.until("localhost is running Muster version")

	romeo.say("/message juliet@localhost But soft 🌒")
	romeo.until("✔ romeo> But soft 🌒") // its receipt
	juliet.say("/message romeo@localhost I hear a noise")
	juliet.until("romeo> But soft 🌒")
	romeo.until("juliet> I hear a noise")
	juliet.say("/status dnd supper")
	romeo.until("juliet@localhost", "supper")

	romeo.say("/join team@conference.localhost/Romeo")
	romeo.until("You (Romeo) joined the room")
	romeo.until("The room has been created")
	romeo.say("/configure")
	romeo.until("Configuration")
	romeo.key("C-y")
	romeo.say("He jests at scars")
	romeo.until("Romeo> He jests at scars")              // the room is open
	juliet.say("/join team@conference.localhost/Juliet") // it reads what was said from the archive, up to the last second
	juliet.until("You (Juliet) joined the room")
	romeo.until("Juliet", "joined the room")
	romeo.say("that never felt a wound")
	juliet.until("Romeo> that never felt a wound")
	romeo.say("/topic Balcony")
	juliet.until("Romeo set the subject to: Balcony")
	juliet.say("/nick Jule")
	romeo.until("Juliet is now known as Jule")
	romeo.say("/kick Jule the nurse calls")
	romeo.until("Jule has been kicked by Romeo", "the nurse calls")
	juliet.until("You have been kicked by Romeo", "the nurse calls")
	juliet.say("/quit")
	romeo.until("juliet@localhost is offline")
}
