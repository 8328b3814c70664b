package app

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"text/tabwriter"

	"github.com/muster-im/muster/internal/admin"
)

// groupChatCommands are the commands about the chats of groups.
type groupChatCommands struct {
	Add    groupChatAddCommand    `cmd:"" help:"Add a chat to a group."`
	Remove groupChatRemoveCommand `cmd:"" help:"Delete a chat of a group."`
	List   groupChatListCommand   `cmd:"" help:"List the chats of a group."`
}

type groupChatAddCommand struct {
	Group   string `arg:"" help:"Id of the group."`
	Name    string `arg:"" optional:"" help:"Name of the chat; with --default that of the group, if left out."`
	ID      string `name:"id" help:"What stands before the @ in its address; something random if left out."`
	Default bool   `help:"It becomes the group's default chat; needs --id."`
	socketFlags
}

// Help shows examples.
func (groupChatAddCommand) Help() string {
	return `The members are invited, and have the chat among their bookmarks. Examples:

    muster group chat add verona "The market place"
    muster group chat add verona --id verona --default`
}

// Run adds the chat.
func (c *groupChatAddCommand) Run(ctx context.Context, e *env) error {
	switch {
	case c.Default && c.ID == "":
		return errors.New("--default: want --id, too")
	case c.Name == "" && !c.Default:
		return errors.New("want a name for the chat")
	}
	return c.withClient(e, func(client *admin.Client) error {
		var chat admin.GroupChat
		in := admin.NewGroupChat{Name: c.Name, ID: c.ID, Default: c.Default}
		if err := client.Do(ctx, http.MethodPost, admin.Path("groups", c.Group, "chats"), in, &chat); err != nil {
			return err
		}
		if c.JSON {
			return e.printJSON(chat)
		}
		e.printf("%s (%s)\n", chat.JID, chat.Name)
		return nil
	})
}

type groupChatRemoveCommand struct {
	Group string `arg:"" help:"Id of the group."`
	Chat  string `arg:"" help:"Id of the chat: what stands before the @ in its address."`
	socketFlags
}

// Run deletes the chat.
func (c *groupChatRemoveCommand) Run(ctx context.Context, e *env) error {
	return c.withClient(e, func(client *admin.Client) error {
		return client.Do(ctx, http.MethodDelete, admin.Path("groups", c.Group, "chats", c.Chat), nil, nil)
	})
}

type groupChatListCommand struct{ groupFlags }

// Run lists the chats.
func (c *groupChatListCommand) Run(ctx context.Context, e *env) error {
	return c.withClient(e, func(client *admin.Client) error {
		g, err := c.read(ctx, client)
		switch {
		case err != nil:
			return err
		case c.JSON:
			return e.printJSON(g.Chats)
		case len(g.Chats) == 0:
			e.printf("The group has no chats yet: muster group chat add %s NAME makes one.\n", c.Group)
			return nil
		}
		w := tabwriter.NewWriter(e.stdout, 0, 0, 3, ' ', 0)
		for _, chat := range g.Chats {
			fmt.Fprintf(w, "%s\t%s\t%s\n", chat.JID, chat.Name, kindOf(&chat)) //nolint:errcheck // see Flush
		}
		return w.Flush()
	})
}

// kindOf says what is special about a chat.
func kindOf(chat *admin.GroupChat) string {
	var kind []string
	if chat.Default {
		kind = append(kind, "default")
	}
	if chat.Deleted {
		kind = append(kind, "gone")
	}
	return strings.Join(kind, ", ")
}
