package muc

import (
	"iter"
	"maps"
	"sync/atomic"
	"time"

	"github.com/muster-im/muster/internal/lately"
	"github.com/muster-im/muster/internal/mailbox"
	"github.com/muster-im/muster/internal/stanzaid"
	"github.com/muster-im/muster/internal/tasks"
	"github.com/muster-im/muster/jid"
	"github.com/muster-im/muster/stanza"
)

// Room is the view of a room from inside: hooks get it as ev.Room. It is valid
// during the call and must not be kept or used from another goroutine; see
// Handle for that. Setters stage a change: it takes effect, is stored and
// announced together with the event at hand.
type Room struct {
	// Set at construction.
	svc *Service
	jid jid.JID

	mailbox mailbox.Box[command, note] // guarded by its own mutex
	inside  atomic.Int32               // how many occupants there were when the drain last had nothing more to do

	agenda tasks.Entry // Service.agenda's

	// Owned by drain.
	*open                     // what the room works with; nil while it is packed or new, between two drains
	packed      *packed       // of it, what a dormant room keeps
	active      time.Duration // when something last happened, see tasks.Agenda
	dormant     time.Duration // since when the room is hibernated; 0: it is not
	ids         stanzaid.Maker
	created     time.Time
	usedAt      int64      // when its use was last noted, in seconds since 1970
	tombstone   *Tombstone // what is left of the room, while it does not exist
	said        lately.IDs // of messages
	postponed   func()     // the commit that waits until storing is over
	waiting     bool       // for a load or a commit
	unasked     bool       // could not be asked whether it is idle when it was time
	asleep      bool       // to be put away once nothing waits
	unsolicited bool       // to be loaded without anything that happens in it
	storing     bool       // an archived subject is being written into the record
	unstored    bool       // and there is a newer one
	collapsed   bool
	exists      bool
	stored      bool
	locked      bool // until the creator has configured it (XEP-0045 §10.1)
	making      bool // by code, until RoomCreated
}

// open is what a room works with. Until delays, all of it is empty when nothing
// waits.
type open struct {
	batch   []command // taken from the mailbox; next is the first not done
	next    int
	backlog []command // released from held senders, before batch
	held    map[jid.JID]*held
	asking  map[jid.JID][]*query // by session; the first is being answered
	outbox  []outItem
	touched []*Session // scratch of flush
	staged  change
	delays  delays
	turn    time.Time // when the command at hand was taken up
	watch   hookWatch
	arrival Arrival       // scratch of arrive
	came    stanza.Stanza // likewise

	values       []any                         // settings by field index; shared with other rooms until changed
	shared       bool                          // values are the service's defaults
	unknown      map[string][]string           // stored settings that no feature of today has
	affiliations map[jid.JID]AffiliationRecord // changed by replaceRecord only
	index        affiliationIndex
	subject      Subject
	subjectID    string
	data         map[string][]byte    // what features keep, while the room is not stored
	occupants    map[string]*Occupant // by nickname key
	looks        jid.NickIndex        // of occupants
	sessions     map[jid.JID]*Session // by full real JID
	audience     []*Session           // all sessions; appended to or replaced, never changed
	slots        []any                // features' state
	relayed      map[string]*relayed  // requests between occupants, by the room's id
}

// JID returns the room's address.
func (r *Room) JID() jid.JID { return r.jid }

// Locked reports whether the room waits for its creator to configure it.
func (r *Room) Locked() bool { return r.locked }

// Created returns when the room was created.
func (r *Room) Created() time.Time { return r.created }

// destroyed is the answer to somebody who asks for a room that was destroyed; nil
// if it was not, or that is forgotten, or he was not to know of the room.
func (r *Room) destroyed(who jid.JID) *stanza.Error {
	if !r.buried() || r.tombstone.denies(who) {
		return nil
	}
	return r.tombstone.err()
}

// buried reports whether the room was destroyed, and that is not forgotten.
func (r *Room) buried() bool {
	return !r.exists && r.tombstone != nil && r.svc.now().Before(r.tombstone.Until)
}

// Subject returns the subject line; zero if none was ever set.
func (r *Room) Subject() Subject {
	if r.staged.subject != nil {
		return *r.staged.subject
	}
	return r.subject
}

// Name returns the room's name, "" if it has none.
func (r *Room) Name() string { return r.svc.core.name.Get(r) }

