package muc_test

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/muster-im/muster/hook"
	"github.com/muster-im/muster/jid"
	"github.com/muster-im/muster/muc"
	"github.com/muster-im/muster/stanza"
)

var (
	anna = jid.MustParse("anna@test/phone")
	ben  = jid.MustParse("ben@test/desk")
)

// replies are what a room answers.
type replies chan string

func (a replies) Send(st stanza.Stanza)           { a <- string(st.AppendXML(nil)) }
func (replies) Target(full jid.JID) stanza.Target { return silence{} }

// heard is what people's clients are sent that has a body.
type heard chan string

func (h heard) Send(stanza.Stanza)                {}
func (h heard) Target(full jid.JID) stanza.Target { return client{h, full} }

type client struct {
	heard
	full jid.JID
}

func (c client) Deliver(batch []*stanza.Encoded) {
	for _, e := range batch {
		if text := e.Stanza.Body(); text != "" {
			c.heard <- c.full.String() + " hears " + text
		}
	}
}

// enters lets somebody be in a room under the name of his account.
func enters(h *muc.Handle, who jid.JID, role muc.Role) {
	err := h.SaveOccupant(context.Background(), muc.OccupantSpec{
		Nick: who.Local(), Role: role, Sessions: []muc.SessionSpec{{RealJID: who}},
	})
	if err != nil {
		panic(err)
	}
}

// says prints what comes of somebody saying something in a room.
func says(h *muc.Handle, who jid.JID, text string) {
	if _, err := h.Send(context.Background(), muc.By(who), body(text)); err != nil {
		fmt.Println(stanza.AsError(err).Condition, stanza.AsError(err).Text)
	}
}

// A filter of what comes in runs before the room looks whether the sender is
// inside: it may pass, change, refuse or swallow it.
func ExampleArrivals() {
	_, h, done := coven(extension(func(h *muc.Hooks) {
		h.Before.Groupchat.Add("curfew", 0, func(ev *muc.Arrival) error {
			if ev.Session == nil {
				return stanza.NewError(stanza.Cancel, stanza.NotAllowed, "Come in first.")
			}
			if ev.Stanza.Body() == "psst" {
				return hook.Handled
			}
			return nil
		})
		h.MessageSent.Add("curfew", 0, func(ev *muc.PostedEvent) {
			fmt.Println(ev.Message.From.Resource(), "says", ev.Stanza.Body())
		})
	}))
	defer done()
	says(h, anna, "hello?")
	enters(h, anna, muc.Participant)
	says(h, anna, "psst")
	says(h, anna, "hello!")
	// Output:
	// not-allowed Come in first.
	// anna says hello!
}

// What has to ask somebody does so away from the room, which goes on meanwhile;
// the function runs again when the answer is there.
func ExampleEvent_Defer() {
	_, h, done := coven(extension(func(h *muc.Hooks) {
		h.BeforeMessage.Add("censor", 0, func(ev *muc.MessageEvent) error {
			text := ev.Stanza.Body()
			return ev.Defer(func(context.Context) error { // may block, until the context ends
				if strings.Contains(text, "king") {
					return stanza.NewError(stanza.Cancel, stanza.NotAcceptable, "The censor says no.")
				}
				return nil
			})
		})
	}))
	defer done()
	enters(h, anna, muc.Participant)
	says(h, anna, "the king is naked")
	says(h, anna, "nice weather")
	// Output:
	// not-acceptable The censor says no.
}

// Ask is Defer of a question with an answer.
func ExampleAsk() {
	_, h, done := coven(extension(func(h *muc.Hooks) {
		h.BeforeMessage.Add("translator", 0, func(ev *muc.MessageEvent) error {
			text := ev.Stanza.Body()
			loud, err := muc.Ask(&ev.Event, func(context.Context) (string, error) { return strings.ToUpper(text), nil })
			if err != nil {
				return err
			}
			*ev.Stanza = body(loud)
			return nil
		})
		h.MessageSent.Add("translator", 0, func(ev *muc.PostedEvent) { fmt.Println(ev.Stanza.Body()) })
	}))
	defer done()
	enters(h, anna, muc.Participant)
	says(h, anna, "hello")
	// Output:
	// HELLO
}

// Notes are what an extension keeps of a room; they commit with the event.
func ExampleNotes() {
	var notes *muc.Notes
	_, h, done := coven(extension(func(h *muc.Hooks) {
		notes = muc.NewNotes(h, "guestbook")
		h.BeforeMessage.Add("guestbook", 0, func(ev *muc.MessageEvent) error {
			if ev.Sender == nil {
				return nil
			}
			return notes.Set(ev.Room, ev.Sender.Nick(), ev.Stanza.Body())
		})
	}))
	defer done()
	enters(h, anna, muc.Participant)
	enters(h, ben, muc.Participant)
	says(h, ben, "good morning")
	says(h, anna, "hello")
	err := h.Do(context.Background(), func(r *muc.Room) error {
		for nick, text := range notes.All(r) {
			fmt.Println(nick, "has last said", text)
		}
		return notes.Set(r, "x", strings.Repeat("x", muc.MaxNotes))
	})
	fmt.Println(errors.Is(err, muc.ErrTooManyNotes))
	// Output:
	// anna has last said hello
	// ben has last said good morning
	// true
}

