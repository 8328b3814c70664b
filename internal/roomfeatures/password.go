package roomfeatures

import (
	"context"
	"crypto/subtle"

	"github.com/muster-im/muster/jid"
	"github.com/muster-im/muster/muc"
	"github.com/muster-im/muster/stanza"
)

// password asks everybody who enters for the room's password (XEP-0045
// §7.2.5). It is checked last, so that nobody who may not enter anyway learns
// whether he knows it. With a service that decides, the password that the room's
// owners have set does not count.
type password struct {
	service *PasswordService   // nil: there is none
	may     func(jid.JID) bool // switch whether a password is needed; nil: all owners
	secret  *muc.Field[string]
	on      *muc.Field[bool]
}

// of returns the password that is needed to enter r, "" if none is, or nobody
// here knows it.
func (f *password) of(r *muc.Room) string {
	if !f.on.Get(r) || f.service != nil {
		return ""
	}
	return f.secret.Get(r)
}

func (f *password) Register(h *muc.Hooks) {
	secret := muc.NewTextField(h, muc.FieldSpec{
		Var: "muc#roomconfig_roomsecret", Section: muc.SectionAccess, Order: 30, Label: "Password", Private: true, Max: 1023,
	}, "")
	on := muc.NewBoolField(h, muc.FieldSpec{
		Var: "muc#roomconfig_passwordprotectedroom", Section: muc.SectionAccess, Order: 20, Label: "A password is needed to enter",
		Allowed: func(_ *muc.Room, actor muc.Actor) bool { return f.mayProtect(actor) },
	}, false)
	f.secret, f.on = secret, on
	// Who needs the password to get in does not read from outside (XEP-0313 §6.1.2).
	h.MayRead.Add("password", 0, func(q *muc.ReadQuestion) (bool, bool) {
		return false, on.Get(q.Room) && q.Affiliation < muc.Member
	})
	h.BeforeConfigure.Add("password", 0, func(ev *muc.ConfigureEvent) error {
		switch { // a client that sends only one of the two means both
		case f.service != nil: // there is nothing that the owners have to set
		case ev.Submitted(secret.Key()) && !ev.Submitted(on.Key()) && f.mayProtect(ev.Actor):
			on.Set(ev.Room, secret.Get(ev.Room) != "")
		case on.Get(ev.Room) && secret.Get(ev.Room) == "":
			return muc.RefuseField(secret.Key(), stanza.NewError(stanza.Modify, stanza.NotAcceptable, "a protected room needs a password."))
		}
		return nil
	})
	h.BeforeJoin.Add("password", muc.PriorityPassword, f.check)
	h.Disco.Add("password", 0, func(ev *muc.DiscoEvent) {
		ev.Feature(either(on.Get(ev.Room), "muc_passwordprotected", "muc_unsecured"))
	})
}

// mayProtect reports whether somebody may switch whether a password is needed.
func (f *password) mayProtect(actor muc.Actor) bool {
	return actor == muc.System || f.may == nil || f.may(actor.JID())
}

// check asks for the password, also who creates a room by default settings that
// want one.
func (f *password) check(ev *muc.JoinEvent) error {
	if !f.on.Get(ev.Room) || ev.Room.IsAdministrator(ev.RealJID) {
		return nil
	}
	given := ev.Join().Child(stanza.NSMUC, "password")
	switch {
	case given == nil:
	case f.service != nil:
		from, to, pass := ev.RealJID, ev.Room.JID(), given.Text()
		return ev.Defer(func(ctx context.Context) error { return f.service.check(ctx, from, to, pass) })
	case subtle.ConstantTimeCompare([]byte(given.Text()), []byte(f.secret.Get(ev.Room))) == 1:
		return nil
	}
	return stanza.NewError(stanza.Auth, stanza.NotAuthorized, "The room's password is needed to enter.").Because(muc.ReasonPassword)
}
