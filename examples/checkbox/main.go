// Command checkbox is Muster with one more checkbox in the configuration form of
// rooms. Who ticks it, or takes the tick away, makes the room say so.
//
// It has no goroutines and blocks on nothing.
package main

import (
	"github.com/muster-im/muster/app"
	"github.com/muster-im/muster/muc"
	"github.com/muster-im/muster/server"
	"github.com/muster-im/muster/stanza"
)

func main() { app.Main(checkbox{}) }

type checkbox struct{}

func (checkbox) Name() string { return "checkbox" }
func (checkbox) Doc() string  { return "Asks owners of rooms whether it works." }

func (checkbox) Register(r *server.Registrar) error {
	r.AddRoomHooks(register)
	return nil
}

// register runs once for each service of rooms, each of which has its own field.
func register(h *muc.Hooks) {
	works := muc.NewBoolField(h, muc.FieldSpec{
		Var: "x-checkbox_works", Label: "Does it work?", Section: muc.SectionOther,
	}, false)
	h.Configured.Add("checkbox", 0, func(ev *muc.ConfiguredEvent) {
		if !ev.Changed(works.Key()) {
			return
		}
		text := "It doesn't work."
		if works.Get(ev.Room) {
			text = "It works!"
		}
		// Only a hook of somebody could refuse it, and then nothing is said.
		_ = ev.Room.Post(stanza.Stanza{Kind: stanza.Message, Type: stanza.TypeGroupchat}.
			With(stanza.NewElement(stanza.NSClient, "body").AddText(text)))
	})
}
