package app

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/muster-im/muster/internal/admin"
	"github.com/muster-im/muster/jid"
)

// inviteCommands are the commands about invitations.
type inviteCommands struct {
	Create inviteCreateCommand `cmd:"" help:"Make an invitation and print its link, this once."`
	List   inviteListCommand   `cmd:"" help:"List the invitations that are still good. Their links are not stored and cannot be shown."`
	Revoke inviteRevokeCommand `cmd:"" help:"Make invitations useless, from now on."`
}

// inviteFlags say at which host an invitation is.
type inviteFlags struct {
	Host string `placeholder:"HOST" help:"Host of the accounts (default: the server's first one)."`
	socketFlags
}

// query is the part of a request that names the host.
func (f *inviteFlags) query() url.Values {
	if f.Host == "" {
		return nil
	}
	return url.Values{"host": {f.Host}}
}

func (f *inviteFlags) path(steps ...string) string {
	return admin.Path(append([]string{"invitations"}, steps...)...) + "?" + f.query().Encode()
}

type inviteCreateCommand struct {
	Username string   `arg:"" optional:"" help:"The only name that can be registered, or its address; any, if left out."`
	Group    []string `short:"g" placeholder:"ID" help:"Groups in which the new accounts are, several with commas between."`
	Inviter  string   `placeholder:"ADDRESS" help:"Somebody here who becomes a contact of those who come."`
	Contact  bool     `help:"Those who have an account use it, too, to become a contact of the inviter."`
	Uses     *int     `help:"How often the invitation can be used (default: once)."`
	Reusable bool     `help:"It can be used any number of times until it expires."`
	Expires  string   `placeholder:"WHEN" help:"When it ends: after so many days or hours (7d, 12h), or on a day. Default: as modules.mod_invites.invite_expiry says."`
	Note     string   `help:"What lists show of it."`
	inviteFlags
}

// Help shows examples.
func (inviteCreateCommand) Help() string {
	return `Whoever opens the link with a client makes an account, also where registration is
closed to others. It is printed once; the server keeps no more than a hash.
Examples:

    muster invite create
    muster invite create juliet --group verona --inviter romeo@example.org
    muster invite create --group staff --uses 30 --expires 2d --note "summer school"`
}

// Run makes the invitation.
func (c *inviteCreateCommand) Run(ctx context.Context, e *env) error {
	return c.withClient(e, func(client *admin.Client) error {
		now := time.Now()
		expires, err := expiry(c.Expires, now)
		if err != nil {
			return err
		}
		in := admin.NewInvite{Groups: c.Group, Inviter: c.Inviter, Contact: c.Contact, Reusable: c.Reusable, Note: c.Note}
		if in.Username, err = c.name(); err != nil {
			return err
		}
		if c.Uses != nil {
			if in.Uses = *c.Uses; in.Uses < 1 {
				return errors.New("--uses: want 1 or more; --reusable is any number of times")
			}
		}
		if expires != nil {
			if in.TTL = int(expires.Sub(now).Round(time.Second).Seconds()); in.TTL < 1 {
				return errors.New("--expires: this is past")
			}
		}
		var v admin.IssuedInvite
		if err := client.Do(ctx, http.MethodPost, c.path(), in, &v); err != nil {
			return err
		}
		if c.JSON {
			return e.printJSON(v)
		}
		e.printf("%s\n", v.URI)
		fmt.Fprintf(e.stderr, "This is invitation %s, %s, until %s. The link is not shown again.\n", //nolint:errcheck // a terminal
			v.ID, usesLeft(&v.Invite), v.Expires.Local().Format("2006-01-02 15:04"))
		return nil
	})
}

// name is the name that can be registered. Of an address the domain is the host.
func (c *inviteCreateCommand) name() (string, error) {
	if !strings.Contains(c.Username, "@") {
		return c.Username, nil
	}
	j, err := jid.Parse(c.Username)
	switch {
	case err != nil:
		return "", fmt.Errorf("%.80q: %w", c.Username, err)
	case c.Host != "" && c.Host != j.Domain():
		return "", fmt.Errorf("%s is not of the host %s", j, c.Host)
	}
	c.Host = j.Domain()
	return j.Local(), nil
}

func usesLeft(v *admin.Invite) string {
	switch v.Uses {
	case 0:
		return "for any number of people"
	case 1:
		return "for one person"
	}
	return "for " + strconv.Itoa(v.Uses) + " people"
}

type inviteListCommand struct{ inviteFlags }

// Run lists the invitations.
func (c *inviteListCommand) Run(ctx context.Context, e *env) error {
	return c.withClient(e, func(client *admin.Client) error {
		list := []admin.Invite{}
		for v, err := range admin.List[admin.Invite](ctx, client, "/invitations", c.query()) {
			if err != nil {
				return err
			}
			list = append(list, v)
		}
		switch {
		case c.JSON:
			return e.printJSON(list)
		case len(list) == 0:
			e.printf("There are no invitations: muster invite create makes one.\n")
			return nil
		}
		w := tabwriter.NewWriter(e.stdout, 0, 0, 3, ' ', 0)
		fmt.Fprintln(w, "ID\tFOR\tUSED\tEXPIRES\tGROUPS\tINVITER\tBY\tNOTE") //nolint:errcheck // see Flush
		for i := range list {
			v := &list[i]
			inviter := ""
			if !v.Inviter.IsZero() {
				inviter = v.Inviter.String()
			}
			fmt.Fprintf(w, "%s\t%s, %s\t%d\t%s\t%s\t%s\t%s\t%s\n", v.ID, v.JID, strings.TrimPrefix(usesLeft(v), "for "), v.Used, moment(&v.Expires), //nolint:errcheck // see Flush
				invitedGroups(v), inviter, v.Source, v.Note)
		}
		return w.Flush()
	})
}

// invitedGroups are the groups of an invitation, and which of them are gone.
func invitedGroups(v *admin.Invite) string {
	list := slices.Clone(v.Groups)
	for i, id := range list {
		if slices.Contains(v.Gone, id) {
			list[i] += " (gone)"
		}
	}
	return strings.Join(list, ",")
}

type inviteRevokeCommand struct {
	IDs []string `arg:"" name:"ids" help:"Ids of the invitations; see muster invite list."`
	inviteFlags
}

// Run revokes the invitations, all that are there.
func (c *inviteRevokeCommand) Run(ctx context.Context, e *env) error {
	return c.withClient(e, func(client *admin.Client) error {
		var errs []error
		revoked := make([]string, 0, len(c.IDs))
		for _, id := range c.IDs {
			if err := client.Do(ctx, http.MethodDelete, c.path(id), nil, nil); err != nil {
				errs = append(errs, fmt.Errorf("%s: %w", id, err))
				continue
			}
			if revoked = append(revoked, id); !c.JSON {
				e.printf("revoked %s\n", id)
			}
		}
		if c.JSON {
			errs = append(errs, e.printJSON(revoked))
		}
		return errors.Join(errs...)
	})
}
