package main

import (
	"testing"

	"go.uber.org/goleak"

	"github.com/muster-im/muster/jid"
	"github.com/muster-im/muster/server/servertest"
	"github.com/muster-im/muster/stanza"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const room = "coven@conference.localhost"

func TestWordFilter(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t, "", wordFilter{})
	romeo, juliet := s.Person("romeo"), s.Person("juliet")
	romeo.Enter(room)
	juliet.Enter(room)

	romeo.Say(room, "Darn, the 🦄 is late")
	juliet.Hears("romeo", "****, the 🦄 is late")
	romeo.Hears("romeo", "****, the 🦄 is late")
	private := stanza.Stanza{Kind: stanza.Message, Type: stanza.TypeChat, To: jid.MustParse(room + "/juliet")}
	romeo.Send(private.With(stanza.NewElement(stanza.NSClient, "body").AddText("darn it")))
	juliet.Hears("romeo", "**** it")

	if err := s.Reload("[modules.wordfilter]\nwords = [\"late\", \"c++\"]\nrefuse = true\n"); err != nil {
		t.Fatal(err)
	}
	romeo.Say(room, "Late again?")
	if e := romeo.Refused(room); e.Condition != stanza.NotAcceptable || e.Text != "Mind your language." {
		t.Errorf("refused with %v", e)
	}
	romeo.Say(room, "Darn, I say")
	juliet.Hears("romeo", "Darn, I say") // and nothing of what was refused

	if err := s.Reload("[modules.wordfilter]\nwords = [\" \"]\n"); err == nil {
		t.Error("a filter of blanks was accepted")
	}
	if err := s.Reload("[modules.wordfilter]\nwords = []\n"); err != nil {
		t.Fatal(err)
	}
	romeo.Say(room, "c++ is late")
	juliet.Hears("romeo", "c++ is late")
}
