// Package bench loads an XMPP server and measures it: any server, through its
// client port, with accounts that exist. Fanout fills rooms and lets them talk;
// Mix lets people use many rooms at their ease;
// Join lets many enter one at once; Chat lets people talk in pairs; Login logs in and out; Groups changes groups of people; Idle holds sessions that
// do nothing. CPU and memory of the server come from
// /proc, so they need Linux and the process ids.
//
// Every client connection has a goroutine that reads, which is also where the
// load is made: who receives the last copy of a message sends the next one. All
// have ended when the functions return, which block until the work is done.
package bench

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"time"

	"github.com/muster-im/muster/internal/client"
	"github.com/muster-im/muster/stanza"
)

// Options say where the server is and who logs in. The tags are those of the
// command line.
type Options struct {
	Addr        string   `help:"Host and port of the server's client port." default:"127.0.0.1:5222"`
	Domain      string   `help:"Domain of the accounts." default:"localhost"`
	TLS         string   `name:"tls" help:"none, starttls or direct." enum:"none,starttls,direct" default:"starttls"`
	Insecure    bool     `help:"Accept any certificate."`
	UsersPrefix string   `help:"The accounts are PREFIX1, PREFIX2 and so on." default:"bench"`
	Password    string   `help:"Their password." default:"bench"`
	Mechanism   string   `help:"SASL mechanism; default: the strongest that is offered."`
	Register    bool     `help:"First create the accounts that are missing in-band (XEP-0077), if the server allows it."`
	Logins      int      `help:"How many log in at a time." default:"16"`
	PIDs        []int    `name:"pid" help:"Process ids of the server, to measure its CPU and memory; children are included."`
	Progress    Progress `kong:"-" json:"-"`
}

// Progress is told in a few words what goes on; it may be nil.
type Progress func(string)

func (p Progress) say(format string, args ...any) {
	if p != nil {
		p(fmt.Sprintf(format, args...))
	}
}

// loginTimeout bounds one login, which waits for a server that is busy with the
// others'.
const loginTimeout = time.Minute

// check returns what is wrong with the options.
func (o *Options) check() error {
	switch {
	case o.Logins < 1:
		return errors.New("logins: want at least one at a time")
	case o.TLS != "none" && o.TLS != "starttls" && o.TLS != "direct":
		return fmt.Errorf("tls: want none, starttls or direct, got %q", o.TLS)
	}
	_, err := measure(o.PIDs)
	return err
}

// user returns the name of the n-th account, counted from 0.
func (o *Options) user(n int) string { return o.UsersPrefix + strconv.Itoa(n+1) }

// Prepare creates n accounts if that is asked for. Those that exist stay.
func (o *Options) Prepare(ctx context.Context, n int) error {
	if !o.Register {
		return nil
	}
	o.Progress.say("%d accounts are registered", n)
	return each(ctx, n, o.Logins, func(ctx context.Context, i int) error {
		ctx, cancel := context.WithTimeoutCause(ctx, loginTimeout, errors.New("the registration took too long"))
		defer cancel()
		err := client.Register(ctx, o.client(o.user(i)))
		if refusal, ok := errors.AsType[*stanza.Error](err); ok && refusal.Condition == stanza.Conflict {
			return nil
		}
		if err != nil {
			return fmt.Errorf("register %s@%s: %w", o.user(i), o.Domain, err)
		}
		return nil
	})
}

// dial logs one client in. base has its handlers.
func (o *Options) dial(ctx context.Context, user, resource string, base client.Options) (*client.Client, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, loginTimeout, errors.New("the login took too long"))
	defer cancel()
	mine := o.client(user)
	mine.Resource, mine.Keys = resource, base.Keys
	mine.Handler, mine.RawHandler, mine.OnClose = base.Handler, base.RawHandler, base.OnClose
	c, err := client.Dial(ctx, mine)
	if err != nil {
		return nil, fmt.Errorf("log in as %s@%s: %w", user, o.Domain, err)
	}
	return c, nil
}

// client returns how to reach the server as user.
func (o *Options) client(user string) client.Options {
	return client.Options{
		Addr: o.Addr, Domain: o.Domain, Username: user, Password: o.Password, Mechanism: o.Mechanism,
		PlainText: o.TLS == "none", DirectTLS: o.TLS == "direct",
		TLSConfig: &tls.Config{
			ServerName: o.Domain, MinVersion: tls.VersionTLS12,
			InsecureSkipVerify: o.Insecure, //nolint:gosec // asked for by name
		},
	}
}

// each calls f for 0 to n-1, at most width at a time, until one fails.
func each(ctx context.Context, n, width int, f func(context.Context, int) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var wg sync.WaitGroup
	next := make(chan int)
	for range min(width, n) {
		wg.Go(func() {
			for i := range next {
				if err := f(ctx, i); err != nil {
					cancel(err)
				}
			}
		})
	}
feeding:
	for i := range n {
		select {
		case next <- i:
		case <-ctx.Done():
			break feeding
		}
	}
	close(next)
	wg.Wait()
	return context.Cause(ctx)
}

// closeAll ends sessions in good order, many at a time.
func closeAll(clients []*client.Client) {
	_ = each(context.Background(), len(clients), 64, func(_ context.Context, i int) error {
		if clients[i] != nil {
			_ = clients[i].Close() // how it ended does not matter any more
		}
		return nil
	})
}

// nobody takes what a server sends and nobody waits for.
func nobody(stanza.Stanza) {}

// refuse answers the requests of a server, which wants to know whether we live.
func refuse(c *client.Client, st stanza.Stanza) {
	if !st.IsRequest() {
		return
	}
	if reply, ok := st.ErrorReply(stanza.NewError(stanza.Cancel, stanza.ServiceUnavailable, "")); ok {
		_ = c.Send(reply) // a lost session is noticed elsewhere
	}
}
