package muc

import (
	"reflect"
	"slices"

	"github.com/muster-im/muster/hook"
	"github.com/muster-im/muster/jid"
	"github.com/muster-im/muster/stanza"
)

// Priorities at which the checks of this package and of the built-in features
// run, so that an extension can place itself between them. The order of entry
// checks is: banned, members only, room full, in too many rooms, nickname taken,
// then extensions (0), and the password last.
const (
	PriorityBanned       = 100
	PriorityMembersOnly  = 80
	PriorityCapacity     = 60
	PriorityRoomsPerUser = 50
	PriorityNick         = 40
	PriorityPassword     = -100
)

// Extension adds functions to the hooks of a room service, and fields to its
// form, before it starts.
type Extension interface {
	Register(h *Hooks)
}

// Hooks are the extension points of a room service. Functions run inside the
// room, in order, and must not block; ev.Room is the view from inside, valid
// during the call. A Before hook runs while a stanza is being decided: nothing
// has changed yet, and a *stanza.Error refuses it. Setters called there take
// effect together with the event, in one commit.
type Hooks struct {
	// Before has the filters of what comes in, by kind, before the room looks at it.
	Before Arrivals

	// BeforeCreate runs when somebody enters a room that does not exist, before
	// BeforeJoin. Refusing leaves no trace of the room; what setters stage takes
	// effect as soon as there is one.
	BeforeCreate hook.Filter[JoinEvent]
	// RoomCreated runs once the creator is in.
	RoomCreated hook.Notify[RoomEvent]
	// Locked runs after RoomCreated for a room that its creator has entered and is
	// still to configure, Unlocked when that has been done.
	Locked, Unlocked hook.Notify[RoomEvent]
	// BeforeLoad runs when a stored room is about to wake, outside of it: ev.Record
	// is what the store has, and may be changed in memory. An error refuses it:
	// what waits for the room is answered so, and the next stanza tries again.
	BeforeLoad hook.Filter[BeforeLoadEvent]
	// RoomLoaded runs when a stored room wakes, before anything else happens in
	// it.
	RoomLoaded hook.Notify[LoadEvent]
	// RoomStopped runs when a room leaves memory that was not destroyed: a stored
	// one that sleeps until somebody wants it, a temporary one for good, and every
	// one when the service ends. Setters do nothing there.
	RoomStopped hook.Notify[RoomEvent]
	// Hibernating runs when nothing has happened in the room for long: who keeps
	// what can be made again lets go of it. Setters do nothing there.
	Hibernating hook.Notify[RoomEvent]
	// BeforeJoin runs after the nickname is prepared and before any presence is
	// sent. ev.Role and ev.Nick may be changed (a changed nick is announced by
	// status 210). It also runs for a second session of an occupant, but not
	// when a session that is inside enters again.
	BeforeJoin hook.Filter[JoinEvent]
	// Joined runs after a new occupant has received self-presence.
	Joined hook.Notify[JoinedEvent]
	// SessionJoined runs after each session that enters, or enters again, has
	// received its self-presence: the moment for history and the subject.
	SessionJoined hook.Notify[JoinedEvent]
	// History decides what a session that enters is sent of what was said before,
	// oldest first, instead of what the room remembers: an empty list is nothing.
	History hook.Decide[JoinedEvent, []stanza.Stanza]
	// BeforeNickChange may refuse a new nickname or change ev.Nick.
	BeforeNickChange hook.Filter[NickEvent]
	// NickChanged runs after somebody has got another nickname.
	NickChanged hook.Notify[NickChangedEvent]
	// BeforePresence may change or refuse an occupant's presence update.
	BeforePresence hook.Filter[PresenceEvent]
	// BuildPresence adds elements to the presence that a room shows of an
	// occupant, with ev.Add, or leaves out some of his own, with ev.Omit.
	BuildPresence hook.Notify[BuildPresenceEvent]
	// ShownTo decides who is told of an occupant's presence. It is asked when he
	// enters, when his role changes, and after settings have changed. If nobody
	// answers, everybody is told.
	ShownTo hook.Decide[ViewersQuestion, Viewers]
	// Left runs after an occupant's last session has gone, however it went. A
	// nickname change is no leaving.
	Left hook.Notify[LeftEvent]

	// BeforeMessage may change or refuse a groupchat message; ev.Stanza may be
	// replaced. Subject changes come here too, with ev.SubjectChange.
	BeforeMessage hook.Filter[MessageEvent]
	// Historic decides whether a message belongs into history and archive. If
	// nobody answers, a message with a body or a subject does.
	Historic hook.Decide[MessageEvent, bool]
	// Archived decides whether the room keeps its historic messages in the
	// archive. If nobody answers it does not.
	Archived hook.Decide[RoomEvent, bool]
	// Logged decides whether what happens in the room is recorded elsewhere than
	// in the archive, which who enters is told (status 170). If nobody answers it
	// is not.
	Logged hook.Decide[RoomEvent, bool]
	// MessagePosted runs when a message has its place in the room's order. If
	// it is archived it is still to be committed.
	MessagePosted hook.Notify[PostedEvent]
	// MessageSent runs when it is certain that a posted message goes out: at
	// once, or with its commit if it is archived.
	MessageSent hook.Notify[PostedEvent]
	// MessageWithdrawn runs when the archive has failed to commit a posted
	// message, which nobody will get.
	MessageWithdrawn hook.Notify[PostedEvent]
	// MessageReplaced runs when messages that were posted get other contents: who
	// holds some applies ev.Replace to each.
	MessageReplaced hook.Notify[ReplacedEvent]
	// BuildMessage adds elements to a message of an occupant, to everybody or to
	// one, as the room passes it on.
	BuildMessage hook.Notify[BuildMessageEvent]
	// BeforePrivateMessage may change or refuse a private message.
	BeforePrivateMessage hook.Filter[PrivateMessageEvent]
	// BeforePrivateIQ may refuse that an occupant's request is passed to another
	// one. Refusing is not seen by the other.
	BeforePrivateIQ hook.Filter[PrivateIQEvent]

	// RoomMessage sees messages of type normal to the room itself: invitations,
	// requests for voice and the like, from people inside or not. Whoever knows
	// what to do with one says so with ev.Send and setters, and returns
	// hook.Handled; what nobody handles is refused with not-acceptable. Errors
	// from people outside come here, too; they are not answered.
	RoomMessage hook.Filter[RoomMessageEvent]

	// BeforeInvite runs for each person whom somebody may invite, before that is
	// sent to him: ev.Out may be changed. An error refuses all that the message
	// asks for, hook.Handled keeps this one from being sent.
	BeforeInvite hook.Filter[InviteEvent]
	// BeforeDecline is the same for the answer to an invitation, which goes to
	// ev.To, who has sent it.
	BeforeDecline hook.Filter[InviteEvent]

	// BeforeVoiceRequest runs for a visitor's request for voice, once it is certain
	// that he may ask, and before the moderators are shown it. hook.Handled says
	// that they need not be: who grants it at once calls Room.SetRole before.
	BeforeVoiceRequest hook.Filter[VoiceEvent]
	// BeforeVoiceAnswer runs for what a moderator says to one, before the role
	// changes: ev.Grant may be changed. hook.Handled leaves everything as it is.
	BeforeVoiceAnswer hook.Filter[VoiceEvent]
	// RegistrationForm runs before somebody is shown the form by which he registers:
	// fields may be added to ev.Form. What he says in them is in the form of
	// BeforeRegistration, and in that which an admin gets, if one is asked.
	RegistrationForm hook.Notify[RegistrationEvent]
	// BeforeRegistration runs when somebody registers with the room, or ends that
	// (ev.Remove), once it is certain that he may: ev.Nick and ev.Approval may be
	// changed. hook.Handled answers him as if it was done, and leaves it.
	BeforeRegistration hook.Filter[RegistrationEvent]
	// BeforeRegistrationAnswer runs for what an admin says to somebody who wants to
	// register: ev.Nick and ev.Grant may be changed. hook.Handled leaves everything
	// as it is.
	BeforeRegistrationAnswer hook.Filter[RegistrationEvent]

	// DefaultRole decides the role of a newcomer. If nobody answers, owners and
	// admins are moderators, everybody else is a participant.
	DefaultRole hook.Decide[RoleQuestion, Role]
	// MayList decides whether somebody may read an affiliation or role list to
	// which his own rank does not entitle him.
	MayList hook.Decide[ListQuestion, bool]
	// MaySeeOccupants decides whether somebody who is not inside may see who is.
	// If nobody answers, everybody may in a public room, and members in others.
	// Outcasts never may.
	MaySeeOccupants hook.Decide[OccupantsQuestion, bool]
	// NickHolder says for whom, by his bare address, a nickname is reserved of
	// which the room's own affiliations know nothing. If nobody answers, for
	// nobody.
	NickHolder hook.Decide[NickQuestion, jid.JID]
	// ReservedNick says which nickname is reserved for somebody for whom the
	// room's own affiliations reserve none. It also runs outside of rooms, for
	// the whole service, at any time and several at once.
	ReservedNick hook.Decide[NickQuestion, string]
	// MayRead decides whether somebody who is not inside may read what was said
	// in the room. If nobody answers, those may who would get a role on entering.
	MayRead hook.Decide[ReadQuestion, bool]
	// BeforeSetAffiliation may refuse a change of affiliation that the rules
	// allow.
	BeforeSetAffiliation hook.Filter[AffiliationEvent]
	// AffiliationSet runs after a change of affiliation.
	AffiliationSet hook.Notify[AffiliationEvent]
	// AffiliationDataSet runs after Room.SetAffiliationData has taken effect.
	AffiliationDataSet hook.Notify[AffiliationDataEvent]
	// BeforeSetRole may refuse a change of role that the rules allow.
	BeforeSetRole hook.Filter[RoleEvent]
	// RoleSet runs after a change of role that was asked for; not after one
	// that follows from an affiliation.
	RoleSet hook.Notify[RoleEvent]

	// BeforeConfigure sees a submitted form whose values are valid one by one,
	// and may refuse their combination; ev.Room's setters adjust it.
	BeforeConfigure hook.Filter[ConfigureEvent]
	// Configured runs after settings have changed, from a form or from code.
	Configured hook.Notify[ConfiguredEvent]
	// BeforeDestroy may refuse that an owner destroys the room.
	BeforeDestroy hook.Filter[DestroyEvent]
	// Destroyed runs after everybody has left a destroyed room.
	Destroyed hook.Notify[DestroyEvent]

	// SetHats and SetAvatar do what the setters of that name ask for. Who does it
	// returns hook.Handled; another function may refuse or change it before.
	SetHats   hook.Filter[HatsEvent]
	SetAvatar hook.Filter[AvatarEvent]

	// Disco adds features and form fields to what the room says of itself.
	Disco hook.Notify[DiscoEvent]
	// DiscoNode answers a question about a node of the room: the payload of the
	// answer. If nobody answers, there is no such node.
	DiscoNode hook.Decide[NodeQuestion, *stanza.Element]
	// ServiceDisco adds features to what the service says of itself. It runs
	// outside of rooms, at any time and several at once.
	ServiceDisco hook.Notify[ServiceDiscoEvent]
	// ServiceNode answers a question about a node of the service, as DiscoNode
	// does about one of a room; the question names no room. It runs outside of
	// rooms, at any time and several at once, and must not block.
	ServiceNode hook.Decide[NodeQuestion, *stanza.Element]

	fields []*fieldCore
	slots  int
	sealed bool
	notes  []string // prefixes that are taken

	requests        map[requestKind]*hook.Filter[RequestEvent]        // see OnRequest
	serviceRequests map[requestKind]*hook.Filter[ServiceRequestEvent] // see OnServiceRequest
}

