package app

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/muster-im/muster/groups"
	"github.com/muster-im/muster/internal/admin"
	"github.com/muster-im/muster/jid"
)

// groupCommands are the commands about groups of people.
type groupCommands struct {
	Create  groupCreateCommand  `cmd:"" help:"Create a group."`
	List    groupListCommand    `cmd:"" help:"List groups."`
	Show    groupShowCommand    `cmd:"" help:"Show a group with its members and chats."`
	Rename  groupRenameCommand  `cmd:"" help:"Give a group another name."`
	Set     groupSetCommand     `cmd:"" help:"Change a group's contract or its default chat."`
	Delete  groupDeleteCommand  `cmd:"" help:"Delete a group with its chats."`
	Add     groupAddCommand     `cmd:"" help:"Make people members of a group."`
	Remove  groupRemoveCommand  `cmd:"" help:"End memberships."`
	Members groupMembersCommand `cmd:"" help:"List the members of a group."`
	Chat    groupChatCommands   `cmd:"" help:"Add, remove and list the chats of a group."`
	Import  groupImportCommand  `cmd:"" help:"Import groups of another server."`
	Sync    groupSyncCommand    `cmd:"" help:"Make members who were added with --delay contacts of the others."`
}

// withClient does something with the running server.
func (f *socketFlags) withClient(e *env, do func(*admin.Client) error) error {
	c, err := f.client(e)
	if err != nil {
		return err
	}
	return f.explain(do(c))
}

type groupCreateCommand struct {
	Name    string `arg:"" help:"Name of the group, which contact lists show."`
	ID      string `name:"id" help:"Id of the group; a random one if left out."`
	Overlay bool   `help:"Contacts end with the membership, instead of staying."`
	Chat    bool   `help:"With a group chat."`
	socketFlags
}

// Help shows examples.
func (groupCreateCommand) Help() string {
	return `Examples:

    muster group create "Support Team"
    muster group create Verona --id verona --chat`
}

// Run creates the group.
func (c *groupCreateCommand) Run(ctx context.Context, e *env) error {
	return c.withClient(e, func(client *admin.Client) error {
		in := admin.NewGroup{ID: c.ID, Name: c.Name, CreateMUC: c.Chat}
		if c.Overlay {
			in.Contract = string(groups.Overlay)
		}
		var g admin.Group
		if err := client.Do(ctx, http.MethodPost, "/groups", in, &g); err != nil {
			return err
		}
		if c.JSON {
			return e.printJSON(g)
		}
		e.printf("created %s (%s)\n", g.ID, g.Name)
		return nil
	})
}

type groupListCommand struct{ socketFlags }

// Run lists groups.
func (c *groupListCommand) Run(ctx context.Context, e *env) error {
	return c.withClient(e, func(client *admin.Client) error {
		list := []admin.GroupInfo{}
		for g, err := range admin.List[admin.GroupInfo](ctx, client, "/groups", url.Values{"brief": {"true"}}) {
			if err != nil {
				return err
			}
			list = append(list, g)
		}
		switch {
		case c.JSON:
			return e.printJSON(list)
		case len(list) == 0:
			e.printf("There are no groups yet: muster group create NAME makes one.\n")
			return nil
		}
		w := tabwriter.NewWriter(e.stdout, 0, 0, 3, ' ', 0)
		for _, g := range list {
			fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", g.ID, g.Name, g.Contract, chatsOf(&g)) //nolint:errcheck // see Flush
		}
		return w.Flush()
	})
}

func chatsOf(g *admin.GroupInfo) string {
	switch len(g.MUCs) {
	case 0:
		return ""
	case 1:
		return g.MUCs[0].String()
	}
	return fmt.Sprintf("%d chats", len(g.MUCs))
}

// groupFlags name a group.
type groupFlags struct {
	Group string `arg:"" help:"Id of the group; see muster group list."`
	socketFlags
}

// path is a path below the group.
func (f *groupFlags) path(steps ...string) string {
	return admin.Path(append([]string{"groups", f.Group}, steps...)...)
}

