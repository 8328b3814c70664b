package bench

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"sync/atomic"
	"text/tabwriter"
	"time"

	"github.com/muster-im/muster/internal/client"
	"github.com/muster-im/muster/stanza"
)

// Administration changes groups; an admin.Client does.
type Administration interface {
	Do(ctx context.Context, method, path string, in, out any) error
}

// GroupsOptions say how large a group is, and how many of its members are online.
type GroupsOptions struct {
	Options   `embed:""`
	Members   int `help:"Members of the group." default:"10000"`
	Online    int `help:"How many of them are online." default:"1000"`
	Newcomers int `help:"How many are added, one after the other, while they are offline, and as many while they are online." default:"10"`
	Teams     int `help:"Groups that one more person is in, whose contact list is asked for." default:"10"`
	TeamSize  int `help:"Members of each." default:"1000"`
	Requests  int `help:"How often that is asked for, with the groups in memory, and as often without." default:"20"`

	Admin Administration `kong:"-" json:"-"`
}

// Accounts is how many accounts are needed.
func (o *GroupsOptions) Accounts() int { return max(o.Members, o.Teams*o.TeamSize) + 2*o.Newcomers + 1 }

func (o *GroupsOptions) check() error {
	switch {
	case o.Admin == nil:
		return errors.New("create-in: the data directory of a running Muster is needed to change groups")
	case o.Online > o.Members:
		return errors.New("online: want no more than there are members")
	case min(o.Members, o.Online, o.Newcomers, o.Teams, o.TeamSize, o.Requests) < 1:
		return errors.New("want at least one of everything")
	}
	return o.Options.check()
}

// groupRun is one run of Groups.
type groupRun struct {
	GroupsOptions

	pushes, presences, lists atomic.Int64 // that people have received
	clients                  []*client.Client
	report                   *GroupsReport
}

// Groups changes a large group and asks for contact lists from groups, and
// measures.
func Groups(ctx context.Context, o GroupsOptions) (*GroupsReport, error) {
	if err := o.check(); err != nil {
		return nil, err
	}
	g := &groupRun{GroupsOptions: o, report: &GroupsReport{
		Address: o.Addr, Members: o.Members, Online: o.Online, Teams: o.Teams, TeamSize: o.TeamSize,
	}}
	defer func() { closeAll(g.clients) }()
	for _, step := range []func(context.Context) error{g.large, g.added, g.removed, g.teams} {
		if err := step(ctx); err != nil {
			return nil, err
		}
	}
	return g.report, nil
}

// count counts what the server sends without reading it.
func (g *groupRun) count(data []byte) bool {
	switch {
	case bytes.HasPrefix(data, []byte("<presence")):
		g.presences.Add(1)
	case !bytes.HasPrefix(data, []byte("<iq")):
		return false
	case bytes.Contains(data[:min(len(data), 300)], []byte("jabber:iq:roster")):
		if head, _, _ := bytes.Cut(data, []byte(">")); bytes.Contains(head, []byte("result")) {
			g.lists.Add(1)
		} else {
			g.pushes.Add(1)
		}
	default:
		return false
	}
	return true
}

// enter logs somebody in; with his contact list he is told of changes.
func (g *groupRun) enter(ctx context.Context, user int, list, presence bool) (*client.Client, error) {
	c, err := g.dial(ctx, g.user(user), "bench", client.Options{RawHandler: g.count, Handler: nobody})
	if err != nil {
		return nil, err
	}
	if list {
		if err := g.ask(ctx, c); err != nil {
			return nil, err
		}
	}
	if presence {
		err = c.Send(stanza.Stanza{Kind: stanza.Presence})
	}
	return c, err
}

// ask asks for a contact list and waits for it.
func (g *groupRun) ask(ctx context.Context, c *client.Client) error {
	before := g.lists.Load()
	if err := c.Send(stanza.Stanza{Kind: stanza.IQ, Type: stanza.TypeGet, ID: "list"}.With(stanza.NewElement(stanza.NSRoster, "query"))); err != nil {
		return err
	}
	return g.await(ctx, "a contact list", func() bool { return g.lists.Load() > before })
}

// await waits until something has arrived.
func (g *groupRun) await(ctx context.Context, what string, arrived func() bool) error {
	deadline := time.Now().Add(joinTimeout)
	for !arrived() {
		if time.Now().After(deadline) {
			return fmt.Errorf("%s did not arrive", what)
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(time.Millisecond):
		}
	}
	return nil
}

