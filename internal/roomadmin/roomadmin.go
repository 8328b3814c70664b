// Package roomadmin is what administrators do with rooms, whatever they use for
// it: the command line, the HTTP API or ad-hoc commands, which are thin faces of
// an Admin. Lists are read from the database and wake nobody; whatever changes a
// room is done inside it, by the server itself or, if somebody is named, with his
// rights. The package has no goroutines; methods block on the database and on
// the room at hand.
package roomadmin

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/muster-im/muster/internal/store"
	"github.com/muster-im/muster/jid"
	"github.com/muster-im/muster/muc"
	"github.com/muster-im/muster/stanza"
)

// Store is what is read from the database without waking rooms.
type Store interface {
	// FindRooms returns the stored rooms that s asks for.
	FindRooms(ctx context.Context, s store.RoomSearch) ([]store.FoundRoom, error)
	// RoomAffiliations returns the entries of a stored room that s asks for.
	RoomAffiliations(ctx context.Context, room jid.JID, s store.AffiliationSearch) ([]muc.AffiliationRecord, error)
	// Room returns a stored room or its tombstone; muc.ErrNoRoom.
	Room(ctx context.Context, room jid.JID) (*muc.RoomRecord, error)
}

// Options are what an Admin works on. All but Logger and Registerer are
// required.
type Options struct {
	// Services are those of all hosts, asked for with each call.
	Services func() []*muc.Service
	Store    Store
	Archive  muc.Archive
	// Exists reports whether there is such an account; true for accounts of
	// other servers, of which nothing is known.
	Exists func(ctx context.Context, account jid.JID) (bool, error)
	// Reaches reports whether stanzas for a domain, which may be this server's,
	// go anywhere.
	Reaches func(domain string) bool
	// Send takes a stanza for whatever address.
	Send       func(st stanza.Stanza)
	Logger     *slog.Logger          // nil: silent
	Registerer prometheus.Registerer // nil: no metrics
}

// Admin does the work. It is safe for concurrent use.
type Admin struct {
	Options
	log        *slog.Logger
	operations *prometheus.CounterVec
}

// New returns an Admin.
func New(o Options) *Admin {
	a := &Admin{Options: o, log: o.Logger, operations: prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "muster_roomadmin_operations_total",
		Help: "What administrators have asked for, by operation and by how it ended: ok, or why it was refused.",
	}, []string{"operation", "result"})}
	if a.log == nil {
		a.log = slog.New(slog.DiscardHandler)
	}
	if o.Registerer != nil {
		o.Registerer.MustRegister(a.operations)
	}
	return a
}

// Kind says what kind of mistake an Error is.
type Kind string

// The kinds of errors, which are also the reasons in metrics.
const (
	Malformed Kind = "malformed"   // an address that is none
	NotFound  Kind = "not-found"   // no such room, occupant or service
	Conflict  Kind = "conflict"    // it is there already, or the room's state forbids it
	Invalid   Kind = "invalid"     // a value that cannot be; Field says which
	Forbidden Kind = "forbidden"   // the one who is acted for may not do that
	Busy      Kind = "unavailable" // later perhaps
)

const (
	resultOK     = "ok"
	resultFailed = "failed" // nobody's mistake
)

// Error is why nothing was done. Nothing has changed then.
type Error struct {
	Kind  Kind
	Field string   // what is Invalid, "" if it is not one field
	Text  string   // a sentence without its full stop
	Item  int      // which of the list that was given it is about, from 1; 0: it is about none
	More  []*Error // what else is wrong
}

// Error returns the words, with the field if there is one.
func (e *Error) Error() string {
	if e.Field != "" {
		return e.Field + ": " + e.Text
	}
	return e.Text
}

func fail(kind Kind, format string, args ...any) *Error {
	return &Error{Kind: kind, Text: fmt.Sprintf(format, args...)}
}

func invalid(field, format string, args ...any) *Error {
	return &Error{Kind: Invalid, Field: field, Text: fmt.Sprintf(format, args...)}
}