// Persistent reports whether the room outlives its last occupant.
func (r *Room) Persistent() bool { return r.svc.core.persistent.Get(r) }

// Public reports whether the room is listed.
func (r *Room) Public() bool { return r.svc.core.public.Get(r) }

// NonAnonymous reports whether everybody may see real addresses.
func (r *Room) NonAnonymous() bool { return r.svc.core.whois.Get(r) == "anyone" }

// Affiliation returns the affiliation of whoever has that address: his own
// entry, else that of his domain, else None. Administrators of the service are
// owners everywhere.
func (r *Room) Affiliation(j jid.JID) Affiliation {
	if r.svc.isAdmin(j) {
		return Owner
	}
	return r.storedAffiliation(j.Bare())
}

// IsAdministrator reports whether somebody administers the service: he owns
// every room, and its limits and its password are not for him.
func (r *Room) IsAdministrator(j jid.JID) bool { return r.svc.isAdmin(j) }

func (r *Room) storedAffiliation(bare jid.JID) Affiliation {
	if rec, ok := r.affiliations[bare]; ok && rec.Affiliation != None {
		return rec.Affiliation
	}
	if rec, ok := r.affiliations[bare.DomainOnly()]; ok {
		return rec.Affiliation
	}
	return None
}

// overDomain reports whether what the room says of somebody's domain does not
// concern him.
func (r *Room) overDomain(bare jid.JID) bool {
	return r.affiliations[bare].Affiliation != None || r.svc.isAdmin(bare)
}

// Affiliations iterates over all entries as they are, without what the event at
// hand may stage meanwhile, in no particular order.
func (r *Room) Affiliations() iter.Seq[AffiliationRecord] { return maps.Values(r.affiliations) }

// DefaultRole returns the role that somebody gets on entering; RoleNone if he
// may not.
func (r *Room) DefaultRole(j jid.JID, a Affiliation) Role {
	role, err := r.svc.hooks.DefaultRole.Run(&r.watch, &RoleQuestion{Room: r, RealJID: j, Affiliation: a}, defaultRole(a))
	r.notify(err)
	return role
}

func defaultRole(a Affiliation) Role {
	switch {
	case a >= Admin:
		return Moderator
	case a == Outcast:
		return RoleNone
	}
	return Participant
}

// roleOf returns the role of whoever has that full address, RoleNone if he is
// not inside.
func (r *Room) roleOf(full jid.JID) Role {
	if s := r.sessions[full]; s != nil {
		return s.occupant.role
	}
	return RoleNone
}

// notify logs the panics of Notify and Decide functions: they cost nothing but
// what the function would have done.
func (r *Room) notify(err error) {
	if err != nil {
		r.logPanics(err)
	}
}

// now is the room's time, see stanzaid.Maker.
func (r *Room) now() time.Time { return r.ids.Time(r.svc.now()) }

// begin makes the room exist.
func (r *Room) begin(now time.Time) {
	r.exists, r.created, r.tombstone = true, now, nil
	r.ids.Begin(now)
	r.values, r.shared = r.svc.defaults, true
	r.affiliations, r.index = make(map[jid.JID]AffiliationRecord), affiliationIndex{}
	r.occupants, r.looks, r.sessions = make(map[string]*Occupant), jid.NickIndex{}, make(map[jid.JID]*Session)
	r.svc.roomStarted(r)
}

// end makes the room cease to exist; the object may begin again.
func (r *Room) end() {
	if !r.exists {
		return
	}
	r.svc.roomEnded(r)
	r.exists, r.stored, r.locked, r.asleep = false, false, false, false
	r.values, r.shared, r.unknown, r.affiliations = r.svc.defaults, true, nil, nil
	r.index = affiliationIndex{}
	r.occupants, r.sessions, r.audience, r.slots, r.relayed = nil, nil, nil, nil, nil
	r.data, r.usedAt, r.said = nil, 0, lately.IDs{}
	r.subject, r.subjectID = Subject{}, ""
}

// stopped tells of a room that leaves memory and was not destroyed.
func (r *Room) stopped() {
	if r.exists && !r.locked {
		r.notify(r.svc.hooks.RoomStopped.Run(&r.watch, &RoomEvent{r}))
	}
}

// emptied is called when the last occupant has gone: a temporary or locked room
// ends (XEP-0045 §10.1, §10.2).
func (r *Room) emptied() {
	if r.locked || !r.Persistent() {
		r.stopped()
		r.end()
	}
	r.used()
}
