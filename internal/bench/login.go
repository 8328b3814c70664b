package bench

import (
	"context"
	"errors"
	"io"
	"sync"
	"sync/atomic"
	"text/tabwriter"
	"time"

	"github.com/muster-im/muster/internal/client"
)

// LoginOptions say who logs in. The load is a closed loop: Logins people at a
// time connect, authenticate, bind a resource and close their stream, again and
// again.
type LoginOptions struct {
	Options  `embed:""`
	Users    int           `help:"How many accounts they have." default:"50"`
	Warmup   time.Duration `help:"How long to log in before measuring." default:"2s"`
	Duration time.Duration `help:"How long to measure." default:"10s"`
	Count    int64         `help:"Measure this many logins instead."`
}

func (o *LoginOptions) check() error {
	switch {
	case o.Users < 1:
		return errors.New("users: want at least 1")
	case o.Duration <= 0 && o.Count <= 0:
		return errors.New("duration: want more than nothing")
	}
	return o.Options.check()
}

// maxRefused ends a run in which so many logins in a row fail: it would measure
// refusals.
const maxRefused = 100

// logins is one run.
type logins struct {
	// Set at construction.
	o    LoginOptions
	keys *client.Keys

	next  atomic.Int64 // number of the next login
	until atomic.Int64 // number of the first that is not wanted

	mu sync.Mutex
	// Guarded by mu.
	measuring bool
	done      int64
	latency   histogram
	refused   int64
	inARow    int
	first     error // why the first was refused
}

// Login logs in and out and measures.
func Login(ctx context.Context, o LoginOptions) (*LoginReport, error) {
	if err := o.check(); err != nil {
		return nil, err
	}
	l := &logins{o: o, keys: client.NewKeys()}
	o.Progress.say("%d at a time log in and out", o.Logins)
	if o.Warmup > 0 {
		if err := l.phase(ctx, o.Warmup, 0); err != nil {
			return nil, err
		}
	}
	l.mu.Lock()
	l.measuring = true
	l.mu.Unlock()
	before, err := measure(o.PIDs)
	if err != nil {
		return nil, err
	}
	begun, meter := time.Now(), ownCPU()
	if err := l.phase(ctx, o.Duration, o.Count); err != nil {
		return nil, err
	}
	took, meter := time.Since(begun), ownCPU()-meter
	after, err := measure(o.PIDs)
	if err != nil {
		return nil, err
	}
	return l.report(before, after, took, meter), nil
}

// phase logs in for a time, or so often.
func (l *logins) phase(ctx context.Context, d time.Duration, count int64) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	l.next.Store(0)
	l.until.Store(count)
	if count <= 0 {
		l.until.Store(1 << 62)
		stop := time.AfterFunc(d, func() { l.until.Store(0) })
		defer stop.Stop()
	}
	var wg sync.WaitGroup
	for range l.o.Logins {
		wg.Go(func() {
			for i := l.next.Add(1) - 1; i < l.until.Load() && ctx.Err() == nil; i = l.next.Add(1) - 1 {
				if err := l.login(ctx, int(i)%l.o.Users); err != nil {
					cancel(err)
				}
			}
		})
	}
	wg.Wait()
	return context.Cause(ctx)
}

// login goes all the way once. It fails if nobody gets in any more.
func (l *logins) login(ctx context.Context, user int) error {
	begun := time.Now()
	c, err := l.o.dial(ctx, l.o.user(user), "", client.Options{Keys: l.keys, Handler: nobody})
	if err == nil {
		err = c.Close()
	}
	took := time.Since(begun)
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if err == nil {
		l.inARow = 0
		if l.measuring {
			l.done++
			l.latency.add(took)
		}
		return nil
	}
	if l.first == nil {
		l.first = err
	}
	if l.measuring {
		l.refused++
	}
	if l.inARow++; l.inARow >= maxRefused || l.done == 0 && !l.measuring {
		return err
	}
	return nil
}

// report sums up.
func (l *logins) report(before, after usage, took, meter time.Duration) *LoginReport {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := float64(max(l.done, 1))
	r := &LoginReport{
		Address: l.o.Addr, TLS: l.o.TLS, Mechanism: l.o.Mechanism, Users: l.o.Users, Concurrent: l.o.Logins,
		Seconds: took.Seconds(), Logins: l.done, LoginsPerSecond: float64(l.done) / took.Seconds(), Latency: latencyOf(&l.latency),
		Refused: l.refused, MeterCPU: meter.Seconds(), MeterCPUPerLogin: micros(meter) / n,
	}
	if l.refused > 0 {
		r.FirstError = l.first.Error()
	}
	if len(l.o.PIDs) > 0 {
		r.Server = &LoginUsage{
			CPU: (after.cpu - before.cpu).Seconds(), CPUPerLogin: micros(after.cpu-before.cpu) / n,
			RSSBefore: before.rss, RSSAfter: after.rss,
		}
	}
	return r
}

// LoginReport is what Login has measured. A login is everything from connecting
// to the end of the stream.
type LoginReport struct {
	Address    string `json:"address"`
	TLS        string `json:"tls"`
	Mechanism  string `json:"mechanism"` // "" for the strongest that is offered
	Users      int    `json:"users"`
	Concurrent int    `json:"concurrent"`

	Seconds         float64 `json:"seconds"`
	Logins          int64   `json:"logins"`
	LoginsPerSecond float64 `json:"logins_per_second"`
	Latency
	Refused    int64  `json:"refused"`
	FirstError string `json:"first_error,omitempty"`

	Server           *LoginUsage `json:"server,omitempty"` // nil without process ids
	MeterCPU         float64     `json:"meter_cpu_seconds"`
	MeterCPUPerLogin float64     `json:"meter_cpu_us_per_login"`
}

// LoginUsage is what the server's processes have used for logins.
type LoginUsage struct {
	CPU         float64 `json:"cpu_seconds"`
	CPUPerLogin float64 `json:"cpu_us_per_login"`
	RSSBefore   int64   `json:"rss_before_bytes"`
	RSSAfter    int64   `json:"rss_after_bytes"`
}

// WriteTable writes the report for people.
func (r *LoginReport) WriteTable(w io.Writer) error {
	t := table{tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)}
	t.row("server", "%s, TLS: %s", r.Address, r.TLS)
	mechanism := r.Mechanism
	if mechanism == "" {
		mechanism = "the strongest mechanism"
	}
	t.row("load", "%d at a time into %d accounts, by %s", r.Concurrent, r.Users, mechanism)
	t.row("measured", "%d logins in %.1f s", r.Logins, r.Seconds)
	t.row("logins", "%.0f/s", r.LoginsPerSecond)
	t.latency(r.Latency)
	if s := r.Server; s != nil {
		t.row("server CPU", "%.0f µs per login (%.1f s)", s.CPUPerLogin, s.CPU)
		t.row("server memory", "%s before, %s after", mebibytes(s.RSSBefore), mebibytes(s.RSSAfter))
	}
	t.row("meter CPU", "%.0f µs per login (%.1f s)", r.MeterCPUPerLogin, r.MeterCPU)
	t.errors(r.Refused, r.FirstError)
	return t.Flush()
}
