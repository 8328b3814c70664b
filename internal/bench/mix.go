package bench

import (
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"text/tabwriter"
	"time"

	"github.com/muster-im/muster/stanza"
)

// MixOptions say how people use many rooms at their ease: each is in some, and
// in each room somebody, in turn, speaks now and then.
type MixOptions struct {
	Options   `embed:""`
	MUCDomain string            `name:"muc-domain" help:"Domain of the room service; default: conference.DOMAIN."`
	Set       map[string]string `help:"Fields of the new rooms' configuration form, such as muc#roomconfig_persistentroom=1."`
	Users     int               `help:"People who are there." default:"500"`
	Rooms     int               `help:"Rooms that each of them is in; they are destroyed at the end." default:"10"`
	Occupants int               `help:"People in each room." default:"5"`
	Every     time.Duration     `help:"How often somebody speaks in a room." default:"10s"`
	Body      int               `help:"Bytes of a message's body." default:"100"`
	Warmup    time.Duration     `help:"How long to speak before measuring." default:"10s"`
	Duration  time.Duration     `help:"How long to measure." default:"30s"`
}

// rooms is how many there are.
func (o *MixOptions) rooms() int { return o.Users * o.Rooms / o.Occupants }

func (o *MixOptions) check() error {
	switch {
	case o.Occupants < 1 || o.Users < o.Occupants || o.Users%o.Occupants != 0:
		return errors.New("users: want a multiple of the people in a room")
	case o.Rooms < 1:
		return errors.New("rooms: want at least 1 for each user")
	case o.Every <= 0:
		return errors.New("every: want more than nothing")
	}
	return nil
}

// fanout returns the load as that of many rooms at a rate.
func (o *MixOptions) fanout() FanoutOptions {
	return FanoutOptions{
		LoadOptions: LoadOptions{
			Options: o.Options, Window: 1, Rate: float64(o.rooms()) / o.Every.Seconds(),
			Body: o.Body, Warmup: o.Warmup, Duration: o.Duration,
		},
		MUCDomain: o.MUCDomain, Set: o.Set, Rooms: o.rooms(), Occupants: o.Occupants, Senders: 1,
	}
}

// Mix lets people use many rooms and measures.
func Mix(ctx context.Context, o MixOptions) (*MixReport, error) {
	if err := o.check(); err != nil {
		return nil, err
	}
	empty, err := measure(o.PIDs)
	if err != nil {
		return nil, err
	}
	r, err := newRooms(o.fanout())
	if err != nil {
		return nil, err
	}
	defer r.Leave()
	if err := r.mingle(ctx, &o); err != nil {
		return nil, err
	}
	speaker := make([]int, len(r.rooms)) // whose turn it is; only the pacer asks
	r.load.say = func(room int, body string) error {
		f, n := r.rooms[room], speaker[room]
		speaker[room] = (n + 1) % len(f.people)
		return message(f.people[n].client.Load(), stanza.TypeGroupchat, f.room, body)
	}
	o.Progress.say("somebody speaks in each of %d rooms every %s", len(r.rooms), o.Every)
	m, err := r.load.run(ctx, &r.o.LoadOptions)
	if err != nil {
		return nil, err
	}
	return o.report(&m, &empty), nil
}

