package roomadmin

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"

	"github.com/muster-im/muster/internal/store"
	"github.com/muster-im/muster/jid"
	"github.com/muster-im/muster/muc"
)

// change is a new affiliation, read.
type change struct {
	Affiliation
	to   muc.Affiliation
	item int // its place in the list that was given, from 1
}

// changes reads a list, all of whose mistakes it names.
func changes(list []Affiliation) ([]change, error) {
	out := make([]change, len(list))
	var wrong []*Error
	for i, c := range list {
		to, err := affiliation(c.Affiliation)
		switch {
		case err != nil:
		case c.JID.IsZero():
			err = invalid("jid", "whose affiliation is it to be?")
		case c.Nick != nil && *c.Nick != "" && to <= muc.None:
			err = invalid("nick", "a nickname is reserved for members, admins and owners")
		}
		if err != nil {
			err.Item = i + 1
			wrong = append(wrong, err)
		}
		out[i] = change{c, to, i + 1}
	}
	if len(wrong) > 0 {
		wrong[0].More = wrong[1:]
		return nil, wrong[0]
	}
	return out, nil
}

func affiliation(word string) (muc.Affiliation, *Error) {
	to, err := muc.ParseAffiliation(word)
	if err != nil {
		return to, invalid("affiliation", "want owner, admin, member, none or outcast, got %q", word)
	}
	return to, nil
}

// set stages the change.
func (a *Admin) set(c *change, r *muc.Room, actor muc.Actor) error {
	err := a.explain(r.JID(), c.set(r, actor))
	if e, ok := errors.AsType[*Error](err); ok {
		e.Item = c.item
		if e.Kind == Invalid && e.Field == "" {
			e.Field = "jid"
		}
	}
	return err
}

func (c *change) set(r *muc.Room, actor muc.Actor) error {
	if r.IsAdministrator(c.JID) && c.to != muc.Owner && c.to != muc.None {
		return fail(Conflict, "%s administers the service (access_admin) and owns every room: nothing else has an effect", c.JID)
	}
	o := muc.AffiliationOptions{Reason: c.Reason}
	if c.Nick != nil {
		o.Nick, o.ReleaseNick = *c.Nick, *c.Nick == ""
	}
	if o.Nick != "" {
		if err := r.MayReserve(c.JID, o.Nick); err != nil {
			return err
		}
	}
	return r.SetAffiliation(actor, c.JID, c.to, o)
}

// Affiliations returns a page of the entries of a room, by address. They come
// from the database, if the room is stored, and wake nobody, unless somebody is
// named who wants to see them.
func (a *Admin) Affiliations(ctx context.Context, room jid.JID, q AffiliationQuery) (page AffiliationPage, err error) {
	defer func() { err = a.finish("affiliations", room, err) }()
	page.Affiliations = []Affiliation{}
	s, err := a.at(room)
	if err != nil {
		return page, err
	}
	n, err := limit(q.Limit, defaultPage, maxPage)
	if err != nil {
		return page, err
	}
	if q.Affiliation != "" {
		if _, err := affiliation(q.Affiliation); err != nil {
			return page, err
		}
	}
	v, err := s.View(ctx, room)
	if err != nil {
		return page, err
	}
	if !q.As.IsZero() {
		if err := a.do(ctx, room, func(r *muc.Room) error { return mayList(r, q.As) }); err != nil {
			return page, err
		}
	}
	list, err := a.entries(ctx, s, v, q, n+1)
	if err != nil {
		return page, err
	}
	for i := range list {
		if i == n {
			page.Next = page.Affiliations[n-1].JID.String()
			break
		}
		e := Affiliation{JID: list[i].JID, Affiliation: list[i].Affiliation.String(), Reason: list[i].Reason}
		if list[i].Nick != "" {
			e.Nick = &list[i].Nick
		}
		page.Affiliations = append(page.Affiliations, e)
	}
	return page, nil
}

// mayList lets admins and owners see the lists.
func mayList(r *muc.Room, as jid.JID) error {
	if r.Affiliation(as) >= muc.Admin {
		return nil
	}
	if err := mayRead(r, as); err != nil {
		return err
	}
	return fail(Forbidden, "%s may not read the lists of %s: admins and owners may", as, r.JID())
}

