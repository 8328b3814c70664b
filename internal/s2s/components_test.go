package s2s

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/muster-im/muster/internal/router"
	"github.com/muster-im/muster/internal/stream"
	"github.com/muster-im/muster/jid"
	"github.com/muster-im/muster/stanza"
)

// sink is a local service that remembers what it is sent.
type sink struct {
	mu  sync.Mutex
	got []stanza.Stanza
}

func (s *sink) Handle(st stanza.Stanza) (busy <-chan struct{}) { s.HandleShared(st); return nil }

func (s *sink) HandleShared(st stanza.Stanza) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.got = append(s.got, st)
}

func (s *sink) take() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var list []string
	for i := range s.got {
		text := s.got[i].Kind.String() + " " + s.got[i].ID
		if se := s.got[i].ParseError(); se != nil {
			text += " " + string(se.Condition)
		}
		list = append(list, text)
	}
	s.got = nil
	return list
}

// hall is a server with a local service, which components attach to.
type hall struct {
	*Components
	router *router.Router
	local  *sink
	opts   *ListenerOptions
	wg     sync.WaitGroup
	log    bytes.Buffer // of refusals, to be read when all is over
}

func newHall(o ListenerOptions) *hall {
	o.Secret = testSecret
	h := &hall{router: router.New(router.Options{}), local: &sink{}, opts: &o}
	h.router.AddHost("example.org")
	h.router.AddService("local.example.org", h.local)
	h.Components = NewComponents(ComponentsOptions{Router: h.router, Hosts: []string{"example.org"}, Logger: slog.New(slog.NewTextHandler(&h.log, nil))})
	h.Expect(o.Domains)
	h.router.SetRemote(h)
	return h
}

// attach connects a component; err is what the server says against it.
func (h *hall) attach(domain, secret string) (*stream.Stream, error) {
	here, there := net.Pipe()
	h.wg.Go(func() { h.ServeConn(context.Background(), there, h.opts) })
	s := stream.New(here, stream.Options{Content: nsComponent})
	err := func() error {
		if err := s.SendHeader(stream.Header{To: jid.MustParse(domain)}); err != nil {
			return err
		}
		header, err := s.ReadHeader()
		if err != nil {
			return err
		}
		if err := s.Send(handshakeElement(proof(header.ID, secret))); err != nil {
			return err
		}
		_, err = s.Next()
		return err
	}()
	return s, err
}

func conditionOf(err error) stream.Condition {
	if se, ok := errors.AsType[*stream.Error](err); ok {
		return se.Condition
	}
	return ""
}

// TestComponentAttaches: who is let in.
func TestComponentAttaches(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, domain, secret string
		opts                 ListenerOptions
		want                 stream.Condition
	}{
		{"below a host", "irc.example.org", testSecret, ListenerOptions{}, ""},
		{"a listed domain", "irc.elsewhere.example", testSecret, ListenerOptions{Domains: []string{"irc.elsewhere.example"}}, ""},
		{"wrong secret", "irc.example.org", "guess", ListenerOptions{}, stream.NotAuthorized},
		{"empty secret", "irc.example.org", "", ListenerOptions{}, stream.NotAuthorized},
		{"not listed", "sms.example.org", testSecret, ListenerOptions{Domains: []string{"irc.example.org"}}, stream.HostUnknown},
		{"elsewhere", "irc.elsewhere.example", testSecret, ListenerOptions{}, stream.HostUnknown},
		{"a host", "example.org", testSecret, ListenerOptions{}, stream.HostUnknown},
		{"a service", "local.example.org", testSecret, ListenerOptions{}, stream.HostUnknown},
		{"an account", "irc@irc.example.org", testSecret, ListenerOptions{}, stream.HostUnknown},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				h := newHall(test.opts)
				s, err := h.attach(test.domain, test.secret)
				if got := conditionOf(err); got != test.want {
					t.Errorf("got %v, want %q", err, test.want)
				}
				s.Release()
				h.wg.Wait()
				if test.want != "" && !strings.Contains(h.log.String(), "domain="+test.domain) {
					t.Errorf("the log does not say who was refused: %s", &h.log)
				}
			})
		})
	}
}

