package muc_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"maps"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/muster-im/muster/hook"
	"github.com/muster-im/muster/internal/roomfeatures"
	"github.com/muster-im/muster/jid"
	"github.com/muster-im/muster/muc"
	"github.com/muster-im/muster/stanza"
)

// coven returns the handle of the room that open makes.
func (w *world) coven() *muc.Handle {
	w.t.Helper()
	h, err := w.Room(w.t.Context(), jid.MustParse("coven@conf.test"))
	if err != nil {
		w.t.Fatal(err)
	}
	return h
}

// inside runs fn inside the room.
func (w *world) inside(fn func(r *muc.Room) error) {
	w.t.Helper()
	if err := w.coven().Do(w.t.Context(), fn); err != nil {
		w.t.Error(err)
	}
}

// only is something whose error the test does not expect.
func only[T any](t *testing.T) func(v T, err error) T {
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Error(err)
		}
		return v
	}
}

// TestRoomsByCode: a room from creation to destruction by code alone.
func TestRoomsByCode(t *testing.T) {
	store := &cabinet{}
	run(t, muc.Options{Store: store}, func(w *world) {
		ctx, place := w.t.Context(), jid.MustParse("coven@conf.test")
		if _, err := w.Room(ctx, place); !errors.Is(err, muc.ErrNoRoom) {
			t.Errorf("no room yet: %v", err)
		}
		h, err := w.CreateRoom(ctx, place, func(r *muc.Room) error {
			_, err := r.Configure(muc.System, map[string][]string{muc.FieldPersistent: {"1"}, muc.FieldPublic: {"0"}})
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.CreateRoom(ctx, place, nil); !errors.Is(err, muc.ErrRoomExists) {
			t.Errorf("twice: %v", err)
		}
		if h.JID() != place || store.rooms[place].JID != place {
			t.Errorf("created %s, stored %v", h.JID(), store.rooms)
		}
		w.inside(func(r *muc.Room) error {
			if r.JID() != place || r.Public() || !r.Persistent() || r.Locked() || r.Settings()["muc#roomconfig_historylength"][0] != "20" {
				t.Errorf("it is %v", r.Settings())
			}
			return nil
		})
		var live, all []jid.JID
		for room := range w.LiveRooms() {
			live = append(live, room.JID())
		}
		for d, err := range w.Rooms(ctx) {
			all = append(all, d.JID)
			if err != nil {
				t.Error(err)
			}
		}
		if !slices.Equal(live, []jid.JID{place}) || !slices.Equal(all, live) {
			t.Errorf("live %v, all %v", live, all)
		}
		w.send(enter("ben"))
		w.take("ben@test/r")
		w.inside(func(r *muc.Room) error {
			r.RemoveOccupants(slices.Collect(r.Occupants()), 307, muc.System, "Out.")
			return nil
		})
		w.expect("ben@test/r", "<status code='307'/>", "Out.")
		w.send(enter("ben"))
		w.take("ben@test/r")
		if err := h.Destroy(ctx, "Over.", jid.MustParse("next@conf.test")); err != nil {
			t.Error(err)
		}
		w.expect("ben@test/r", "<destroy jid='next@conf.test'", "Over.")
		if err := h.Do(ctx, func(*muc.Room) error { return nil }); !errors.Is(err, muc.ErrNoRoom) {
			t.Errorf("destroyed: %v", err)
		}
	})
}

// TestHandlesOutliveSleep: what a handle does wakes the room that it is of.
func TestHandlesOutliveSleep(t *testing.T) {
	run(t, sleepy(muc.Hibernation{EmptyAfter: time.Minute}), func(w *world) {
		w.open()
		h := w.coven()
		w.send(leaveAnna)
		time.Sleep(time.Hour)
		w.population(muc.Population{})
		if changed, err := h.Set(w.t.Context(), muc.System, muc.FieldName, "Dreams"); err != nil || !changed {
			t.Errorf("asleep: %v, %v", changed, err)
		}
		time.Sleep(time.Hour)
		if info, err := h.Info(w.t.Context()); err != nil || info.Name != "Dreams" {
			t.Errorf("after another sleep: %+v, %v", info, err)
		}
	})
}

// TestGetters: what a setting means is what its getter says.
func TestGetters(t *testing.T) {
	run(t, muc.Options{}, func(w *world) {
		w.open()
		values := map[string][]string{
			muc.FieldName: {"Cave"}, muc.FieldDescription: {"Dark"}, muc.FieldLanguage: {"sv"}, muc.FieldPersistent: {"1"},
			muc.FieldPublic: {"0"}, muc.FieldWhois: {"anyone"}, muc.FieldMaxUsers: {"7"},
		}
		only[[]string](t)(w.coven().Configure(w.t.Context(), muc.System, values))
		w.inside(func(r *muc.Room) error {
			if r.Name() != "Cave" || !r.Persistent() || r.Public() || !r.NonAnonymous() {
				t.Errorf("it is %v", r.Settings())
			}
			for variable, want := range values {
				if got := r.Settings()[variable]; !slices.Equal(got, want) {
					t.Errorf("%s is %v, want %v", variable, got, want)
				}
			}
			return nil
		})
	})
}

// TestSubjectByCode: it is set, sent and reported, in rooms with an archive and
// without.
func TestSubjectByCode(t *testing.T) {
	run(t, muc.Options{}, func(w *world) {
		w.open("ben")
		h, ctx := w.coven(), w.t.Context()
		set := func(actor muc.Actor, text string, want bool) {
			t.Helper()
			if changed, err := h.SetSubject(ctx, actor, text); err != nil || changed != want {
				t.Errorf("subject %q: changed %v, %v, want %v", text, changed, err, want)
			}
			if info := only[muc.Info](t)(h.Info(ctx)); info.Subject.Text != text {
				t.Errorf("subject is %q, want %q", info.Subject.Text, text)
			}
		}
		set(muc.System, "Night", true)
		w.expect("ben@test/r", "from='coven@conf.test'", "<subject>Night</subject>")
		set(muc.System, "Night", false)
		w.expectNothing("ben@test/r")
		set(muc.By(jid.MustParse("anna@test/r")), "Day", true)
		w.expect("ben@test/r", "from='coven@conf.test/anna'", "<subject>Day</subject>")
		only[bool](t)(h.Set(ctx, muc.System, muc.FieldChangeSubject, "0"))
		if changed, err := h.SetSubject(ctx, muc.By(jid.MustParse("ben@test/r")), "Mine"); stanza.AsError(err) == nil || changed {
			t.Errorf("ben changes the subject: %v, %v", changed, err)
		}
		post := stanza.Stanza{}.With(stanza.NewElement(stanza.NSClient, "subject").AddText("Dawn"))
		if err := h.Post(ctx, post); err != nil {
			t.Error(err)
		}
		w.inside(func(r *muc.Room) error {
			if s := r.Subject(); s.Text != "Dawn" || s.Author != r.JID() {
				t.Errorf("posted: the subject is %+v", s)
			}
			return nil
		})
	})
}

// TestOwnSettings: settings of an extension stand in the form in their place, are
// checked whole, and hidden from those who may not set them.
func TestOwnSettings(t *testing.T) {
	var on *muc.Field[bool]
	said := ""
	x := extension(func(h *muc.Hooks) {
		spec := func(name string, order int) muc.FieldSpec {
			return muc.FieldSpec{Var: name, Section: muc.SectionOther, Order: 1000 + order, Label: name}
		}
		choices := spec("x-choice", 4)
		choices.Choices = []stanza.Option{{Value: "a"}, {Value: "b"}}
		several, secret := choices, spec("x-secret", 6)
		several.Var, several.Order = "x-several", 1005
		secret.Allowed = func(_ *muc.Room, actor muc.Actor) bool { return actor == muc.System }
		announced := spec("x-on", 1)
		announced.Announce = func(*muc.Room) int { return muc.StatusLoggingOn }
		muc.NewIntField(h, spec("x-number", 3), 1)
		muc.NewTextField(h, spec("x-text", 2), "")
		on = muc.NewBoolField(h, announced, false)
		muc.NewChoiceField(h, choices, "a")
		muc.NewChoicesField(h, several, "")
		muc.NewBoolField(h, secret, false)
		muc.AddComputed(h, spec("x-computed", 7), stanza.FieldTextSingle, muc.Computed{
			Get: func(*muc.Room) []string { return []string{said} },
			Set: func(_ *muc.Room, _ muc.Actor, values []string) error { said = strings.Join(values, ""); return nil },
		})
		h.BeforeConfigure.Add("x", 0, func(ev *muc.ConfigureEvent) error {
			if ev.Submitted("x-number") && ev.Room.Settings()["x-number"][0] == "13" {
				return muc.RefuseField("x-number", errors.New("bad luck"))
			}
			return nil
		})
		h.Configured.Add("x", 0, func(ev *muc.ConfiguredEvent) {
			if ev.Changed(on.Key()) && on.Get(ev.Room) {
				ev.Room.Broadcast(stanza.Stanza{Kind: stanza.Message, ID: "works"}, nil)
			}
		})
	})
	run(t, muc.Options{Extensions: []muc.Extension{x}}, func(w *world) {
		w.open()
		w.inside(func(r *muc.Room) error {
			var vars []string
			for _, f := range r.Form(muc.By(jid.MustParse("anna@test/r"))).Fields {
				if strings.HasPrefix(f.Var, "x-") {
					vars = append(vars, f.Var)
				}
			}
			if want := []string{"x-on", "x-text", "x-number", "x-choice", "x-several", "x-computed"}; !slices.Equal(vars, want) {
				t.Errorf("the form has %v, want %v", vars, want)
			}
			return nil
		})
		ctx, anna := w.t.Context(), muc.By(jid.MustParse("anna@test/r"))
		for variable, bad := range map[string]string{"x-choice": "c", "x-number": "13", "x-on": "perhaps", "x-secret": "1"} {
			_, err := w.coven().Configure(ctx, anna, map[string][]string{variable: {bad}, "x-text": {"changed"}})
			if f, ok := errors.AsType[*muc.FieldError](err); !ok || f.Var != variable {
				t.Errorf("%s = %s: %v, want an error of the field", variable, bad, err)
			}
		}
		changed := only[[]string](t)(w.coven().Configure(ctx, anna, map[string][]string{
			"x-on": {"1"}, "x-several": {"b", "a"}, "x-number": {"1"}, "x-computed": {"hello"},
		}))
		if !slices.Equal(changed, []string{"x-on", "x-several"}) || said != "hello" {
			t.Errorf("changed %v, computed %q", changed, said)
		}
		w.expect("anna@test/r", "<status code='170'/>", "id='works'")
	})
}

// TestOccupantsByCode: who is in the room, with which clients, and who is put
// there by code.
func TestOccupantsByCode(t *testing.T) {
	bot := jid.MustParse("bot@test/one")
	runWith(t, muc.Options{}, roomfeatures.Options{HistorySize: 20, OccupantIDKey: []byte("key")}, func(w *world) {
		w.open("ben")
		h, ctx := w.coven(), w.t.Context()
		away := stanza.Stanza{Kind: stanza.Presence}.With(stanza.NewElement(stanza.NSClient, "show").AddText("away"))
		spec := muc.OccupantSpec{Nick: "Robot", Role: muc.Moderator, Sessions: []muc.SessionSpec{
			{RealJID: bot}, {RealJID: jid.MustParse("bot@test/two"), Presence: &away, Primary: true},
		}}
		if err := h.SaveOccupant(ctx, spec); err != nil {
			t.Fatal(err)
		}
		w.expect("anna@test/r", "from='coven@conf.test/Robot'", "role='moderator'", "<show>away</show>", "jid='bot@test/two'")
		w.expect(bot.String(), "from='coven@conf.test/ben'", "<status code='110'/>", "<subject/>")
		w.inside(func(r *muc.Room) error {
			o := r.Occupant("Robot")
			if s := r.Session(bot); s == nil || s.Occupant() != o || s.RealJID() != bot || r.NumOccupants() != 3 {
				t.Errorf("the bot's session is %v of %d occupants", s, r.NumOccupants())
			}
			var sessions []string
			for s := range o.Sessions() {
				sessions = append(sessions, s.RealJID().Resource())
				want := map[string]string{"two": "away"}[s.RealJID().Resource()]
				if p := s.Presence(); p.Kind != stanza.Presence || p.From != o.JID() || p.ChildText(stanza.NSClient, "show") != want {
					t.Errorf("%s has said %s, want to be %q", s.RealJID(), p.AppendXML(nil), want)
				}
			}
			if o.Nick() != "Robot" || o.JID().String() != "coven@conf.test/Robot" || o.RealJID() != bot.Bare() || o.Role() != muc.Moderator ||
				!slices.Equal(sessions, []string{"two", "one"}) {
				t.Errorf("it is %s, %s, %s, %s with %v", o.Nick(), o.JID(), o.RealJID(), o.Role(), sessions)
			}
			if !r.MaySeeRealJIDs(bot) || r.MaySeeRealJIDs(jid.MustParse("ben@test/r")) {
				t.Error("moderators alone see real addresses")
			}
			if id := r.OccupantID(bot); id == "" || id != r.OccupantID(bot.Bare()) || id == r.OccupantID(jid.MustParse("ben@test")) {
				t.Errorf("occupant id %q", id)
			}
			return nil
		})
		list := slices.Collect(only[iter.Seq[muc.OccupantInfo]](t)(h.Occupants(ctx)))
		if len(list) != 3 || list[0].Nick != "Robot" || list[0].ID == "" || only[muc.Info](t)(h.Info(ctx)).Occupants != 3 {
			t.Errorf("occupants %+v", list)
		}
		w.take("anna@test/r")
		if err := errors.Join(h.ChoosePrimary(ctx, bot), h.SetRole(ctx, muc.System, "Robot", muc.Visitor, "")); err != nil {
			t.Error(err)
		}
		w.expect("anna@test/r", "jid='bot@test/one'", "role='visitor'")
		if err := h.RemoveSession(ctx, bot); err != nil {
			t.Error(err)
		}
		w.expect("anna@test/r", "jid='bot@test/two'")
		w.expect(bot.String(), "type='unavailable'")
		if err := h.RemoveSession(ctx, jid.MustParse("bot@test/two")); err != nil {
			t.Error(err)
		}
		w.expect("anna@test/r", "from='coven@conf.test/Robot'", "type='unavailable'")
		w.send(say("bot", "anybody?"))
		w.expect("bot@test/r", "not-acceptable")
		for name, bad := range map[string]muc.OccupantSpec{
			"no session":          {Nick: "x"},
			"blank":               {Nick: " ", Sessions: []muc.SessionSpec{{RealJID: bot}}},
			"somebody's nickname": {Nick: "ben", Sessions: []muc.SessionSpec{{RealJID: bot}}},
			"bare":                {Nick: "x", Sessions: []muc.SessionSpec{{RealJID: bot.Bare()}}},
			"two accounts":        {Nick: "x", Sessions: []muc.SessionSpec{{RealJID: bot}, {RealJID: jid.MustParse("eve@test/r")}}},
			"under another":       {Nick: "x", Sessions: []muc.SessionSpec{{RealJID: jid.MustParse("ben@test/r")}}},
			"no role":             {Nick: "x", Role: 9, Sessions: []muc.SessionSpec{{RealJID: bot}}},
		} {
			if err := h.SaveOccupant(ctx, bad); stanza.AsError(err) == nil || stanza.AsError(err).Text == "" {
				t.Errorf("%s: %v, want an error that says why", name, err)
			}
		}
		for _, call := range []func(context.Context, jid.JID) error{h.RemoveSession, h.ChoosePrimary} {
			if err := call(ctx, bot); stanza.AsError(err) == nil || !strings.Contains(err.Error(), "bot@test/one") {
				t.Errorf("of one who has gone: %v", err)
			}
		}
	})
}

// TestRouting: to everybody, to some, to one, as the room.
func TestRouting(t *testing.T) {
	run(t, muc.Options{}, func(w *world) {
		w.open("ben")
		message := func(id string) stanza.Stanza {
			return stanza.Stanza{Kind: stanza.Message, Type: stanza.TypeGroupchat, ID: id}.With(stanza.NewElement(stanza.NSClient, "body").AddText(id))
		}
		w.inside(func(r *muc.Room) error {
			r.Broadcast(message("all"), nil)
			r.Broadcast(message("moderators"), func(o *muc.Occupant) bool { return o.Role() == muc.Moderator })
			r.SendToOccupant(r.Occupant("ben"), message("one"))
			r.SendTo(r.Session(jid.MustParse("ben@test/r")), message("client"))
			r.Announce(r.Occupant("anna"))
			return r.Post(message("said"))
		})
		if err := w.coven().Post(w.t.Context(), message("posted")); err != nil {
			t.Error(err)
		}
		ids := func(who string) (list []string) {
			for _, xml := range w.take(who) {
				st, err := stanza.Parse([]byte(xml))
				if err != nil {
					t.Fatal(err)
				}
				list = append(list, st.Body())
			}
			slices.Sort(list)
			return list
		}
		if got := ids("anna@test/r"); !slices.Equal(got, []string{"", "all", "moderators", "posted", "said"}) {
			t.Errorf("anna got %q", got)
		}
		if got := ids("ben@test/r"); !slices.Equal(got, []string{"", "all", "client", "one", "posted", "said"}) {
			t.Errorf("ben got %q", got)
		}
		w.send(enter("chloe"))
		if got := strings.Join(w.take("chloe@test/r"), ""); !strings.Contains(got, "said") || strings.Contains(got, "moderators") {
			t.Errorf("history %s", got)
		}
	})
}

// TestAffiliationsByCode: with the rules for an actor, without for the program.
func TestAffiliationsByCode(t *testing.T) {
	anna, ben, dora := jid.MustParse("anna@test/r"), jid.MustParse("ben@test/r"), jid.MustParse("dora@test")
	run(t, muc.Options{}, func(w *world) {
		w.open("ben")
		h, ctx := w.coven(), w.t.Context()
		o := muc.AffiliationOptions{Reason: "Why not.", Nick: "Dora"}
		if err := h.SetAffiliation(ctx, muc.By(ben), dora, muc.Member, o); stanza.AsError(err) == nil {
			t.Errorf("ben makes members: %v", err)
		}
		if err := h.SetAffiliation(ctx, muc.By(anna), dora, muc.Member, o); err != nil {
			t.Error(err)
		}
		if err := h.SetAffiliation(ctx, muc.System, anna, muc.None, muc.AffiliationOptions{}); stanza.AsError(err) == nil {
			t.Error("the last owner is gone")
		}
		if err := h.SetAffiliation(ctx, muc.System, jid.MustParse("evil.test"), muc.Outcast, muc.AffiliationOptions{}); err != nil {
			t.Error(err)
		}
		w.inside(func(r *muc.Room) error {
			r.SetAffiliationData(dora, "shoe", "38")
			if r.AffiliationData(dora, "shoe") != "38" || r.Affiliation(dora) != muc.Member || r.Affiliation(jid.MustParse("x@evil.test/r")) != muc.Outcast {
				t.Errorf("dora is %s", r.Affiliation(dora))
			}
			if e := r.Entry(dora); e.Nick != "Dora" || e.Reason != "Why not." {
				t.Errorf("her entry is %+v", e)
			}
			if r.MayReserve(ben, "dora") == nil || r.MayReserve(dora, "dora") != nil {
				t.Error("the nickname is not reserved for her")
			}
			if r.DefaultRole(anna, muc.Owner) != muc.Moderator || r.DefaultRole(ben, muc.None) != muc.Participant {
				t.Error("default roles")
			}
			return r.SetAffiliation(muc.System, dora, muc.Admin, muc.AffiliationOptions{})
		})
		list := slices.Collect(only[iter.Seq[muc.AffiliationRecord]](t)(h.Affiliations(ctx)))
		if len(list) != 3 || list[2].JID != dora || list[2].Affiliation != muc.Admin || list[2].Data["shoe"] != "38" {
			t.Errorf("entries %+v", list)
		}
		w.inside(func(r *muc.Room) error {
			if n := len(slices.Collect(r.Affiliations())); n != 3 {
				t.Errorf("%d entries inside", n)
			}
			return nil
		})
		for says, err := range map[string]error{
			"no affiliation Affiliation(9)": h.SetAffiliation(ctx, muc.System, dora, 9, muc.AffiliationOptions{}),
			"needs an address":              h.SetAffiliation(ctx, muc.System, jid.JID{}, muc.Member, muc.AffiliationOptions{}),
		} {
			if stanza.AsError(err) == nil || !strings.Contains(err.Error(), says) {
				t.Errorf("%v, want an error that says %q", err, says)
			}
		}
	})
}

// TestRolesByCode: likewise.
func TestRolesByCode(t *testing.T) {
	anna, ben := jid.MustParse("anna@test/r"), jid.MustParse("ben@test/r")
	run(t, muc.Options{}, func(w *world) {
		w.open("ben", "chloe")
		h, ctx := w.coven(), w.t.Context()
		if err := h.SetRole(ctx, muc.By(ben), "chloe", muc.RoleNone, ""); stanza.AsError(err) == nil {
			t.Error("ben kicks")
		}
		if err := h.SetRole(ctx, muc.By(anna), "ben", muc.Moderator, "Help."); err != nil {
			t.Error(err)
		}
		w.expect("chloe@test/r", "role='moderator'", "Help.")
		w.inside(func(r *muc.Room) error {
			if r.Occupant("ben").Role() != muc.Moderator {
				t.Error("ben is none")
			}
			if err := r.SetRole(muc.System, r.Occupant("ben"), 9, ""); stanza.AsError(err) == nil || !strings.Contains(err.Error(), "Role(9)") {
				t.Errorf("no such role: %v", err)
			}
			if err := r.SetRole(muc.System, nil, muc.Visitor, ""); stanza.AsError(err) == nil {
				t.Errorf("of nobody: %v", err)
			}
			return r.SetRole(muc.System, r.Occupant("chloe"), muc.RoleNone, "Bye.")
		})
		w.expect("chloe@test/r", "<status code='307'/>", "Bye.")
	})
}

// watched is an extension that writes down every moment, and may refuse or answer
// at some.
func watched(trail *[]string) extension {
	note := func(what string, args ...any) {
		*trail = append(*trail, fmt.Sprintf(what, args...))
	}
	return func(h *muc.Hooks) {
		h.BeforeCreate.Add("x", 0, func(ev *muc.JoinEvent) error { note("BeforeCreate %s", ev.Nick); return nil })
		h.RoomCreated.Add("x", 0, func(*muc.RoomEvent) { note("RoomCreated") })
		h.Locked.Add("x", 0, func(ev *muc.RoomEvent) { note("Locked %v", ev.Room.Locked()) })
		h.Unlocked.Add("x", 0, func(ev *muc.RoomEvent) { note("Unlocked %v", !ev.Room.Locked()) })
		h.BeforeConfigure.Add("x", 0, func(ev *muc.ConfigureEvent) error { note("BeforeConfigure first %v", ev.First); return nil })
		h.Configured.Add("x", 0, func(ev *muc.ConfiguredEvent) { note("Configured %v", ev.Changed(muc.FieldName)) })
		h.BeforeJoin.Add("x", 0, func(ev *muc.JoinEvent) error { note("BeforeJoin %s", ev.Nick); return nil })
		h.Joined.Add("x", 0, func(ev *muc.JoinedEvent) { note("Joined %s", ev.Session.Occupant().Nick()) })
		h.SessionJoined.Add("x", 0, func(ev *muc.JoinedEvent) { note("SessionJoined %s", ev.Session.RealJID()) })
		h.History.Add("x", 0, func(ev *muc.JoinedEvent) ([]stanza.Stanza, bool) {
			return []stanza.Stanza{{Kind: stanza.Message, ID: "past"}}, ev.Session.RealJID().Local() == "ben"
		})
		h.BeforeNickChange.Add("x", 0, func(ev *muc.NickEvent) error { note("BeforeNickChange %s", ev.Nick); return nil })
		h.NickChanged.Add("x", 0, func(ev *muc.NickChangedEvent) { note("NickChanged from %s", ev.From) })
		h.BeforePresence.Add("x", 0, func(ev *muc.PresenceEvent) error { note("BeforePresence %s", ev.Session.RealJID().Local()); return nil })
		h.BuildPresence.Add("x", 0, func(ev *muc.BuildPresenceEvent) { ev.Add(stanza.NewElement("urn:x", "badge")) })
		h.ShownTo.Add("x", 0, func(*muc.ViewersQuestion) (muc.Viewers, bool) { return muc.ToEverybody, true })
		h.Left.Add("x", 0, func(ev *muc.LeftEvent) { note("Left %s %d", ev.Occupant.Nick(), ev.Code) })
		h.BeforeMessage.Add("x", 0, func(ev *muc.MessageEvent) error { note("BeforeMessage subject %v", ev.SubjectChange); return nil })
		h.Historic.Add("x", 0, func(ev *muc.MessageEvent) (bool, bool) { return false, ev.Stanza.Body() == "forget" })
		h.Archived.Add("x", 100, func(*muc.RoomEvent) (bool, bool) { return false, true })
		h.MessagePosted.Add("x", 0, func(ev *muc.PostedEvent) { note("MessagePosted historic %v", ev.Historic) })
		h.MessageSent.Add("x", 0, func(*muc.PostedEvent) { note("MessageSent") })
		h.BeforePrivateMessage.Add("x", 0, func(ev *muc.PrivateMessageEvent) error {
			note("BeforePrivateMessage to %s", ev.Recipient.Nick())
			return nil
		})
		h.BeforePrivateIQ.Add("x", 0, func(ev *muc.PrivateIQEvent) error { note("BeforePrivateIQ to %s", ev.Recipient.Nick()); return nil })
		h.RoomMessage.Add("x", 100, func(ev *muc.RoomMessageEvent) error { note("RoomMessage"); return nil })
		h.BeforeInvite.Add("x", 0, func(ev *muc.InviteEvent) error {
			note("BeforeInvite %s", ev.To)
			*ev.Out = ev.Out.With(stanza.NewElement("urn:x", "gift"))
			return nil
		})
		h.BeforeDecline.Add("x", 0, func(ev *muc.InviteEvent) error { note("BeforeDecline to %s", ev.To); return hook.Handled })
		h.DefaultRole.Add("x", 100, func(q *muc.RoleQuestion) (muc.Role, bool) { return muc.Visitor, q.RealJID.Local() == "vera" })
		h.BeforeSetAffiliation.Add("x", 0, func(ev *muc.AffiliationEvent) error {
			note("BeforeSetAffiliation %s to %s", ev.From, ev.To)
			return nil
		})
		h.AffiliationSet.Add("x", 0, func(ev *muc.AffiliationEvent) {
			note("AffiliationSet %s", ev.JID)
			ev.Send(stanza.Stanza{Kind: stanza.Message, To: ev.JID, ID: "congratulations"})
		})
		h.AffiliationDataSet.Add("x", 0, func(ev *muc.AffiliationDataEvent) {
			note("AffiliationDataSet %s from %q to %q", ev.Key, ev.From, ev.To)
		})
		h.BeforeSetRole.Add("x", 0, func(ev *muc.RoleEvent) error { note("BeforeSetRole %s", ev.To); return nil })
		h.RoleSet.Add("x", 0, func(ev *muc.RoleEvent) { note("RoleSet %s", ev.To) })
		h.Disco.Add("x", 0, func(ev *muc.DiscoEvent) { ev.Feature("urn:x:feature"); ev.Field("x#field", "1") })
		h.DiscoNode.Add("x", 0, func(q *muc.NodeQuestion) (*stanza.Element, bool) {
			return stanza.NewElement(stanza.NSDiscoInfo, "query", "node", q.Node), q.Node == "x"
		})
		h.BeforeDestroy.Add("x", 0, func(ev *muc.DestroyEvent) error { ev.Reason += "!"; note("BeforeDestroy"); return nil })
		h.Destroyed.Add("x", 0, func(ev *muc.DestroyEvent) { note("Destroyed %s", ev.Reason) })
		query := stanza.Name{Space: "urn:x", Local: "ask"}
		h.OnRequest("x", stanza.TypeGet, query, func(ev *muc.RequestEvent) error { ev.Answer(stanza.NewElement("urn:x", "room")); return nil })
		h.OnServiceRequest("x", stanza.TypeGet, query, func(ev *muc.ServiceRequestEvent) error {
			ev.Answer(stanza.NewElement("urn:x", "service"))
			return nil
		})
	}
}

// TestEveryMoment: each hook runs when it should, in that order, and what it says
// is heeded.
func TestEveryMoment(t *testing.T) {
	const form = "<iq type='set' id='c' from='anna@test/r' to='coven@conf.test'><query xmlns='http://jabber.org/protocol/muc#owner'>" +
		"<x xmlns='jabber:x:data' type='submit'><field var='muc#roomconfig_roomname'><value>Cave</value></field></x></query></iq>"
	const user = "<x xmlns='http://jabber.org/protocol/muc#user'>"
	admin := func(item string) string {
		return "<iq type='set' id='a' from='anna@test/r' to='coven@conf.test'><query xmlns='http://jabber.org/protocol/muc#admin'><item " + item + "/></query></iq>"
	}
	steps := []struct {
		name, xml string
		trail     string // "; " between moments
		who, gets string // what somebody gets of it; "" is not looked at
	}{
		{"create", enter("anna"), "BeforeCreate anna; BeforeJoin anna; RoomCreated; Locked true; Joined anna; SessionJoined anna@test/r", "anna", "<badge"},
		{"configure", form, "BeforeConfigure first true; Unlocked true; Configured true", "", ""},
		{"enter", enter("ben"), "BeforeJoin ben; Joined ben; SessionJoined ben@test/r", "ben", "id='past'"},
		{"enter by another role", enter("vera"), "BeforeJoin vera; Joined vera; SessionJoined vera@test/r", "vera", "role='visitor'"},
		{"update", "<presence from='ben@test/r' to='coven@conf.test/ben'><show>away</show></presence>", "BeforePresence ben", "anna", "away"},
		{"rename", "<presence from='ben@test/r' to='coven@conf.test/Benjamin'/>", "BeforeNickChange Benjamin; NickChanged from ben", "anna", "303"},
		{"talk", say("ben", "hello"), "BeforeMessage subject false; MessagePosted historic true; MessageSent", "anna", "hello"},
		{"forget", say("ben", "forget"), "BeforeMessage subject false; MessagePosted historic false; MessageSent", "anna", "forget"},
		{"subject", "<message type='groupchat' from='anna@test/r' to='coven@conf.test'><subject>S</subject></message>", "BeforeMessage subject true; MessagePosted historic true; MessageSent", "ben", "<subject>S"},
		{"whisper", "<message type='chat' from='ben@test/r' to='coven@conf.test/anna'><body>psst</body></message>", "BeforePrivateMessage to anna", "anna", "psst"},
		{"ask", "<iq type='get' id='q' from='ben@test/r' to='coven@conf.test/anna'><query xmlns='urn:x'/></iq>", "BeforePrivateIQ to anna", "anna", "<query"},
		{"invite", "<message from='anna@test/r' to='coven@conf.test'>" + user + "<invite to='dora@test'/></x></message>", "RoomMessage; BeforeInvite dora@test", "dora", "<gift"},
		{"decline", "<message from='dora@test' to='coven@conf.test'>" + user + "<decline to='anna@test'/></x></message>", "RoomMessage; BeforeDecline to anna@test/r", "", ""},
		{"affiliate", admin("jid='dora@test' affiliation='member'"), "BeforeSetAffiliation none to member; AffiliationSet dora@test", "dora", "congratulations"},
		{"promote", admin("nick='Benjamin' role='moderator'"), "BeforeSetRole moderator; RoleSet moderator", "ben", "moderator"},
		{"describe", "<iq type='get' id='d' from='ben@test/r' to='coven@conf.test'><query xmlns='http://jabber.org/protocol/disco#info'/></iq>", "", "ben", "urn:x:feature"},
		{"describe a node", "<iq type='get' id='d' from='ben@test/r' to='coven@conf.test'><query xmlns='http://jabber.org/protocol/disco#info' node='x'/></iq>", "", "ben", "node='x'"},
		{"ask the room", "<iq type='get' id='d' from='ben@test/r' to='coven@conf.test'><ask xmlns='urn:x'/></iq>", "", "ben", "<room"},
		{"ask the service", "<iq type='get' id='d' from='ben@test/r' to='conf.test'><ask xmlns='urn:x'/></iq>", "", "ben", "<service"},
		{"kick", admin("nick='vera' role='none'"), "BeforeSetRole none; Left vera 307; RoleSet none", "vera", "307"},
		{"leave", "<presence type='unavailable' from='ben@test/r' to='coven@conf.test/Benjamin'/>", "Left Benjamin 0", "ben", "unavailable"},
		{
			"destroy", "<iq type='set' id='x' from='anna@test/r' to='coven@conf.test'><query xmlns='http://jabber.org/protocol/muc#owner'><destroy><reason>Over</reason></destroy></query></iq>",
			"BeforeDestroy; Left anna 0; Destroyed Over!", "anna", "Over!",
		},
	}
	var trail []string
	run(t, muc.Options{Extensions: []muc.Extension{watched(&trail)}}, func(w *world) {
		for _, step := range steps {
			trail = nil
			w.send(step.xml)
			synctest.Wait()
			if got := strings.Join(trail, "; "); got != step.trail {
				t.Errorf("%s: ran %s, want %s", step.name, got, step.trail)
			}
			for _, who := range []string{"anna@test/r", "ben@test/r", "vera@test/r", "dora@test"} {
				got := strings.Join(w.take(who), "")
				if name, _, _ := strings.Cut(who, "@"); name == step.who && !strings.Contains(got, step.gets) {
					t.Errorf("%s: %s got %s, want %s", step.name, who, got, step.gets)
				}
			}
			if step.name == "promote" {
				w.inside(func(r *muc.Room) error { r.SetAffiliationData(jid.MustParse("dora@test"), "k", "v"); return nil })
				if got := trail[len(trail)-1]; got != `AffiliationDataSet k from "" to "v"` {
					t.Errorf("data: %s", got)
				}
			}
		}
	})
}

// TestLoading: what is stored may be changed or refused before it wakes.
func TestLoading(t *testing.T) {
	refuse, loaded := false, 0
	x := extension(func(h *muc.Hooks) {
		h.BeforeLoad.Add("x", 0, func(ev *muc.BeforeLoadEvent) error {
			if refuse {
				return stanza.NewError(stanza.Wait, stanza.ResourceConstraint, "Not now.")
			}
			ev.Record.Settings = maps.Clone(ev.Record.Settings)
			ev.Record.Settings[muc.FieldName] = []string{"Renamed in its sleep"}
			return nil
		})
		h.RoomLoaded.Add("x", 0, func(*muc.LoadEvent) { loaded++ })
	})
	o := sleepy(muc.Hibernation{EmptyAfter: time.Minute})
	o.Extensions = []muc.Extension{x}
	run(t, o, func(w *world) {
		w.open()
		w.send(leaveAnna)
		time.Sleep(time.Hour)
		w.take("anna@test/r")
		refuse = true
		w.send(enter("anna"))
		w.expect("anna@test/r", "resource-constraint", "Not now.")
		if loaded != 0 {
			t.Error("loaded all the same")
		}
		refuse = false
		if info, err := w.coven().Info(w.t.Context()); err != nil || info.Name != "Renamed in its sleep" || loaded != 1 {
			t.Errorf("%+v, %v, loaded %d times", info, err, loaded)
		}
	})
}
