package bench

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/muster-im/muster/internal/client"
	"github.com/muster-im/muster/jid"
	"github.com/muster-im/muster/stanza"
)

// FanoutOptions say how one room is filled and how it talks. The load is a
// closed loop: a sender has Window messages under way, and a message is under
// way until every occupant has it.
type FanoutOptions struct {
	LoadOptions `embed:""`
	MUCDomain   string            `name:"muc-domain" help:"Domain of the room service; default: conference.DOMAIN."`
	Room        string            `help:"Local part of the room; default: a new one. A room that did not exist is destroyed at the end."`
	Set         map[string]string `help:"Fields of the new room's configuration form, such as muc#roomconfig_persistentroom=1."`
	Occupants   int               `help:"People in the room." default:"100"`
	Senders     int               `help:"How many of them speak." default:"4"`
}

func (o *FanoutOptions) check() error {
	switch {
	case o.Occupants < 1:
		return errors.New("occupants: want at least 1")
	case o.Senders < 1 || o.Senders > o.Occupants:
		return errors.New("senders: want at least 1, and no more than there are occupants")
	}
	return o.LoadOptions.check()
}

// fanout is one run.
type fanout struct {
	// Set at construction.
	o       FanoutOptions
	room    jid.JID
	created bool // the room did not exist
	people  []*occupant
	load    *load
}

// Fanout fills a room, lets it talk and measures.
func Fanout(ctx context.Context, o FanoutOptions) (*FanoutReport, error) {
	f, err := newFanout(o)
	if err != nil {
		return nil, err
	}
	defer f.leave()
	if err := f.fill(ctx); err != nil {
		return nil, err
	}
	return f.talk(ctx)
}

func newFanout(o FanoutOptions) (*fanout, error) {
	if err := o.check(); err != nil {
		return nil, err
	}
	if o.MUCDomain == "" {
		o.MUCDomain = "conference." + o.Domain
	}
	if o.Room == "" {
		o.Room = "bench-" + strings.ToLower(rand.Text()[:8])
	}
	room, err := jid.New(o.Room, o.MUCDomain, "")
	if err != nil {
		return nil, fmt.Errorf("room: %w", err)
	}
	f := &fanout{o: o, room: room, people: make([]*occupant, o.Occupants)}
	f.load = newLoad(&o.LoadOptions, o.Occupants, o.Senders*o.Window, func(slot int) (*client.Client, stanza.Stanza) {
		return f.people[slot/o.Window].client.Load(), stanza.Stanza{Type: stanza.TypeGroupchat, To: room}
	})
	return f, nil
}

// fill connects everybody and enters the room; the first opens it.
func (f *fanout) fill(ctx context.Context) error {
	if err := f.login(ctx); err != nil {
		return err
	}
	f.o.Progress.say("they enter %s", f.room)
	if err := f.open(ctx); err != nil {
		return err
	}
	return each(ctx, f.o.Occupants-1, f.o.Logins, func(ctx context.Context, i int) error {
		_, err := f.enter(ctx, i+1)
		return err
	})
}

// login connects everybody.
func (f *fanout) login(ctx context.Context) error {
	f.o.Progress.say("%d people log in", f.o.Occupants)
	err := each(ctx, f.o.Occupants, f.o.Logins, func(ctx context.Context, i int) error {
		p := &occupant{receiver: receiver{load: f.load}, entered: make(chan stanza.Stanza, 1)}
		c, err := f.o.dial(ctx, f.o.user(i), "bench", client.Options{RawHandler: p.raw, Handler: p.handle, OnClose: p.closed})
		if err != nil {
			return err
		}
		p.client.Store(c)
		f.people[i] = p
		return nil
	})
	for _, p := range f.people {
		if p != nil {
			f.load.people = append(f.load.people, &p.receiver)
		}
	}
	return err
}

// open makes the first occupant enter, and configures the room if it is new
// (XEP-0045 §10.1).
func (f *fanout) open(ctx context.Context) error {
	self, err := f.enter(ctx, 0)
	if err != nil {
		return err
	}
	f.created = hasStatus(self, "201")
	if !f.created {
		if len(f.o.Set) > 0 {
			return fmt.Errorf("room %s exists already: its configuration is not changed", f.room)
		}
		return nil
	}
	form := stanza.NewForm(stanza.FormSubmit, roomConfig)
	if len(f.o.Set) == 0 {
		form.Fields = nil // an instant room
	}
	for name, value := range f.o.Set {
		form.Fields = append(form.Fields, stanza.Field{Var: name, Values: []string{value}})
	}
	return f.owner(ctx, form.Element())
}

const roomConfig = "http://jabber.org/protocol/muc#roomconfig"

