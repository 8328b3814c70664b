package register

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/muster-im/muster/internal/router"
	"github.com/muster-im/muster/internal/store"
	"github.com/muster-im/muster/jid"
	"github.com/muster-im/muster/stanza"
)

// world is the accounts and sessions of a.test.
type world struct {
	t        *testing.T
	s        *Service
	accounts map[jid.JID]string // passwords
	broken   error
	insecure bool // romeo's session has no TLS
	sent     []string
}

func newWorld(t *testing.T, settings Settings) *world {
	t.Helper()
	w := &world{t: t, accounts: map[jid.JID]string{jid.MustParse("romeo@a.test"): "old"}}
	w.s = New(Options{
		Accounts: w, Router: w, Settings: settings,
		Secure: func(jid.JID) bool { return !w.insecure },
	})
	return w
}

func (w *world) Exists(_ context.Context, account jid.JID) (bool, error) {
	_, ok := w.accounts[account]
	return ok, w.broken
}

func (w *world) Create(_ context.Context, account jid.JID, password string) error {
	if _, ok := w.accounts[account]; ok {
		return store.ErrConflict
	}
	w.accounts[account] = password
	return nil
}

func (w *world) SetPassword(_ context.Context, account jid.JID, password string) error {
	if _, ok := w.accounts[account]; !ok {
		return store.ErrNotFound
	}
	w.accounts[account] = password
	return nil
}

func (w *world) DeleteLater(_ context.Context, account jid.JID, done func()) error {
	if _, ok := w.accounts[account]; !ok {
		return store.ErrNotFound
	}
	delete(w.accounts, account)
	done()
	return nil
}

func (w *world) Send(st stanza.Stanza) { w.sent = append(w.sent, string(st.AppendXML(nil))) }

func parse(t *testing.T, text string) *stanza.Stanza {
	t.Helper()
	st, err := stanza.Parse([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return &st
}

func from(ip string) net.Addr { return &net.TCPAddr{IP: net.ParseIP(ip), Port: 4711} }

func request(username, password string) string {
	return "<iq type='set' id='x'><query xmlns='jabber:iq:register'><username>" + username + "</username><password>" + password + "</password></query></iq>"
}

// register tries to make an account over TLS and returns the condition.
func (w *world) register(addr net.Addr, username, password string) string {
	w.t.Helper()
	answer, made := w.s.Register(w.t.Context(), "a.test", addr, true, parse(w.t, request(username, password)))
	condition := ""
	if e := answer.ParseError(); e != nil {
		condition = string(e.Condition)
	}
	if made != (condition == "") {
		w.t.Errorf("%s: made %v, and %q", username, made, condition)
	}
	return condition
}

func TestRatePerAddress(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Settings{Every: 10 * time.Minute})
		try := func(what, ip, username, want string) {
			t.Helper()
			if got := w.register(from(ip), username, "secret"); got != want {
				t.Errorf("%s: got %q, want %q", what, got, want)
			}
		}
		try("a name that is taken", "192.0.2.1", "romeo", "conflict")
		try("which does not count", "192.0.2.1", "a", "")
		try("a second account", "192.0.2.1", "b", "resource-constraint")
		try("from elsewhere", "192.0.2.2", "b", "")
		try("from here", "127.0.0.1", "c", "")
		try("from here again", "127.0.0.1", "d", "")
		time.Sleep(10 * time.Minute)
		try("later", "192.0.2.1", "e", "")
		w.s.SetSettings(Settings{Every: time.Minute})
		time.Sleep(time.Minute)
		try("with a shorter time", "192.0.2.1", "f", "")
		w.s.SetSettings(Settings{})
		try("without limit", "192.0.2.1", "g", "")
		try("without limit, again", "192.0.2.1", "h", "")
	})
}