// settle waits until nothing arrives any more.
func (g *groupRun) settle(ctx context.Context) error {
	for last := int64(-1); ; {
		now := g.pushes.Load() + g.presences.Load()
		if now == last {
			return nil
		}
		last = now
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(time.Second):
		}
	}
}

// fill makes a group of people with these numbers, who are no contacts any more
// once it is gone.
func (g *groupRun) fill(ctx context.Context, id string, users ...int) error {
	if err := g.Admin.Do(ctx, http.MethodPost, "/groups", map[string]string{"id": id, "name": id, "contract": "overlay"}, nil); err != nil {
		return fmt.Errorf("make group %s: %w", id, err)
	}
	const most = 1000
	for len(users) > 0 {
		n := min(most, len(users))
		items := make([]map[string]string, n)
		for i, u := range users[:n] {
			items[i] = map[string]string{"jid": g.user(u) + "@" + g.Domain}
		}
		if err := g.Admin.Do(ctx, http.MethodPatch, "/groups/"+id+"/members", map[string]any{"items": items}, nil); err != nil {
			return fmt.Errorf("fill group %s: %w", id, err)
		}
		users = users[n:]
	}
	return nil
}

func upTo(from, to int) []int {
	list := make([]int, 0, to-from)
	for i := from; i < to; i++ {
		list = append(list, i)
	}
	return list
}

// The ids of the groups.
const largeGroup, teamGroup = "bench-large", "bench-team"

// large makes the large group and lets some of its members come online.
func (g *groupRun) large(ctx context.Context) error {
	g.Progress.say("a group of %d is made", g.Members)
	if err := g.fill(ctx, largeGroup, upTo(0, g.Members)...); err != nil {
		return err
	}
	g.Progress.say("%d members log in", g.Online)
	g.clients = make([]*client.Client, g.Online)
	err := each(ctx, g.Online, min(g.Logins, 4), func(ctx context.Context, i int) (err error) {
		g.clients[i], err = g.enter(ctx, i, true, true)
		return err
	})
	if err != nil {
		return err
	}
	return g.settle(ctx)
}

// cost is what the server uses while do runs, n times.
func (g *groupRun) cost(n int, do func(i int) error) (c GroupCost, err error) {
	before, err := measure(g.PIDs)
	if err != nil {
		return c, err
	}
	begun := time.Now()
	for i := range n {
		if err := do(i); err != nil {
			return c, err
		}
	}
	c.Took = millis(time.Since(begun)) / float64(n)
	after, err := measure(g.PIDs)
	c.CPU = millis(after.cpu-before.cpu) / float64(n)
	return c, err
}

func (g *groupRun) member(ctx context.Context, method string, user int) error {
	return g.Admin.Do(ctx, method, "/groups/"+largeGroup+"/members/"+g.user(user)+"@"+g.Domain, nil, nil)
}

// added adds newcomers, first offline, then online.
func (g *groupRun) added(ctx context.Context) (err error) {
	first := g.Accounts() - 1 - 2*g.Newcomers
	g.Progress.say("%d newcomers are added while they are offline", g.Newcomers)
	g.report.Offline, err = g.cost(g.Newcomers, func(i int) error {
		want := g.pushes.Load() + int64(g.Online)
		if err := g.member(ctx, http.MethodPut, first+i); err != nil {
			return err
		}
		return g.await(ctx, "a push for each member", func() bool { return g.pushes.Load() >= want })
	})
	if err != nil {
		return err
	}
	first += g.Newcomers
	g.Progress.say("%d newcomers are added while they are online", g.Newcomers)
	newcomers := make([]*client.Client, g.Newcomers)
	defer closeAll(newcomers)
	for i := range newcomers {
		if newcomers[i], err = g.enter(ctx, first+i, true, true); err != nil {
			return err
		}
	}
	if err := g.settle(ctx); err != nil {
		return err
	}
	g.report.Newcomer, err = g.cost(g.Newcomers, func(i int) error {
		online := g.Online + i
		pushes := g.pushes.Load() + int64(online+g.Members+g.Newcomers+i)
		presences := g.presences.Load() + int64(2*online)
		if err := g.member(ctx, http.MethodPut, first+i); err != nil {
			return err
		}
		return g.await(ctx, "what a newcomer and the others are told", func() bool {
			return g.pushes.Load() >= pushes && g.presences.Load() >= presences
		})
	})
	return err
}