// A Slot is state of an extension in each room that is not kept.
func ExampleSlot() {
	_, h, done := coven(extension(func(h *muc.Hooks) {
		said := muc.NewSlot[int](h)
		h.BeforeMessage.Add("limit", 0, func(ev *muc.MessageEvent) error {
			if *said.In(ev.Room)++; *said.In(ev.Room) > 1 {
				return stanza.NewError(stanza.Wait, stanza.PolicyViolation, "That is enough.")
			}
			return nil
		})
	}))
	defer done()
	enters(h, anna, muc.Participant)
	says(h, anna, "one")
	says(h, anna, "two")
	// Output:
	// policy-violation That is enough.
}

// Requests of an own namespace are answered by one function.
func ExampleHooks_OnRequest() {
	weather := stanza.Name{Space: "urn:example:weather", Local: "query"}
	answers := make(replies, 1)
	s, _, done := covenHeardBy(answers, extension(func(h *muc.Hooks) {
		h.OnRequest("weather", stanza.TypeGet, weather, func(ev *muc.RequestEvent) error {
			ev.Answer(stanza.NewElement(weather.Space, "sun", "over", ev.Room.JID().Local()))
			return nil
		})
		h.Disco.Add("weather", 0, func(ev *muc.DiscoEvent) { ev.Feature(weather.Space) })
	}))
	defer done()
	ask := stanza.Stanza{Kind: stanza.IQ, Type: stanza.TypeGet, ID: "1", From: anna, To: jid.MustParse("coven@conf.test")}
	s.Handle(ask.With(stanza.NewElement(weather.Space, weather.Local)))
	fmt.Println(<-answers)
	// Output:
	// <iq type='result' id='1' from='coven@conf.test' to='anna@test/phone'><sun xmlns='urn:example:weather' over='coven'/></iq>
}

// Everybody who is in a room, with his clients.
func ExampleHandle_Occupants() {
	_, h, done := coven()
	defer done()
	ctx := context.Background()
	err := h.SaveOccupant(ctx, muc.OccupantSpec{Nick: "Anna", Role: muc.Moderator, Sessions: []muc.SessionSpec{
		{RealJID: anna}, {RealJID: jid.MustParse("anna@test/desk"), Primary: true},
	}})
	fmt.Println(err)
	people := func() {
		occupants, err := h.Occupants(ctx)
		for o := range occupants {
			fmt.Println(o.Nick, o.RealJID, o.Role, o.Sessions, err)
		}
	}
	people()
	fmt.Println(h.ChoosePrimary(ctx, anna), h.RemoveSession(ctx, jid.MustParse("anna@test/desk")))
	people()
	// Output:
	// <nil>
	// Anna anna@test moderator [anna@test/desk anna@test/phone] <nil>
	// <nil> <nil>
	// Anna anna@test moderator [anna@test/phone] <nil>
}

// Roles follow the rules of XEP-0045 for whoever is the actor.
func ExampleHandle_SetRole() {
	_, h, done := coven()
	defer done()
	ctx := context.Background()
	enters(h, anna, muc.Moderator)
	enters(h, ben, muc.Participant)
	fmt.Println(h.SetRole(ctx, muc.By(ben), "anna", muc.Visitor, ""))
	fmt.Println(h.SetRole(ctx, muc.By(anna), "ben", muc.Visitor, "Too loud."))
	fmt.Println(h.SetRole(ctx, muc.System, "ben", muc.RoleNone, "And out."))
	fmt.Println(h.SetRole(ctx, muc.System, "ben", muc.Participant, ""))
	// Output:
	// forbidden: Only moderators who are in the room may change roles.
	// <nil>
	// <nil>
	// item-not-found: Nobody in the room is called ben.
}

func ExampleHandle_SetSubject() {
	_, h, done := coven()
	defer done()
	ctx := context.Background()
	fmt.Println(h.SetSubject(ctx, muc.System, "Shipping on Thursday"))
	fmt.Println(h.SetSubject(ctx, muc.System, "Shipping on Thursday"))
	info, err := h.Info(ctx)
	fmt.Println(info.Subject.Text, err)
	// Output:
	// true <nil>
	// false <nil>
	// Shipping on Thursday <nil>
}

// One setting, by the variable of the form.
func ExampleHandle_Set() {
	_, h, done := coven()
	defer done()
	ctx := context.Background()
	fmt.Println(h.Set(ctx, muc.System, muc.FieldModerated, "1"))
	fmt.Println(h.Set(ctx, muc.System, muc.FieldModerated, "1"))
	settings, err := h.Settings(ctx)
	fmt.Println(settings[muc.FieldModerated], err)
	// Output:
	// true <nil>
	// false <nil>
	// [1] <nil>
}

