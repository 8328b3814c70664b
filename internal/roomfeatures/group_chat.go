package roomfeatures

import (
	"slices"
	"strings"

	"github.com/muster-im/muster/muc"
	"github.com/muster-im/muster/stanza"
)

// GroupChats keeps the rooms of groups what the groups want them to be: who has
// an affiliation there is decided by the group alone, and so are the settings
// without which the room would not be the group's. Whoever tries something else
// is refused, owners and administrators too; to be sure, moderators have all that
// comes with their role. It is not among All.
type GroupChats struct {
	// Gone, if set, is told of a group whose room has been destroyed. It must not
	// block.
	Gone func(group string)

	group  *muc.Field[string]
	acting *muc.Slot[bool]
}

// fieldGroup is the stored key of the group that a room belongs to.
const fieldGroup = "muster#group"

// groupSettings are what the room of a group is, by form variable.
func groupSettings() map[string]string {
	return map[string]string{
		muc.FieldPersistent:                    "1",
		muc.FieldPublic:                        "0",
		muc.FieldWhois:                         "anyone",
		"muc#roomconfig_membersonly":           "1",
		"muc#roomconfig_moderatedroom":         "0",
		"muc#roomconfig_passwordprotectedroom": "0",
		// Nobody can become a member here, so nobody is asked to make somebody one.
		"muc#roomconfig_allowinvites": "0",
		"allow_unaffiliated_register": registerAffiliated,
	}
}

// Register implements muc.Extension.
func (f *GroupChats) Register(h *muc.Hooks) {
	f.group = muc.NewTextField(h, muc.FieldSpec{Var: fieldGroup}, "")
	f.acting = muc.NewSlot[bool](h)
	h.BeforeSetAffiliation.Add("group chats", 0, func(ev *muc.AffiliationEvent) error {
		if !f.guards(ev.Room) || ev.From == ev.To || ev.From <= muc.None && ev.To <= muc.None {
			return nil
		}
		return stanza.NewError(stanza.Cancel, stanza.NotAllowed, "This is the chat of a group: who belongs to it is decided there.").Because(muc.ReasonGroup)
	})
	h.BeforeConfigure.Add("group chats", 0, func(ev *muc.ConfigureEvent) error {
		if !f.guards(ev.Room) {
			return nil
		}
		return f.check(ev.Room)
	})
	h.BeforeDestroy.Add("group chats", 0, func(ev *muc.DestroyEvent) error {
		if !f.guards(ev.Room) {
			return nil
		}
		return stanza.NewError(stanza.Cancel, stanza.NotAllowed, "This is the chat of a group, which alone may delete it.").Because(muc.ReasonGroup)
	})
	h.Destroyed.Add("group chats", 0, func(ev *muc.DestroyEvent) {
		if group := f.group.Get(ev.Room); group != "" && f.Gone != nil {
			f.Gone(group)
		}
	})
}

// guards reports whether a room is a group's, and somebody else is acting.
func (f *GroupChats) guards(r *muc.Room) bool { return f.group.Get(r) != "" && !*f.acting.In(r) }

// check refuses settings that a group's room cannot have.
func (f *GroupChats) check(r *muc.Room) error {
	settings := r.Settings()
	for variable, want := range groupSettings() {
		if have, ok := settings[variable]; ok && !slices.Equal(have, []string{want}) {
			return muc.RefuseField(variable, stanza.NewError(stanza.Modify, stanza.NotAcceptable, "This is the chat of a group, which has decided that.").Because(muc.ReasonGroup))
		}
	}
	return nil
}

// Act runs fn, inside r, in the name of a group, to which the room belongs from
// then on. Nothing else makes a room a group's.
func (f *GroupChats) Act(r *muc.Room, group string, fn func() error) error {
	acting := f.acting.In(r)
	*acting = true
	defer func() { *acting = false }()
	if group != "" {
		f.group.Set(r, group)
	}
	return fn()
}

// Configure stages what the room of a group is, and what else values say, by form
// variable.
func (f *GroupChats) Configure(r *muc.Room, values map[string]string) error {
	all := make(map[string][]string)
	for _, settings := range []map[string]string{groupSettings(), values} {
		for variable, value := range settings {
			all[variable] = []string{value}
		}
	}
	_, err := r.Configure(muc.System, all)
	return err
}

// Of returns the id of the group that a room belongs to, "" if it is nobody's.
func (f *GroupChats) Of(r *muc.Room) string { return f.group.Get(r) }

// OfRecord returns the id of the group that a stored room belongs to.
func (f *GroupChats) OfRecord(rec *muc.RoomRecord) string {
	return strings.Join(rec.Settings[fieldGroup], "")
}

// IsGroups reports whether a stored room is what the room of a group is.
func (f *GroupChats) IsGroups(rec *muc.RoomRecord, group string) bool {
	if f.OfRecord(rec) != group {
		return false
	}
	for variable, want := range groupSettings() {
		if have, ok := rec.Settings[variable]; ok && !slices.Equal(have, []string{want}) {
			return false
		}
	}
	return true
}
