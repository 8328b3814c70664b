package muc

import (
	"context"
	"slices"

	"github.com/muster-im/muster/jid"
	"github.com/muster-im/muster/stanza"
)

// OccupantSpec is somebody who is to be in the room: a bot, or whom a gateway
// speaks for.
type OccupantSpec struct {
	Nick string
	// Role he is to have; RoleNone: the one that his affiliation gives him, or that
	// he has.
	Role Role
	// Sessions are his clients, all of one account, at least one.
	Sessions []SessionSpec
}

// SessionSpec is one client of an occupant.
type SessionSpec struct {
	RealJID  jid.JID        // full
	Presence *stanza.Stanza // with what it says to others; nil: nothing
	Primary  bool           // it becomes the primary session
}

// SaveOccupant stages that somebody is in the room. Nobody is asked whether he
// may: neither Before hooks nor the rules for entering. Everybody sees him come,
// and each new session gets what others get who enter. Of an occupant with that
// nickname the sessions given are added or shown anew, and others stay, see
// RemoveSession. It returns a *stanza.Error if the nickname is somebody else's
// or none, or if one of the sessions is in the room under another.
func (r *Room) SaveOccupant(o OccupantSpec) error {
	to, err := r.jid.WithResource(o.Nick)
	if err != nil {
		return stanza.NewError(stanza.Modify, stanza.JIDMalformed, "This nickname cannot be used.")
	}
	nick, key, err := nickOf(to)
	if err != nil {
		return err
	}
	switch {
	case len(o.Sessions) == 0:
		return stanza.NewError(stanza.Modify, stanza.BadRequest, nick+" needs at least one session.")
	case !o.Role.known():
		return stanza.NewError(stanza.Modify, stanza.BadRequest, "There is no role "+o.Role.String()+".")
	}
	account := o.Sessions[0].RealJID.Bare()
	if there := r.occupants[key]; there != nil && there.bare != account {
		return stanza.NewError(stanza.Cancel, stanza.Conflict, "Somebody else has this nickname.")
	}
	for _, spec := range o.Sessions {
		s := r.sessions[spec.RealJID]
		switch {
		case spec.RealJID.IsBare() || spec.RealJID.Bare() != account:
			return stanza.NewError(stanza.Modify, stanza.JIDMalformed, "The sessions must be full addresses of one account, not "+spec.RealJID.String()+".")
		case s != nil && s.occupant.key != key:
			return stanza.NewError(stanza.Cancel, stanza.Conflict, spec.RealJID.String()+" is in the room as "+s.occupant.nick+".")
		}
	}
	o.Nick, o.Sessions = nick, slices.Clone(o.Sessions)
	r.staged.posts = append(r.staged.posts, func(r *Room) { r.saveOccupant(o, key) })
	return nil
}

func (r *Room) saveOccupant(spec OccupantSpec, key string) {
	for _, one := range spec.Sessions {
		st := &stanza.Stanza{}
		if one.Presence != nil {
			*st = *one.Presence
		}
		st.Kind, st.Type, st.From = stanza.Presence, "", one.RealJID
		s := r.sessions[one.RealJID]
		if s == nil {
			ev := &JoinEvent{Stanza: st, RealJID: one.RealJID, Nick: spec.Nick, Role: spec.Role}
			if ev.Role == RoleNone {
				ev.Role = max(r.DefaultRole(one.RealJID, r.Affiliation(one.RealJID)), Visitor)
			}
			r.join(ev, false)
			s = r.sessions[one.RealJID]
		} else {
			s.presence = r.presencePayload(st)
			r.Announce(s.occupant)
		}
		if one.Primary && s.occupant.sessions[0] != s {
			s.occupant.promote(s)
			r.Announce(s.occupant)
		}
	}
	if o := r.occupants[key]; spec.Role != RoleNone && o.role != spec.Role {
		r.changeRole(o, spec.Role, &showing{})
	}
}

// insideSession returns a session, or an error that says that it is not in the room.
func (r *Room) insideSession(full jid.JID) (*Session, error) {
	if s := r.sessions[full]; s != nil {
		return s, nil
	}
	return nil, stanza.NewError(stanza.Cancel, stanza.ItemNotFound, full.String()+" is not in the room.")
}

// RemoveSession stages that a session leaves; its occupant stays while he has
// others.
func (r *Room) RemoveSession(full jid.JID) error {
	s, err := r.insideSession(full)
	if err == nil {
		r.staged.posts = append(r.staged.posts, func(r *Room) {
			if r.sessions[full] == s {
				r.takeOut(s, &showing{unavailable: true, payload: &payload{}}, 0)
			}
		})
	}
	return err
}

// ChoosePrimary stages that a session is its occupant's primary one, whose
// presence and address everybody sees who may.
func (r *Room) ChoosePrimary(full jid.JID) error {
	s, err := r.insideSession(full)
	if err == nil {
		r.staged.posts = append(r.staged.posts, func(r *Room) {
			if r.sessions[full] == s && s.occupant.sessions[0] != s {
				s.occupant.promote(s)
				r.Announce(s.occupant)
			}
		})
	}
	return err
}

// OccupantID returns the id by which others know somebody's account in the room
// whatever his nickname (XEP-0421); "" if the service has none.
func (r *Room) OccupantID(account jid.JID) string {
	st := r.Attribute(stanza.Stanza{Kind: stanza.Message}, account.Bare())
	return st.Child(stanza.NSOccupantID, "occupant-id").Attr("id")
}

// SaveOccupant puts somebody into the room; see Room.SaveOccupant.
func (h *Handle) SaveOccupant(ctx context.Context, o OccupantSpec) error {
	return h.Do(ctx, func(r *Room) error { return r.SaveOccupant(o) })
}

// RemoveSession takes a session out; see Room.RemoveSession.
func (h *Handle) RemoveSession(ctx context.Context, full jid.JID) error {
	return h.Do(ctx, func(r *Room) error { return r.RemoveSession(full) })
}

// ChoosePrimary makes a session the primary one; see Room.ChoosePrimary.
func (h *Handle) ChoosePrimary(ctx context.Context, full jid.JID) error {
	return h.Do(ctx, func(r *Room) error { return r.ChoosePrimary(full) })
}
