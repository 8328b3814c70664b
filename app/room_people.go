package app

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/muster-im/muster/internal/admin"
	"github.com/muster-im/muster/internal/roomadmin"
	"github.com/muster-im/muster/jid"
)

type roomAffiliationsCommand struct {
	roomFlags
	Affiliation string `arg:"" optional:"" help:"Only these: owner, admin, member or outcast."`
}

// Run lists affiliations.
func (c *roomAffiliationsCommand) Run(ctx context.Context, e *env) error {
	client, room, err := c.open(ctx, e)
	if err != nil {
		return err
	}
	list := []roomadmin.Affiliation{}
	rows := [][]string{{"ADDRESS", "AFFILIATION", "NICKNAME", "REASON"}}
	for a, err := range admin.List[roomadmin.Affiliation](ctx, client, admin.Path("rooms", room.String(), "affiliations"), queryOf("affiliation", c.Affiliation)) {
		if err != nil {
			return c.explain(err)
		}
		nick := ""
		if a.Nick != nil {
			nick = *a.Nick
		}
		list, rows = append(list, a), append(rows, []string{a.JID.String(), a.Affiliation, nick, a.Reason})
	}
	if c.JSON {
		return e.printJSON(list)
	}
	return e.table(rows)
}

type roomAffiliateCommand struct {
	roomFlags
	Who         string `arg:"" help:"Address of a person, his name alone if he has an account here, or a domain."`
	Affiliation string `arg:"" help:"owner, admin, member, none or outcast."`
	Reason      string `placeholder:"TEXT" help:"What people are told."`
}

// Run changes an affiliation.
func (c *roomAffiliateCommand) Run(ctx context.Context, e *env) error {
	client, room, err := c.open(ctx, e)
	if err != nil {
		return err
	}
	who, err := personOrDomain(ctx, client, c.Who)
	if err != nil {
		return c.explain(err)
	}
	path := admin.Path("rooms", room.String(), "affiliations", who.String())
	if err := client.Do(ctx, http.MethodPut, path, admin.AffiliationChange{Affiliation: c.Affiliation, Reason: c.Reason}, nil); err != nil {
		return c.explain(err)
	}
	if !c.JSON {
		e.printf("%s is %s of %s\n", who, c.Affiliation, room)
	}
	return nil
}

// personOrDomain reads whose affiliation is meant. A domain has a dot, or is a host
// of the server; another bare name is a user's.
func personOrDomain(ctx context.Context, client *admin.Client, s string) (jid.JID, error) {
	if strings.ContainsAny(s, "@.:") {
		return parseAddress(s)
	}
	info, err := client.Info(ctx)
	if err != nil {
		return jid.JID{}, err
	}
	if slices.ContainsFunc(info.Hosts, func(h string) bool { return strings.EqualFold(h, s) }) {
		return parseAddress(s)
	}
	return address(ctx, client, s)
}

func parseAddress(s string) (jid.JID, error) {
	j, err := jid.Parse(s)
	if err != nil {
		return j, fmt.Errorf("%.80q: %w", s, err)
	}
	return j, nil
}

type roomOccupantsCommand struct{ roomFlags }

// Run lists occupants.
func (c *roomOccupantsCommand) Run(ctx context.Context, e *env) error {
	var list admin.Occupants
	room, err := c.do(ctx, e, http.MethodGet, nil, nil, &list, "occupants")
	switch {
	case err != nil:
		return err
	case c.JSON:
		return e.printJSON(list.Items)
	case len(list.Items) == 0:
		e.printf("Nobody is in %s.\n", room)
		return nil
	}
	rows := [][]string{{"NICKNAME", "ADDRESS", "ROLE", "AFFILIATION", "CLIENTS"}}
	for i := range list.Items {
		o := &list.Items[i]
		rows = append(rows, []string{o.Nick, o.JID.String(), o.Role, o.Affiliation, strconv.Itoa(len(o.Sessions))})
	}
	return e.table(rows)
}

type roomRoleCommand struct {
	roomFlags
	Nick   string `arg:"" help:"Nickname of the occupant."`
	Role   string `arg:"" enum:"moderator,participant,visitor" help:"moderator, participant or visitor."`
	Reason string `placeholder:"TEXT" help:"What people are told."`
}

// Run changes a role.
func (c *roomRoleCommand) Run(ctx context.Context, e *env) error {
	room, err := c.do(ctx, e, http.MethodPut, nil, admin.RoleChange{Role: c.Role, Reason: c.Reason}, nil, "occupants", c.Nick, "role")
	if err == nil && !c.JSON {
		e.printf("%s is %s in %s until he leaves\n", c.Nick, c.Role, room)
	}
	return err
}

type roomKickCommand struct {
	roomFlags
	Nick   string `arg:"" help:"Nickname of who is to go."`
	Reason string `placeholder:"TEXT" help:"What people are told."`
}

// Run puts somebody out.
func (c *roomKickCommand) Run(ctx context.Context, e *env) error {
	room, err := c.do(ctx, e, http.MethodDelete, queryOf("reason", c.Reason), nil, nil, "occupants", c.Nick)
	if err == nil && !c.JSON {
		e.printf("%s is out of %s and may come back; muster room affiliate %s ADDRESS outcast keeps somebody out\n", c.Nick, room, c.Room)
	}
	return err
}
