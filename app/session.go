package app

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"text/tabwriter"

	"github.com/muster-im/muster/internal/admin"
	"github.com/muster-im/muster/jid"
)

type userSessionsCommand struct {
	Account string `arg:"" help:"Address of the account: name@host, or only the name if the server has one host."`
	socketFlags
}

// Help shows examples.
func (userSessionsCommand) Help() string {
	return `Examples:

    muster user sessions juliet
    muster user sessions juliet@example.org --json | jq -r '.sessions[].remote'`
}

// Run shows where an account is logged in.
func (c *userSessionsCommand) Run(ctx context.Context, e *env) error { return c.explain(c.run(ctx, e)) }

func (c *userSessionsCommand) run(ctx context.Context, e *env) error {
	client, err := c.client(e)
	if err != nil {
		return err
	}
	j, err := address(ctx, client, c.Account)
	if err != nil {
		return err
	}
	a, err := client.Account(ctx, j)
	if err != nil {
		return err
	}
	if c.JSON {
		return e.printJSON(a)
	}
	if len(a.Sessions) == 0 {
		seen := "has not been seen yet"
		if a.LastSeen != nil {
			seen = "was last seen " + moment(&a.LastSeen.Time)
		}
		e.printf("%s is not logged in, and %s.\n", a.JID, seen)
		return nil
	}
	w := tabwriter.NewWriter(e.stdout, 0, 0, 3, ' ', 0)
	for i := range a.Sessions {
		s := &a.Sessions[i]
		fmt.Fprintf(w, "%s\tsince %s\t%s\t%s\n", s.JID, moment(&s.Since), shownAs(s), connection(s)) //nolint:errcheck // see Flush
	}
	return w.Flush()
}

// shownAs is what contacts see of a session.
func shownAs(s *admin.Session) string {
	switch {
	case !s.Available:
		return "invisible"
	case s.Show == "":
		return "available"
	}
	return s.Show
}

func connection(s *admin.Session) string {
	switch {
	case !s.Connected:
		return "connection lost, may come back"
	case !s.Encrypted:
		return s.Remote + ", not encrypted"
	}
	return s.Remote
}

type userKickCommand struct {
	Account string `arg:"" help:"Address of the account, for all of its sessions, or of one session: name@host/resource."`
	socketFlags
}

// Help shows examples.
func (userKickCommand) Help() string {
	return `The account may log in again: change its password first, or delete it, if it
should not. Examples:

    muster user kick juliet
    muster user kick juliet@example.org/phone`
}

// Run ends sessions.
func (c *userKickCommand) Run(ctx context.Context, e *env) error { return c.explain(c.run(ctx, e)) }

func (c *userKickCommand) run(ctx context.Context, e *env) error {
	client, err := c.client(e)
	if err != nil {
		return err
	}
	j, err := fullAddress(ctx, client, c.Account)
	if err != nil {
		return err
	}
	if err := client.EndSessions(ctx, j); err != nil {
		return err
	}
	if c.JSON {
		return e.printJSON(accountResult{JID: j})
	}
	if j.IsBare() {
		e.printf("ended the sessions of %s\n", j)
	} else {
		e.printf("ended the session %s\n", j)
	}
	return nil
}

// fullAddress reads the address of an account or of one of its sessions.
func fullAddress(ctx context.Context, c *admin.Client, s string) (jid.JID, error) {
	account, resource, full := strings.Cut(s, "/")
	j, err := address(ctx, c, account)
	if err != nil || !full {
		return j, err
	}
	j, err = jid.New(j.Local(), j.Domain(), resource)
	if err == nil && j.IsBare() {
		err = errors.New("the resource behind the / is empty")
	}
	if err != nil {
		return jid.JID{}, fmt.Errorf("%.80q: %w", s, err)
	}
	return j, nil
}
