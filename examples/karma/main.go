// Command karma is Muster with a bot: who is thanked in a room with name++ gets a
// point, and the room says how many he has. Points are of the room and are kept
// with it.
//
// It has no goroutines and blocks on nothing.
package main

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/muster-im/muster/app"
	"github.com/muster-im/muster/muc"
	"github.com/muster-im/muster/server"
	"github.com/muster-im/muster/stanza"
)

func main() { app.Main(karma{}) }

// settings are the table of the bot.
type settings struct {
	Thanks string `toml:"thanks" reload:"yes" doc:"What stands behind the name of who is thanked."`
}

// Check refuses what every message ends with.
func (s *settings) Check(problem func(key, text string)) {
	if s.Thanks == "" {
		problem("thanks", `want some signs, like "++"`)
	}
}

type karma struct{}

func (karma) Name() string { return "karma" }
func (karma) Doc() string  { return "Counts whom people thank." }

func (karma) Register(r *server.Registrar) error {
	table, err := server.ReadSettings(r, settings{Thanks: "++"})
	if err != nil {
		return err
	}
	r.AddRoomHooks(func(h *muc.Hooks) {
		points := muc.NewNotes(h, "karma")
		h.MessageSent.Add("karma", 0, func(ev *muc.PostedEvent) {
			if ev.Message.RealJID.IsZero() {
				return // the room itself
			}
			nick, thanked := strings.CutSuffix(strings.TrimSpace(ev.Stanza.Body()), table.Load().Thanks)
			if !thanked || nick == "" {
				return
			}
			if err := answer(ev, points, nick); err != nil {
				r.Logger.Warn("answer", "room", ev.Room.JID(), "err", err)
			}
		})
	})
	return nil
}

// answer counts a point. The note and the answer commit together.
func answer(ev *muc.PostedEvent, points *muc.Notes, nick string) error {
	o := ev.Room.Occupant(nick)
	var text string
	switch {
	case o == nil:
		text = fmt.Sprintf("Nobody here is called %s.", nick)
	case o.RealJID() == ev.Message.RealJID:
		text = fmt.Sprintf("Nice try, %s.", nick)
	default:
		who := o.RealJID().String()
		n, _ := strconv.Atoi(points.Get(ev.Room, who)) // nothing is 0
		if err := points.Set(ev.Room, who, strconv.Itoa(n+1)); err != nil {
			return err
		}
		text = fmt.Sprintf("%s has %d.", nick, n+1)
	}
	return ev.Room.Post(stanza.Stanza{Kind: stanza.Message, Type: stanza.TypeGroupchat}.
		With(stanza.NewElement(stanza.NSClient, "body").AddText(text)))
}
