package c2s

import (
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/muster-im/muster/jid"
)

// rules is a policy that a test changes.
type rules struct {
	allows atomic.Pointer[func(jid.JID) bool]
	rate   atomic.Int64
}

func (r *rules) policy() Policy {
	p := Policy{Rate: func(jid.JID) int { return int(r.rate.Load()) }}
	if allows := r.allows.Load(); allows != nil {
		p.Allows = *allows
	}
	return p
}

func inWorldWith(t *testing.T, r *rules, f func(w *world)) {
	t.Helper()
	inWorld(t, func(c *config) { c.listener.Policy = r.policy }, f)
}

// TestDeniedLogin: who has the right password and may not log in learns that
// (RFC 6120 §6.5.2), and nobody else does.
func TestDeniedLogin(t *testing.T) {
	t.Parallel()
	r := new(rules)
	r.allows.Store(new(func(who jid.JID) bool { return who.Local() != "romeo" }))
	inWorld(t, func(c *config) { c.listener.Policy, c.options.FailureBurst = r.policy, 2 }, func(w *world) {
		p := w.dial()
		p.ask(header, "<stream:features>")
		p.ask(auth("PLAIN", plain("romeo", "wrong")), "<not-authorized/>")
		p.ask(auth("PLAIN", plain("romeo", password)), "<failure ", "<account-disabled/>", "This account may not log in here.")
		p.ask(auth("PLAIN", plain("juliet", password)), "<success ")
		if n := w.metric("refused_total", refusedAccess); n != 1 {
			t.Errorf("counted %v", n)
		}
	})
}

// TestDeniedResource: a rule that looks at resources speaks when one is bound.
func TestDeniedResource(t *testing.T) {
	t.Parallel()
	r := new(rules)
	r.allows.Store(new(func(who jid.JID) bool { return who.IsBare() || who.Resource() == "phone" }))
	inWorldWith(t, r, func(w *world) {
		p := w.dial()
		p.login("romeo")
		p.ask(bindRequest("desk"), "<iq type='error'", "<not-allowed ")
		p.ask(bindRequest("phone"), "<iq type='result'")
	})
}

// TestDeniedLater: a changed policy ends the sessions of those who may not be
// there any more, and of nobody else.
func TestDeniedLater(t *testing.T) {
	t.Parallel()
	r := new(rules)
	inWorldWith(t, r, func(w *world) {
		romeo, juliet := w.join("romeo", "x"), w.join("juliet", "x")
		authenticated, stranger := w.dial(), w.dial()
		authenticated.login("romeo")
		stranger.ask(header, "<stream:features>")
		r.allows.Store(new(func(who jid.JID) bool { return who.Local() != "romeo" }))
		w.srv.ApplyPolicies(w.t.Context())
		romeo.wantError("policy-violation")
		authenticated.wantError("policy-violation")
		juliet.wantNothing()
		stranger.ask(auth("PLAIN", plain("juliet", password)), "<success ")
	})
}

// TestDeniedWhileAway: so does it end those that wait to be resumed.
func TestDeniedWhileAway(t *testing.T) {
	t.Parallel()
	r := new(rules)
	inWorldWith(t, r, func(w *world) {
		for _, name := range []string{"romeo", "juliet"} {
			p, _ := w.manage(name, "x")
			p.drop()
		}
		w.told()
		r.allows.Store(new(func(who jid.JID) bool { return who.Local() != "romeo" }))
		w.srv.ApplyPolicies(w.t.Context())
		w.wantTold("unbind romeo@a.test/x", "ended romeo@a.test/x")
	})
}

// TestPace: a shaper holds the sender back by as much as he has sent too much,
// loses nothing, and lets what comes now and then pass.
func TestPace(t *testing.T) {
	t.Parallel()
	r := new(rules)
	r.rate.Store(1000)
	inWorldWith(t, r, func(w *world) {
		p := w.join("romeo", "x")
		w.told()
		message := func(bytes int) string {
			const frame = "<message to='juliet@a.test'><body></body></message>"
			return fmt.Sprintf("<message to='juliet@a.test'><body>%s</body></message>", strings.Repeat("x", bytes-len(frame)))
		}
		took := func(what string) time.Duration {
			t.Helper()
			start := time.Now()
			p.send("%s", what)
			return time.Since(start).Round(100 * time.Millisecond)
		}
		time.Sleep(time.Minute)
		if d := took(message(1000)); d != 0 {
			t.Errorf("a second's worth after a pause took %v", d)
		}
		// The network has room for nothing: all but the last read is waited for.
		if d := took(message(40_000)); d < 32*time.Second || d > 41*time.Second {
			t.Errorf("40 seconds' worth took %v", d)
		}
		time.Sleep(time.Minute)
		if got := len(w.told()); got != 2 {
			t.Errorf("%d messages have arrived, want both", got)
		}
		if n := w.metric("paced_seconds_total", ""); n < 30 || n > 41 {
			t.Errorf("counted %v seconds", n)
		}

		// Somebody who waits learns of a better rate.
		w.wg.Go(func() { p.send("%s", message(100_000)) })
		time.Sleep(2 * time.Second)
		r.rate.Store(0)
		w.srv.ApplyPolicies(w.t.Context())
		time.Sleep(time.Second)
		if got := len(w.told()); got != 1 {
			t.Errorf("%d messages have arrived a second after the limit went", got)
		}
	})
}

// TestPaceEnds: a connection that is held back ends at once all the same.
func TestPaceEnds(t *testing.T) {
	t.Parallel()
	r := new(rules)
	r.rate.Store(10_000)
	inWorldWith(t, r, func(w *world) {
		p := w.join("romeo", "x")
		r.rate.Store(10)
		w.srv.ApplyPolicies(w.t.Context())
		w.wg.Go(func() { p.send("<message><body>%s</body></message>", strings.Repeat("x", 20_000)) })
		time.Sleep(5 * time.Second)
		start := time.Now()
		w.srv.EndAccount(w.t.Context(), jid.MustParse("romeo@a.test"))
		if d := time.Since(start); d > 0 {
			t.Errorf("took %v", d)
		}
		p.wantError("not-authorized")
	})
}
