package app

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"path/filepath"
	"strconv"

	"github.com/muster-im/muster/internal/admin"
	"github.com/muster-im/muster/internal/bench"
	"github.com/muster-im/muster/jid"
)

// benchCommands are the load generator and meter.
type benchCommands struct {
	Fanout fanoutCommand `cmd:"" help:"Fill one room, let it talk, measure the server."`
	Chat   chatCommand   `cmd:"" help:"Let people talk in pairs, measure the server."`
	Login  loginCommand  `cmd:"" help:"Log in and out, measure the server."`
	Idle   idleCommand   `cmd:"" help:"Hold sessions that do nothing, measure what they cost."`
}

// benchFlags are the flags of all meters that are not the load's.
type benchFlags struct {
	CreateIn string `placeholder:"DIR" help:"First create the accounts that are missing, on the running Muster with this data directory."`
	JSON     bool   `name:"json" help:"Print JSON, for programs."`
}

// prepare creates the accounts.
func (f *benchFlags) prepare(ctx context.Context, e *env, o *bench.Options, accounts int) error {
	o.Progress = func(s string) { fmt.Fprintln(e.stderr, s) } //nolint:errcheck // nowhere else to say it
	if f.CreateIn == "" {
		return nil
	}
	client := admin.NewClient(filepath.Join(f.CreateIn, admin.SocketName))
	for i := range accounts {
		j, err := jid.New(o.UsersPrefix+strconv.Itoa(i+1), o.Domain, "")
		if err != nil {
			return err
		}
		err = client.AddAccount(ctx, admin.NewAccount{JID: j, Password: o.Password})
		if refusal, ok := errors.AsType[*admin.Error](err); ok && refusal.Status == http.StatusConflict {
			continue
		}
		if err != nil {
			return fmt.Errorf("create %s: %w", j, err)
		}
	}
	return nil
}

func (f *benchFlags) print(e *env, r bench.Report) error {
	if f.JSON {
		return e.printJSON(r)
	}
	return r.WriteTable(e.stdout)
}

type fanoutCommand struct {
	bench.FanoutOptions `embed:""`
	benchFlags
}

// Help shows examples.
func (fanoutCommand) Help() string {
	return `Works with any XMPP server. The accounts must exist, or be created with
--create-in on a Muster. Examples:

    muster bench fanout --create-in muster-data --insecure --pid $(pidof muster)
    muster bench fanout --addr xmpp.test:5222 --domain xmpp.test --occupants 1000 --senders 10 --json`
}

// Run fills a room and measures.
func (c *fanoutCommand) Run(ctx context.Context, e *env) error {
	if err := c.prepare(ctx, e, &c.Options, c.Occupants); err != nil {
		return err
	}
	r, err := bench.Fanout(ctx, c.FanoutOptions)
	if err != nil {
		return err
	}
	return c.print(e, r)
}

type chatCommand struct {
	bench.ChatOptions `embed:""`
	benchFlags
}

// Help shows examples.
func (chatCommand) Help() string {
	return `Works with any XMPP server. Examples:

    muster bench chat --create-in muster-data --insecure --pid $(pidof muster)
    muster bench chat --addr xmpp.test:5222 --domain xmpp.test --users 200 --window 1 --json`
}

// Run lets people talk and measures.
func (c *chatCommand) Run(ctx context.Context, e *env) error {
	if err := c.prepare(ctx, e, &c.Options, c.Users); err != nil {
		return err
	}
	r, err := bench.Chat(ctx, c.ChatOptions)
	if err != nil {
		return err
	}
	return c.print(e, r)
}

type loginCommand struct {
	bench.LoginOptions `embed:""`
	benchFlags
}

// Help shows examples.
func (loginCommand) Help() string {
	return `Works with any XMPP server. A login is everything from connecting to the end of
the stream. The meter derives each account's SCRAM keys once. Examples:

    muster bench login --create-in muster-data --insecure --pid $(pidof muster)
    muster bench login --addr xmpp.test:5222 --domain xmpp.test --mechanism SCRAM-SHA-1 --json`
}

// Run logs in and out and measures.
func (c *loginCommand) Run(ctx context.Context, e *env) error {
	if err := c.prepare(ctx, e, &c.Options, c.Users); err != nil {
		return err
	}
	r, err := bench.Login(ctx, c.LoginOptions)
	if err != nil {
		return err
	}
	return c.print(e, r)
}

type idleCommand struct {
	bench.IdleOptions `embed:""`
	benchFlags
}

// Help shows examples.
func (idleCommand) Help() string {
	return `Works with any XMPP server. Each session needs a file descriptor on both sides
(ulimit -n). Examples:

    muster bench idle --create-in muster-data --insecure --sessions 5000 --users 10 --pid $(pidof muster)`
}

// Run holds sessions and measures.
func (c *idleCommand) Run(ctx context.Context, e *env) error {
	accounts := c.Users
	if accounts == 0 {
		accounts = c.Sessions
	}
	if err := c.prepare(ctx, e, &c.Options, accounts); err != nil {
		return err
	}
	r, err := bench.Idle(ctx, c.IdleOptions)
	if err != nil {
		return err
	}
	return c.print(e, r)
}
