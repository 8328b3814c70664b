package roomfeatures

import (
	"fmt"
	"slices"
	"strings"

	"github.com/muster-im/muster/hook"
	"github.com/muster-im/muster/muc"
	"github.com/muster-im/muster/stanza"
)

// byCode stages all hats that somebody wears, and that the room has them.
func (f *hats) byCode(ev *muc.HatsEvent) error {
	switch {
	case ev.RealJID.Local() == "":
		return stanza.NewError(stanza.Modify, stanza.JIDMalformed, "People wear hats: give the address of an account.")
	case !f.on.Get(ev.Room):
		return stanza.NewError(stanza.Cancel, stanza.NotAllowed, "Nobody wears hats in this room: its setting enable_hats is off.")
	}
	defined := slices.Clone(f.of(ev.Room))
	wanted := make(map[string]bool, len(ev.Hats))
	for _, one := range ev.Hats {
		h := hat(one)
		h.Title = strings.TrimSpace(h.Title)
		if err := h.check(); err != nil {
			return stanza.NewError(stanza.Modify, stanza.BadRequest, err.Error())
		}
		wanted[h.URI] = true
		if i := slices.IndexFunc(defined, func(old hat) bool { return old.URI == h.URI }); i >= 0 {
			defined[i] = h
		} else {
			defined = append(defined, h)
		}
	}
	if len(defined) > maxHats {
		return stanza.NewError(stanza.Wait, stanza.ResourceConstraint, fmt.Sprintf("A room may have %d hats.", maxHats))
	}
	before := f.defined.Get(ev.Room)
	if err := f.set(ev.Room, defined); err != nil {
		return err
	}
	ev.Changed = f.defined.Get(ev.Room) != before
	for _, h := range defined {
		ev.Changed = setHat(ev.Room, ev.RealJID, h.URI, wanted[h.URI]) || ev.Changed
	}
	return hook.Handled
}