// owner sends an owner's request.
func (f *fanout) owner(ctx context.Context, payload *stanza.Element) error {
	query := stanza.NewElement(stanza.NSMUCOwner, "query").Add(payload)
	ctx, cancel := context.WithTimeout(ctx, loginTimeout)
	defer cancel()
	_, err := f.people[0].client.Load().IQ(ctx, stanza.Stanza{Type: stanza.TypeSet, To: f.room}.With(query))
	if err != nil {
		return fmt.Errorf("configure room %s: %w", f.room, err)
	}
	return nil
}

// enter returns the self-presence of the n-th occupant.
func (f *fanout) enter(ctx context.Context, n int) (stanza.Stanza, error) {
	p := f.people[n]
	if err := f.ask(n); err != nil {
		return stanza.Stanza{}, err
	}
	timer := time.NewTimer(loginTimeout)
	defer timer.Stop()
	select {
	case st := <-p.entered:
		if e := st.ParseError(); e != nil {
			return st, fmt.Errorf("enter as %s: %w", f.o.user(n), e)
		}
		return st, nil
	case <-p.client.Load().Done():
		return stanza.Stanza{}, fmt.Errorf("enter as %s: %w", f.o.user(n), p.client.Load().Err())
	case <-timer.C:
		return stanza.Stanza{}, fmt.Errorf("enter as %s: no answer in %s", f.o.user(n), loginTimeout)
	case <-ctx.Done():
		return stanza.Stanza{}, context.Cause(ctx)
	}
}

func hasStatus(st stanza.Stanza, code string) bool {
	for e := range st.Child(stanza.NSMUCUser, "x").Elements() {
		if e.Name.Local == "status" && e.Attr("code") == code {
			return true
		}
	}
	return false
}

// talk runs the load and measures.
func (f *fanout) talk(ctx context.Context) (*FanoutReport, error) {
	f.o.Progress.say("%d of them speak, %d messages each under way", f.o.Senders, f.o.Window)
	r, err := f.load.run(ctx, &f.o.LoadOptions)
	if err != nil {
		return nil, err
	}
	return f.report(&r), nil
}

// report sums up.
func (f *fanout) report(m *result) *FanoutReport {
	seconds, meter := m.to.at.Sub(m.from.at).Seconds(), m.to.meter-m.from.meter
	r := &FanoutReport{
		Address: f.o.Addr, TLS: f.o.TLS, Occupants: f.o.Occupants, Senders: f.o.Senders,
		Window: f.o.Window, Body: f.o.Body, Seconds: seconds,
		Messages: m.to.messages - m.from.messages, Deliveries: m.to.deliveries - m.from.deliveries,
		Latency: latencyOf(&m.latency), Errors: m.errors, FirstError: m.firstError, MeterCPU: meter.Seconds(),
	}
	r.DeliveriesPerSecond = float64(r.Deliveries) / seconds
	r.MeterCPUPerDelivery = micros(meter) / float64(max(r.Deliveries, 1))
	if len(f.o.PIDs) > 0 {
		cpu := m.to.server.cpu - m.from.server.cpu
		r.Server = &ServerUsage{
			CPU: cpu.Seconds(), CPUPerDelivery: micros(cpu) / float64(max(r.Deliveries, 1)),
			RSSBefore: m.before.server.rss, RSSAfter: m.to.server.rss,
		}
	}
	return r
}

// leave ends all sessions, and the room if it was made for this run.
func (f *fanout) leave() {
	f.load.stop()
	f.load.leaving.Store(true)
	if f.created {
		ctx, cancel := context.WithTimeout(context.Background(), loginTimeout)
		defer cancel()
		if err := f.owner(ctx, stanza.NewElement(stanza.NSMUCOwner, "destroy")); err != nil {
			f.o.Progress.say("the room is left behind: %v", err)
		}
	}
	f.load.leave()
}

// occupant is one client in the room.
type occupant struct {
	receiver
	entered chan stanza.Stanza // the self-presence, or the error
	inRoom  bool               // owned by the reader
	counts  bool               // presences, not messages, are what is counted; set before anybody enters
}

// raw takes what makes up the load without parsing it.
func (p *occupant) raw(data []byte) bool {
	if bytes.HasPrefix(data, []byte("<presence")) {
		if p.counts && !isError(data) {
			p.count.Add(1)
		}
		return p.inRoom || !bytes.Contains(data, []byte("110")) && !isError(data)
	}
	return p.receiver.raw(data)
}

// handle takes what raw has left over.
func (p *occupant) handle(st stanza.Stanza) {
	if st.Kind == stanza.Presence && !p.inRoom && (st.Type == stanza.TypeError || hasStatus(st, "110")) {
		p.inRoom = st.Type != stanza.TypeError
		if e := st.ParseError(); e != nil && p.counts { // nobody waits for it
			p.load.fail(fmt.Errorf("enter: %w", e))
		}
		p.entered <- st
		return
	}
	p.receiver.handle(st)
}
