package main

import (
	"context"
	"time"

	meter "github.com/muster-im/muster/internal/bench"
	"github.com/muster-im/muster/internal/peers"
)

// row is one load.
type row struct {
	name    string
	unit    string
	archive bool
	fresh   bool // wants servers that have just started
	once    bool // takes too long to repeat
	xmpp    func(context.Context, *peers.Server, *options) (load, error)
	irc     func(context.Context, *peers.Server, *options) (load, error)
}

// load is ready to be measured, again and again.
type load interface {
	measure(ctx context.Context) (measurement, error)
	leave()
}

// measurement is what was found once.
type measurement struct {
	cost    float64
	latency latency
	errors  int64
	first   string
}

// rows are the lines of the table, in its order.
//
//nolint:gochecknoglobals // a table
var rows = []*row{
	{name: "1 room × 100, 4 × 8 under way", unit: perDelivery, xmpp: fanout(100, 4, 8, "none"), irc: irc(100, 4, 8)},
	{name: "1 room × 100, one under way", unit: perDelivery, xmpp: fanout(100, 1, 1, "none"), irc: irc(100, 1, 1)},
	{name: "1 room × 100, STARTTLS", unit: perDelivery, xmpp: fanout(100, 4, 8, "starttls")},
	{name: "5 rooms × 4, all speak", unit: perDelivery, xmpp: smallRooms(5, 4, 0)},
	{name: "500 enter a room at once", unit: perPresence, xmpp: join(500)},
	{name: "1,000 enter a room at once", unit: perPresence, xmpp: enter(1000, 4, 2), once: true},
	{name: "1 room × 1,000, 4 × 2 under way", unit: perDelivery, xmpp: inside(1000, 4, 2), irc: irc(1000, 4, 2)},
	{name: "one to one, 8 under way", unit: perMessage, xmpp: chat(8)},
	{name: "one to one, one under way", unit: perMessage, xmpp: chat(1)},
	{name: "SCRAM-SHA-1 login, plain TCP", unit: "ms", xmpp: login("none")},
	{name: "SCRAM-SHA-1 login, STARTTLS", unit: "ms", xmpp: login("starttls")},
	{name: "idle session, plain TCP", unit: "KiB resident", xmpp: idle("none"), fresh: true, once: true},
	{name: "idle session, STARTTLS", unit: "KiB resident", xmpp: idle("starttls"), fresh: true, once: true},
	{name: "**1 room × 100, TLS 1.3, archived**", unit: perDelivery, xmpp: fanout(100, 4, 8, "starttls"), archive: true},
	{name: "1 room × 100, plain TCP, archived", unit: perDelivery, xmpp: fanout(100, 4, 8, "none"), archive: true},
	{name: "100 rooms × 5, archived", unit: perDelivery, xmpp: smallRooms(100, 5, 4), archive: true},
	{name: "create a persistent room, and leave", unit: "ms", xmpp: create, archive: true},
	{name: "latency at half of saturation, TLS 1.3, archived", unit: p99, xmpp: half, archive: true, once: true},
}

const (
	perDelivery = "µs per delivery"
	perMessage  = "µs per message"
	perPresence = "µs per presence"
	p99         = "ms p99"
	warmup      = 300 * time.Millisecond
)

// base says how the meter reaches a server.
func base(v *peers.Server, tls string) meter.Options {
	return meter.Options{
		Addr: v.Addr, Domain: "localhost", TLS: tls, Insecure: true, UsersPrefix: "bench", Password: "bench",
		Mechanism: "SCRAM-SHA-1", Register: true, Logins: 16, PIDs: []int{v.PID},
	}
}

func speech(v *peers.Server, tls string, window int, o *options) meter.LoadOptions {
	return meter.LoadOptions{Options: base(v, tls), Window: window, Body: 100, Warmup: warmup, Duration: o.duration}
}

// prepare creates the accounts, which servers allow under TLS.
func prepare(ctx context.Context, v *peers.Server, n int) error {
	o := base(v, "starttls")
	return o.Prepare(ctx, n)
}

// rooms are filled and talk.
type rooms struct{ *meter.Rooms }

func (r rooms) measure(ctx context.Context) (measurement, error) {
	report, err := r.Talk(ctx)
	return ofFanout(report), err
}

func (r rooms) leave() { r.Leave() }

// channel is the same of IRC.
type channel struct{ *meter.Channel }

func (c channel) measure(ctx context.Context) (measurement, error) {
	report, err := c.Talk(ctx)
	return ofFanout(report), err
}

func (c channel) leave() { c.Leave() }

func ofFanout(r *meter.FanoutReport) measurement {
	if r == nil {
		return measurement{}
	}
	return measurement{r.Server.CPUPerDelivery, latency{r.LatencyP50, r.LatencyP99}, r.Errors, r.FirstError}
}

func fanout(occupants, senders, window int, tls string) func(context.Context, *peers.Server, *options) (load, error) {
	return func(ctx context.Context, v *peers.Server, o *options) (load, error) {
		options := meter.FanoutOptions{LoadOptions: speech(v, tls, window, o), Occupants: occupants, Senders: senders}
		if err := prepare(ctx, v, occupants); err != nil {
			return nil, err
		}
		r, err := meter.FillRooms(ctx, options)
		return rooms{r}, err
	}
}

// smallRooms are rooms in which everybody speaks, with a window of 8 if none is
// given.
func smallRooms(n, occupants, window int) func(context.Context, *peers.Server, *options) (load, error) {
	if window == 0 {
		window = 8
	}
	return func(ctx context.Context, v *peers.Server, o *options) (load, error) {
		options := meter.RoomsOptions{LoadOptions: speech(v, "none", window, o), Rooms: n, Occupants: occupants}
		if err := prepare(ctx, v, n*occupants); err != nil {
			return nil, err
		}
		r, err := meter.FillRooms(ctx, options.Fanout())
		return rooms{r}, err
	}
}