// seal refuses further functions.
func (h *Hooks) seal() {
	h.sealed = true
	v := reflect.ValueOf(h).Elem()
	for i := range v.NumField() {
		if !v.Type().Field(i).IsExported() {
			continue
		}
		if s, ok := reflect.TypeAssert[interface{ Seal() }](v.Field(i).Addr()); ok {
			s.Seal()
		}
	}
}

// mustBeOpen panics if the service has begun, which knows of nothing new.
func (h *Hooks) mustBeOpen(what string) {
	if h.sealed {
		panic("muc: " + what + " added after the service has started; add it in Register")
	}
}

// RoomEvent is about the room alone.
type RoomEvent struct{ Room *Room }

// BeforeLoadEvent is a stored room that is about to wake.
type BeforeLoadEvent struct{ Record *RoomRecord }

// LoadEvent is a stored room that wakes.
type LoadEvent struct {
	Room *Room
	// Recent are the newest archived messages, oldest first: those that
	// Options.Recent asks for, and changes of the subject, before or among them.
	Recent []ArchivedMessage
}

// JoinEvent is a session that asks to enter.
type JoinEvent struct {
	Event
	Stanza      *stanza.Stanza // the presence that asks
	RealJID     jid.JID        // full
	Nick        string         // prepared; may be changed
	Affiliation Affiliation
	Role        Role      // may be changed
	Occupant    *Occupant // whose nickname this is already; nil if nobody's
	New         bool      // the room is created by this presence
}

