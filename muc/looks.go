package muc

import (
	"context"
	"errors"

	"github.com/muster-im/muster/hook"
	"github.com/muster-im/muster/jid"
	"github.com/muster-im/muster/stanza"
)

// Hat is a title that somebody wears in a room, for show (XEP-0317).
type Hat struct {
	URI, Title string
	Hue        string // an angle from 0 to 360; "": clients choose
}

// HatsEvent asks for the hats that somebody is to wear.
type HatsEvent struct {
	Event
	RealJID jid.JID // bare
	Hats    []Hat   // all of them
	Changed bool    // for who does it to say
}

// AvatarEvent asks for another picture of the room.
type AvatarEvent struct {
	Event
	Image   []byte // nil: none
	Type    string // image/png and the like
	Changed bool   // for who does it to say
}

// SetHats stages which hats somebody wears, none with an empty list; those that the
// room does not have yet, or by another title, it gets. It reports whether
// anything differs. Only owners may do so (XEP-0317 §3.5).
func (r *Room) SetHats(actor Actor, who jid.JID, hats ...Hat) (changed bool, err error) {
	ev := &HatsEvent{Event: r.detached(), RealJID: who.Bare(), Hats: hats}
	err = r.asOwner(actor, "hats", func() error { return r.svc.hooks.SetHats.Run(&r.watch, ev) })
	return ev.Changed && err == nil, err
}

// SetAvatar stages a picture of the room, which has a vCard with nothing else then;
// without an image it has none. It reports whether the picture differs. Only
// owners may do so (XEP-0486 §3.2).
func (r *Room) SetAvatar(actor Actor, image []byte, mime string) (changed bool, err error) {
	ev := &AvatarEvent{Event: r.detached(), Image: image, Type: mime}
	err = r.asOwner(actor, "pictures", func() error { return r.svc.hooks.SetAvatar.Run(&r.watch, ev) })
	return ev.Changed && err == nil, err
}

func (r *Room) detached() Event { return Event{Room: r, req: &request{detached: true}} }

// asOwner lets a feature do what only owners may; the feature says that it has by
// hook.Handled.
func (r *Room) asOwner(actor Actor, what string, do func() error) error {
	if !actor.system && r.Affiliation(actor.jid) < Owner {
		return stanza.NewError(stanza.Auth, stanza.Forbidden, "Only owners may change the "+what+" of the room.").Because(ReasonRank)
	}
	switch err := do(); {
	case errors.Is(err, hook.Handled):
		return nil
	case err != nil:
		return err
	}
	return stanza.NewError(stanza.Cancel, stanza.FeatureNotImplemented, "Rooms of this service have no "+what+".")
}

// SetHats changes which hats somebody wears; see Room.SetHats.
func (h *Handle) SetHats(ctx context.Context, actor Actor, who jid.JID, hats ...Hat) (changed bool, err error) {
	return h.change(ctx, func(r *Room) (bool, error) { return r.SetHats(actor, who, hats...) })
}

// SetAvatar changes the picture of the room; see Room.SetAvatar.
func (h *Handle) SetAvatar(ctx context.Context, actor Actor, image []byte, mime string) (changed bool, err error) {
	return h.change(ctx, func(r *Room) (bool, error) { return r.SetAvatar(actor, image, mime) })
}

func (h *Handle) change(ctx context.Context, fn func(*Room) (bool, error)) (changed bool, err error) {
	err = h.Do(ctx, func(r *Room) (err error) {
		changed, err = fn(r)
		return err
	})
	return changed && err == nil, err
}
