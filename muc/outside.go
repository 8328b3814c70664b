package muc

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/muster-im/muster/internal/mailbox"
	"github.com/muster-im/muster/jid"
	"github.com/muster-im/muster/stanza"
)

// FieldError says which field of the configuration form is refused. Its Unwrap
// is what a client is told.
type FieldError struct {
	Var  string // form variable
	Text string // what is wrong with it
	Err  *stanza.Error
	More []*FieldError // the other fields of the same form that are refused
}

// Error names the field and says what is wrong.
func (e *FieldError) Error() string { return e.Var + ": " + e.Text }

// Unwrap returns the error stanza.
func (e *FieldError) Unwrap() error { return e.Err }

// RefuseField returns the error for a field of the form whose value, or whose
// combination with others, is refused.
func RefuseField(variable string, err error) error { return refuseField(variable, err) }

func refuseField(variable string, err error) *FieldError {
	se := stanza.AsError(err)
	if se == nil {
		se = stanza.NewError(stanza.Modify, stanza.NotAcceptable, err.Error())
	}
	named := *se
	named.Text = variable + ": " + se.Text
	return &FieldError{Var: variable, Text: se.Text, Err: &named}
}

// Setting describes a setting of the rooms of a service.
type Setting struct {
	Var, Label string
	Type       stanza.FieldType
	Number     bool // the value is a whole number between Min and Max
	Min, Max   int  // Max 0: no bound; of a text Max bounds its bytes
	Choices    []stanza.Option
	Private    bool // a secret
}

// Settings returns what can be set in the rooms of the service, in the order of
// the form. Lists of affiliations are no settings.
func (s *Service) Settings() []Setting {
	var list []Setting
	for _, f := range s.formOrder {
		if f.spec.Label == "" || f.computed != nil {
			continue
		}
		_, number := f.Initial.(int)
		list = append(list, Setting{
			Var: f.spec.Var, Label: f.spec.Label, Type: f.kind, Number: number, Min: f.spec.Min, Max: f.spec.Max,
			Choices: f.spec.Choices, Private: f.spec.Private,
		})
	}
	return list
}

// Defaults are the settings of new rooms by form variable.
func (s *Service) Defaults() map[string][]string { return s.schema.Shown(s.defaults) }

// Form returns the configuration form as somebody may see it.
func (r *Room) Form(actor Actor) *stanza.Form { return r.form(actor) }

// Destroy stages the end of the room. BeforeDestroy may refuse it to somebody,
// not to the system.
func (r *Room) Destroy(actor Actor, reason string, alternative jid.JID) error {
	ev := &DestroyEvent{Event: r.detached(), Actor: actor, Reason: reason, Alternative: alternative}
	if !actor.system {
		if err := r.svc.hooks.BeforeDestroy.Run(&r.watch, ev); err != nil {
			return err
		}
	}
	r.staged.destroy = ev
	return nil
}

// Send lets the room take a message as if the actor's client had sent it, and
// returns what the room refuses it with. The system speaks as the room itself.
// An archived message is committed when Send returns; id is then its StanzaID.
// Of a message that goes to everybody without being archived it is the id under
// which the room has passed it on to extensions.
func (h *Handle) Send(ctx context.Context, actor Actor, st stanza.Stanza) (id string, err error) {
	if err := cmp.Or(h.svc.checkCall(h.jid), wantMessage(&st)); err != nil {
		return "", err
	}
	st.From = actor.jid
	if actor.system {
		st.From = h.jid
	} else if h.svc.opts.MayUse != nil && !h.svc.opts.MayUse(actor.jid) {
		return "", stanza.NewError(stanza.Auth, stanza.Forbidden, actor.jid.String()+" may not use this service.").Because(ReasonAccess)
	}
	if st.To.Bare() != h.jid {
		st.To = h.jid
	}
	c, refused := h.svc.commandFor(st)
	if refused != nil {
		return "", refused
	}
	c.base().system = actor.system
	if err := h.call(ctx, c); err != nil {
		return "", err
	}
	return c.base().id, nil
}

// BySystem reports whether the program itself is behind the event: nobody's
// rank decides then.
func (ev *Event) BySystem() bool { return ev.req != nil && ev.req.system }