func TestWhoMayRegister(t *testing.T) {
	t.Parallel()
	inside := []Network{
		{netip.MustParsePrefix("10.1.0.0/16"), false},
		{netip.MustParsePrefix("10.0.0.0/8"), true},
		{netip.MustParsePrefix("0.0.0.0/0"), false},
		{netip.MustParsePrefix("::/0"), false},
	}
	tests := []struct {
		name     string
		settings Settings
		ip       string
		secure   bool
		want     string
	}{
		{"everybody", Settings{}, "192.0.2.1", true, ""},
		{"nobody", Settings{Closed: true}, "192.0.2.1", true, "service-unavailable"},
		{"without TLS", Settings{}, "192.0.2.1", false, "not-authorized"},
		{"from inside", Settings{Networks: inside}, "10.2.3.4", true, ""},
		{"from a part of it that comes first", Settings{Networks: inside}, "10.1.3.4", true, "forbidden"},
		{"from outside", Settings{Networks: inside}, "192.0.2.1", true, "forbidden"},
		{"from outside, IPv6", Settings{Networks: inside}, "2001:db8::1", true, "forbidden"},
		{"from inside, written as IPv6", Settings{Networks: inside}, "::ffff:10.2.3.4", true, ""},
		{"the rule", Settings{Allows: func(j jid.JID) bool { return j.Local() != "juliet" }}, "192.0.2.1", true, "forbidden"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, tt.settings)
			answer, _ := w.s.Register(t.Context(), "a.test", from(tt.ip), tt.secure, parse(t, request("juliet", "secret")))
			got := ""
			if e := answer.ParseError(); e != nil {
				got = string(e.Condition)
			}
			if got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
			if offered := w.s.Offered(from(tt.ip), tt.secure); offered != (tt.want == "") && tt.settings.Allows == nil {
				t.Errorf("offered: %v", offered)
			}
			if text := string(answer.AppendXML(nil)); strings.Contains(text, "secret") {
				t.Errorf("the answer repeats the password: %s", text)
			}
		})
	}
}

func TestBadRegistrations(t *testing.T) {
	t.Parallel()
	form := func(formType, username, password string) string {
		return fmt.Sprintf("<iq type='set' id='x'><query xmlns='jabber:iq:register'><x xmlns='jabber:x:data' type='%s'><field var='FORM_TYPE'><value>jabber:iq:register</value></field>"+
			"<field var='username'><value>%s</value></field><field var='password'><value>%s</value></field></x></query></iq>", formType, username, password)
	}
	for _, tt := range []struct{ name, request, want string }{
		{"long name", request(strings.Repeat("x", 1024), "secret"), "jid-malformed"},
		{"a whole address", request("juliet@a.test", "secret"), "jid-malformed"},
		{"control character", request("juliet", "se&#9;cret"), "not-acceptable"},
		{"long password", request("juliet", strings.Repeat("x", 5000)), "not-acceptable"},
		{"form without password", form("submit", "juliet", ""), "not-acceptable"},
		{"form without username", form("submit", "", "secret"), "not-acceptable"},
		{"form that asks", form("form", "juliet", "secret"), "bad-request"},
		{"form that is given up", form("cancel", "juliet", "secret"), "bad-request"},
		{"another form", strings.Replace(form("submit", "juliet", "secret"), "jabber:iq:register</value>", "urn:x</value>", 1), "bad-request"},
		{"removal", "<iq type='set' id='x'><query xmlns='jabber:iq:register'><remove/></query></iq>", "unexpected-request"},
		{"nothing", "<iq type='set' id='x'><query xmlns='jabber:iq:register'/></iq>", "not-acceptable"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, Settings{})
			answer, made := w.s.Register(t.Context(), "a.test", from("192.0.2.1"), true, parse(t, tt.request))
			if e := answer.ParseError(); e == nil || string(e.Condition) != tt.want || made || len(w.accounts) != 1 {
				t.Errorf("got %s, want %s", answer.AppendXML(nil), tt.want)
			}
		})
	}
}

func TestBrokenStore(t *testing.T) {
	t.Parallel()
	w := newWorld(t, Settings{Every: time.Hour})
	w.broken = errors.New("the disk is on fire")
	if got := w.register(from("192.0.2.1"), "juliet", "secret"); got != "internal-server-error" {
		t.Errorf("got %q", got)
	}
	w.broken = nil
	if got := w.register(from("192.0.2.1"), "juliet", "secret"); got != "" {
		t.Errorf("once the store is back: got %q", got)
	}
}