// read returns the group.
func (f *groupFlags) read(ctx context.Context, client *admin.Client) (g admin.Group, err error) {
	err = client.Do(ctx, http.MethodGet, f.path(), nil, &g)
	return g, err
}

type groupShowCommand struct{ groupFlags }

// Run shows the group.
func (c *groupShowCommand) Run(ctx context.Context, e *env) error {
	return c.withClient(e, func(client *admin.Client) error {
		g, err := c.read(ctx, client)
		switch {
		case err != nil:
			return err
		case c.JSON:
			return e.printJSON(g)
		}
		e.printf("%s: %s (%s)\n", g.ID, g.Name, g.Contract)
		for _, chat := range g.Chats {
			kind := kindOf(&chat)
			if kind != "" {
				kind = " (" + kind + ")"
			}
			e.printf("chat %s: %s%s\n", chat.JID, chat.Name, kind)
		}
		return printMembers(e, &g)
	})
}

func printMembers(e *env, g *admin.Group) error {
	w := tabwriter.NewWriter(e.stdout, 0, 0, 3, ' ', 0)
	for _, name := range slices.Sorted(maps.Keys(g.Members)) {
		m := g.Members[name]
		delayed := ""
		if m.Delayed {
			delayed = "delayed"
		}
		fmt.Fprintf(w, "%s\t%s\tsince %s\t%s\n", m.JID, m.Role, m.Since.Local().Format("2006-01-02 15:04"), delayed) //nolint:errcheck // see Flush
	}
	return w.Flush()
}

type groupMembersCommand struct{ groupFlags }

// Run lists the members.
func (c *groupMembersCommand) Run(ctx context.Context, e *env) error {
	return c.withClient(e, func(client *admin.Client) error {
		g, err := c.read(ctx, client)
		switch {
		case err != nil:
			return err
		case c.JSON:
			return e.printJSON(g.Members)
		}
		return printMembers(e, &g)
	})
}

type groupRenameCommand struct {
	Group string `arg:"" help:"Id of the group."`
	Name  string `arg:"" help:"Its new name."`
	socketFlags
}

// Run renames the group.
func (c *groupRenameCommand) Run(ctx context.Context, e *env) error {
	return c.withClient(e, func(client *admin.Client) error {
		return client.Do(ctx, http.MethodPut, admin.Path("groups", c.Group), admin.GroupUpdate{Name: &c.Name}, nil)
	})
}

type groupSetCommand struct {
	Group       string `arg:"" help:"Id of the group."`
	Contract    string `enum:"permanent,overlay," default:"" help:"Whether contacts stay when a membership ends (permanent) or end with it (overlay)."`
	DefaultChat string `placeholder:"CHAT" help:"Id of the chat that becomes the default one, and gets the group's name: what stands before the @ in its address."`
	socketFlags
}

// Help shows examples.
func (groupSetCommand) Help() string {
	return `With the contract overlay, contacts of memberships that have ended end, too. Examples:

    muster group set verona --contract overlay
    muster group set verona --default-chat piazza`
}

// Run changes the group.
func (c *groupSetCommand) Run(ctx context.Context, e *env) error {
	if c.Contract == "" && c.DefaultChat == "" {
		return errors.New("nothing to change: want --contract or --default-chat")
	}
	return c.withClient(e, func(client *admin.Client) error {
		var in admin.GroupUpdate
		if c.Contract != "" {
			in.Contract = &c.Contract
		}
		if c.DefaultChat != "" {
			var chat admin.GroupChat
			if err := client.Do(ctx, http.MethodGet, admin.Path("groups", c.Group, "chats", c.DefaultChat), nil, &chat); err != nil {
				return err
			}
			in.MUCJID = &chat.JID
		}
		return client.Do(ctx, http.MethodPut, admin.Path("groups", c.Group), in, nil)
	})
}

type groupDeleteCommand struct{ groupFlags }

// Run deletes the group.
func (c *groupDeleteCommand) Run(ctx context.Context, e *env) error {
	return c.withClient(e, func(client *admin.Client) error {
		return client.Do(ctx, http.MethodDelete, c.path(), nil, nil)
	})
}

