package muclog

import (
	"slices"
	"strings"
	"time"

	"github.com/muster-im/muster/jid"
	"github.com/muster-im/muster/muc"
	"github.com/muster-im/muster/stanza"
)

// FieldLogging is the form variable that says whether a room is logged.
const FieldLogging = "muc#roomconfig_enablelogging"

// Rooms returns what lets the rooms of a service be logged: hooks, and the
// switch, which only those may see and set whom allowed lets. settings are what
// rooms of the service have; it is called when there are any.
func (l *Log) Rooms(allowed func(jid.JID) bool, settings func() []muc.Setting) muc.Extension {
	return &rooms{log: l, allowed: allowed, settings: settings}
}

type rooms struct {
	// Set at construction.
	log      *Log
	allowed  func(jid.JID) bool
	settings func() []muc.Setting

	// Set by Register.
	on   *muc.Field[bool]
	page *muc.Slot[page]
}

// page is that on which a room's last event stands.
type page struct{ name string }

// Register adds the switch and the hooks.
func (x *rooms) Register(h *muc.Hooks) {
	x.page = muc.NewSlot[page](h)
	x.on = muc.NewBoolField(h, muc.FieldSpec{
		Var: FieldLogging, Stored: "muc_log", Section: muc.SectionOther, Order: 21, Label: "Log what happens in files of the server",
		Allowed:  func(_ *muc.Room, a muc.Actor) bool { return a == muc.System || x.allowed(a.JID()) },
		Announce: x.announce,
	}, false)
	h.Logged.Add("log", 0, func(ev *muc.RoomEvent) (bool, bool) { on := x.on.Get(ev.Room); return on, on })
	h.RoomCreated.Add("log", 0, func(ev *muc.RoomEvent) { x.add(ev.Room, entry{kind: created}) })
	h.RoomLoaded.Add("log", 0, func(ev *muc.LoadEvent) { x.add(ev.Room, entry{kind: started}) })
	h.RoomStopped.Add("log", 0, func(ev *muc.RoomEvent) { x.add(ev.Room, entry{kind: stopped}) })
	h.Joined.Add("log", 0, func(ev *muc.JoinedEvent) {
		x.add(ev.Room, entry{kind: joined, nick: ev.Session.Occupant().Nick()})
	})
	h.NickChanged.Add("log", 0, func(ev *muc.NickChangedEvent) {
		if now := ev.Session.Occupant().Nick(); now != ev.From {
			x.add(ev.Room, entry{kind: renamed, nick: ev.From, text: now})
		}
	})
	h.Left.Add("log", 0, x.left)
	h.MessageSent.Add("log", 0, x.sent)
	h.Configured.Add("log", 0, x.configured)
	h.Destroyed.Add("log", 0, func(ev *muc.DestroyEvent) { x.add(ev.Room, entry{kind: destroyed, text: ev.Reason}) })
}

// announce is the status code of a change (XEP-0045 §10.2.1): that nothing is
// recorded any more is only said if the archive does not either.
func (x *rooms) announce(r *muc.Room) int {
	switch {
	case x.on.Get(r):
		return muc.StatusLoggingOn
	case r.Recorded():
		return muc.StatusConfigChanged
	}
	return muc.StatusLoggingOff
}

// add logs what happens in a room, if the room wants that.
func (x *rooms) add(r *muc.Room, e entry) {
	if x.on.Get(r) {
		x.record(r, e)
	}
}

func (x *rooms) record(r *muc.Room, e entry) {
	if e.at.IsZero() {
		e.at = time.Now()
	}
	e.room, e.name, e.subject = r.JID(), r.Name(), r.Subject().Text
	if on, name := x.page.In(r), x.log.day(e.at.In(x.log.opts.Location)); x.log.opts.HTML && (on.name != name || e.kind == configured || e.kind == loggingOn) {
		on.name, e.about = name, x.describe(r)
	}
	x.log.add(e)
}

// removals are the kinds of leaving, by status code.
var removals = map[int]kind{ //nolint:gochecknoglobals // a table
	0: left, 301: banned, 307: kicked, 321: unaffiliated, 322: membersOnly, 332: shutdown, 333: vanished,
}

func (x *rooms) left(ev *muc.LeftEvent) {
	x.add(ev.Room, entry{kind: removals[ev.Code], nick: ev.Occupant.Nick(), text: ev.Reason})
}

// sent logs a message, unless its sender wants it kept nowhere (XEP-0334 §4).
func (x *rooms) sent(ev *muc.PostedEvent) {
	e := entry{kind: message, at: ev.Message.Time, nick: ev.Message.From.Resource(), text: ev.Stanza.ChildText(stanza.NSClient, "body")}
	switch {
	case ev.SubjectChange:
		e.kind, e.text = subject, ev.Stanza.ChildText(stanza.NSClient, "subject")
	case ev.Private || e.text == "":
		return
	case e.nick != "" && strings.HasPrefix(e.text, "/me "): // XEP-0245 §2
		e.kind, e.text = action, strings.TrimPrefix(e.text, "/me ")
	}
	x.add(ev.Room, e)
}

// configured logs that settings have changed, and always that logging has.
func (x *rooms) configured(ev *muc.ConfiguredEvent) {
	switch changed := ev.Changed(x.on.Key()); {
	case ev.New: // it is created as it is
	case !changed:
		x.add(ev.Room, entry{kind: configured})
	case x.on.Get(ev.Room):
		var nicks []string
		for o := range ev.Room.Occupants() {
			nicks = append(nicks, o.Nick())
		}
		slices.Sort(nicks)
		x.record(ev.Room, entry{kind: loggingOn, text: strings.Join(nicks, ", ")})
	default:
		x.record(ev.Room, entry{kind: loggingOff})
	}
}
