package app

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/muster-im/muster/internal/client"
	"github.com/muster-im/muster/jid"
	"github.com/muster-im/muster/stanza"
)

// person is one of the demo's team: a client connection and what its user
// would see on the screen.
type person struct {
	// Set at construction.
	name     string // as people write it
	account  jid.JID
	password string
	status   string // shown in the contact lists of the others
	conn     *client.Client

	// Guarded by mu.
	mu       sync.Mutex
	contacts map[jid.JID]contact
	inRoom   map[string]bool // nicknames
	invited  jid.JID         // into which room
	subject  string
	heard    []line
	changed  chan struct{} // closed and replaced at every change
	lost     error         // why the connection ended
}

// contact is one entry of a contact list.
type contact struct {
	name         string
	subscription string
	online       bool
	status       string
}

// line is one message as its reader sees it.
type line struct {
	room    bool
	from    string // nickname, or the local part of the address
	text    string
	history bool // said before the reader came
}

// listen takes what the server sends until the connection ends.
func (p *person) listen(ctx context.Context) {
	for {
		st, err := p.conn.Receive(ctx)
		if err != nil {
			p.change(func() { p.lost = err })
			return
		}
		p.take(ctx, st)
	}
}

// change changes the state and wakes those who wait for it.
func (p *person) change(f func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	f()
	close(p.changed)
	p.changed = make(chan struct{})
}

// await waits until seen is true. seen runs with mu held.
func (p *person) await(ctx context.Context, what string, seen func() bool) error {
	for {
		p.mu.Lock()
		ok, lost, changed := seen(), p.lost, p.changed
		p.mu.Unlock()
		switch {
		case ok:
			return nil
		case lost != nil:
			return fmt.Errorf("%s has lost the connection and so did not see %s: %w", p.name, what, lost)
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return fmt.Errorf("%s did not see %s: %w", p.name, what, context.Cause(ctx))
		}
	}
}

// take is what a client does with a stanza.
func (p *person) take(ctx context.Context, st stanza.Stanza) {
	switch {
	case st.Kind == stanza.IQ && st.Type == stanza.TypeSet && st.Child(stanza.NSRoster, "query") != nil:
		p.takeRoster(st.Child(stanza.NSRoster, "query"))
		_ = p.conn.Send(st.Result(nil)) // a lost connection ends listen
	case st.Kind == stanza.IQ && st.IsRequest():
		if reply, ok := st.ErrorReply(stanza.NewError(stanza.Cancel, stanza.ServiceUnavailable, "")); ok {
			_ = p.conn.Send(reply)
		}
	case st.Kind == stanza.Presence && st.Child(stanza.NSMUCUser, "x") != nil:
		p.takeOccupant(st)
	case st.Kind == stanza.Presence:
		p.takePresence(st)
	case st.Kind == stanza.Message:
		p.takeMessage(st)
	}
}

func (p *person) takeRoster(query *stanza.Element) {
	p.change(func() {
		for item := range query.Elements() {
			j, err := jid.Parse(item.Attr("jid"))
			if err != nil {
				continue
			}
			if item.Attr("subscription") == "remove" {
				delete(p.contacts, j)
				continue
			}
			c := p.contacts[j]
			c.name, c.subscription = item.Attr("name"), item.Attr("subscription")
			p.contacts[j] = c
		}
	})
}

func (p *person) takePresence(st stanza.Stanza) {
	if st.Type != "" && st.Type != stanza.TypeUnavailable {
		return
	}
	p.change(func() {
		if c, ok := p.contacts[st.From.Bare()]; ok {
			c.online, c.status = st.Type == "", st.ChildText(stanza.NSClient, "status")
			p.contacts[st.From.Bare()] = c
		}
	})
}

func (p *person) takeOccupant(st stanza.Stanza) {
	p.change(func() {
		if st.Type == stanza.TypeUnavailable {
			delete(p.inRoom, st.From.Resource())
		} else if st.Type == "" {
			p.inRoom[st.From.Resource()] = true
		}
	})
}

func (p *person) takeMessage(st stanza.Stanza) {
	if st.Type == stanza.TypeError {
		return
	}
	if x := st.Child(stanza.NSConference, "x"); x != nil { // XEP-0249 §2
		if room, err := jid.Parse(x.Attr("jid")); err == nil {
			p.change(func() { p.invited = room })
		}
		return
	}
	room := st.Type == stanza.TypeGroupchat
	p.change(func() {
		if s := st.Child(stanza.NSClient, "subject"); room && s != nil && st.Body() == "" {
			p.subject = s.Text()
			return
		}
		if st.Body() == "" {
			return
		}
		l := line{room: room, from: st.From.Local(), text: st.Body(), history: st.Child(stanza.NSDelay, "delay") != nil}
		if room {
			l.from = st.From.Resource()
		}
		p.heard = append(p.heard, l)
	})
}

// contactList returns the contacts as they are shown, ordered by name.
func (p *person) contactList() []contact {
	p.mu.Lock()
	defer p.mu.Unlock()
	list := make([]contact, 0, len(p.contacts))
	for j, c := range p.contacts {
		if c.name == "" {
			c.name = strings.ToUpper(j.Local()[:1]) + j.Local()[1:] // as clients show who has no name
		}
		list = append(list, c)
	}
	slices.SortFunc(list, func(a, b contact) int { return strings.Compare(a.name, b.name) })
	return list
}

// has reports whether a line was heard. It needs mu.
func (p *person) hasLocked(want line) bool { return slices.Contains(p.heard, want) }

// fetchRoster asks for the contact list, which also subscribes to its changes.
func (p *person) fetchRoster(ctx context.Context) error {
	answer, err := p.conn.IQ(ctx, stanza.Stanza{Kind: stanza.IQ, Type: stanza.TypeGet}.
		With(stanza.NewElement(stanza.NSRoster, "query")))
	if err != nil {
		return fmt.Errorf("%s asks for the contact list: %w", p.name, err)
	}
	if query := answer.Child(stanza.NSRoster, "query"); query != nil {
		p.takeRoster(query)
	}
	return nil
}

// appear sends the first presence, with a status for the others to see.
func (p *person) appear() error {
	status := stanza.NewElement(stanza.NSClient, "status").AddText(p.status)
	return p.conn.Send(stanza.Stanza{Kind: stanza.Presence}.With(status))
}

// enter asks to enter a room.
func (p *person) enter(room jid.JID) error {
	to, err := jid.New(room.Local(), room.Domain(), p.name)
	if err != nil {
		return err
	}
	return p.conn.Send(stanza.Stanza{Kind: stanza.Presence, To: to}.With(stanza.NewElement(stanza.NSMUC, "x")))
}

// say sends a message to a person or a room.
func (p *person) say(to jid.JID, t stanza.Type, text string) error {
	body := stanza.NewElement(stanza.NSClient, "body").AddText(text)
	return p.conn.Send(stanza.Stanza{Kind: stanza.Message, Type: t, To: to}.With(body))
}