// explain puts what a room or its service says into an administrator's words.
func (a *Admin) explain(room jid.JID, err error) error {
	if err == nil {
		return nil
	}
	if e, ok := errors.AsType[*Error](err); ok {
		return e
	}
	if e, ok := errors.AsType[*muc.FieldError](err); ok {
		wrong := invalid(a.settingName(room, e.Var), "%s", sentence(e.Text))
		for _, other := range e.More {
			wrong.More = append(wrong.More, invalid(a.settingName(room, other.Var), "%s", sentence(other.Text)))
		}
		return wrong
	}
	switch {
	case errors.Is(err, muc.ErrNoRoom):
		return fail(NotFound, "there is no room %s", room)
	case errors.Is(err, muc.ErrRoomExists):
		return fail(Conflict, "there is a room %s already", room)
	case errors.Is(err, muc.ErrNoAddress):
		return invalid("jid", "%v", err)
	case errors.Is(err, muc.ErrBusy):
		return fail(Busy, "the room %s is too busy: try again", room)
	}
	se := stanza.AsError(err)
	if se == nil {
		return fmt.Errorf("room %s: %w", room, err)
	}
	kind := Busy
	switch se.Condition {
	case stanza.ItemNotFound, stanza.Gone:
		kind = NotFound
	case stanza.Conflict:
		kind = Conflict
	case stanza.Forbidden, stanza.NotAllowed, stanza.RegistrationRequired, stanza.NotAuthorized:
		kind = Forbidden
	case stanza.NotAcceptable, stanza.BadRequest, stanza.JIDMalformed:
		kind = Invalid
	case stanza.InternalServerError:
		return fmt.Errorf("room %s: %w", room, err)
	}
	text := sentence(se.Text)
	if text == "" {
		text = string(se.Condition)
	}
	return fail(kind, "%s", text)
}

// sentence is s without its full stop.
func sentence(s string) string { return strings.TrimSuffix(s, ".") }

// finish counts an operation and explains its error.
func (a *Admin) finish(operation string, room jid.JID, err error) error {
	err = a.explain(room, err)
	result := resultOK
	if e, ok := errors.AsType[*Error](err); ok {
		result = string(e.Kind)
	} else if err != nil {
		result = resultFailed
	}
	a.operations.WithLabelValues(operation, result).Inc()
	return err
}

// note logs what was done.
func (a *Admin) note(ctx context.Context, what string, room, as jid.JID, attrs ...slog.Attr) {
	attrs = append([]slog.Attr{slog.String("done", what), slog.String("room", room.String())}, attrs...)
	if !as.IsZero() {
		attrs = append(attrs, slog.String("as", as.String()))
	}
	a.log.LogAttrs(ctx, slog.LevelInfo, "room administered", attrs...)
}

// Hosts are the domains that have rooms.
func (a *Admin) Hosts() []string {
	var list []string
	for _, s := range a.Services() {
		list = append(list, s.Domain().Domain())
	}
	return list
}

// service returns the service of a domain; the first if that is "".
func (a *Admin) service(domain string) (*muc.Service, error) {
	services := a.Services()
	if domain == "" && len(services) > 0 {
		return services[0], nil
	}
	i := slices.IndexFunc(services, func(s *muc.Service) bool { return s.Domain().Domain() == domain })
	switch {
	case len(services) == 0:
		return nil, fail(NotFound, "this server has no rooms: [modules.mod_muc] in its configuration switches them on")
	case i < 0:
		return nil, fail(NotFound, "there are no rooms at %q: those of this server are at %s", domain, strings.Join(a.Hosts(), ", "))
	}
	return services[i], nil
}

// at returns the service of a room.
func (a *Admin) at(room jid.JID) (*muc.Service, error) {
	if room.Local() == "" || !room.IsBare() {
		return nil, fail(Malformed, "want the address of a room, like team@%s, got %q", strings.Join(a.Hosts()[:min(1, len(a.Hosts()))], ""), room)
	}
	return a.service(room.Domain())
}

// do runs fn inside a room, which is woken if it sleeps. as is checked with
// may, if he is not zero.
func (a *Admin) do(ctx context.Context, room jid.JID, fn func(*muc.Room) error) error {
	s, err := a.at(room)
	if err != nil {
		return err
	}
	h, err := s.Room(ctx, room)
	if err != nil {
		return err
	}
	return h.Do(ctx, fn)
}

// actor is who acts: somebody with his rights, or the server with all.
func actor(as jid.JID) muc.Actor {
	if as.IsZero() {
		return muc.System
	}
	return muc.By(as)
}

// inside is as, as he is in the room: with the full address of his client if he
// has given none and is inside.
func inside(r *muc.Room, as jid.JID) jid.JID {
	if as.IsZero() || !as.IsBare() {
		return as
	}
	for o := range r.Occupants() {
		if o.RealJID() != as {
			continue
		}
		for s := range o.Sessions() {
			return s.RealJID()
		}
	}
	return as
}

// mayRead refuses somebody who may not know what is in the room. Nobody at all is
// an administrator, who may.
func mayRead(r *muc.Room, as jid.JID) error {
	if as.IsZero() || r.MayRead(inside(r, as)) {
		return nil
	}
	if !r.Public() && r.Affiliation(as) < muc.Member { // not even that it is there
		return muc.ErrNoRoom
	}
	return fail(Forbidden, "%s may not look into %s", as, r.JID())
}

// mustOwn refuses somebody who does not own the room.
func mustOwn(r *muc.Room, as jid.JID) error {
	if as.IsZero() || r.Affiliation(as) == muc.Owner {
		return nil
	}
	if !r.Public() && r.Affiliation(as) < muc.Member {
		return muc.ErrNoRoom
	}
	return fail(Forbidden, "%s does not own %s", as, r.JID())
}
