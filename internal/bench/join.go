package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"text/tabwriter"

	"github.com/muster-im/muster/jid"
	"github.com/muster-im/muster/stanza"
)

// JoinOptions say how many enter one room at once. The first opens it, all
// others ask to enter without waiting for each other, and the run ends when
// everybody has been told of everybody.
type JoinOptions struct {
	Options   `embed:""`
	MUCDomain string            `name:"muc-domain" help:"Domain of the room service; default: conference.DOMAIN."`
	Room      string            `help:"Local part of the room; default: a new one. A room that did not exist is destroyed at the end."`
	Set       map[string]string `help:"Fields of the new room's configuration form, such as muc#roomconfig_persistentroom=1."`
	Occupants int               `help:"People who enter." default:"1000"`
}

// JoinReport is what Join has measured. A presence is that of one occupant,
// given to one.
type JoinReport struct {
	Address   string `json:"address"`
	TLS       string `json:"tls"`
	Occupants int    `json:"occupants"`

	Seconds           float64 `json:"seconds"`
	Presences         int64   `json:"presences"`
	PresencePerSecond float64 `json:"presences_per_second"`

	Server              *JoinUsage `json:"server,omitempty"` // nil without process ids
	MeterCPU            float64    `json:"meter_cpu_seconds"`
	MeterCPUPerPresence float64    `json:"meter_cpu_us_per_presence"`
}

// JoinUsage is what the server's processes have used for it.
type JoinUsage struct {
	CPU            float64 `json:"cpu_seconds"`
	CPUPerPresence float64 `json:"cpu_us_per_presence"`
	RSSBefore      int64   `json:"rss_before_bytes"` // with everybody logged in
	RSSAfter       int64   `json:"rss_after_bytes"`
}

// Join lets many people enter one room at once and measures.
func Join(ctx context.Context, o JoinOptions) (*JoinReport, error) {
	rooms, report, err := JoinRoom(ctx, FanoutOptions{
		LoadOptions: LoadOptions{Options: o.Options, Window: 1, Body: minBody, Messages: 1},
		MUCDomain:   o.MUCDomain, Room: o.Room, Set: o.Set, Occupants: o.Occupants, Senders: 1,
	})
	if err == nil {
		rooms.Leave()
	}
	return report, err
}

// JoinRoom is Join with people who stay, and may then be made to talk.
func JoinRoom(ctx context.Context, o FanoutOptions) (*Rooms, *JoinReport, error) {
	if o.Occupants < 2 {
		return nil, nil, errors.New("occupants: want at least 2")
	}
	if o.Rooms > 1 {
		return nil, nil, errors.New("rooms: they enter one")
	}
	rooms, err := newRooms(o)
	if err != nil {
		return nil, nil, err
	}
	report, err := rooms.rooms[0].join(ctx)
	if err != nil {
		rooms.Leave()
		return nil, nil, err
	}
	return rooms, report, nil
}

// join connects everybody, and lets them enter at once.
func (f *fanout) join(ctx context.Context) (*JoinReport, error) {
	stall := f.load.stall
	f.load.stall = joinTimeout
	defer func() { f.load.stall = stall }()
	if err := f.login(ctx); err != nil {
		return nil, err
	}
	for _, p := range f.people {
		p.counts = true
	}
	if err := f.open(ctx); err != nil {
		return nil, err
	}
	return f.rush(ctx)
}

// rush lets everybody but the first enter at once.
func (f *fanout) rush(ctx context.Context) (*JoinReport, error) {
	from, err := f.load.snapshot(f.o.PIDs)
	if err != nil {
		return nil, err
	}
	f.o.Progress.say("%d others enter at once", f.o.Occupants-1)
	err = each(ctx, f.o.Occupants-1, f.o.Logins, func(_ context.Context, i int) error { return f.ask(i + 1) })
	if err != nil {
		return nil, err
	}
	all := int64(f.o.Occupants) * int64(f.o.Occupants)
	if err := f.load.poll(ctx, func() bool { return f.load.deliveries() >= all }); err != nil {
		return nil, err
	}
	to, err := f.load.snapshot(f.o.PIDs)
	if err != nil {
		return nil, err
	}
	n, meter := to.deliveries-from.deliveries, to.meter-from.meter
	r := &JoinReport{
		Address: f.o.Addr, TLS: f.o.TLS, Occupants: f.o.Occupants, Seconds: to.at.Sub(from.at).Seconds(), Presences: n,
		MeterCPU: meter.Seconds(), MeterCPUPerPresence: micros(meter) / float64(n),
	}
	r.PresencePerSecond = float64(n) / r.Seconds
	if len(f.o.PIDs) > 0 {
		cpu := to.server.cpu - from.server.cpu
		r.Server = &JoinUsage{
			CPU: cpu.Seconds(), CPUPerPresence: micros(cpu) / float64(n), RSSBefore: from.server.rss, RSSAfter: to.server.rss,
		}
	}
	return r, nil
}

// ask sends the n-th occupant's presence to the room.
func (f *fanout) ask(n int) error {
	nick, err := f.nick(n)
	if err != nil {
		return err
	}
	x := stanza.NewElement(stanza.NSMUC, "x").Add(stanza.NewElement(stanza.NSMUC, "history", "maxstanzas", "0"))
	return f.people[n].client.Load().Send(stanza.Stanza{Kind: stanza.Presence, To: nick}.With(x))
}

// nick returns the n-th occupant's address in the room.
func (f *fanout) nick(n int) (jid.JID, error) {
	nick, err := jid.New(f.room.Local(), f.room.Domain(), f.people[n].user)
	if err != nil {
		return nick, fmt.Errorf("nickname: %w", err)
	}
	return nick, nil
}

// WriteTable writes the report for people.
func (r *JoinReport) WriteTable(w io.Writer) error {
	t := table{tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)}
	t.row("server", "%s, TLS: %s", r.Address, r.TLS)
	t.row("load", "%d people enter a room at once", r.Occupants)
	t.row("measured", "%d presences in %.2f s, %.0f/s", r.Presences, r.Seconds, r.PresencePerSecond)
	if s := r.Server; s != nil {
		t.row("server CPU", "%.2f µs per presence (%.1f s)", s.CPUPerPresence, s.CPU)
		t.row("server memory", "%s before, %s after", mebibytes(s.RSSBefore), mebibytes(s.RSSAfter))
	}
	t.row("meter CPU", "%.2f µs per presence (%.1f s)", r.MeterCPUPerPresence, r.MeterCPU)
	return t.Flush()
}
