package bench

import (
	"bytes"
	"cmp"
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

// FanoutOptions say how rooms are filled and how they talk. A message is under
// way until every occupant of its room has it.
type FanoutOptions struct {
	LoadOptions `embed:""`
	MUCDomain   string            `name:"muc-domain" help:"Domain of the room service; default: conference.DOMAIN."`
	Room        string            `help:"Local part of the room; default: a new one. A room that did not exist is destroyed at the end."`
	Set         map[string]string `help:"Fields of the new room's configuration form, such as muc#roomconfig_persistentroom=1."`
	Occupants   int               `help:"People in the room." default:"100"`
	Senders     int               `help:"How many of them speak." default:"4"`
	Stalled     int               `help:"How many of the others read nothing any more once somebody speaks; what they should get does not count."`
	Rooms       int               `kong:"-"` // each with people of its own; 0 is 1
}

// RoomsOptions say how many small rooms talk at once.
type RoomsOptions struct {
	LoadOptions `embed:""`
	MUCDomain   string            `name:"muc-domain" help:"Domain of the room service; default: conference.DOMAIN."`
	Set         map[string]string `help:"Fields of the new rooms' configuration form, such as muc#roomconfig_persistentroom=1."`
	Rooms       int               `help:"Rooms, each with people of its own; they are destroyed at the end." default:"5"`
	Occupants   int               `help:"People in each room, all of whom speak." default:"4"`
}

// Fanout returns the same as options of Fanout.
func (o *RoomsOptions) Fanout() FanoutOptions {
	return FanoutOptions{
		LoadOptions: o.LoadOptions, MUCDomain: o.MUCDomain, Set: o.Set,
		Rooms: o.Rooms, Occupants: o.Occupants, Senders: o.Occupants,
	}
}

func (o *FanoutOptions) check() error {
	switch {
	case o.Rooms < 0:
		return errors.New("rooms: want at least 1")
	case o.Rooms > 1 && o.Room != "":
		return errors.New("room: a name is for one room only")
	case o.Occupants < 1:
		return errors.New("occupants: want at least 1")
	case o.Senders < 1 || o.Senders > o.Occupants:
		return errors.New("senders: want at least 1, and no more than there are occupants")
	case o.Stalled < 0 || o.Stalled > o.Occupants-o.Senders:
		return errors.New("stalled: want no more than there are occupants who do not speak")
	}
	return o.LoadOptions.check()
}

// Rooms are filled with people who can be made to talk, more than once.
type Rooms struct {
	// Set at construction.
	o     FanoutOptions
	rooms []*fanout
	load  *load
}

// fanout is one room.
type fanout struct {
	// Set at construction.
	o       *FanoutOptions
	room    jid.JID
	first   int // number of the first one's account
	load    *load
	created bool // the room did not exist
	people  []*occupant
}

// Fanout fills rooms, lets them talk and measures.
func Fanout(ctx context.Context, o FanoutOptions) (*FanoutReport, error) {
	r, err := FillRooms(ctx, o)
	if err != nil {
		return nil, err
	}
	defer r.Leave()
	return r.Talk(ctx)
}

// FillRooms connects everybody, and lets them enter.
func FillRooms(ctx context.Context, o FanoutOptions) (*Rooms, error) {
	r, err := newRooms(o)
	if err != nil {
		return nil, err
	}
	for _, f := range r.rooms {
		if err := f.fill(ctx); err != nil {
			r.Leave()
			return nil, err
		}
	}
	return r, nil
}

func newRooms(o FanoutOptions) (*Rooms, error) {
	if err := o.check(); err != nil {
		return nil, err
	}
	o.Rooms = max(o.Rooms, 1)
	o.MUCDomain = cmp.Or(o.MUCDomain, "conference."+o.Domain)
	r := &Rooms{o: o, rooms: make([]*fanout, o.Rooms)}
	r.load = newLoad(&o.LoadOptions, o.Occupants-o.Stalled, o.Rooms*o.Senders, r.say)
	for i := range r.rooms {
		name := o.Room
		if name == "" {
			name = "bench-" + strings.ToLower(rand.Text()[:8])
		}
		room, err := jid.New(name, o.MUCDomain, "")
		if err != nil {
			return nil, fmt.Errorf("room: %w", err)
		}
		r.rooms[i] = &fanout{o: &r.o, room: room, first: i * o.Occupants, load: r.load, people: make([]*occupant, o.Occupants)}
	}
	return r, nil
}

// say sends a message; neighbours among senders are in different rooms.
func (r *Rooms) say(sender int, body string) error {
	f := r.rooms[sender%len(r.rooms)]
	return message(f.people[sender/len(r.rooms)].client.Load(), stanza.TypeGroupchat, f.room, body)
}

// fill connects everybody and enters the room; the first opens it.
func (f *fanout) fill(ctx context.Context) error {
	if err := f.login(ctx); err != nil {
		return err
	}
	f.o.Progress.say("they enter %s", f.room)
	return f.enterAll(ctx)
}

// enterAll lets everybody enter, the first one first.
func (f *fanout) enterAll(ctx context.Context) error {
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
		p := &occupant{receiver: receiver{load: f.load}, user: f.o.user(f.first + i), entered: make(chan stanza.Stanza, 1)}
		p.stalled = i >= f.o.Occupants-f.o.Stalled
		c, err := f.o.dial(ctx, p.user, "bench", client.Options{RawHandler: p.raw, Handler: p.handle, OnClose: p.closed})
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
	select {
	case <-p.entered: // of another room, asked for twice
	default:
	}
	if err := f.ask(n); err != nil {
		return stanza.Stanza{}, err
	}
	timer := time.NewTimer(loginTimeout)
	defer timer.Stop()
	select {
	case st := <-p.entered:
		if e := st.ParseError(); e != nil {
			return st, fmt.Errorf("enter as %s: %w", p.user, e)
		}
		return st, nil
	case <-p.client.Load().Done():
		return stanza.Stanza{}, fmt.Errorf("enter as %s: %w", p.user, p.client.Load().Err())
	case <-timer.C:
		return stanza.Stanza{}, fmt.Errorf("enter as %s: no answer in %s", p.user, loginTimeout)
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

// Talk lets them talk and measures.
func (r *Rooms) Talk(ctx context.Context) (*FanoutReport, error) {
	r.o.Progress.say("%d of them speak, %s", r.o.Senders, r.o.pace())
	m, err := r.load.run(ctx, &r.o.LoadOptions)
	if err != nil {
		return nil, err
	}
	return r.report(&m), nil
}

// report sums up.
func (r *Rooms) report(m *result) *FanoutReport {
	o, seconds, meter := &r.o, m.to.at.Sub(m.from.at).Seconds(), m.to.meter-m.from.meter
	report := &FanoutReport{
		Address: o.Addr, TLS: o.TLS, Rooms: o.Rooms, Occupants: o.Occupants, Senders: o.Senders, Stalled: o.Stalled,
		Window: o.Window, Rate: o.Rate, Body: o.Body, Seconds: seconds,
		Messages: m.to.messages - m.from.messages, Deliveries: m.to.deliveries - m.from.deliveries,
		Latency: latencyOf(&m.latency), Errors: m.errors, FirstError: m.firstError, MeterCPU: meter.Seconds(),
	}
	report.DeliveriesPerSecond = float64(report.Deliveries) / seconds
	report.MeterCPUPerDelivery = micros(meter) / float64(max(report.Deliveries, 1))
	if len(o.PIDs) > 0 {
		cpu := m.to.server.cpu - m.from.server.cpu
		report.Server = &ServerUsage{
			CPU: cpu.Seconds(), CPUPerDelivery: micros(cpu) / float64(max(report.Deliveries, 1)),
			RSSBefore: m.before.server.rss, RSSAfter: m.to.server.rss,
		}
	}
	return report
}

// Leave ends all sessions, and the rooms that were made for this run.
func (r *Rooms) Leave() {
	r.load.stop()
	r.load.leaving.Store(true)
	for _, f := range r.rooms {
		f.destroy()
	}
	r.load.leave()
}

// destroy ends the room if it was made for this run.
func (f *fanout) destroy() {
	if !f.created {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), loginTimeout)
	defer cancel()
	if err := f.owner(ctx, stanza.NewElement(stanza.NSMUCOwner, "destroy")); err != nil {
		f.o.Progress.say("the room is left behind: %v", err)
	}
}

// occupant is one client in the room.
type occupant struct {
	receiver
	user    string             // the account's name, and the nickname
	entered chan stanza.Stanza // the self-presence, or the error
	counts  bool               // presences, not messages, are what is counted; set before anybody enters
}

// raw takes what makes up the load without parsing it.
func (p *occupant) raw(data []byte) bool {
	if !bytes.HasPrefix(data, []byte("<presence")) {
		return p.receiver.raw(data)
	}
	p.handled++
	if isError(data) {
		return false
	}
	if p.counts {
		p.count.Add(1)
	}
	return !bytes.Contains(data, []byte("code='110'")) && !bytes.Contains(data, []byte(`code="110"`))
}

// handle takes what raw has left over.
func (p *occupant) handle(st stanza.Stanza) {
	if st.Kind != stanza.Presence {
		p.receiver.handle(st)
		return
	}
	if e := st.ParseError(); e != nil && p.counts { // nobody waits for it
		p.load.fail(fmt.Errorf("enter: %w", e))
	}
	if st.Type == stanza.TypeUnavailable {
		return
	}
	select {
	case p.entered <- st:
	default: // nobody waits for this one
	}
}
