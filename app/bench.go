package app

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"path/filepath"
	"strconv"
	"time"

	"github.com/muster-im/muster/internal/admin"
	"github.com/muster-im/muster/internal/bench"
	"github.com/muster-im/muster/jid"
)

// benchCommands are the load generator and meter.
type benchCommands struct {
	Fanout     fanoutCommand     `cmd:"" help:"Fill one room, let it talk, measure the server."`
	Rooms      roomsCommand      `cmd:"" help:"Let many small rooms talk, measure the server."`
	Mix        mixCommand        `cmd:"" help:"Let people use many rooms at their ease, measure the server."`
	Join       joinCommand       `cmd:"" help:"Let many people enter one room at once, measure the server."`
	RoomMemory roomMemoryCommand `cmd:"" name:"roommemory" help:"Make rooms that stay empty, measure what they cost."`
	Chat       chatCommand       `cmd:"" help:"Let people talk in pairs, measure the server."`
	IRC        ircCommand        `cmd:"" name:"irc" help:"Fill a channel of an IRC server, for comparison."`
	Login      loginCommand      `cmd:"" help:"Log in and out, measure the server."`
	Groups     groupsCommand     `cmd:"" help:"Change a large group of people, measure the server."`
	Idle       idleCommand       `cmd:"" help:"Hold sessions that do nothing, measure what they cost."`
}

// benchFlags are the flags of all meters that are not the load's.
type benchFlags struct {
	CreateIn string `placeholder:"DIR" help:"First create the accounts that are missing, on the running Muster with this data directory; delete them again at the end."`
	Keep     bool   `help:"Do not delete the accounts that were created."`
	JSON     bool   `name:"json" help:"Print JSON, for programs."`
}

// deletionTime bounds the deletion of what a bench has created. Ctrl-C during
// the measurement does not leave it out, a second one does.
const deletionTime = 2 * time.Minute

// measure runs a meter with the accounts that it needs and prints its report.
func (f *benchFlags) measure(ctx context.Context, e *env, o *bench.Options, accounts int, meter func() (bench.Report, error)) error {
	o.Progress = func(s string) { fmt.Fprintln(e.stderr, s) } //nolint:errcheck // nowhere else to say it
	var report bench.Report
	created, err := f.create(ctx, o, accounts)
	if err == nil {
		err = o.Prepare(ctx, accounts)
	}
	if err == nil {
		report, err = meter()
	}
	if !f.Keep {
		err = errors.Join(err, f.delete(ctx, created))
	}
	switch {
	case err != nil:
		return err
	case f.JSON:
		return e.printJSON(report)
	}
	return report.WriteTable(e.stdout)
}

// create creates the accounts that are missing and returns them.
func (f *benchFlags) create(ctx context.Context, o *bench.Options, accounts int) (created []jid.JID, err error) {
	if f.CreateIn == "" {
		return nil, nil
	}
	client := f.client()
	for i := range accounts {
		j, err := jid.New(o.UsersPrefix+strconv.Itoa(i+1), o.Domain, "")
		if err != nil {
			return created, err
		}
		err = client.AddAccount(ctx, j, o.Password)
		if refusal, ok := errors.AsType[*admin.Error](err); ok && refusal.Status == http.StatusConflict {
			continue // it was there before, and will stay
		}
		if err != nil {
			return created, fmt.Errorf("create %s: %w", j, err)
		}
		created = append(created, j)
	}
	return created, nil
}

// delete deletes the accounts that create has created, also if ctx has ended.
func (f *benchFlags) delete(ctx context.Context, created []jid.JID) error {
	if len(created) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), deletionTime)
	defer cancel()
	client := f.client()
	for i, j := range created {
		err := client.DeleteAccount(ctx, j)
		if refusal, ok := errors.AsType[*admin.Error](err); ok && refusal.Status == http.StatusNotFound {
			continue
		}
		if err != nil {
			return fmt.Errorf("delete %s (%d of %d accounts are left behind): %w", j, len(created)-i, len(created), err)
		}
	}
	return nil
}

func (f *benchFlags) client() *admin.Client {
	return admin.NewClient(filepath.Join(f.CreateIn, admin.SocketName))
}

type groupsCommand struct {
	bench.GroupsOptions `embed:""`
	benchFlags
}

// Help shows examples.
func (groupsCommand) Help() string {
	return `Works with a Muster on this machine. Examples:

    muster bench groups --create-in muster-data --insecure --pid $(pidof muster)
    muster bench groups --create-in muster-data --members 1000 --online 100 --json`
}