// View is a room as it is seen without being woken.
type View struct {
	Info
	Awake    bool // it is in memory
	Locked   bool
	Settings map[string][]string // by form variable
}

// View returns a room as it stands; ErrNoRoom if there is none. A stored room is
// looked up in the store, so one that sleeps or hibernates goes on doing so.
func (s *Service) View(ctx context.Context, room jid.JID) (*View, error) {
	if err := s.checkCall(room); err != nil {
		return nil, err
	}
	v, err := s.viewStored(ctx, room.Bare())
	if err == nil || !errors.Is(err, ErrNoRoom) {
		return v, err
	}
	awake, err := s.Awake(ctx, room, func(r *Room) error {
		v = &View{Info: r.info(), Awake: true, Locked: r.locked, Settings: r.Settings()}
		return nil
	})
	if err == nil && !awake {
		err = fmt.Errorf("room %s: %w", room, ErrNoRoom)
	}
	return v, err
}

func (s *Service) viewStored(ctx context.Context, room jid.JID) (*View, error) {
	if s.opts.Store == nil {
		return nil, ErrNoRoom
	}
	rec, err := s.opts.Store.Room(ctx, room)
	if err == nil && rec.Tombstone != nil {
		err = ErrNoRoom
	}
	if err == nil && s.opts.Archive != nil {
		err = s.catchUp(ctx, rec)
	}
	if err != nil {
		return nil, fmt.Errorf("room %s: %w", room, err)
	}
	values := slices.Clone(s.defaults)
	s.schema.Load(values, rec.Settings, func(string, error) {})
	d := s.descriptor(room, values)
	v := &View{
		Info:     Info{JID: room, Name: d.Name, Subject: rec.Subject, Persistent: true, Public: d.Public, Created: rec.Created},
		Settings: s.schema.Shown(values),
	}
	v.Occupants, v.Awake = s.Inside(room)
	return v, nil
}

// Inside returns how many people are in a room, and whether it is in memory. It
// does not ask the room, which may hibernate, but what it has last said.
func (s *Service) Inside(room jid.JID) (occupants int, awake bool) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	r := s.rooms[room.Bare()]
	if r == nil {
		return 0, false
	}
	return int(r.inside.Load()), true
}

// Temporary returns the rooms that are not stored, but for those that wait for
// their configuration, ordered by local part.
func (s *Service) Temporary() []RoomDescriptor {
	s.mu.RLock()
	list := slices.Collect(maps.Values(s.listed))
	s.mu.RUnlock()
	slices.SortFunc(list, func(a, b RoomDescriptor) int { return compareJIDs(a.JID, b.JID) })
	return list
}

// Awake runs fn inside the room as Handle.Do does, but only if the room is in
// memory, which it reports.
func (s *Service) Awake(ctx context.Context, room jid.JID, fn func(*Room) error) (bool, error) {
	if err := s.checkCall(room); err != nil {
		return false, err
	}
	s.mu.RLock()
	r := s.rooms[room.Bare()]
	s.mu.RUnlock()
	if r == nil {
		return false, nil
	}
	c, result := &callCommand{fn: fn}, make(chan error, 1)
	c.done = func(err error) { result <- err }
	switch _, err := r.post(c, false); {
	case errors.Is(err, mailbox.ErrClosed):
		return false, nil
	case err != nil:
		return true, fmt.Errorf("room %s: %w", room, ErrBusy)
	}
	select {
	case err := <-result:
		return true, err
	case <-ctx.Done():
		return true, fmt.Errorf("room %s: %w", room, ctx.Err())
	}
}

// Occupied returns the addresses of rooms with people in them, ordered by local
// part.
func (s *Service) Occupied() []jid.JID {
	return s.awake(func(r *Room) bool { return r.inside.Load() > 0 })
}

// IsAdministrator reports whether somebody administers the service.
func (s *Service) IsAdministrator(j jid.JID) bool { return s.isAdmin(j) }

// LastUsed is when the use of the room was last noted while it has been in
// memory, to the hour; zero if it was not.
func (r *Room) LastUsed() time.Time {
	if r.usedAt == 0 {
		return time.Time{}
	}
	return time.Unix(r.usedAt, 0)
}