type groupSyncCommand struct{ groupFlags }

// Run synchronises the group.
func (c *groupSyncCommand) Run(ctx context.Context, e *env) error {
	return c.withClient(e, func(client *admin.Client) error {
		return client.Do(ctx, http.MethodPost, c.path("sync"), nil, nil)
	})
}

// groupPeople name a group and people.
type groupPeople struct {
	Group string   `arg:"" help:"Id of the group."`
	Users []string `arg:"" help:"Addresses of accounts: name@host, or only the names if the server has one host."`
	socketFlags
}

// addresses are those of the people, each once.
func (c *groupPeople) addresses(ctx context.Context, client *admin.Client) ([]jid.JID, error) {
	var list []jid.JID
	for _, user := range c.Users {
		j, err := address(ctx, client, user)
		if err != nil {
			return nil, err
		}
		if !slices.Contains(list, j) {
			list = append(list, j)
		}
	}
	return list, nil
}

// change changes what they are in the group, all of them or nobody.
func (c *groupPeople) change(ctx context.Context, client *admin.Client, people []jid.JID, of admin.GroupMemberChange) error {
	var in admin.GroupMemberChanges
	for _, j := range people {
		of.JID = j.String()
		in.Items = append(in.Items, of)
	}
	return itemErrors(client.Do(ctx, http.MethodPatch, admin.Path("groups", c.Group, "members"), in, nil))
}

// itemErrors says what is wrong with each one of a list, without where he stands
// in it.
func itemErrors(err error) error {
	refusal, ok := errors.AsType[*admin.Error](err)
	if !ok || len(refusal.Fields) == 0 {
		return err
	}
	var errs []error
	for _, f := range refusal.Fields {
		if !strings.HasPrefix(f.Pointer, "#/items/") {
			return err
		}
		errs = append(errs, errors.New(f.Detail))
	}
	return errors.Join(errs...)
}

type groupAddCommand struct {
	groupPeople

	Role  string `enum:"member,admin,owner," default:"" help:"What they are in the group's chats: member, admin or owner."`
	Delay bool   `help:"Make them nobody's contacts until muster group sync."`
}

// Help shows examples.
func (groupAddCommand) Help() string {
	return `They and the other members see each other at once. Examples:

    muster group add verona romeo juliet
    muster group add verona escalus@localhost --role owner`
}

// Run adds the members.
func (c *groupAddCommand) Run(ctx context.Context, e *env) error {
	return c.withClient(e, func(client *admin.Client) error {
		people, err := c.addresses(ctx, client)
		if err != nil {
			return err
		}
		return c.change(ctx, client, people, admin.GroupMemberChange{Role: c.Role, Delay: c.Delay})
	})
}

type groupRemoveCommand struct{ groupPeople }

// Help shows examples.
func (groupRemoveCommand) Help() string {
	return `If one of them is no member, nothing is changed. Examples:

    muster group remove verona romeo
    muster group remove verona romeo@localhost juliet@localhost`
}

// Run removes the members. Who is none was not meant, or has been removed already:
// whoever has typed a name wrongly must not believe that its bearer is out.
func (c *groupRemoveCommand) Run(ctx context.Context, e *env) error {
	return c.withClient(e, func(client *admin.Client) error {
		people, err := c.addresses(ctx, client)
		if err != nil {
			return err
		}
		var members admin.GroupMemberList
		if err := client.Do(ctx, http.MethodGet, admin.Path("groups", c.Group, "members"), nil, &members); err != nil {
			return err
		}
		in := make(map[jid.JID]bool, len(members.Items))
		for i := range members.Items {
			in[members.Items[i].JID] = true
		}
		var errs []error
		for _, j := range people {
			if !in[j] {
				errs = append(errs, fmt.Errorf("%s is no member of %s", j, c.Group))
			}
		}
		if len(errs) > 0 {
			return errors.Join(errs...)
		}
		return c.change(ctx, client, people, admin.GroupMemberChange{Role: "none"})
	})
}
