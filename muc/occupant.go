package muc

import (
	"iter"
	"maps"
	"slices"

	"github.com/muster-im/muster/jid"
	"github.com/muster-im/muster/stanza"
)

// Occupant is somebody in a room under one nickname, with one or more sessions
// of the same account. It belongs to its room and is to be used where the room
// is: in hooks.
type Occupant struct {
	// Owned by the room's drain.
	nick     string
	key      string // of nick, for comparison
	jid      jid.JID
	bare     jid.JID
	role     Role
	viewers  Viewers    // who is told of him
	sessions []*Session // the first is the primary one, whose presence is shown
	gone     bool

	answering int                // requests that wait for his answer
	shown     [2]*stanza.Encoded // presence as others see it, by whether addresses show; nil: to be made
}

// Nick returns the nickname.
func (o *Occupant) Nick() string { return o.nick }

// JID returns the occupant JID, room@service/nick.
func (o *Occupant) JID() jid.JID { return o.jid }

// RealJID returns the bare address of the account.
func (o *Occupant) RealJID() jid.JID { return o.bare }

// Role returns the role.
func (o *Occupant) Role() Role { return o.role }

// Sessions iterates over the sessions, the primary one first.
func (o *Occupant) Sessions() iter.Seq[*Session] { return slices.Values(slices.Clone(o.sessions)) }

// Session is one client of an occupant.
type Session struct {
	// Set at construction.
	addr   jid.JID // full real JID
	target stanza.Target

	// Owned by the room's drain.
	occupant *Occupant
	presence *payload // what the client's presence holds
	show     bool     // the session may see real addresses
	pending  []*stanza.Encoded

	asking    int // its requests that wait for answers
	answering int // requests that wait for its answer
}

// RealJID returns the session's full address.
func (s *Session) RealJID() jid.JID { return s.addr }

// Occupant returns whose session it is.
func (s *Session) Occupant() *Occupant { return s.occupant }

// Presence returns what the session has last said of itself, as the room shows it
// but for what features add and omit.
func (s *Session) Presence() stanza.Stanza {
	return stanza.Stanza{Kind: stanza.Presence, From: s.occupant.jid, Lang: s.presence.lang, Children: s.presence.children}
}

// forget drops the cached presence, because something in it has changed.
func (o *Occupant) forget() { o.shown = [2]*stanza.Encoded{} }

// Occupants iterates over those who are in the room at its beginning, in no
// particular order.
func (r *Room) Occupants() iter.Seq[*Occupant] {
	return func(yield func(*Occupant) bool) {
		for _, o := range slices.Collect(maps.Values(r.occupants)) {
			if !yield(o) {
				return
			}
		}
	}
}

// NumOccupants returns how many people are in the room.
func (r *Room) NumOccupants() int { return len(r.occupants) }

// Occupant returns who has that nickname, nil if nobody.
func (r *Room) Occupant(nick string) *Occupant {
	key, err := jid.NickKey(nick)
	if err != nil {
		return nil
	}
	return r.occupants[key]
}

// Session returns the session with that full address, nil if it is not inside.
func (r *Room) Session(full jid.JID) *Session { return r.sessions[full] }

// concerned returns, for each change, the occupants whose affiliation its entry
// governs, after one look at everybody.
func (r *Room) concerned(changes []affiliationChange) [][]*Occupant {
	if len(changes) == 0 {
		return nil
	}
	place := make(map[jid.JID][]int, len(changes))
	for i := range changes {
		j := changes[i].record.JID
		place[j] = append(place[j], i)
	}
	found := make([][]*Occupant, len(changes))
	for _, o := range r.occupants {
		for _, j := range []jid.JID{o.bare, o.bare.DomainOnly()} {
			if j != o.bare && r.overDomain(o.bare) {
				continue
			}
			for _, i := range place[j] {
				found[i] = append(found[i], o)
			}
		}
	}
	return found
}

// seesAddresses reports whether o may see real addresses: everybody in a
// non-anonymous room, moderators in a semi-anonymous one (XEP-0045 §4.2).
func (r *Room) seesAddresses(o *Occupant) bool {
	return o.role == Moderator || r.NonAnonymous()
}

// refreshSight recomputes what o's sessions may see, and reports whether that
// has changed.
func (r *Room) refreshSight(o *Occupant) bool {
	changed := false
	for _, s := range o.sessions {
		if show := r.seesAddresses(o); show != s.show {
			s.show, changed = show, true
		}
	}
	return changed
}

// enter puts a session under the nickname of o, which may be new.
func (r *Room) enter(o *Occupant, s *Session) {
	s.occupant = o
	o.sessions = append(o.sessions, s)
	s.show = r.seesAddresses(o)
	r.seat(o)
	r.sessions[s.addr] = s
	r.audience = append(r.audience, s) // snapshots keep their own length
	o.forget()
}

// seat lists an occupant under his nickname.
func (r *Room) seat(o *Occupant) {
	if r.occupants[o.key] == nil {
		r.looks.Add(o.key)
	}
	r.occupants[o.key] = o
}

func (r *Room) unseat(o *Occupant) {
	delete(r.occupants, o.key)
	r.looks.Remove(o.key)
}

// remove takes a session out. Snapshots of the audience stay as they are.
func (r *Room) remove(s *Session) {
	o := s.occupant
	delete(r.sessions, s.addr)
	o.sessions = slices.DeleteFunc(slices.Clone(o.sessions), func(x *Session) bool { return x == s })
	r.audience = slices.DeleteFunc(slices.Clone(r.audience), func(x *Session) bool { return x == s })
	o.forget()
	if len(o.sessions) == 0 {
		o.gone = true
		r.unseat(o)
	}
}

// removeAll takes occupants with all sessions out and returns the sessions of
// each.
func (r *Room) removeAll(list []*Occupant) [][]*Session {
	sessions := make([][]*Session, len(list))
	for i, o := range list {
		sessions[i] = o.sessions
		for _, s := range o.sessions {
			delete(r.sessions, s.addr)
		}
		o.sessions, o.gone = nil, true
		r.unseat(o)
	}
	r.audience = slices.DeleteFunc(slices.Clone(r.audience), func(s *Session) bool { return s.occupant.gone })
	for _, own := range sessions {
		for _, s := range own {
			r.dropRelayed(s)
			r.dropDelayed(s.addr)
		}
	}
	return sessions
}
