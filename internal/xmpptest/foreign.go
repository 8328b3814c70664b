package xmpptest

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/muster-im/muster/config"
	"github.com/muster-im/muster/internal/client"
	"github.com/muster-im/muster/jid"
	"github.com/muster-im/muster/server"
	"github.com/muster-im/muster/stanza"
)

// realTimeout is how long software that others wrote may take for something.
const realTimeout = 20 * time.Second

// Foreign is a server that others wrote, with accounts at localhost that anybody
// may register, and with Rooms as the domain of an external component.
type Foreign struct {
	Client    string // host:port for clients, without TLS
	Component string // host:port for components
	Secret    string // of the component
	// Unordered lets elements beside each other come in any order, because the
	// server changes it.
	Unordered bool
}

// Run runs every transcript that matches the pattern against rooms that are
// attached to the foreign server, in real time and one after the other, but for
// those that are named, and those that need what such a server has not: virtual
// time, other domains, or Muster's hand on accounts and files. It fails if fewer
// than least are left.
func (f Foreign) Run(t *testing.T, pattern string, least int, except ...string) {
	t.Helper()
	paths, err := filepath.Glob(pattern)
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(paths)
	ran := 0
	for _, path := range paths {
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		name := strings.TrimSuffix(filepath.Base(path), ".txt")
		if slices.Contains(except, name) || !foreignCan(data) {
			continue
		}
		ran++
		t.Run(name, func(t *testing.T) {
			if err := runArchive(t, data, f.start); err != nil {
				t.Errorf("%s:%v", path, err)
			}
		})
	}
	if ran < least {
		t.Errorf("%d transcripts, want at least %d", ran, least)
	}
}

// foreignCan reports whether a transcript can be run so.
func foreignCan(data []byte) bool {
	archive := parseArchive(string(data))
	script, ok := archive.file("script")
	if !ok {
		return false
	}
	steps, err := parseScript(script)
	if err != nil {
		return false
	}
	for _, s := range steps {
		switch s.verb {
		case verbClient, verbServer, verbAny, verbConnect, verbDisconnect, verbDrop, verbRestart:
		default:
			return false
		}
	}
	for _, f := range archive.files {
		switch f.name {
		case "script":
		case "muster.toml":
			cfg, err := config.Parse(f.name, []byte(f.data))
			if err != nil || !slices.Equal(cfg.General.Hosts, []string{domain}) || cfg.MUCOf(domain).HostFor(domain) != Rooms {
				return false
			}
		default:
			return false
		}
	}
	return true
}

// foreign is a foreign server with rooms attached to it.
type foreign struct {
	Foreign
	rooms *whole
	up    chan string
}

func (f Foreign) start(t testing.TB, files map[string]string) System {
	t.Helper()
	s := &foreign{Foreign: f, up: make(chan string, 64)}
	s.rooms = prepared(t, files, onlyRooms)
	s.rooms.attach = &server.Attach{Server: f.Component, Secret: f.Secret, OnAttached: func(domain string) { s.up <- domain }}
	if err := s.attach(); err != nil {
		t.Fatal(err)
	}
	return s
}

// attach starts the rooms and waits for the link.
func (s *foreign) attach() error {
	if err := s.rooms.start(); err != nil {
		return err
	}
	select {
	case <-s.up:
		return nil
	case err := <-s.rooms.server.Failed():
		return errors.Join(err, s.rooms.shutdown())
	case <-time.After(realTimeout):
		return errors.Join(errors.New("the rooms are not attached"), s.rooms.shutdown())
	}
}

// Dial connects to the foreign server.
func (s *foreign) Dial() net.Conn {
	conn, err := net.Dial("tcp", s.Client)
	if err != nil {
		s.rooms.t.Error(err)
		conn, _ = net.Pipe() // fails the login
		_ = conn.Close()
	}
	return conn
}

// AddUser registers an account (XEP-0077), or keeps what is there.
func (s *foreign) AddUser(account jid.JID, password string) error {
	ctx, cancel := context.WithTimeout(context.Background(), realTimeout)
	defer cancel()
	err := client.Register(ctx, client.Options{
		Addr: s.Client, Domain: account.Domain(), Username: account.Local(), Password: password, PlainText: true,
	})
	if refusal, ok := errors.AsType[*stanza.Error](err); ok && refusal.Condition == stanza.Conflict {
		return nil
	}
	if err != nil {
		return fmt.Errorf("register %s: %w", account, err)
	}
	return nil
}

// Restart ends the rooms, and starts and attaches them again.
func (s *foreign) Restart() error { return errors.Join(s.rooms.shutdown(), s.attach()) }

// Close ends the rooms.
func (s *foreign) Close() error { return s.rooms.Close() }

// AnyOrder reports whether elements may have changed places.
func (s *foreign) AnyOrder() bool { return s.Unordered }

// Fence is whom a client asks to know that what it was sent before has arrived.
func (s *foreign) Fence() string { return Rooms }