// removed ends memberships, and the group.
func (g *groupRun) removed(ctx context.Context) (err error) {
	first := g.Accounts() - 1 - 2*g.Newcomers
	g.report.Removal, err = g.cost(g.Newcomers, func(i int) error {
		want := g.pushes.Load() + int64(g.Online)
		if err := g.member(ctx, http.MethodDelete, first+i); err != nil {
			return err
		}
		return g.await(ctx, "a push for each member", func() bool { return g.pushes.Load() >= want })
	})
	closeAll(g.clients)
	if err != nil {
		return err
	}
	g.Progress.say("the group is deleted")
	g.report.Deletion, err = g.cost(1, func(int) error { return g.Admin.Do(ctx, http.MethodDelete, "/groups/"+largeGroup, nil, nil) })
	return err
}

// teams asks for the contact list of somebody in several groups.
func (g *groupRun) teams(ctx context.Context) (err error) {
	who := g.Accounts() - 1
	for i := range g.Teams {
		if err := g.fill(ctx, teamGroup+strconv.Itoa(i), append(upTo(i*g.TeamSize, (i+1)*g.TeamSize-1), who)...); err != nil {
			return err
		}
	}
	g.Progress.say("somebody in %d groups asks for his contacts", g.Teams)
	c, err := g.enter(ctx, who, true, true)
	if err != nil {
		return err
	}
	g.report.Warm, err = g.cost(g.Requests, func(int) error { return g.ask(ctx, c) })
	_ = c.Close() // how it ends does not matter
	if err != nil {
		return err
	}
	login := func(list bool) func(int) error {
		return func(int) error {
			c, err := g.enter(ctx, who, list, false)
			if err != nil {
				return err
			}
			return c.Close()
		}
	}
	alone, err := g.cost(g.Requests, login(false))
	if err != nil {
		return err
	}
	g.report.Cold, err = g.cost(g.Requests, login(true))
	g.report.Cold.CPU -= alone.CPU
	g.report.Cold.Took -= alone.Took
	for i := range g.Teams {
		err = errors.Join(err, g.Admin.Do(ctx, http.MethodDelete, "/groups/"+teamGroup+strconv.Itoa(i), nil, nil))
	}
	return err
}

// GroupCost is what one thing costs, in milliseconds: until the last of those who
// are told has been told, and of the server's CPU.
type GroupCost struct {
	Took float64 `json:"took_ms"`
	CPU  float64 `json:"cpu_ms"` // 0 without process ids
}

// GroupsReport is what Groups has measured.
type GroupsReport struct {
	Address  string    `json:"address"`
	Members  int       `json:"members"`
	Online   int       `json:"online"`
	Teams    int       `json:"teams"`
	TeamSize int       `json:"team_size"`
	Offline  GroupCost `json:"add_offline"`
	Newcomer GroupCost `json:"add_online"`
	Removal  GroupCost `json:"remove"`
	Deletion GroupCost `json:"delete"`
	Warm     GroupCost `json:"list_warm"`
	Cold     GroupCost `json:"list_cold"` // with nobody of the groups online; what the login costs is taken off
}

// WriteTable writes the report for people.
func (r *GroupsReport) WriteTable(w io.Writer) error {
	t := table{tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)}
	t.row("group", "%d members, %d online", r.Members, r.Online)
	for _, line := range []struct {
		name string
		cost GroupCost
	}{
		{"add somebody offline", r.Offline}, {"add somebody online", r.Newcomer}, {"end a membership", r.Removal}, {"delete the group", r.Deletion},
	} {
		t.row(line.name, "%.1f ms of CPU, %.1f ms until all know", line.cost.CPU, line.cost.Took)
	}
	t.row("contacts from", "%d groups of %d", r.Teams, r.TeamSize)
	t.row("asked for, in memory", "%.1f ms of CPU, %.1f ms", r.Warm.CPU, r.Warm.Took)
	t.row("asked for, not in memory", "%.1f ms of CPU, %.1f ms", r.Cold.CPU, r.Cold.Took)
	return t.Flush()
}