// TestOwner: what somebody who has logged in may ask for, of whom and how.
func TestOwner(t *testing.T) {
	t.Parallel()
	set := func(to, inner string) string {
		return "<iq type='set' id='x' from='romeo@a.test/r' to='" + to + "'><query xmlns='jabber:iq:register'>" + inner + "</query></iq>"
	}
	const change = "<username>Romeo</username><password>new</password>"
	for _, tt := range []struct {
		name, request, want string
		insecure            bool
		password            string // afterwards; "": no account
	}{
		{"change, to the host", set("a.test", change), "type='result'", false, "new"},
		{"change, to the account", set("romeo@a.test", change), "type='result'", false, "new"},
		{"change without TLS", set("a.test", change), "<not-authorized ", true, "old"},
		{"change elsewhere", set("b.test", change), "<not-allowed ", false, "old"},
		{"change of somebody else", set("juliet@a.test", change), "<service-unavailable ", false, "old"},
		{"another name", set("a.test", "<username>juliet</username><password>new</password>"), "<not-acceptable ", false, "old"},
		{"no name", set("a.test", "<password>new</password>"), "<bad-request ", false, "old"},
		{"empty password", set("a.test", "<username>romeo</username><password/>"), "<bad-request ", false, "old"},
		{"password that cannot be", set("a.test", "<username>romeo</username><password>&#9;</password>"), "<not-acceptable ", false, "old"},
		{"removal", set("a.test", "<remove/>"), "type='result'", true, ""},
		{"removal elsewhere", set("b.test", "<remove/>"), "code='407'", false, "old"},
		{"removal with something else", set("a.test", "<remove/><password/>"), "<bad-request ", false, "old"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, Settings{Closed: true}) // which is about new accounts only
			w.insecure = tt.insecure
			_, err := w.s.HandleIQ(t.Context(), parse(t, tt.request))
			if !errors.Is(err, router.ErrAnswered) || len(w.sent) != 1 || !strings.Contains(w.sent[0], tt.want) {
				t.Errorf("got %v, %q, want %s", err, w.sent, tt.want)
			}
			if got := w.accounts[jid.MustParse("romeo@a.test")]; got != tt.password {
				t.Errorf("the password is %q, want %q", got, tt.password)
			}
		})
	}
}

func TestRemovedTwice(t *testing.T) {
	t.Parallel()
	w := newWorld(t, Settings{})
	remove := "<iq type='set' id='x' from='romeo@a.test/r' to='a.test'><query xmlns='jabber:iq:register'><remove/></query></iq>"
	for _, want := range []string{"type='result'", "<registration-required "} {
		_, _ = w.s.HandleIQ(t.Context(), parse(t, remove))
		if last := w.sent[len(w.sent)-1]; !strings.Contains(last, want) {
			t.Errorf("got %s, want %s", last, want)
		}
	}
}

func TestWelcome(t *testing.T) {
	t.Parallel()
	w := newWorld(t, Settings{WelcomeBody: "Be nice.", Watchers: []jid.JID{jid.MustParse("admin@a.test")}})
	if got := w.register(from("192.0.2.1"), "juliet", "secret"); got != "" {
		t.Fatal(got)
	}
	want := []string{
		"<message from='a.test' to='juliet@a.test'><body>Be nice.</body></message>",
		"<message from='a.test' to='admin@a.test'><body>The account juliet@a.test has been registered from 192.0.2.1:4711.</body></message>",
	}
	if !slices.Equal(w.sent, want) {
		t.Errorf("got %q, want %q", w.sent, want)
	}
}

// TestEntropy holds the examples of MongooseIM's documentation.
func TestEntropy(t *testing.T) {
	t.Parallel()
	for password, want := range map[string]float64{"": 0, "kotek": 23.5, "abc123": 30.8, "L33tSp34k": 53.4, "CamelCase": 51.3} {
		if got := entropy(password); math.Abs(got-want) > 0.1 {
			t.Errorf("%q: got %.1f, want %.1f", password, got, want)
		}
	}
	if err := checkPassword("abc123", 32); err == nil {
		t.Error("30.8 bits are accepted as 32")
	}
	if err := checkPassword("abc123", 30); err != nil {
		t.Errorf("30.8 bits are refused as less than 30: %v", err)
	}
}
