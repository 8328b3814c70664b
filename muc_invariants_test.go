package muster_test

import (
	"context"
	"errors"
	"maps"
	"slices"

	"github.com/muster-im/muster/jid"
	"github.com/muster-im/muster/muc"
	"github.com/muster-im/muster/stanza"
)

// state is a room as it is, seen from inside.
type state struct {
	persistent, locked, nonAnonymous, archives bool
	owners                                     int
	people                                     map[string]person // by nickname
	subject                                    string
	entries                                    map[string]entry
	settings                                   map[string][]string
}

// person is an occupant.
type person struct {
	affiliation muc.Affiliation
	role        muc.Role
	sessions    []string // full addresses, the one that is shown first
}

// inspect reads the room's state, nil if there is no room.
func (p *party) inspect() *state {
	var s *state
	p.inRoom(func(r *muc.Room) {
		s = &state{
			persistent: r.Persistent(), locked: r.Locked(), nonAnonymous: r.NonAnonymous(), archives: r.Archives(),
			people: make(map[string]person), subject: r.Subject().Text, entries: make(map[string]entry), settings: r.Settings(),
		}
		for rec := range r.Affiliations() {
			s.entries[rec.JID.String()] = entry{rec.Affiliation, rec.Nick, rec.Reason}
			if rec.Affiliation == muc.Owner {
				s.owners++
			}
		}
		for o := range r.Occupants() {
			who := person{affiliation: r.Affiliation(o.RealJID()), role: o.Role()}
			for session := range o.Sessions() {
				who.sessions = append(who.sessions, session.RealJID().String())
			}
			s.people[o.Nick()] = who
		}
	})
	return s
}

// inRoom runs f inside the room, if there is one.
func (p *party) inRoom(f func(r *muc.Room)) {
	h, err := p.rooms().Room(context.Background(), jid.MustParse(coven))
	if err == nil {
		err = h.Do(context.Background(), func(r *muc.Room) error {
			f(r)
			return nil
		})
	}
	if err != nil && !errors.Is(err, muc.ErrNoRoom) {
		p.t.Fatal(err)
	}
}

// stored is what of the room is kept, "" if nothing is.
func (p *party) stored() string {
	s := p.inspect()
	if s == nil || !s.persistent || s.locked {
		return ""
	}
	return s.text()
}

// check compares what everybody has been told with the room and its rules.
func (p *party) check() {
	s := p.inspect()
	if s == nil {
		p.checkGone()
		return
	}
	switch {
	case s.owners == 0:
		p.t.Fatal("nobody owns the room")
	case len(s.people) == 0 && (s.locked || !s.persistent):
		p.t.Fatal("a temporary room is empty and still there")
	case s.archives != s.persistent:
		p.t.Fatalf("the room is persistent: %t, has an archive: %t", s.persistent, s.archives)
	}
	p.checkModel(s)
	for nick, who := range s.people {
		p.checkRights(nick, who)
	}
	for _, g := range p.guests {
		p.checkView(g, s)
	}
	if !s.archives {
		p.kept = nil // what a room has kept ends with its persistence
	}
	p.checkOrder(s.archives)
}

// checkGone: of a room that is no more nobody is inside, and what it wanted and
// said is forgotten.
func (p *party) checkGone() {
	for _, g := range p.guests {
		if g.view != nil {
			p.t.Fatalf("%s sees %v in a room that there is not", g.name(), g.view)
		}
	}
	for _, id := range p.said {
		p.past[id] = true
	}
	p.said, p.kept, p.password, p.membersOnly, p.model = nil, nil, "", false, nil
}

func (p *party) checkRights(nick string, who person) {
	switch {
	case len(who.sessions) == 0:
		p.t.Fatalf("%s is inside without a client", nick)
	case who.affiliation == muc.Outcast:
		p.t.Fatalf("%s is inside and banned", nick)
	case p.membersOnly && who.affiliation < muc.Member:
		p.t.Fatalf("%s is no member and inside a room of members", nick)
	case who.role == muc.RoleNone:
		p.t.Fatalf("%s is inside without a role", nick)
	case who.affiliation >= muc.Admin && who.role != muc.Moderator:
		p.t.Fatalf("%s is %s and only %s", nick, who.affiliation, who.role)
	}
}

// checkView compares what a client has been told with what the room is.
func (p *party) checkView(g *guest, s *state) {
	self := g.account.String() + "/" + g.resource
	inside, sees := false, s.nonAnonymous
	want := make(map[string]sight, len(s.people))
	for nick, who := range s.people {
		want[nick] = sight{who.affiliation.String(), who.role.String(), who.sessions[0]}
		if slices.Contains(who.sessions, self) {
			inside, sees = true, sees || who.role == muc.Moderator
		}
	}
	if !inside {
		want = nil
	}
	got := maps.Clone(g.view)
	if !sees { // addresses that it may have seen before are no matter
		for _, view := range []map[string]sight{got, want} {
			for nick, what := range view {
				view[nick] = sight{what.affiliation, what.role, ""}
			}
		}
	}
	if !maps.Equal(got, want) {
		p.t.Fatalf("%s sees %v, the room is %v", g.name(), got, want)
	}
	if g.leaked && !sees && !g.knew {
		p.t.Fatalf("%s has been told addresses", g.name())
	}
	g.leaked, g.knew = false, sees
}

// checkOrder: all who are inside have heard the same last messages, in the
// order in which the archive has them, and nothing of a room before this one.
func (p *party) checkOrder(archives bool) {
	var longest []string
	var reader *guest
	for _, g := range p.guests {
		if len(g.heard) > len(longest) {
			longest, reader = g.heard, g
		}
	}
	if reader == nil {
		return
	}
	for _, g := range p.guests {
		if rest := len(longest) - len(g.heard); !slices.Equal(longest[rest:], g.heard) {
			p.t.Fatalf("%s has heard %v, %s %v", g.name(), g.heard, reader.name(), longest)
		}
	}
	for _, id := range longest {
		if p.past[id] {
			p.t.Fatalf("%s has heard %s of the room before", reader.name(), id)
		}
		if !slices.Contains(p.said, id) {
			p.said = append(p.said, id)
			if archives {
				p.kept = append(p.kept, id)
			}
		}
	}
	if archives {
		p.checkArchive(reader)
	}
}

// checkArchive: the newest page of the archive has what was said last.
func (p *party) checkArchive(reader *guest) {
	reader.found = nil
	st := p.ask(reader, "set", "<query xmlns='urn:xmpp:mam:2'><set xmlns='http://jabber.org/protocol/rsm'><max>50</max><before/></set></query>")
	if st.Type != stanza.TypeResult {
		p.t.Fatalf("%s may not read the archive", reader.name())
	}
	n := min(len(reader.found), len(p.kept))
	if len(reader.found) < 30 { // the page has subjects, too
		n = max(len(reader.found), len(p.kept))
	}
	if !slices.Equal(last(n, reader.found), last(n, p.kept)) {
		p.t.Fatalf("the archive has %v, heard were %v", reader.found, p.kept)
	}
}

func last(n int, list []string) []string { return list[max(len(list)-n, 0):] }
