package muc

import (
	"maps"
	"slices"

	"github.com/muster-im/muster/jid"
	"github.com/muster-im/muster/stanza"
)

// AffiliationOptions go with a change of affiliation; zero fields change
// nothing.
type AffiliationOptions struct {
	Reason string
	Nick   string // reserves a nickname
	// ReleaseNick takes the reserved nickname away.
	ReleaseNick bool
	// Told says that who is concerned learns of it otherwise, so that he needs no
	// message about it.
	Told bool
}

// SetAffiliation stages a change of somebody's affiliation. The rules apply to
// the actor (XEP-0045 §5.2.1, §9): owners may change everything but leave the
// room without an owner, admins may change those below themselves. It returns
// a *stanza.Error if it is refused. Other data of the entry stay.
func (r *Room) SetAffiliation(actor Actor, j jid.JID, a Affiliation, o AffiliationOptions) error {
	j = j.Bare()
	switch {
	case j.IsZero():
		return stanza.NewError(stanza.Modify, stanza.JIDMalformed, "An affiliation needs an address.")
	case !a.known():
		return stanza.NewError(stanza.Modify, stanza.BadRequest, "There is no affiliation "+a.String()+".")
	}
	if j == r.jid { // that of an occupant, which is no address of his
		return stanza.NewError(stanza.Modify, stanza.NotAcceptable, "Name people by their own addresses, or by nickname.")
	}
	if j.Local() == "" && a == Owner {
		return stanza.NewError(stanza.Modify, stanza.NotAcceptable, "A domain cannot own a room.")
	}
	rec := r.affiliationStaged(j)
	from := rec.Affiliation
	if !actor.system {
		if err := r.mayChange(actor, j, from, a); err != nil {
			return err
		}
	}
	release := rec.Nick != "" && (o.ReleaseNick || a <= None) // XEP-0045 §9.1
	if from == a && o.Reason == "" && (o.Nick == "" || o.Nick == rec.Nick) && !release {
		return nil
	}
	ev := &AffiliationEvent{Event: Event{Room: r, req: &request{detached: true}}, Actor: actor, JID: j, From: from, To: a, Reason: o.Reason}
	if err := r.svc.hooks.BeforeSetAffiliation.Run(&r.watch, ev); err != nil {
		return err
	}
	rec.Affiliation = a
	if o.Reason != "" || from != a {
		rec.Reason = o.Reason
	}
	switch {
	case release:
		rec.Nick = ""
	case o.Nick != "" && a > None:
		rec.Nick = o.Nick
	}
	r.staged.addAffiliation(affiliationChange{record: rec, from: from, actor: actor, told: o.Told})
	return nil
}

// mayChange applies the rules of rank.
func (r *Room) mayChange(actor Actor, j jid.JID, from, to Affiliation) error {
	rank := r.Affiliation(actor.jid)
	switch {
	case r.svc.isAdmin(j):
		return stanza.NewError(stanza.Cancel, stanza.NotAllowed, "Administrators of the service are owners of every room.").Because(ReasonRank)
	case rank == Owner:
		return nil
	case rank < Admin:
		return stanza.NewError(stanza.Auth, stanza.Forbidden, "Only admins and owners may change affiliations.").Because(ReasonRank)
	case from >= Admin && to == Outcast: // XEP-0045 §9.1
		return stanza.NewError(stanza.Cancel, stanza.NotAllowed, "Only owners may ban admins and owners.").Because(ReasonRank)
	case from >= Admin || to >= Admin: // §10.3 to §10.8
		return stanza.NewError(stanza.Auth, stanza.Forbidden, "Only owners may make or change admins and owners.").Because(ReasonRank)
	}
	return nil
}

// checkOwnerRemains refuses staged changes that would leave the room without
// an owner (XEP-0045 §10.6 and §9): conflict.
func (r *Room) checkOwnerRemains() error {
	touched := make(map[jid.JID]Affiliation, len(r.staged.affiliations))
	lost := false
	for _, c := range r.staged.affiliations {
		touched[c.record.JID] = c.record.Affiliation
		lost = lost || c.from == Owner
	}
	if !lost {
		return nil
	}
	for _, a := range touched {
		if a == Owner {
			return nil
		}
	}
	for _, j := range r.index.of(Owner) {
		if _, ok := touched[j]; !ok {
			return nil
		}
	}
	return stanza.NewError(stanza.Cancel, stanza.Conflict, "A room must keep an owner.").Because(ReasonLastOwner)
}

