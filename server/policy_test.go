package server_test

import (
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/muster-im/muster/config"
	"github.com/muster-im/muster/internal/client"
	"github.com/muster-im/muster/internal/stream"
	"github.com/muster-im/muster/jid"
	"github.com/muster-im/muster/server"
	"github.com/muster-im/muster/stanza"
)

const policyFile = `
[general]
hosts = ["localhost"]
[[listen.c2s]]
tls.mode = "none"
access = "c2s"
shaper = "c2s_shaper"
[acl]
blocked = [{user = "mallory"}]
bots = [{user_glob = "bot*"}]
[access]
c2s = [{acl = "blocked", value = "deny"}, {acl = "all", value = "allow"}]
c2s_shaper = [{acl = "bots", value = "slow"}]
[shaper.slow]
max_rate = 1000
`

// dialAs logs in without TLS.
func dialAs(t *testing.T, s *server.Server, name string) (*client.Client, <-chan error, error) {
	t.Helper()
	closed := make(chan error, 1)
	c, err := client.Dial(t.Context(), client.Options{
		Conn: s.Dial(), Domain: "localhost", PlainText: true, Username: name, Password: "secret",
		OnClose: func(err error) { closed <- err },
	})
	return c, closed, err
}

// TestPolicies: access rules and shapers hold as the file says, and a reload
// changes them for those who are there.
func TestPolicies(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		file := func(text string) *config.Config {
			cfg := parse(t, text, dir)
			cfg.Storage.Durability = "process"
			return cfg
		}
		s := start(t, file(policyFile), server.Options{NoListen: true})
		defer shutdown(t, s)
		for _, name := range []string{"mallory", "romeo", "bot1"} {
			if err := s.AddUser(t.Context(), jid.MustParse(name+"@localhost"), "secret"); err != nil {
				t.Fatal(err)
			}
		}
		if _, _, err := dialAs(t, s, "mallory"); err == nil || !strings.Contains(err.Error(), "account-disabled") {
			t.Errorf("mallory logs in: %v, want account-disabled", err)
		}
		romeo, closed, err := dialAs(t, s, "romeo")
		if err != nil {
			t.Fatal(err)
		}
		bot, _, err := dialAs(t, s, "bot1")
		if err != nil {
			t.Fatal(err)
		}
		took := func(c *client.Client) time.Duration {
			t.Helper()
			start := time.Now()
			st, _ := stanza.Parse([]byte("<iq type='get' to='localhost'><query xmlns='jabber:iq:version'>" + strings.Repeat(" ", 20_000) + "</query></iq>"))
			if _, err := c.IQ(t.Context(), st); err != nil {
				t.Fatal(err)
			}
			return time.Since(start)
		}
		if d := took(romeo); d > time.Second {
			t.Errorf("romeo is held back by %v", d)
		}
		if d := took(bot); d < 10*time.Second || d > 25*time.Second {
			t.Errorf("20 kB of a bot took %v", d)
		}

		next := strings.NewReplacer(`"mallory"`, `"romeo"`, `max_rate = 1000`, `max_rate = 1000000`).Replace(policyFile)
		if err := s.Reload(file(next)); err != nil {
			t.Fatal(err)
		}
		if d := took(bot); d > time.Second {
			t.Errorf("with more room 20 kB of a bot took %v", d)
		}
		if e, ok := errors.AsType[*stream.Error](<-closed); !ok || e.Condition != stream.PolicyViolation {
			t.Errorf("romeo's session ended with %v, want policy-violation", e)
		}
		mallory, _, err := dialAs(t, s, "mallory")
		if err != nil {
			t.Errorf("mallory may not log in after the reload: %v", err)
		}

		bad := strings.Replace(next, `access = "c2s"`, `access = "c2"`, 1)
		if _, err := config.Parse("muster.toml", []byte(bad)); err == nil {
			t.Error("a rule that does not exist was accepted")
		}
		for _, c := range []*client.Client{bot, mallory} {
			if err := c.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
				t.Error(fmt.Errorf("close: %w", err))
			}
		}
	})
}

// TestReloadRegistration: who may register, and how often, changes with SIGHUP.
func TestReloadRegistration(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		file := func(module string) *config.Config {
			cfg := parse(t, `
[general]
hosts = ["localhost"]
[[listen.c2s]]
tls.mode = "none"
[auth]
allow_plain_without_tls = true
[acl]
staff = [{user_glob = "staff-*"}]
[access]
register = [{acl = "staff", value = "allow"}]
`+module, dir)
			cfg.Storage.Durability = "process"
			return cfg
		}
		s := start(t, file("[modules.mod_register]\n"), server.Options{NoListen: true})
		defer shutdown(t, s)
		register := func(username, want string) {
			t.Helper()
			conn := s.Dial()
			defer conn.Close() //nolint:errcheck // a test
			got := converse(t, conn,
				"<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' to='localhost' version='1.0'>",
				"<iq type='set' id='r'><query xmlns='jabber:iq:register'><username>"+username+"</username><password>secret</password></query></iq>")
			if !strings.Contains(got, want) {
				t.Errorf("%s: got %s, want %s", username, got, want)
			}
		}
		reload := func(module string) {
			t.Helper()
			if err := s.Reload(file(module)); err != nil {
				t.Fatal(err)
			}
		}
		register("romeo", "type='result'")
		reload("[modules.mod_register]\naccess = \"register\"\n")
		register("juliet", "<forbidden ")
		register("staff-juliet", "type='result'")
		reload("[modules.mod_register]\naccess = \"none\"\n")
		register("staff-romeo", "<service-unavailable ")
		oneLine(t, s.Reload(file("")), "modules.mod_register: this has changed and takes effect only when the server starts")
	})
}

// converse sends and returns all that has come back once nobody says any more.
func converse(t *testing.T, conn net.Conn, lines ...string) string {
	t.Helper()
	var mu sync.Mutex
	var got strings.Builder
	go func() {
		buf := make([]byte, 4096)
		for {
			n, err := conn.Read(buf)
			mu.Lock()
			got.Write(buf[:n])
			mu.Unlock()
			if err != nil {
				return
			}
		}
	}()
	for _, line := range lines {
		if _, err := conn.Write([]byte(line)); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
	}
	mu.Lock()
	defer mu.Unlock()
	return got.String()
}