// entries reads n entries of a room, wherever it has them.
func (a *Admin) entries(ctx context.Context, s *muc.Service, v *muc.View, q AffiliationQuery, n int) ([]muc.AffiliationRecord, error) {
	if v.Persistent && !v.Locked {
		return a.Store.RoomAffiliations(ctx, v.JID, store.AffiliationSearch{Affiliation: q.Affiliation, After: q.After, Limit: n})
	}
	var list []muc.AffiliationRecord
	_, err := s.Awake(ctx, v.JID, func(r *muc.Room) error {
		for rec := range r.Affiliations() {
			word := rec.Affiliation.String()
			if rec.JID.String() > q.After && (word == q.Affiliation || q.Affiliation == "" && rec.Affiliation != muc.None) {
				list = append(list, rec)
			}
		}
		return nil
	})
	slices.SortFunc(list, func(x, y muc.AffiliationRecord) int { return cmp.Compare(x.JID.String(), y.JID.String()) })
	return list[:min(n, len(list))], err
}

// Affiliate changes affiliations, all that are given or none.
func (a *Admin) Affiliate(ctx context.Context, room, as jid.JID, list []Affiliation) (err error) {
	defer func() { err = a.finish("affiliate", room, err) }()
	people, err := changes(list)
	if err != nil {
		return err
	}
	s, err := a.at(room)
	if err != nil {
		return err
	}
	h, err := s.Room(ctx, room)
	if err != nil {
		return err
	}
	err = h.Change(ctx, func(r *muc.Room) error {
		if !as.IsZero() && !r.Public() && r.Affiliation(as) < muc.Member {
			return muc.ErrNoRoom
		}
		for i := range people {
			if err := a.set(&people[i], r, actor(as)); err != nil {
				return err
			}
		}
		return nil
	})
	if err == nil {
		for i := range people {
			a.note(ctx, "affiliation changed", room, as, slog.String("jid", people[i].JID.String()), slog.String("affiliation", people[i].to.String()))
		}
	}
	return err
}

// Occupants returns who is in a room, by nickname. A sleeping room has nobody and
// goes on sleeping.
func (a *Admin) Occupants(ctx context.Context, room, as jid.JID) (list []Occupant, err error) {
	defer func() { err = a.finish("occupants", room, err) }()
	list = []Occupant{}
	s, err := a.at(room)
	if err != nil {
		return list, err
	}
	read := func(r *muc.Room) error {
		if err := mayRead(r, as); err != nil {
			return err
		}
		full := as.IsZero() || r.MaySeeRealJIDs(inside(r, as))
		for o := range r.Occupants() {
			list = append(list, occupant(r, o, full))
		}
		return nil
	}
	if as.IsZero() {
		var awake bool
		if awake, err = s.Awake(ctx, room, read); err == nil && !awake {
			_, err = s.View(ctx, room)
		}
	} else {
		err = a.do(ctx, room, read)
	}
	slices.SortFunc(list, func(x, y Occupant) int { return cmp.Compare(x.Nick, y.Nick) })
	return list, err
}

func occupant(r *muc.Room, o *muc.Occupant, full bool) Occupant {
	out := Occupant{Nick: o.Nick(), Role: o.Role().String(), Affiliation: r.Affiliation(o.RealJID()).String()}
	if !full {
		return out
	}
	out.JID = o.RealJID()
	for s := range o.Sessions() {
		out.Sessions = append(out.Sessions, s.RealJID())
	}
	return out
}

// SetRole changes the role of somebody who is inside; none puts him out.
func (a *Admin) SetRole(ctx context.Context, room, as jid.JID, nick, role, reason string) (err error) {
	operation := "role"
	if role == muc.RoleNone.String() {
		operation = "kick"
	}
	defer func() { err = a.finish(operation, room, err) }()
	to, err := muc.ParseRole(role)
	if err != nil {
		return invalid("role", "want moderator, participant, visitor or none, got %q", role)
	}
	err = a.do(ctx, room, func(r *muc.Room) error {
		if err := mayRead(r, as); err != nil {
			return err
		}
		o := r.Occupant(nick)
		if o == nil {
			return fail(NotFound, "nobody in %s has the nickname %q", room, nick)
		}
		if as.IsZero() && to != muc.RoleNone && to < muc.Moderator && r.Affiliation(o.RealJID()) >= muc.Admin {
			return fail(Conflict, "%s is %s of the room and so a moderator: change the affiliation first", nick, r.Affiliation(o.RealJID()))
		}
		return r.SetRole(actor(inside(r, as)), o, to, reason)
	})
	if err == nil {
		a.note(ctx, fmt.Sprintf("occupant %s", map[bool]string{true: "put out", false: "given a role"}[to == muc.RoleNone]), room, as,
			slog.String("nick", nick), slog.String("role", role))
	}
	return err
}