// Join returns the <x xmlns='http://jabber.org/protocol/muc'/> of the request.
func (ev *JoinEvent) Join() *stanza.Element { return ev.Stanza.Child(stanza.NSMUC, "x") }

// JoinedEvent is a session that has entered.
type JoinedEvent struct {
	Room    *Room
	Session *Session
	Stanza  *stanza.Stanza // the presence that asked
	Again   bool           // it was inside before and asked for everything again
}

// NickEvent is an occupant who asks for another nickname.
type NickEvent struct {
	Event
	Stanza   *stanza.Stanza
	Occupant *Occupant
	Nick     string // the new one, prepared; may be changed
}

// NickChangedEvent is a session with another nickname.
type NickChangedEvent struct {
	Room    *Room
	Session *Session // under the new nickname
	From    string   // the one before, which further sessions may keep
}

// PresenceEvent is a presence update of an occupant's session.
type PresenceEvent struct {
	Event
	Stanza  *stanza.Stanza // may be replaced
	Session *Session
}

// BuildPresenceEvent is a presence that is about to be shown of an occupant.
type BuildPresenceEvent struct {
	Room     *Room
	Occupant *Occupant
	extra    []*stanza.Element
	omitted  []stanza.Name
}

// Add adds an element to the presence.
func (ev *BuildPresenceEvent) Add(e *stanza.Element) { ev.extra = append(ev.extra, e) }

