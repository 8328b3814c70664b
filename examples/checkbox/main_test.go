package main

import (
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/muster-im/muster/jid"
	"github.com/muster-im/muster/server/servertest"
	"github.com/muster-im/muster/stanza"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const room = "coven@conference.localhost"

func TestCheckbox(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t, "", checkbox{})
	romeo, juliet := s.Person("romeo"), s.Person("juliet")
	romeo.Enter(room)
	juliet.Enter(room)
	shown := func(value string) {
		t.Helper()
		form := romeo.Ask(stanza.Stanza{Type: stanza.TypeGet, To: jid.MustParse(room)}.With(stanza.NewElement(stanza.NSMUCOwner, "query")))
		xml := form.Payload().String()
		_, field, found := strings.Cut(xml, `var='x-checkbox_works'`)
		if !found || !strings.Contains(xml, "Does it work?") || !strings.HasPrefix(field[strings.Index(field, "<value>"):], "<value>"+value+"<") {
			t.Errorf("the form shows no checkbox with %s:\n%s", value, xml)
		}
	}
	shown("0")
	romeo.Configure(room, "x-checkbox_works", "1")
	juliet.Hears("", "It works!")
	shown("1")
	romeo.Configure(room, "x-checkbox_works", "1", "muc#roomconfig_roomname", "Witches") // nothing new about it
	romeo.Configure(room, "x-checkbox_works", "0")
	juliet.Hears("", "It doesn't work.")
	romeo.Hears("", "It works!")
	romeo.Hears("", "It doesn't work.")
}
