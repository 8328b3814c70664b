package interop_test

import (
	"fmt"
	"testing"
)

// profanity logs an account in with profanity, which trusts any certificate
// here.
func profanity(t *testing.T, h *host, name string) *screen {
	t.Helper()
	dir := t.TempDir()
	write(t, dir, "data/profanity/accounts", fmt.Sprintf(`[%[1]s@localhost]
enabled=true
jid=%[1]s@localhost
server=127.0.0.1
port=%[2]s
resource=tour
password=secret-%[1]s
tls.policy=trust
muc.service=conference.localhost
muc.nick=%[1]s
presence.last=online
presence.login=online
`, name, h.port))
	write(t, dir, "config/profanity/profrc", "[ui]\nsplash=false\n")
	s := newScreen(t, name, dir, "/usr/bin/profanity", "-a", name+"@localhost")
	s.until(name+"@localhost/tour logged in successfully", "online")
	return s
}

// TestProfanity: two people with profanity, as README.md tells it.
func TestProfanity(t *testing.T) {
	needs(t, "/usr/bin/tmux", "tmux")
	needs(t, "/usr/bin/profanity", "profanity")
	h := newHost(t, rooms)
	h.start(t)
	h.addUser(t, "romeo")
	h.addUser(t, "juliet")
	romeo, juliet := profanity(t, h, "romeo"), profanity(t, h, "juliet")

	romeo.say("/roster add juliet@localhost Juliet")
	romeo.until("Roster item added: juliet@localhost (Juliet)")
	romeo.say("/sub request juliet@localhost")
	juliet.until("Received authorization request from romeo@localhost")
	juliet.say("/sub allow romeo@localhost")
	romeo.until("Subscription received from juliet@localhost")
	romeo.until("++ Juliet", "is online")
	juliet.say("/sub request romeo@localhost")
	romeo.until("Received authorization request from juliet@localhost")
	romeo.say("/sub allow juliet@localhost")
	juliet.until("++ romeo@localhost", "is online")
	romeo.say("/presence console all")
	juliet.say("/status set away supper")
	romeo.until("++ Juliet", "is away", `"supper"`)

	romeo.say("/serversoftware localhost")
	romeo.until("Name", ": Muster")
	romeo.say("/disco items localhost")
	romeo.until("conference.localhost")
	romeo.say("/ping")
	romeo.until("Ping response from")
	romeo.say("/blocked add tybalt@localhost")
	romeo.until("User tybalt@localhost successfully blocked")
	romeo.say("/bookmark add team@conference.localhost nick Romeo")
	romeo.until("Bookmark added for team@conference.localhost")

	romeo.say("/msg juliet@localhost But soft 🌒")
	juliet.until("<< chat message: romeo@localhost/tour")
	juliet.say("/msg romeo@localhost I hear a noise")
	juliet.until("romeo@localhost/tour: But soft 🌒")
	romeo.until("Juliet/tour: I hear a noise")

	romeo.say("/join team")
	romeo.until("You have joined the room as romeo, role: moderator, affiliation: owner")
	romeo.until("Room locked, requires configuration")
	romeo.say("/room accept")
	romeo.until("Room unlocked")
	juliet.say("/join team@conference.localhost")
	juliet.until("You have joined the room as juliet, role: participant, affiliation: none")
	romeo.say("He jests at scars")
	juliet.until("romeo: He jests at scars")
	romeo.say("/subject set Balcony")
	juliet.until("romeo has set the room subject: Balcony")
	juliet.say("/nick Jule")
	romeo.until("** juliet is now known as Jule")
	romeo.say("/kick Jule the nurse calls")
	romeo.until("<- Jule has been kicked from the room by romeo, reason: the nurse calls")
	juliet.until("<- Kicked from team@conference.localhost by romeo, reason: the nurse calls")
	juliet.say("/join team@conference.localhost")
	juliet.until("romeo: He jests at scars") // the history
	juliet.until("romeo has set the room subject: Balcony")

	juliet.say("/quit")
	romeo.say("/win 1")
	romeo.until("-- Juliet", "is offline")
	romeo.say("/msg juliet@localhost Are you there?")
	juliet = profanity(t, h, "juliet")
	juliet.until("<< chat message: romeo@localhost/tour")
	juliet.say("/msg romeo@localhost I am")
	juliet.until("romeo@localhost/tour: Are you there?")
	romeo.until("Juliet/tour: I am")
}

// TestProfanityRegisters: somebody new makes an account with profanity, changes
// its password, and the account is there.
func TestProfanityRegisters(t *testing.T) {
	needs(t, "/usr/bin/tmux", "tmux")
	needs(t, "/usr/bin/profanity", "profanity")
	h := newHost(t, rooms+"[modules.mod_register]\n")
	h.start(t)
	dir := t.TempDir()
	write(t, dir, "config/profanity/profrc", "[ui]\nsplash=false\n")
	s := newScreen(t, "newcomer", dir, "/usr/bin/profanity")
	s.say("/register newcomer localhost port " + h.port + " tls trust")
	s.until("Enter password:")
	s.keys("secret-newcomer")
	s.until("Confirm password:")
	s.keys("secret-newcomer")
	s.until("Registration successful.")
	s.say("/quit")
	s = profanity(t, h, "newcomer")
	s.say("/changepassword")
	s.until("Enter password:")
	s.keys("second")
	s.until("Confirm password:")
	s.keys("second")
	s.until("Password successfully changed.")
}