// Omit leaves out what the occupant's client says in such elements.
func (ev *BuildPresenceEvent) Omit(name stanza.Name) { ev.omitted = append(ev.omitted, name) }

// says returns what stays of what the client says.
func (ev *BuildPresenceEvent) says(children []stanza.Node) []stanza.Node {
	kept := append(make([]stanza.Node, 0, len(children)+len(ev.extra)+1), children...)
	return slices.DeleteFunc(kept, func(n stanza.Node) bool {
		return n.Element != nil && slices.Contains(ev.omitted, n.Element.Name)
	})
}

// BuildMessageEvent is a message that the room is about to pass on.
type BuildMessageEvent struct {
	Room    *Room
	RealJID jid.JID // bare address of who says it, or has said it
	extra   []*stanza.Element
}

// Add adds an element to the message.
func (ev *BuildMessageEvent) Add(e *stanza.Element) { ev.extra = append(ev.extra, e) }

// LeftEvent is an occupant who has gone.
type LeftEvent struct {
	Room     *Room
	Occupant *Occupant
	Code     int    // status code of a removal (301, 307, 321, 322, 332, 333); 0: left by himself
	Reason   string // of a removal, or what he says in leaving
}

// MessageEvent is a groupchat message.
type MessageEvent struct {
	Event
	Stanza        *stanza.Stanza // may be replaced
	Sender        *Occupant      // nil: the room itself
	SubjectChange bool           // it has a subject and neither body nor thread
}

// PostedEvent is a groupchat message with its place in the room's order.
type PostedEvent struct {
	Room    *Room
	Message ArchivedMessage
	Stanza  *stanza.Stanza // as broadcast
	// Historic says that the message belongs into history.
	Historic bool
	// Private says that who sent it wants it stored nowhere for long
	// (XEP-0334 §4).
	Private bool
	// SubjectChange says that it changes the subject.
	SubjectChange bool
}

// ReplacedEvent is a change of messages that were posted.
type ReplacedEvent struct {
	Room *Room
	// Replace puts another stanza in a message, and reports whether it does.
	Replace func(m *ArchivedMessage) bool
}

// PrivateMessageEvent is a message between two occupants.
type PrivateMessageEvent struct {
	Event
	Stanza            *stanza.Stanza // may be replaced
	Sender, Recipient *Occupant
}

// RoomMessageEvent is a message to the room that is not meant for everybody.
type RoomMessageEvent struct {
	Event
	Stanza  *stanza.Stanza
	RealJID jid.JID   // who sends it, full
	Sender  *Occupant // nil: he is not inside
}

