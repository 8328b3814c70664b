package app

import (
	"crypto/tls"
	"strings"
	"testing"

	"github.com/muster-im/muster/internal/client"
	"github.com/muster-im/muster/stanza"
)

func TestSessions(t *testing.T) {
	t.Parallel()
	file, _ := configFile(t, "")
	srv := serving(t, file)
	user := func(args string) result {
		return execute(t, "", append(strings.Fields("user "+args), "--config", file)...)
	}
	if got := user("add juliet wherefore"); got.status != 0 {
		t.Fatal(got)
	}
	connect := func(resource string) *client.Client {
		t.Helper()
		c, err := client.Dial(t.Context(), client.Options{
			Addr: srv.Info().Listeners[0].Address, Domain: "localhost", Username: "juliet", Password: "wherefore", Resource: resource,
			TLSConfig: &tls.Config{InsecureSkipVerify: true}, //nolint:gosec // the certificate is not what this is about
		})
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	want := func(args string, status int, stdout, stderr string) {
		t.Helper()
		if got := user(args); got.status != status || !matches(stdout, got.stdout) || !matches(stderr, got.stderr) {
			t.Errorf("muster user %s: got %+v, want %d %s %s", args, got, status, stdout, stderr)
		}
	}
	want("sessions juliet", 0, `juliet@localhost is not logged in, and has not been seen yet\.\n`, ``)
	phone, desk := connect("phone"), connect("desk")
	if err := phone.Send(stanza.Stanza{Kind: stanza.Presence}.With(stanza.NewElement(stanza.NSClient, "show").AddText("away"))); err != nil {
		t.Fatal(err)
	}
	if _, err := phone.IQ(t.Context(), stanza.Stanza{Type: stanza.TypeGet}.With(stanza.NewElement(stanza.NSPing, "ping"))); err != nil {
		t.Fatal(err) // the presence before it has been handled
	}
	want("sessions juliet", 0, `juliet@localhost/desk    since 20\S+ \d\d:\d\d   invisible   127\.0\.0\.1:\d+\n`+
		`juliet@localhost/phone   since 20\S+ \d\d:\d\d   away        127\.0\.0\.1:\d+\n`, ``)
	want("sessions juliet --json", 0, `(?s)\{\n  "jid": "juliet@localhost".*"encrypted": true.*`, ``)
	want("kick juliet/nowhere", 1, ``, `muster: there is no session juliet@localhost/nowhere\n`)
	want("kick juliet/", 1, ``, `muster: "juliet/": the resource behind the / is empty\n`)
	want("kick nobody", 1, ``, `muster: there is no account nobody@localhost\n`)
	want("kick juliet/phone", 0, `ended the session juliet@localhost/phone\n`, ``)
	<-phone.Done()
	want("kick juliet --json", 0, `\{\n  "jid": "juliet@localhost"\n\}\n`, ``)
	<-desk.Done()
	want("kick juliet", 0, `ended the sessions of juliet@localhost\n`, ``)
	want("sessions juliet", 0, `juliet@localhost is not logged in, and was last seen 20.*\n`, ``)
	want("sessions nobody", 1, ``, `muster: there is no account nobody@localhost\n`)
}
