package admin

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/muster-im/muster/internal/api"
	"github.com/muster-im/muster/internal/invite"
	"github.com/muster-im/muster/internal/store"
	"github.com/muster-im/muster/jid"
)

// Invite lets people make accounts, or become somebody's contacts.
type Invite struct {
	ID      string    `json:"id"`
	Type    string    `json:"type" enum:"account,contact" doc:"contact: who has an account uses it, too, and then makes none."`
	JID     jid.JID   `json:"jid" doc:"What can be registered: one address, or the host for any."`
	Inviter jid.JID   `json:"inviter,omitzero" doc:"Becomes a contact of those who come."`
	Groups  []string  `json:"groups,omitempty" doc:"In which new accounts are."`
	Gone    []string  `json:"groups_gone,omitempty" doc:"Those of the groups that have been deleted: who comes is in none of them, nor in others that have their ids now."`
	Note    string    `json:"note,omitempty"`
	Source  string    `json:"source" doc:"Who has made it."`
	Uses    int       `json:"uses,omitempty" doc:"How often it can still be used; absent: any number of times."`
	Used    int       `json:"used" doc:"How often it has been used."`
	Created time.Time `json:"created_at"`
	Expires time.Time `json:"expires"`
}

// IssuedInvite is a new invitation with its token, which nobody can read
// again.
type IssuedInvite struct {
	Invite

	Token string `json:"token" doc:"The server keeps only a hash of it."`
	URI   string `json:"uri" doc:"What people open with their client."`
}

// NewInvite asks for an invitation.
type NewInvite struct {
	Username string   `json:"username,omitempty" max:"1023" doc:"The only name that can be registered, which is kept until the invitation expires; absent: any."`
	Inviter  string   `json:"inviter,omitempty" max:"3071" doc:"Address, or user name, of somebody here who becomes a contact of those who come."`
	Contact  bool     `json:"contact,omitempty" doc:"Those who have an account use it, too, to become the inviter's contacts."`
	Groups   []string `json:"groups,omitempty" max:"100" doc:"In which new accounts are. The token of the API needs groups:write, too."`
	Uses     int      `json:"uses,omitempty" min:"1" max:"1000000" doc:"How often it can be used; absent: once."`
	Reusable bool     `json:"reusable,omitempty" doc:"Any number of times, until it expires."`
	TTL      int      `json:"ttl,omitempty" min:"1" max:"31622400" doc:"Seconds until it expires; absent: as modules.mod_invites.invite_expiry says."`
	Note     string   `json:"note,omitempty" max:"1024" doc:"For administrators."`
}

// Scopes of invitations.
const (
	scopeInvitationsRead  api.Scope = "invitations:read"
	scopeInvitationsWrite api.Scope = "invitations:write"
)

func (a *Admin) invitationRoutes() []api.Route {
	if a.opts.Invites == nil {
		return nil
	}
	id := []api.Param{{Name: "invitation", Doc: "The id of the invitation, which is no secret."}}
	missing := []int{http.StatusNotFound}
	routes := []api.Route{
		{
			Method: http.MethodGet, Path: "/invitations", ID: "listInvitations", Scope: scopeInvitationsRead, Paged: true,
			Summary: "The invitations to a host that are still good.", Handler: api.Do(a.listInvitations),
		},
		{
			Method: http.MethodPost, Path: "/invitations", ID: "createInvitation", Scope: scopeInvitationsWrite,
			Status: []int{http.StatusCreated}, Errors: []int{http.StatusForbidden, http.StatusConflict},
			Summary: "Invite people to a host.", Handler: api.Do(a.createInvitation),
		},
		{
			Method: http.MethodGet, Path: "/invitations/{invitation}", ID: "getInvitation", Scope: scopeInvitationsRead, Params: id,
			Summary: "An invitation.", Errors: missing, Handler: api.Do(a.invitation),
		},
		{
			Method: http.MethodDelete, Path: "/invitations/{invitation}", ID: "revokeInvitation", Scope: scopeInvitationsWrite, Params: id,
			Summary: "Revoke an invitation. Who has used it stays.", Errors: missing, Handler: api.Do(a.revokeInvitation),
		},
	}
	for i := range routes {
		routes[i].Tag = "invitations"
	}
	return routes
}