// TestComponentSpeaks: a component speaks for its own domain alone.
func TestComponentSpeaks(t *testing.T) {
	t.Parallel()
	mine, room := jid.MustParse("romeo@irc.example.org/x"), jid.MustParse("lobby@local.example.org")
	tests := []struct {
		name string
		st   stanza.Stanza
		want []string
		end  stream.Condition
	}{
		{"as itself", stanza.Stanza{Kind: stanza.Message, ID: "1", From: mine, To: room}, []string{"message 1"}, ""},
		{"as somebody else", stanza.Stanza{Kind: stanza.Message, ID: "1", From: jid.MustParse("romeo@example.org"), To: room}, nil, stream.InvalidFrom},
		{"as nobody", stanza.Stanza{Kind: stanza.Message, ID: "1", To: room}, nil, stream.InvalidFrom},
		{"to nobody", stanza.Stanza{Kind: stanza.Message, ID: "1", From: mine}, nil, stream.ImproperAddressing},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				h := newHall(ListenerOptions{})
				s, err := h.attach("irc.example.org", testSecret)
				if err != nil {
					t.Fatal(err)
				}
				if err := s.SendStanza(&test.st); err != nil {
					t.Fatal(err)
				}
				synctest.Wait()
				if got := h.local.take(); !slices.Equal(got, test.want) {
					t.Errorf("the service got %q, want %q", got, test.want)
				}
				if test.end != "" {
					if _, err := s.Next(); conditionOf(err) != test.end {
						t.Errorf("the stream ended with %v, want %s", err, test.end)
					}
				}
				s.Release()
				h.wg.Wait()
			})
		})
	}
}

// TestComponentAway: what is sent to a component reaches it while it is there,
// and is answered when it is not.
func TestComponentAway(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := newHall(ListenerOptions{Access: func(who jid.JID) bool { return who.Local() != "tybalt" }})
		send := func(from, to string) []string {
			h.router.Send(stanza.Stanza{Kind: stanza.IQ, Type: stanza.TypeGet, ID: "q", From: jid.MustParse(from), To: jid.MustParse(to)}.With(stanza.NewElement(stanza.NSPing, "ping")))
			synctest.Wait()
			return h.local.take()
		}
		want := func(step string, got []string, want ...string) {
			t.Helper()
			if !slices.Equal(got, want) {
				t.Errorf("%s: answered %q, want %q", step, got, want)
			}
		}
		want("never there", send("lobby@local.example.org/Romeo", "irc.example.org"), "iq q remote-server-not-found")
		s, err := h.attach("irc.example.org", testSecret)
		if err != nil {
			t.Fatal(err)
		}
		if got := h.Listed(); !slices.Equal(got, []string{"irc.example.org"}) {
			t.Errorf("listed %q", got)
		}
		want("there", send("lobby@local.example.org/Romeo", "irc.example.org"))
		if e, err := s.Next(); err != nil || e.Attr("id") != "q" {
			t.Errorf("the component got %v, %v", e, err)
		}
		want("not allowed", send("tybalt@local.example.org", "irc.example.org"), "iq q forbidden")
		s.Release()
		h.wg.Wait()
		want("away", send("lobby@local.example.org/Romeo", "irc.example.org"), "iq q remote-server-timeout")
		if got := h.Listed(); len(got) != 0 {
			t.Errorf("listed while it is away: %q", got)
		}
		h.router.Close()
	})
}

// TestComponentConflict: a second connection of a domain, and the end of the
// server.
func TestComponentConflict(t *testing.T) {
	t.Parallel()
	for _, kickOld := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			h := newHall(ListenerOptions{KickOld: kickOld})
			first, err := h.attach("irc.example.org", testSecret)
			if err != nil {
				t.Fatal(err)
			}
			second, err := h.attach("irc.example.org", testSecret)
			loser, winner := second, first
			if kickOld {
				loser, winner = first, second
				if err != nil {
					t.Errorf("the new one: %v", err)
				}
				_, err = first.Next()
			}
			if conditionOf(err) != stream.Conflict {
				t.Errorf("kick old %v: the other got %v", kickOld, err)
			}
			loser.Release()
			time.Sleep(time.Minute)
			if got := h.Listed(); len(got) != 1 {
				t.Errorf("listed %q", got)
			}
			h.Shutdown()
			if _, err := winner.Next(); conditionOf(err) != stream.SystemShutdown {
				t.Errorf("at the end: %v", err)
			}
			winner.Release()
			if third, err := h.attach("irc.example.org", testSecret); conditionOf(err) != stream.SystemShutdown {
				t.Errorf("after the end: %v", err)
			} else {
				third.Release()
			}
			h.wg.Wait()
		})
	}
}