// mingle connects everybody and lets them enter: as often as each is in a room,
// all of them are dealt to rooms, every time to different ones together.
func (r *Rooms) mingle(ctx context.Context, o *MixOptions) error {
	crowd := r.o
	crowd.Occupants = o.Users
	all := &fanout{o: &crowd, load: r.load, people: make([]*occupant, o.Users)}
	if err := all.login(ctx); err != nil {
		return err
	}
	o.Progress.say("they enter %d rooms, each of them %d", len(r.rooms), o.Rooms)
	chance := rand.New(rand.NewPCG(1, 2)) //nolint:gosec // the same in every run
	deal := len(r.rooms) / o.Rooms        // rooms that everybody is dealt to
	for begin := 0; begin < len(r.rooms); begin += deal {
		order := chance.Perm(o.Users)
		err := each(ctx, deal, o.Logins, func(ctx context.Context, i int) error {
			f := r.rooms[begin+i]
			for k, who := range order[i*o.Occupants : (i+1)*o.Occupants] {
				f.people[k] = all.people[who]
			}
			return f.enterAll(ctx)
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// MixReport is what Mix has measured.
type MixReport struct {
	Address      string  `json:"address"`
	TLS          string  `json:"tls"`
	Users        int     `json:"users"`
	RoomsPerUser int     `json:"rooms_per_user"`
	Rooms        int     `json:"rooms"`
	Occupants    int     `json:"occupants"` // of each room
	Every        float64 `json:"every_seconds"`
	Body         int     `json:"body_bytes"`

	Seconds    float64 `json:"seconds"`
	Messages   int64   `json:"messages"`
	Deliveries int64   `json:"deliveries"`
	Latency
	Errors     int64  `json:"errors"`
	FirstError string `json:"first_error,omitempty"`

	Server   *MixUsage `json:"server,omitempty"` // nil without process ids
	MeterCPU float64   `json:"meter_cpu_seconds"`
}

// MixUsage is what the server's processes have used for people in many rooms.
type MixUsage struct {
	CPU            float64 `json:"cpu_seconds"`
	CPUShare       float64 `json:"cpu_share"` // of one core
	CPUPerDelivery float64 `json:"cpu_us_per_delivery"`
	RSSBefore      int64   `json:"rss_before_bytes"` // with nobody there
	RSSAfter       int64   `json:"rss_after_bytes"`
	RSSPerUser     float64 `json:"rss_bytes_per_user"`
}

// report sums up what has happened since the server was empty.
func (o *MixOptions) report(m *result, empty *usage) *MixReport {
	r := &MixReport{
		Address: o.Addr, TLS: o.TLS, Users: o.Users, RoomsPerUser: o.Rooms, Rooms: o.rooms(), Occupants: o.Occupants,
		Every: o.Every.Seconds(), Body: o.Body, Seconds: m.to.at.Sub(m.from.at).Seconds(),
		Messages: m.to.messages - m.from.messages, Deliveries: m.to.deliveries - m.from.deliveries,
		Latency: latencyOf(&m.latency), Errors: m.errors, FirstError: m.firstError, MeterCPU: (m.to.meter - m.from.meter).Seconds(),
	}
	if len(o.PIDs) > 0 {
		cpu := m.to.server.cpu - m.from.server.cpu
		r.Server = &MixUsage{
			CPU: cpu.Seconds(), CPUShare: cpu.Seconds() / r.Seconds, CPUPerDelivery: micros(cpu) / float64(max(r.Deliveries, 1)),
			RSSBefore: empty.rss, RSSAfter: m.to.server.rss, RSSPerUser: float64(m.to.server.rss-empty.rss) / float64(o.Users),
		}
	}
	return r
}

// WriteTable writes the report for people.
func (r *MixReport) WriteTable(w io.Writer) error {
	t := table{tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)}
	t.row("server", "%s, TLS: %s", r.Address, r.TLS)
	t.row("load", "%d people, each in %d of %d rooms of %d; a message of %d bytes in each room every %s",
		r.Users, r.RoomsPerUser, r.Rooms, r.Occupants, r.Body, time.Duration(r.Every*float64(time.Second)))
	t.row("measured", "%d messages, %d deliveries in %.1f s", r.Messages, r.Deliveries, r.Seconds)
	t.latency(r.Latency)
	if s := r.Server; s != nil {
		t.row("server CPU", "%.2f %% of a core, %.1f µs per delivery", 100*s.CPUShare, s.CPUPerDelivery)
		t.row("server memory", "%s before, %s after: %.1f KiB per user", mebibytes(s.RSSBefore), mebibytes(s.RSSAfter), s.RSSPerUser/1024)
	}
	t.row("meter CPU", "%.1f s", r.MeterCPU)
	t.errors(r.Errors, r.FirstError)
	return t.Flush()
}