// PrivateIQEvent is a request of one occupant's client to another's.
type PrivateIQEvent struct {
	Event
	Stanza            *stanza.Stanza
	Sender, Recipient *Occupant
}

// OccupantsQuestion asks whether somebody outside may see who is inside.
type OccupantsQuestion struct {
	Room        *Room
	RealJID     jid.JID
	Affiliation Affiliation
}

// RoleQuestion asks for the role of a newcomer.
type RoleQuestion struct {
	Room        *Room
	RealJID     jid.JID
	Affiliation Affiliation
}

// ListQuestion asks whether somebody may read a list.
type ListQuestion struct {
	Room        *Room
	RealJID     jid.JID
	Role        Role // RoleNone: not inside
	Affiliation Affiliation
	OfRoles     bool        // a list of roles, not of affiliations
	List        Affiliation // the affiliation asked for, unless OfRoles
}

// AffiliationEvent is a change of affiliation.
type AffiliationEvent struct {
	Event
	Actor    Actor
	JID      jid.JID // bare, or a domain
	From, To Affiliation
	Reason   string
	// Told says, once it is done, that who is concerned knows of it: he is inside,
	// or was until then, or what has caused the change tells him.
	Told bool
}

// AffiliationDataEvent is a change of what an extension keeps of somebody.
type AffiliationDataEvent struct {
	Event
	JID      jid.JID // bare, or a domain
	Key      string
	From, To string // "": nothing
}

// RoleEvent is a change of role that somebody asks for.
type RoleEvent struct {
	Event
	Actor    Actor
	Occupant *Occupant
	From, To Role
	Reason   string
}

// ConfigureEvent is a submitted configuration.
type ConfigureEvent struct {
	Event
	Actor Actor
	// First says that it unlocks a room that has just been created.
	First bool
	// Submitted reports whether the form contained a variable.
	Submitted func(variable string) bool
}

// ConfiguredEvent is a change of settings that took effect.
type ConfiguredEvent struct {
	Room    *Room
	Changed func(key string) bool
	New     bool // code makes the room like that: RoomCreated follows
}

// DestroyEvent is the end of a room.
type DestroyEvent struct {
	Event
	Actor       Actor
	Alternative jid.JID // may be changed
	Reason      string  // may be changed
	Password    string  // of the alternative; may be changed
}

// DiscoEvent collects what a room says of itself.
type DiscoEvent struct {
	Room     *Room
	features []string
	fields   []stanza.Field
}

// Feature adds a feature.
func (ev *DiscoEvent) Feature(feature string) { ev.features = append(ev.features, feature) }

// Field adds a field to the muc#roominfo form.
func (ev *DiscoEvent) Field(variable string, values ...string) {
	ev.fields = append(ev.fields, stanza.Field{Var: variable, Values: values})
}

// NodeQuestion asks for information on a node of the room (XEP-0030 §3.2), or
// for its items (§4.2).
type NodeQuestion struct {
	Room        *Room
	RealJID     jid.JID // who asks
	Affiliation Affiliation
	Node        string
	Items       bool
}

// ServiceDiscoEvent collects what a service says of itself.
type ServiceDiscoEvent struct {
	RealJID  jid.JID // who asks
	features []string
}

// Feature adds a feature.
func (ev *ServiceDiscoEvent) Feature(feature string) { ev.features = append(ev.features, feature) }

// Slot is a place for a feature's own state in each room. It lives as long as
// the room is in memory and is not stored.
type Slot[T any] struct{ index int }

// NewSlot reserves a place in every room of the service that h belongs to.
func NewSlot[T any](h *Hooks) *Slot[T] {
	h.mustBeOpen("a slot")
	h.slots++
	return &Slot[T]{h.slots - 1}
}

// Drop forgets the state in r.
func (s *Slot[T]) Drop(r *Room) {
	if r.slots != nil {
		r.slots[s.index] = nil
	}
}

// In returns the state in r, made zero at the first call.
func (s *Slot[T]) In(r *Room) *T {
	if r.slots == nil {
		r.slots = make([]any, r.svc.hooks.slots)
	}
	if r.slots[s.index] == nil {
		r.slots[s.index] = new(T)
	}
	return r.slots[s.index].(*T) //nolint:errcheck,forcetypeassert // only this slot writes here
}
