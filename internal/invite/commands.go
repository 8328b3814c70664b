package invite

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/muster-im/muster/internal/adhoc"
	"github.com/muster-im/muster/internal/store"
	"github.com/muster-im/muster/jid"
	"github.com/muster-im/muster/stanza"
)

// Nodes of the commands, and the type of their result (XEP-0401 §3, §12.1).
const (
	nodeInvite     = "urn:xmpp:invite#invite"
	nodeCreate     = "urn:xmpp:invite#create-account"
	formInvitation = "urn:xmpp:invite#invitation"
)

// Policy says who may invite with a client. All of it is required.
type Policy struct {
	// Invite lets somebody invite to a host, Create by name.
	Invite, Create func(who, host jid.JID) bool
	// Groups lets somebody put those whom he invites by name into groups.
	Groups func(who, host jid.JID) bool
	// Most is how many invitations one person may have open who may not Create.
	Most func() int
}

// Commands are the ad-hoc commands of XEP-0401 for those who have an account at
// the host.
func (s *Service) Commands(p Policy) []adhoc.Command {
	at := func(allowed func(who, host jid.JID) bool) func(who, host jid.JID) bool {
		return func(who, host jid.JID) bool {
			return who.Local() != "" && who.DomainOnly() == host && allowed(who, host)
		}
	}
	return []adhoc.Command{
		{
			Node: nodeInvite, Name: "Invite user", Allowed: at(p.Invite),
			Run: func(ctx context.Context, c *adhoc.Session) (*stanza.Element, error) {
				r := Request{Contact: true, Inviter: c.Who.Bare()}
				if !p.Create(c.Who, c.At) {
					r.Most = p.Most()
				}
				return s.issue(ctx, c, r)
			},
		},
		{
			Node: nodeCreate, Name: "Create account", Allowed: at(p.Create), Early: 1,
			Stages: []adhoc.Stage{func(_ context.Context, c *adhoc.Session) (*stanza.Form, error) {
				return s.createForm(p.Groups(c.Who, c.At)), nil
			}},
			Run: func(ctx context.Context, c *adhoc.Session) (*stanza.Element, error) {
				return s.runCreate(ctx, c, p.Groups(c.Who, c.At))
			},
		},
	}
}

// createForm asks for what XEP-0401 §5.4 has, and for groups.
func (s *Service) createForm(groups bool) *stanza.Form {
	f := adhoc.Ask("Create account", adhoc.Text("username", "Username", false),
		stanza.Field{Var: "roster-subscription", Type: stanza.FieldBoolean, Label: "Roster subscription"})
	f.Instructions = []string{"Without a username, who is invited chooses one."}
	if groups && s.opts.Groups != nil {
		f.Add(stanza.Field{Var: "groups", Type: stanza.FieldTextMulti, Label: "Groups (their ids)"})
	}
	return f
}

// runCreate invites somebody to make an account (XEP-0401 §5.4).
func (s *Service) runCreate(ctx context.Context, c *adhoc.Session, groups bool) (*stanza.Element, error) {
	r := Request{Name: c.Value(0, "username")}
	switch v := c.Value(0, "roster-subscription"); v {
	case "1", "true":
		r.Inviter = c.Who.Bare()
	case "", "0", "false":
	default:
		return nil, &adhoc.Error{Text: fmt.Sprintf("roster-subscription: want yes or no, got %q.", v)}
	}
	for _, g := range c.Values(0, "groups") {
		if g = strings.TrimSpace(g); g != "" {
			r.Groups = append(r.Groups, g)
		}
	}
	if len(r.Groups) > 0 && !groups {
		return nil, &adhoc.Error{Text: "groups: you may not put people into groups."}
	}
	return s.issue(ctx, c, r)
}

// issue makes an invitation and shows it (XEP-0401 §5.1).
func (s *Service) issue(ctx context.Context, c *adhoc.Session, r Request) (*stanza.Element, error) {
	r.Host, r.Creator = c.At.Domain(), c.Who.Bare().String()
	v, err := s.Create(ctx, r)
	switch {
	case errors.Is(err, store.ErrFull):
		return nil, &adhoc.Error{Text: fmt.Sprintf("You have %d invitations that nobody has used yet.", r.Most), Final: true}
	case errors.Is(err, store.ErrReserved):
		return nil, &adhoc.Error{Text: "Somebody is invited by this name already."}
	case errors.Is(err, store.ErrConflict):
		return nil, &adhoc.Error{Text: "There is an account of this name already."}
	case errors.Is(err, ErrInvalid), errors.Is(err, ErrGroupNotFound):
		return nil, &adhoc.Error{Text: err.Error() + "."}
	case err != nil:
		return nil, err
	}
	f := stanza.NewForm(stanza.FormResult, formInvitation)
	f.Add(
		stanza.Field{Var: "uri", Type: stanza.FieldTextSingle, Values: []string{v.URI}},
		stanza.Field{Var: "expire", Type: stanza.FieldTextSingle, Values: []string{stanza.FormatTime(v.Expires)}},
	)
	return f.Element(), nil
}