// Run changes groups and measures.
func (c *groupsCommand) Run(ctx context.Context, e *env) error {
	if c.CreateIn != "" {
		c.Admin = c.client()
	}
	return c.measure(ctx, e, &c.Options, c.Accounts(), func() (bench.Report, error) { return bench.Groups(ctx, c.GroupsOptions) })
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
	return c.measure(ctx, e, &c.Options, c.Occupants, func() (bench.Report, error) { return bench.Fanout(ctx, c.FanoutOptions) })
}

type roomsCommand struct {
	bench.RoomsOptions `embed:""`
	benchFlags
}

// Help shows examples.
func (roomsCommand) Help() string {
	return `Works with any XMPP server. Everybody speaks in one room. Examples:

    muster bench rooms --create-in muster-data --insecure --pid $(pidof muster)
    muster bench rooms --rooms 100 --occupants 5 --rate 1000 --json`
}

// Run fills rooms and measures.
func (c *roomsCommand) Run(ctx context.Context, e *env) error {
	return c.measure(ctx, e, &c.Options, c.Rooms*c.Occupants, func() (bench.Report, error) { return bench.Fanout(ctx, c.Fanout()) })
}

type mixCommand struct {
	bench.MixOptions `embed:""`
	benchFlags
}

// Help shows examples.
func (mixCommand) Help() string {
	return `Works with any XMPP server. It is what a server does all day: ten rooms for
everybody, a message in each of them every ten seconds. Examples:

    muster bench mix --create-in muster-data --insecure --pid $(pidof muster)
    muster bench mix --users 5000 --duration 2m --json`
}

// Run lets people use rooms and measures.
func (c *mixCommand) Run(ctx context.Context, e *env) error {
	return c.measure(ctx, e, &c.Options, c.Users, func() (bench.Report, error) { return bench.Mix(ctx, c.MixOptions) })
}

type joinCommand struct {
	bench.JoinOptions `embed:""`
	benchFlags
}

// Help shows examples.
func (joinCommand) Help() string {
	return `Works with any XMPP server whose room takes so many. Examples:

    muster bench join --create-in muster-data --insecure --pid $(pidof muster)
    muster bench join --addr xmpp.test:5222 --domain xmpp.test --occupants 200 --json`
}

// Run lets people enter and measures.
func (c *joinCommand) Run(ctx context.Context, e *env) error {
	return c.measure(ctx, e, &c.Options, c.Occupants, func() (bench.Report, error) { return bench.Join(ctx, c.JoinOptions) })
}

type roomMemoryCommand struct {
	bench.RoomMemoryOptions `embed:""`
	benchFlags
}

// Help shows examples.
func (roomMemoryCommand) Help() string {
	return `Works with any XMPP server. One person makes all rooms. Examples:

    muster bench roommemory --create-in muster-data --insecure --pid $(pidof muster)
    muster bench roommemory --rooms 100000 --settle 2m --json`
}

// Run makes rooms and measures.
func (c *roomMemoryCommand) Run(ctx context.Context, e *env) error {
	return c.measure(ctx, e, &c.Options, 1, func() (bench.Report, error) { return bench.RoomMemory(ctx, c.RoomMemoryOptions) })
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
	return c.measure(ctx, e, &c.Options, c.Users, func() (bench.Report, error) { return bench.Chat(ctx, c.ChatOptions) })
}

type ircCommand struct {
	bench.IRCOptions `embed:""`
	JSON             bool `name:"json" help:"Print JSON, for programs."`
}

// Help shows examples.
func (ircCommand) Help() string {
	return `Works with any IRC server that lets people speak so fast. Example:

    muster bench irc --addr 127.0.0.1:6667 --tls none --pid $(pidof inspircd)`
}

// Run fills a channel and measures.
func (c *ircCommand) Run(ctx context.Context, e *env) error {
	flags := benchFlags{JSON: c.JSON}
	return flags.measure(ctx, e, &c.Options, 0, func() (bench.Report, error) { return bench.IRC(ctx, c.IRCOptions) })
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
	return c.measure(ctx, e, &c.Options, c.Users, func() (bench.Report, error) { return bench.Login(ctx, c.LoginOptions) })
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
	return c.measure(ctx, e, &c.Options, accounts, func() (bench.Report, error) { return bench.Idle(ctx, c.IdleOptions) })
}