// Hats are titles for show.
func ExampleHandle_SetHats() {
	_, h, done := coven()
	defer done()
	teacher := muc.Hat{URI: "http://example.org/hats#teacher", Title: "Teacher"}
	fmt.Println(h.SetHats(context.Background(), muc.System, anna, teacher))
	fmt.Println(h.SetHats(context.Background(), muc.System, anna, teacher))
	fmt.Println(h.SetHats(context.Background(), muc.System, anna))
	// Output:
	// true <nil>
	// false <nil>
	// true <nil>
}

func ExampleHandle_SetAvatar() {
	_, h, done := coven()
	defer done()
	dot, err := base64.StdEncoding.DecodeString("iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==")
	if err != nil {
		panic(err)
	}
	fmt.Println(h.SetAvatar(context.Background(), muc.System, dot, "image/png"))
	fmt.Println(h.SetAvatar(context.Background(), muc.System, []byte("dot"), "image/png"))
	// Output:
	// true <nil>
	// false not-acceptable: BINVAL: this is no image/png.
}

// What a visitor asks for may be granted without a moderator.
func ExampleVoiceEvent() {
	s, h, done := coven(extension(func(h *muc.Hooks) {
		h.BeforeVoiceRequest.Add("kind", 0, func(ev *muc.VoiceEvent) error {
			if err := ev.Room.SetRole(muc.System, ev.Visitor, ev.Role, "Speak up!"); err != nil {
				return err
			}
			return hook.Handled
		})
		h.RoleSet.Add("kind", 0, func(ev *muc.RoleEvent) { fmt.Println(ev.Occupant.Nick(), "is a", ev.To) })
	}))
	defer done()
	enters(h, ben, muc.Visitor)
	form := stanza.NewForm(stanza.FormSubmit, "http://jabber.org/protocol/muc#request").Add(
		stanza.Field{Var: "muc#role", Values: []string{"participant"}})
	s.Handle(stanza.Stanza{Kind: stanza.Message, From: ben, To: h.JID()}.With(form.Element()))
	_, err := h.Info(context.Background()) // when the room answers, it has had the request
	fmt.Println(err)
	// Output:
	// ben is a participant
	// <nil>
}

// Several things at once, inside the room: all of it takes effect, or nothing.
func ExampleHandle_Do() {
	_, h, done := coven()
	defer done()
	ctx := context.Background()
	err := h.Do(ctx, func(r *muc.Room) error {
		for _, who := range []jid.JID{anna, ben} {
			if err := r.SetAffiliation(muc.System, who, muc.Member, muc.AffiliationOptions{}); err != nil {
				return err
			}
		}
		_, err := r.Configure(muc.System, map[string][]string{muc.FieldMembersOnly: {"perhaps"}})
		return err
	})
	fmt.Println(err)
	entries, err := h.Affiliations(ctx)
	for e := range entries {
		fmt.Println(e.JID, e.Affiliation)
	}
	fmt.Println(err)
	// Output:
	// muc#roomconfig_membersonly: want 0, 1, true or false, got "perhaps"
	// <nil>
}

// To some of those who are inside, without hooks and history.
func ExampleRoom_Broadcast() {
	heard := make(heard, 10)
	_, h, done := covenHeardBy(heard)
	defer done()
	enters(h, anna, muc.Moderator)
	enters(h, ben, muc.Participant)
	err := h.Do(context.Background(), func(r *muc.Room) error {
		r.Broadcast(body("for moderators"), func(o *muc.Occupant) bool { return o.Role() == muc.Moderator })
		r.SendToOccupant(r.Occupant("ben"), body("for ben"))
		return nil
	})
	fmt.Println(err)
	fmt.Println(<-heard)
	fmt.Println(<-heard)
	// Unordered output:
	// <nil>
	// anna@test/phone hears for moderators
	// ben@test/desk hears for ben
}

// A message waits for a while, and others go on.
func ExampleEvent_Delay() {
	spoken := make(chan string, 2)
	s, h, done := coven(extension(func(h *muc.Hooks) {
		h.BeforeMessage.Add("slow mode", 0, func(ev *muc.MessageEvent) error {
			if runs := ev.Progress(); *runs == 0 && ev.CanWait() {
				*runs = 1
				return ev.Delay(ev.Time().Add(10 * time.Millisecond))
			}
			return nil
		})
		h.MessageSent.Add("slow mode", 0, func(ev *muc.PostedEvent) { spoken <- ev.Stanza.Body() })
	}))
	defer done()
	enters(h, anna, muc.Participant)
	slow := body("I am slow")
	slow.From, slow.To = anna, h.JID()
	s.Handle(slow)
	fmt.Println(h.Post(context.Background(), body("I am the room")))
	fmt.Println(<-spoken)
	fmt.Println(<-spoken)
	// Output:
	// <nil>
	// I am the room
	// I am slow
}
