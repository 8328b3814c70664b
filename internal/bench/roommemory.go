package bench

import (
	"context"
	"errors"
	"io"
	"text/tabwriter"
	"time"

	"github.com/muster-im/muster/internal/client"
	"github.com/muster-im/muster/stanza"
)

// RoomMemoryOptions say how many rooms are made that then stay empty.
type RoomMemoryOptions struct {
	Options   `embed:""`
	MUCDomain string            `name:"muc-domain" help:"Domain of the room service; default: conference.DOMAIN."`
	Set       map[string]string `help:"Fields of the new rooms' configuration forms." default:"muc#roomconfig_persistentroom=1"`
	Rooms     int               `help:"How many rooms." default:"1000"`
	Settle    time.Duration     `help:"How long to wait until the server's memory is read." default:"5s"`
}

func (o *RoomMemoryOptions) check() error {
	if o.Rooms < 1 {
		return errors.New("rooms: want at least 1")
	}
	return o.Options.check()
}

// RoomMemoryReport is what RoomMemory has measured. A creation is entering a
// room that does not exist, its configuration form, and leaving.
type RoomMemoryReport struct {
	Address            string  `json:"address"`
	TLS                string  `json:"tls"`
	Rooms              int     `json:"rooms"`
	Seconds            float64 `json:"seconds"`
	CreationsPerSecond float64 `json:"creations_per_second"`
	Latency

	Server   *RoomMemoryUsage `json:"server,omitempty"` // nil without process ids
	MeterCPU float64          `json:"meter_cpu_seconds"`
}

// RoomMemoryUsage is what the server's processes have used for rooms.
type RoomMemoryUsage struct {
	CPUPerCreation float64 `json:"cpu_us_per_creation"`
	RSSBefore      int64   `json:"rss_before_bytes"`
	RSSAfter       int64   `json:"rss_after_bytes"`
	RSSPerRoom     float64 `json:"rss_bytes_per_room"`
}

// RoomMemory creates rooms one after the other, leaves them, and measures what
// they have cost and still cost. They are destroyed at the end.
func RoomMemory(ctx context.Context, o RoomMemoryOptions) (*RoomMemoryReport, error) {
	if err := o.check(); err != nil {
		return nil, err
	}
	rooms, err := newRooms(FanoutOptions{
		LoadOptions: LoadOptions{Options: o.Options, Window: 1, Body: minBody, Messages: 1},
		MUCDomain:   o.MUCDomain, Set: o.Set, Rooms: o.Rooms, Occupants: 1, Senders: 1,
	})
	if err != nil {
		return nil, err
	}
	defer rooms.Leave()
	maker := rooms.rooms[0]
	if err := maker.login(ctx); err != nil {
		return nil, err
	}
	for _, f := range rooms.rooms {
		f.people = maker.people // one person makes all
	}
	return rooms.make(ctx, &o)
}

// make creates all rooms and measures.
func (r *Rooms) make(ctx context.Context, o *RoomMemoryOptions) (*RoomMemoryReport, error) {
	before, err := measure(o.PIDs)
	if err != nil {
		return nil, err
	}
	o.Progress.say("%d rooms are made", o.Rooms)
	meter, begun, told := ownCPU(), time.Now(), time.Now()
	var latency histogram
	for i, f := range r.rooms {
		asked := time.Now()
		if err := f.makeEmpty(ctx); err != nil {
			return nil, err
		}
		latency.add(time.Since(asked))
		if time.Since(told) >= progressInterval {
			told = time.Now()
			o.Progress.say("%d of them up to now", i+1)
		}
	}
	took := time.Since(begun)
	made, err := measure(o.PIDs)
	if err != nil {
		return nil, err
	}
	o.Progress.say("they are empty for %s", o.Settle)
	select {
	case <-time.After(o.Settle):
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	after, err := measure(o.PIDs)
	if err != nil {
		return nil, err
	}
	n := float64(o.Rooms)
	report := &RoomMemoryReport{
		Address: o.Addr, TLS: o.TLS, Rooms: o.Rooms, Seconds: took.Seconds(), CreationsPerSecond: n / took.Seconds(),
		Latency: latencyOf(&latency), MeterCPU: (ownCPU() - meter).Seconds(),
	}
	if len(o.PIDs) > 0 {
		report.Server = &RoomMemoryUsage{
			CPUPerCreation: micros(made.cpu-before.cpu) / n,
			RSSBefore:      before.rss, RSSAfter: after.rss, RSSPerRoom: float64(after.rss-before.rss) / n,
		}
	}
	return report, nil
}

// makeEmpty creates the room and leaves it.
func (f *fanout) makeEmpty(ctx context.Context) error {
	if err := f.open(ctx); err != nil {
		return err
	}
	nick, err := f.nick(0)
	if err != nil {
		return err
	}
	return f.maker().Send(stanza.Stanza{Kind: stanza.Presence, Type: stanza.TypeUnavailable, To: nick})
}

func (f *fanout) maker() *client.Client { return f.people[0].client.Load() }

// WriteTable writes the report for people.
func (r *RoomMemoryReport) WriteTable(w io.Writer) error {
	t := table{tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)}
	t.row("server", "%s, TLS: %s", r.Address, r.TLS)
	t.row("measured", "%d rooms made and left in %.1f s, %.0f/s", r.Rooms, r.Seconds, r.CreationsPerSecond)
	t.latency(r.Latency)
	if s := r.Server; s != nil {
		t.row("server CPU", "%.0f µs per room", s.CPUPerCreation)
		t.row("server memory", "%s before, %s after: %.2f KiB per room", mebibytes(s.RSSBefore), mebibytes(s.RSSAfter), s.RSSPerRoom/1024)
	}
	t.row("meter CPU", "%.1f s", r.MeterCPU)
	return t.Flush()
}
