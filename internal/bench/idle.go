package bench

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/muster-im/muster/internal/client"
	"github.com/muster-im/muster/stanza"
)

// IdleOptions say how many sessions are held.
type IdleOptions struct {
	Options  `embed:""`
	Sessions int           `help:"How many sessions." default:"1000"`
	Users    int           `help:"How many accounts they belong to; default: one each."`
	Presence bool          `help:"Send initial presence." default:"true" negatable:""`
	Settle   time.Duration `help:"How long to wait until the server's memory is read." default:"10s"`
}

// Idle logs sessions in, lets them do nothing and measures what they cost.
func Idle(ctx context.Context, o IdleOptions) (*IdleReport, error) {
	switch {
	case o.Sessions < 1:
		return nil, errors.New("sessions: want at least 1")
	case o.Users < 0 || o.Users > o.Sessions:
		return nil, errors.New("users: want no more than there are sessions")
	case o.Users == 0:
		o.Users = o.Sessions
	}
	if err := o.check(); err != nil {
		return nil, err
	}
	before, err := measure(o.PIDs)
	if err != nil {
		return nil, err
	}
	clients := make([]*client.Client, o.Sessions)
	defer func() { closeAll(clients) }()
	meter, begun := ownCPU(), time.Now()
	o.Progress.say("%d sessions log in", o.Sessions)
	if err := o.login(ctx, clients); err != nil {
		return nil, err
	}
	took := time.Since(begun)
	loggedIn, err := measure(o.PIDs)
	if err != nil {
		return nil, err
	}
	o.Progress.say("they do nothing for %s", o.Settle)
	select {
	case <-time.After(o.Settle):
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	after, err := measure(o.PIDs)
	if err != nil {
		return nil, err
	}
	for _, c := range clients {
		if err := c.Err(); err != nil {
			return nil, fmt.Errorf("session %s has ended: %w", c.JID(), err)
		}
	}
	r := &IdleReport{
		Address: o.Addr, TLS: o.TLS, Sessions: o.Sessions, Users: o.Users,
		LoginSeconds: took.Seconds(), LoginsPerSecond: float64(o.Sessions) / took.Seconds(),
		MeterCPU: (ownCPU() - meter).Seconds(),
	}
	if len(o.PIDs) > 0 {
		n := float64(o.Sessions)
		r.Server = &IdleUsage{
			CPUPerLogin: micros(loggedIn.cpu-before.cpu) / n, IdleCPU: (after.cpu - loggedIn.cpu).Seconds() / o.Settle.Seconds(),
			RSSBefore: before.rss, RSSAfter: after.rss, RSSPerSession: float64(after.rss-before.rss) / n,
		}
	}
	return r, nil
}

// login fills clients.
func (o *IdleOptions) login(ctx context.Context, clients []*client.Client) error {
	return each(ctx, len(clients), o.Logins, func(ctx context.Context, i int) error {
		var self atomic.Pointer[client.Client] // the reader runs before Dial returns
		c, err := o.dial(ctx, o.user(i%o.Users), "bench"+strconv.Itoa(i), client.Options{
			Handler: func(st stanza.Stanza) {
				if c := self.Load(); c != nil {
					refuse(c, st)
				}
			},
		})
		if err != nil {
			return err
		}
		self.Store(c)
		clients[i] = c
		if o.Presence {
			return c.Send(stanza.Stanza{Kind: stanza.Presence})
		}
		return nil
	})
}