// SetRole stages a change of the role of somebody present; RoleNone kicks him.
// The rules apply to the actor (XEP-0045 §5.1, §8, §9.6): moderators change
// visitors and participants, admins and owners make and unmake moderators, and
// nobody changes somebody of higher affiliation. It returns a *stanza.Error if
// it is refused.
func (r *Room) SetRole(actor Actor, o *Occupant, role Role, reason string) error {
	if err := r.checkRole(actor, o, role, reason); err != nil {
		return err
	}
	r.staged.roles = append(r.staged.roles, roleChange{o, role, actor, reason})
	return nil
}

func (r *Room) checkRole(actor Actor, o *Occupant, role Role, reason string) error {
	switch {
	case o == nil || o.gone:
		return stanza.NewError(stanza.Cancel, stanza.ItemNotFound, "A role needs somebody who is in the room.")
	case !role.known():
		return stanza.NewError(stanza.Modify, stanza.BadRequest, "There is no role "+role.String()+".")
	}
	if !actor.system {
		if err := r.maySetRole(actor, o, role); err != nil {
			return err
		}
	}
	ev := &RoleEvent{Event: Event{Room: r, req: &request{detached: true}}, Actor: actor, Occupant: o, From: o.role, To: role, Reason: reason}
	return r.svc.hooks.BeforeSetRole.Run(&r.watch, ev)
}

func (r *Room) maySetRole(actor Actor, o *Occupant, role Role) error {
	rank, target := r.Affiliation(actor.jid), r.Affiliation(o.bare)
	switch {
	case r.roleOf(actor.jid) != Moderator:
		return stanza.NewError(stanza.Auth, stanza.Forbidden, "Only moderators who are in the room may change roles.").Because(ReasonRank)
	case target > rank, r.svc.isAdmin(o.bare) && !r.svc.isAdmin(actor.jid):
		return stanza.NewError(stanza.Cancel, stanza.NotAllowed, "This occupant's affiliation is higher than yours.").Because(ReasonRank)
	case role == Visitor && o.role > Visitor && target >= Member && target == rank && o.bare != actor.jid.Bare(): // XEP-0045 §8.4
		return stanza.NewError(stanza.Cancel, stanza.NotAllowed, "This occupant's affiliation is as high as yours.").Because(ReasonRank)
	case (role == Moderator || o.role == Moderator) && rank < Admin:
		return stanza.NewError(stanza.Cancel, stanza.NotAllowed, "Only admins and owners may make or change moderators.").Because(ReasonRank)
	case target >= Admin && role != Moderator && (role != RoleNone || o.bare != actor.jid.Bare()):
		return stanza.NewError(stanza.Cancel, stanza.NotAllowed, "Admins and owners are moderators: change the affiliation first.").Because(ReasonRank)
	}
	return nil
}

func (r *Room) applyRole(c roleChange) {
	actor, o, role, reason := c.actor, c.occupant, c.role, c.reason
	if o.gone && role != RoleNone {
		return
	}
	from := o.role
	if role != RoleNone { // who is kicked is gone by now
		r.changeRole(o, role, &showing{actor: actor, reason: reason})
	}
	r.notify(r.svc.hooks.RoleSet.Run(&r.watch, &RoleEvent{
		Event: Event{Room: r}, Actor: actor, Occupant: o, From: from, To: role, Reason: reason,
	}))
}

// affiliationList is the computed field that shows and replaces all entries of
// one affiliation. Who is left out of a submission falls to the next lower one
// (XEP-0045 §10.2): an owner becomes an admin, if the list of those in the same
// submission does not leave him out, too.
func affiliationList(a, lower Affiliation) Computed {
	return Computed{
		Get: func(r *Room) []string {
			var list []string
			for _, j := range r.index.of(a) {
				list = append(list, j.String())
			}
			return list
		},
		Set: func(r *Room, actor Actor, values []string) error {
			wanted := make(map[jid.JID]bool, len(values))
			for _, v := range values {
				j, err := jid.Parse(v)
				if err != nil {
					return stanza.NewError(stanza.Modify, stanza.JIDMalformed, "The address "+v+" is malformed.")
				}
				wanted[j.Bare()] = true
				if r.affiliationStaged(j.Bare()).Affiliation == a {
					continue
				}
				if err := r.SetAffiliation(actor, j, a, AffiliationOptions{}); err != nil {
					return err
				}
			}
			for _, j := range append(slices.Clone(r.index.of(a)), slices.SortedFunc(maps.Keys(r.staged.latest), compareJIDs)...) {
				if !wanted[j] && r.affiliationStaged(j).Affiliation == a {
					if err := r.SetAffiliation(actor, j, lower, AffiliationOptions{}); err != nil {
						return err
					}
				}
			}
			return nil
		},
	}
}
