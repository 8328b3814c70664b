package muc

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/muster-im/muster/jid"
	"github.com/muster-im/muster/stanza"
)

// Errors of handles.
var (
	// ErrBusy says that the room's mailbox is full.
	ErrBusy = errors.New("room is too busy")
	// ErrRoomExists says that a room is there already.
	ErrRoomExists = errors.New("room exists already")
	// ErrNoAddress says that a room cannot have that address.
	ErrNoAddress = errors.New("no address of a room")
)

// Handle is a room from outside. It is valid while the room sleeps, and safe
// for concurrent use. Its methods wait for the room; inside one (in a hook, or in
// the function that Do runs) they return ErrInRoom: use ev.Room there.
type Handle struct {
	svc *Service
	jid jid.JID
}

// Room returns a handle of a room that exists, ErrNoRoom if it does not. A
// sleeping room is woken to find out.
func (s *Service) Room(ctx context.Context, room jid.JID) (*Handle, error) {
	h := &Handle{s, room.Bare()}
	return h, h.Do(ctx, func(*Room) error { return nil })
}

// CreateRoom creates a room, unlocked and without an owner but what
// Options.Affiliations say; configure stages what is to be different from the
// defaults, and may be nil. It is stored before CreateRoom returns, if it is
// persistent; a room that is neither persistent nor entered ends at once.
func (s *Service) CreateRoom(ctx context.Context, room jid.JID, configure func(*Room) error) (*Handle, error) {
	if room.Local() == "" || room.DomainOnly() != s.domain || !room.IsBare() {
		return nil, fmt.Errorf("%w: %q is none of %s; give one like name@%s", ErrNoAddress, room, s.domain, s.domain)
	}
	if most := s.opts.MaxRoomID; most > 0 && len(room.Local()) > most {
		return nil, fmt.Errorf("%w: the name has %d bytes, %d are allowed", ErrNoAddress, len(room.Local()), most)
	}
	h := &Handle{s, room.Bare()}
	return h, h.call(ctx, &createCommand{configure: configure})
}

// JID returns the room's address.
func (h *Handle) JID() jid.JID { return h.jid }

// Do runs fn inside the room. What fn stages through the room's setters is
// committed and applied before Do returns; if fn returns an error, nothing is.
func (h *Handle) Do(ctx context.Context, fn func(*Room) error) error {
	return h.call(ctx, &callCommand{fn: fn})
}

// Change is Do for changes of affiliations: it refuses to leave the room without
// an owner, if it has one.
func (h *Handle) Change(ctx context.Context, fn func(*Room) error) error {
	return h.call(ctx, &callCommand{fn: fn, owned: true})
}

// SetAffiliation changes somebody's affiliation; see Room.SetAffiliation.
func (h *Handle) SetAffiliation(ctx context.Context, actor Actor, j jid.JID, a Affiliation, o AffiliationOptions) error {
	return h.Change(ctx, func(r *Room) error { return r.SetAffiliation(actor, j, a, o) })
}

// Destroy ends the room and tells everybody in it.
func (h *Handle) Destroy(ctx context.Context, reason string, alternative jid.JID) error {
	return h.Do(ctx, func(r *Room) error { return r.Destroy(System, reason, alternative) })
}

// Post says something as the room itself; see Room.Post.
func (h *Handle) Post(ctx context.Context, st stanza.Stanza) error {
	return h.Do(ctx, func(r *Room) error { return r.Post(st) })
}

// call posts a command and waits for its end.
func (h *Handle) call(ctx context.Context, c command) error {
	if err := h.svc.checkCall(h.jid); err != nil {
		return err
	}
	result := make(chan error, 1)
	c.base().done = func(err error) { result <- err }
	if _, err := h.svc.post(h.jid, c, false); err != nil {
		return fmt.Errorf("room %s: %w", h.jid, ErrBusy)
	}
	select {
	case err := <-result:
		return err
	case <-ctx.Done():
		return fmt.Errorf("room %s: %w: it has much to do, or a hook waits in it for what belongs into ev.Defer", h.jid, ctx.Err())
	}
}

// callCommand is a function from outside.
type callCommand struct {
	request
	fn    func(*Room) error
	owned bool // an owner must remain
}

func (c *callCommand) decide(r *Room) error {
	switch {
	case !r.exists:
		return fmt.Errorf("%w: %s; Service.CreateRoom makes one", ErrNoRoom, r.jid)
	case c.fn == nil:
		return fmt.Errorf("room %s: nothing to run: the function is nil", r.jid)
	}
	err := c.fn(r)
	if err == nil && c.owned {
		err = r.checkOwnerRemains()
	}
	return err
}

func (c *callCommand) stranger() {}

func (c *callCommand) apply(*Room) {}

// createCommand creates a room for code.
type createCommand struct {
	request
	configure func(*Room) error
	begun     bool
}

// undo takes back what decide had to begin so that configure could work on it.
func (c *createCommand) undo(r *Room) {
	if c.begun {
		r.making = false
		r.end()
	}
}

func (c *createCommand) decide(r *Room) error {
	if r.exists {
		return fmt.Errorf("%w: %s; Service.Room finds it", ErrRoomExists, r.jid)
	}
	r.begin(r.svc.now())
	c.begun, r.making = true, true
	for _, rec := range r.svc.opts.Affiliations {
		r.setRecord(rec)
	}
	if text := r.svc.opts.Subject.Text; text != "" {
		r.subject = Subject{Text: text, Author: r.svc.opts.subjectAuthor(r.jid), Time: r.created}
	}
	r.locked = true
	if c.configure != nil {
		if err := c.configure(r); err != nil {
			return err
		}
	}
	r.staged.unlock = true
	return nil
}

func (c *createCommand) stranger() {}

func (c *createCommand) apply(r *Room) {
	r.making = false
	r.notify(r.svc.hooks.RoomCreated.Run(&r.watch, &RoomEvent{r}))
}

// Info is a room as it stands.
type Info struct {
	JID        jid.JID
	Name       string
	Subject    Subject
	Persistent bool
	Public     bool
	Occupants  int
	Created    time.Time
}

// Info returns the room as it stands.
func (h *Handle) Info(ctx context.Context) (Info, error) {
	var info Info
	err := h.Do(ctx, func(r *Room) error {
		info = r.info()
		return nil
	})
	return info, err
}

func (r *Room) info() Info {
	return Info{r.jid, r.Name(), r.Subject(), r.Persistent(), r.Public(), len(r.occupants), r.created}
}