func shownInvitation(v *store.Invitation) Invite {
	s := Invite{
		ID: v.ID, Type: "account", Inviter: v.Inviter, Note: v.Note, Source: v.Creator, Used: v.Used,
		Created: v.Created, Expires: v.Expires,
	}
	for _, g := range v.Groups {
		if s.Groups = append(s.Groups, g.ID); g.Gone {
			s.Gone = append(s.Gone, g.ID)
		}
	}
	if s.JID, _ = jid.New(v.Name, v.Host, ""); v.Uses != store.Unlimited { // it has been made of one
		s.Uses = v.Uses
	}
	if v.Contact {
		s.Type = "contact"
	}
	return s
}

func (a *Admin) listInvitations(ctx context.Context, r *api.Request, _ api.None) (page api.Page[Invite], err error) {
	limit, after, err := r.Page()
	if err != nil {
		return page, err
	}
	list, err := a.opts.Invites.List(ctx, r.Host(), after, limit)
	if err != nil {
		return page, err
	}
	page.Items = make([]Invite, len(list))
	for i := range list {
		page.Items[i] = shownInvitation(&list[i])
	}
	if len(list) == limit {
		page.Next = r.Next(list[len(list)-1].ID)
	}
	return page, nil
}

func (a *Admin) invitation(ctx context.Context, r *api.Request, _ api.None) (Invite, error) {
	v, err := a.opts.Invites.Invitation(ctx, r.Host(), r.Path("invitation"))
	if err != nil {
		return Invite{}, invitationError(err)
	}
	return shownInvitation(&v), nil
}

func (a *Admin) createInvitation(ctx context.Context, r *api.Request, in NewInvite) (issued IssuedInvite, err error) {
	q := invite.Request{
		Host: r.Host(), Name: in.Username, Contact: in.Contact, Groups: in.Groups, Uses: in.Uses,
		Expiry: time.Duration(in.TTL) * time.Second, Note: in.Note, Creator: r.Actor(),
	}
	switch {
	case in.Reusable && in.Uses != 0:
		return issued, api.Invalid("reusable", "this goes with no number of uses")
	case in.Reusable:
		q.Uses = store.Unlimited
	}
	if in.Inviter != "" {
		if q.Inviter, err = addressAt(r, in.Inviter); err != nil {
			return issued, api.Invalid("inviter", err.Error())
		}
		if !r.MayHost(q.Inviter.Domain()) {
			return issued, &api.Error{Status: http.StatusForbidden, Detail: "this token is not for the inviter's host"}
		}
	}
	if err := a.mayInviteToGroups(r, in.Groups); err != nil {
		return issued, err
	}
	v, err := a.opts.Invites.Create(ctx, q)
	if err != nil {
		return issued, invitationError(err)
	}
	r.Created("invitations", v.ID)
	return IssuedInvite{shownInvitation(&v.Invitation), v.Token, v.URI}, nil
}

// mayInviteToGroups refuses groups to those who could not add members to them:
// groups concern the whole server.
func (a *Admin) mayInviteToGroups(r *api.Request, groups []string) error {
	if len(groups) == 0 {
		return nil
	}
	if !r.May(scopeGroupsWrite) {
		return &api.Error{Status: http.StatusForbidden, Detail: "this token lacks the scope " + string(scopeGroupsWrite) + ", which groups need"}
	}
	for _, h := range a.opts.Hosts {
		if !r.MayHost(h) {
			return &api.Error{Status: http.StatusForbidden, Detail: "groups concern the whole server, and this token does not"}
		}
	}
	return nil
}

func (a *Admin) revokeInvitation(ctx context.Context, r *api.Request, _ api.None) (none api.None, err error) {
	return none, invitationError(a.opts.Invites.Revoke(ctx, r.Host(), r.Path("invitation"), r.Actor()))
}

// invitationError puts what the service refuses into a status.
func invitationError(err error) error {
	switch {
	case errors.Is(err, store.ErrNotFound):
		return api.NotFound("there is no such invitation: it may be used up, revoked or expired")
	case errors.Is(err, store.ErrReserved):
		return api.Conflict("somebody is invited by this name already")
	case errors.Is(err, store.ErrConflict):
		return api.Conflict("there is an account of this name already")
	case errors.Is(err, invite.ErrGroupNotFound):
		return api.Invalid("groups", err.Error())
	case errors.Is(err, invite.ErrInvalid):
		return &api.Error{Status: http.StatusUnprocessableEntity, Detail: err.Error()}
	}
	return err
}