func irc(occupants, senders, window int) func(context.Context, *peers.Server, *options) (load, error) {
	return func(ctx context.Context, v *peers.Server, o *options) (load, error) {
		c, err := meter.FillChannel(ctx, meter.IRCOptions{
			LoadOptions: speech(v, "none", window, o), Channel: "#bench", Occupants: occupants, Senders: senders,
		})
		return channel{c}, err
	}
}

// each is a load that begins anew with every measurement.
type each func(ctx context.Context) (measurement, error)

func (f each) measure(ctx context.Context) (measurement, error) { return f(ctx) }

func (each) leave() {}

func join(occupants int) func(context.Context, *peers.Server, *options) (load, error) {
	return func(ctx context.Context, v *peers.Server, _ *options) (load, error) {
		o := meter.JoinOptions{Options: base(v, "none"), Occupants: occupants}
		return each(func(ctx context.Context) (measurement, error) {
			r, err := meter.Join(ctx, o)
			if err != nil {
				return measurement{}, err
			}
			return measurement{cost: r.Server.CPUPerPresence}, nil
		}), prepare(ctx, v, occupants)
	}
}

// enter is join by people who stay in the room for the next row, since that takes
// some servers minutes.
func enter(occupants, senders, window int) func(context.Context, *peers.Server, *options) (load, error) {
	return func(ctx context.Context, v *peers.Server, o *options) (load, error) {
		options := meter.FanoutOptions{LoadOptions: speech(v, "none", window, o), Occupants: occupants, Senders: senders}
		return each(func(ctx context.Context) (measurement, error) {
			r, report, err := meter.JoinRoom(ctx, options)
			if err != nil {
				return measurement{}, err
			}
			o.inside[v] = r
			return measurement{cost: report.Server.CPUPerPresence}, nil
		}), prepare(ctx, v, occupants)
	}
}

// inside is fanout by those who have entered for the row before.
func inside(occupants, senders, window int) func(context.Context, *peers.Server, *options) (load, error) {
	return func(ctx context.Context, v *peers.Server, o *options) (load, error) {
		if r := o.inside[v]; r != nil {
			delete(o.inside, v)
			return rooms{r}, nil
		}
		return fanout(occupants, senders, window, "none")(ctx, v, o)
	}
}

func chat(window int) func(context.Context, *peers.Server, *options) (load, error) {
	return func(ctx context.Context, v *peers.Server, o *options) (load, error) {
		options := meter.ChatOptions{LoadOptions: speech(v, "none", window, o), Users: 50}
		return each(func(ctx context.Context) (measurement, error) {
			r, err := meter.Chat(ctx, options)
			if err != nil {
				return measurement{}, err
			}
			return measurement{r.Server.CPUPerMessage, latency{r.LatencyP50, r.LatencyP99}, r.Errors, r.FirstError}, nil
		}), prepare(ctx, v, options.Users)
	}
}

func login(tls string) func(context.Context, *peers.Server, *options) (load, error) {
	return func(ctx context.Context, v *peers.Server, o *options) (load, error) {
		options := meter.LoginOptions{Options: base(v, tls), Users: 50, Warmup: warmup, Duration: o.duration}
		return each(func(ctx context.Context) (measurement, error) {
			r, err := meter.Login(ctx, options)
			if err != nil {
				return measurement{}, err
			}
			return measurement{r.Server.CPUPerLogin / 1000, latency{r.LatencyP50, r.LatencyP99}, r.Refused, r.FirstError}, nil
		}), prepare(ctx, v, options.Users)
	}
}

func idle(tls string) func(context.Context, *peers.Server, *options) (load, error) {
	return func(ctx context.Context, v *peers.Server, _ *options) (load, error) {
		o := meter.IdleOptions{Options: base(v, tls), Sessions: 1000, Users: 100, Presence: true, Settle: 5 * time.Second}
		return each(func(ctx context.Context) (measurement, error) {
			r, err := meter.Idle(ctx, o)
			if err != nil {
				return measurement{}, err
			}
			return measurement{cost: r.Server.RSSPerSession / 1024}, nil
		}), prepare(ctx, v, o.Users)
	}
}

func create(ctx context.Context, v *peers.Server, _ *options) (load, error) {
	o := meter.RoomMemoryOptions{Options: base(v, "none"), Rooms: 100}
	return each(func(ctx context.Context) (measurement, error) {
		r, err := meter.RoomMemory(ctx, o)
		if err != nil {
			return measurement{}, err
		}
		return measurement{cost: r.Server.CPUPerCreation / 1000, latency: latency{r.LatencyP50, r.LatencyP99}}, nil
	}), prepare(ctx, v, 1)
}

// half finds out how much a server can do, and then measures it at half of that.
func half(ctx context.Context, v *peers.Server, o *options) (load, error) {
	options := meter.FanoutOptions{LoadOptions: speech(v, "starttls", 8, o), Occupants: 100, Senders: 4}
	return each(func(ctx context.Context) (measurement, error) {
		saturated, err := meter.Fanout(ctx, options)
		if err != nil {
			return measurement{}, err
		}
		options.Rate = float64(saturated.Messages) / saturated.Seconds / 2
		options.Duration = 3 * o.duration
		r, err := meter.Fanout(ctx, options)
		if err != nil {
			return measurement{}, err
		}
		return measurement{r.LatencyP99, latency{r.LatencyP50, r.LatencyP99}, r.Errors, r.FirstError}, nil
	}), prepare(ctx, v, options.Occupants)
}
