// Command compare runs the same loads on Muster and on other servers of the
// same machine, alternating, and writes a table of what each has cost. It is run
// by bench/compare.sh, which installs the others.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"time"

	meter "github.com/muster-im/muster/internal/bench"
	"github.com/muster-im/muster/internal/peers"
)

// options are the command line's.
type options struct {
	muster   string
	doc      string
	data     string
	rounds   int
	duration time.Duration
	only     string
	peers    string

	inside map[*peers.Server]*meter.Rooms // who stays in a room for another row
}

func main() {
	var o options
	flag.StringVar(&o.muster, "muster", "", "the muster program to measure")
	flag.StringVar(&o.doc, "doc", "", "the document whose table is replaced; empty: print it")
	flag.StringVar(&o.data, "json", "", "a file for the figures")
	flag.IntVar(&o.rounds, "rounds", 5, "how often each load is measured on each server")
	flag.DurationVar(&o.duration, "duration", 1500*time.Millisecond, "how long one measurement takes")
	flag.StringVar(&o.only, "only", "", "measure only rows whose name contains this")
	flag.StringVar(&o.peers, "servers", "muster,prosody,ejabberd,inspircd", "what is measured")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, &o); err != nil {
		fmt.Fprintln(os.Stderr, "compare:", err)
		stop()
		os.Exit(1) //nolint:gocritic // stop has been called
	}
}

func run(ctx context.Context, o *options) error {
	dir, err := os.MkdirTemp("", "compare")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	if err := os.Chmod(dir, 0o755); err != nil { //nolint:gosec // the servers run as users of their own
		return err
	}
	o.inside = make(map[*peers.Server]*meter.Rooms)
	b := &bench{options: o, dir: dir}
	for name := range strings.SplitSeq(o.peers, ",") {
		k, ok := kinds[name]
		if !ok {
			return fmt.Errorf("there is no server %q to compare with", name)
		}
		b.kinds = append(b.kinds, k)
	}
	if err := b.all(ctx); err != nil {
		return err
	}
	if o.data != "" {
		data, err := json.MarshalIndent(b.results, "", "  ")
		if err != nil {
			return err
		}
		if err := os.WriteFile(o.data, data, 0o644); err != nil { //nolint:gosec // figures
			return err
		}
	}
	if o.doc == "" {
		return b.write(os.Stdout)
	}
	return b.replace(o.doc)
}
