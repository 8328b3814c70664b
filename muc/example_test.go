package muc_test

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/muster-im/muster/internal/roomfeatures"
	"github.com/muster-im/muster/jid"
	"github.com/muster-im/muster/muc"
	"github.com/muster-im/muster/stanza"
)

// silence is a router for a service of which nobody hears.
type silence struct{}

func (silence) Send(stanza.Stanza)              {}
func (silence) Target(jid.JID) stanza.Target    { return silence{} }
func (silence) Deliver(batch []*stanza.Encoded) {}

// coven returns a service with a room that stays, and what ends it.
func coven(extensions ...muc.Extension) (*muc.Service, *muc.Handle, func()) {
	return covenHeardBy(silence{}, extensions...)
}

func covenHeardBy(who muc.Router, extensions ...muc.Extension) (*muc.Service, *muc.Handle, func()) {
	s, err := muc.New(muc.Options{
		Domain: "conf.test", Router: who,
		Extensions: append(roomfeatures.All(roomfeatures.Options{}), extensions...),
	})
	if err != nil {
		panic(err)
	}
	stay := func(r *muc.Room) error {
		_, err := r.Configure(muc.System, map[string][]string{muc.FieldPersistent: {"1"}})
		return err
	}
	h, err := s.CreateRoom(context.Background(), jid.MustParse("coven@conf.test"), stay)
	if err != nil {
		panic(err)
	}
	return s, h, func() {
		if err := s.Shutdown(context.Background()); err != nil {
			panic(err)
		}
	}
}

// body is a groupchat message.
func body(text string) stanza.Stanza {
	st, err := stanza.Parse([]byte("<message type='groupchat'><body>" + text + "</body></message>"))
	if err != nil {
		panic(err)
	}
	return st
}

// A room with another name than the service's defaults say.
func ExampleService_CreateRoom() {
	s, _, done := coven()
	defer done()
	ctx := context.Background()
	h, err := s.CreateRoom(ctx, jid.MustParse("attic@conf.test"), func(r *muc.Room) error {
		_, err := r.Configure(muc.System, map[string][]string{muc.FieldName: {"The attic"}, muc.FieldPersistent: {"1"}})
		return err
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	info, err := h.Info(ctx)
	fmt.Println(info.JID, info.Name, info.Persistent, err)
	_, err = s.CreateRoom(ctx, h.JID(), nil)
	fmt.Println(errors.Is(err, muc.ErrRoomExists))
	// Output:
	// attic@conf.test The attic true <nil>
	// true
}

func ExampleService_Rooms() {
	s, _, done := coven()
	defer done()
	for room, err := range s.Rooms(context.Background()) {
		fmt.Println(room.JID, room.Public, err)
	}
	for h := range s.LiveRooms() {
		fmt.Println(h.JID())
	}
	// Output:
	// coven@conf.test true <nil>
	// coven@conf.test
}

// Two settings at once, by whatever feature.
func ExampleHandle_Configure() {
	_, h, done := coven()
	defer done()
	ctx := context.Background()
	settings := map[string][]string{"muc#roomconfig_changesubject": {"0"}, muc.FieldName: {"Witches"}}
	changed, err := h.Configure(ctx, muc.System, settings)
	fmt.Println(changed, err)
	changed, err = h.Configure(ctx, muc.System, settings)
	fmt.Println(changed, err)
	_, err = h.Configure(ctx, muc.By(jid.MustParse("anna@test")), settings)
	fmt.Println(stanza.AsError(err).Text)
	// Output:
	// [muc#roomconfig_roomname muc#roomconfig_changesubject] <nil>
	// [] <nil>
	// Only owners may configure the room.
}

func ExampleHandle_SetAffiliation() {
	_, h, done := coven()
	defer done()
	ctx := context.Background()
	err := h.SetAffiliation(ctx, muc.System, jid.MustParse("anna@test"), muc.Owner, muc.AffiliationOptions{Reason: "founder"})
	fmt.Println(err)
	entries, err := h.Affiliations(ctx)
	for e := range entries {
		fmt.Println(e.JID, e.Affiliation, e.Reason, err)
	}
	// Output:
	// <nil>
	// anna@test owner founder <nil>
}

// polite refuses a word.
type polite struct{}

func (polite) Register(h *muc.Hooks) {
	h.BeforeMessage.Add("polite", 0, func(ev *muc.MessageEvent) error {
		if strings.Contains(ev.Stanza.Body(), "darn") {
			return stanza.NewError(stanza.Modify, stanza.NotAcceptable, "Mind your language.")
		}
		return nil
	})
}

// A filter that refuses messages.
func ExampleHooks() {
	_, h, done := coven(polite{})
	defer done()
	fmt.Println(h.Post(context.Background(), body("hello")))
	fmt.Println(stanza.AsError(h.Post(context.Background(), body("darn"))).Text)
	// Output:
	// <nil>
	// Mind your language.
}

// greeting adds a checkbox to the form, and says what it means.
type greeting struct{ on *muc.Field[bool] }

func (g *greeting) Register(h *muc.Hooks) {
	g.on = muc.NewBoolField(h, muc.FieldSpec{Var: "x-greet", Section: muc.SectionOther, Label: "Greet newcomers"}, false)
	h.Configured.Add("greeting", 0, func(ev *muc.ConfiguredEvent) {
		if ev.Changed(g.on.Key()) {
			fmt.Println("greets:", g.on.Get(ev.Room))
		}
	})
}

// A field of the configuration form, and the notice that it has changed.
func ExampleNewBoolField() {
	_, h, done := coven(&greeting{})
	defer done()
	fmt.Println(h.Configure(context.Background(), muc.System, map[string][]string{"x-greet": {"1"}}))
	_, err := h.Configure(context.Background(), muc.System, map[string][]string{"x-greet": {"perhaps"}})
	fmt.Println(stanza.AsError(err).Text)
	// Output:
	// greets: true
	// [x-greet] <nil>
	// x-greet: want 0, 1, true or false, got "perhaps"
}
