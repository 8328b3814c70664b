package xmpptest

import (
	"context"
	"errors"
	"net"
	"testing"

	"github.com/muster-im/muster/config"
	"github.com/muster-im/muster/jid"
	"github.com/muster-im/muster/server"
)

// attached is two servers: one with accounts and clients, and one with rooms,
// which is attached to the first as its component (XEP-0114).
type attached struct {
	front, rooms *whole
	domains      []string
	up           chan string // domains whose links stand
}

// NewAttached starts a server like NewServer's in two parts: the rooms are those
// of a server that is attached to the other.
func NewAttached(t testing.TB, files map[string]string) System {
	t.Helper()
	a := &attached{up: make(chan string, 64)}
	a.rooms = prepared(t, files, func(c *config.Config) {
		onlyRooms(c)
		for _, host := range c.General.Hosts {
			if m := c.MUCOf(host); m != nil {
				a.domains = append(a.domains, m.HostFor(host))
			}
		}
	})
	a.front = prepared(t, files, func(c *config.Config) {
		c.Modules.MUC, c.HostConfig, c.Modules.MUCLog = nil, nil, nil
		c.Modules.GroupsInternal = nil // it would have rooms of its own for their chats
		c.Listen.Component = []config.Component{{
			Password: secret, Domains: a.domains, MaxStanzaSize: 256 << 10, Access: "all",
			ConflictBehaviour: "disconnect", TLS: config.TLS{Mode: "none"},
		}}
	})
	a.rooms.attach = &server.Attach{
		Server: "pipe", Secret: secret, OnAttached: func(domain string) { a.up <- domain },
		Dial: func(context.Context) (net.Conn, error) { return a.front.server.DialComponent() },
	}
	if err := a.start(); err != nil {
		t.Fatal(err)
	}
	return a
}

// onlyRooms leaves out of a configuration what a part without clients has not.
func onlyRooms(c *config.Config) {
	c.Listen = config.Listen{}
	c.Modules.Register, c.Modules.Groups, c.Modules.GroupsInternal = nil, nil, nil
}

// secret is what both parts have.
const secret = "component secret"

func (a *attached) start() error {
	if err := errors.Join(a.front.start(), a.rooms.start()); err != nil {
		return err
	}
	for range a.domains {
		<-a.up
	}
	return nil
}

// Dial connects to the part with clients.
func (a *attached) Dial() net.Conn { return a.front.Dial() }

// AddUser makes an account.
func (a *attached) AddUser(account jid.JID, password string) error {
	return a.front.AddUser(account, password)
}

// DeleteUser removes an account.
func (a *attached) DeleteUser(account jid.JID) error { return a.front.DeleteUser(account) }

// Far is the server of the domain Far.
func (a *attached) Far() *Remote { return a.front.Far() }

// Restart ends both and starts them on the same data.
func (a *attached) Restart() error {
	if err := a.Close(); err != nil {
		return err
	}
	return a.start()
}

// Close ends the rooms first, so that they can say so.
func (a *attached) Close() error { return errors.Join(a.rooms.Close(), a.front.Close()) }
