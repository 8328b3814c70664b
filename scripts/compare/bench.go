package main

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/muster-im/muster/internal/peers"
)

// bench is one comparison.
type bench struct {
	*options
	dir     string
	kinds   []*peers.Kind
	setting peers.Setting
	results []*result
}

// result is one row: what every server has cost.
type result struct {
	Row     string             `json:"row"`
	Unit    string             `json:"unit"`
	Figures map[string]*figure `json:"servers"`

	row *row
}

// figure is what one server has cost, and how long its answers took.
type figure struct {
	Costs   []float64 `json:"costs"`
	Latency []latency `json:"latency,omitempty"`
	Errors  int64     `json:"errors,omitempty"`
	First   string    `json:"first_error,omitempty"`
	Failed  string    `json:"failed,omitempty"`

	slow bool // a measurement takes too long to repeat
}

// slow is how long a measurement may take that is repeated.
const slow = 10 * time.Second

type latency struct {
	P50 float64 `json:"p50_ms"`
	P99 float64 `json:"p99_ms"`
}

// cost is the median of what was measured.
func (f *figure) cost() (float64, bool) {
	if f == nil || len(f.Costs) == 0 {
		return 0, false
	}
	return median(f.Costs), true
}

func median(list []float64) float64 {
	sorted := slices.Sorted(slices.Values(list))
	n := len(sorted)
	return (sorted[(n-1)/2] + sorted[n/2]) / 2
}

// all measures every row: first those without an archive, then those with one,
// on servers that run at the same time and are measured in turn.
func (b *bench) all(ctx context.Context) error {
	certificate, key, err := newCertificate()
	if err != nil {
		return err
	}
	b.setting = peers.Setting{Muster: b.muster, Certificate: certificate, Key: key}
	for _, k := range b.kinds {
		if err := k.Installed(); err != nil {
			return fmt.Errorf("%w: bench/compare.sh installs it", err)
		}
	}
	for _, archive := range []bool{false, true} {
		if err := b.phase(ctx, archive); err != nil {
			return err
		}
	}
	return nil
}

// phase measures the rows that want an archive, or those that want none.
func (b *bench) phase(ctx context.Context, archive bool) error {
	var chosen []*row
	for _, r := range rows {
		if r.archive == archive && strings.Contains(r.name, b.only) {
			chosen = append(chosen, r)
		}
	}
	if len(chosen) == 0 {
		return nil
	}
	b.setting.Archive = archive
	servers, err := b.start(ctx)
	if err != nil {
		return err
	}
	defer func() { stopAll(servers) }()
	for _, r := range chosen {
		if r.fresh { // memory is measured from a start
			stopAll(servers)
			if servers, err = b.start(ctx); err != nil {
				return err
			}
		}
		if err := b.measure(ctx, r, servers); err != nil {
			return err
		}
	}
	return nil
}

func (b *bench) start(ctx context.Context) (servers []*peers.Server, err error) {
	for _, k := range b.kinds {
		v, err := k.Start(ctx, b.dir, b.setting)
		if err != nil {
			stopAll(servers)
			return nil, err
		}
		servers = append(servers, v)
	}
	return servers, nil
}

func stopAll(servers []*peers.Server) {
	for _, v := range servers {
		v.Stop()
	}
}

// measure measures one row on every server that can do it, round by round.
func (b *bench) measure(ctx context.Context, r *row, servers []*peers.Server) error {
	begun := time.Now()
	res := &result{Row: r.name, Unit: r.unit, Figures: make(map[string]*figure), row: r}
	b.results = append(b.results, res)
	loads := make(map[*peers.Server]load)
	for _, v := range servers {
		prepare := r.xmpp
		if v.Name == ircServer {
			prepare = r.irc
		}
		if prepare == nil {
			continue
		}
		f := &figure{}
		res.Figures[v.Name] = f
		l, err := prepare(ctx, v, b.options)
		if err != nil {
			f.Failed = err.Error()
			continue
		}
		loads[v] = l
	}
	rounds := b.rounds
	if r.once {
		rounds = 1
	}
	for range rounds {
		for _, v := range servers {
			f := res.Figures[v.Name]
			if l := loads[v]; l == nil || f.Failed != "" || f.slow {
				continue
			}
			began := time.Now()
			f.add(loads[v].measure(ctx))
			f.slow = time.Since(began) > slow
		}
	}
	for _, l := range loads {
		l.leave()
	}
	b.progress("%-50s %s", r.name, res.summary(b.kinds), time.Since(begun).Round(time.Second))
	return ctx.Err()
}

func (b *bench) progress(format, name, summary string, took time.Duration) {
	fmt.Fprintf(os.Stderr, format+" (%s)\n", name, summary, took) //nolint:errcheck // nowhere else to say it
}

// add takes one measurement.
func (f *figure) add(m measurement, err error) {
	if err != nil {
		f.Failed = err.Error()
		return
	}
	f.Costs = append(f.Costs, m.cost)
	if m.latency != (latency{}) {
		f.Latency = append(f.Latency, m.latency)
	}
	f.Errors += m.errors
	if f.First == "" {
		f.First = m.first
	}
}

// summary is the row in a line, for eyes.
func (r *result) summary(kinds []*peers.Kind) string {
	var parts []string
	for _, k := range kinds {
		f := r.Figures[k.Name]
		cost, ok := f.cost()
		switch {
		case f != nil && f.Failed != "":
			parts = append(parts, k.Name+" failed: "+f.Failed)
		case ok:
			parts = append(parts, fmt.Sprintf("%s %s", k.Name, number(cost)))
		}
	}
	return strings.Join(parts, ", ")
}
