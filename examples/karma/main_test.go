package main

import (
	"testing"

	"go.uber.org/goleak"

	"github.com/muster-im/muster/server/servertest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const room = "coven@conference.localhost"

func TestKarma(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t, "", karma{})
	romeo, juliet := s.Person("romeo"), s.Person("juliet")
	romeo.Enter(room)
	juliet.Enter(room)
	ask := func(said, answer string) {
		t.Helper()
		romeo.Say(room, said)
		for _, p := range []*servertest.Person{romeo, juliet} {
			p.Hears("romeo", said)
			p.Hears("", answer)
		}
	}
	ask("juliet++", "juliet has 1.")
	ask(" juliet++ ", "juliet has 2.")
	ask("romeo++", "Nice try, romeo.")
	ask("tybalt++", "Nobody here is called tybalt.")
	romeo.Say(room, "++")
	romeo.Hears("romeo", "++")
	juliet.Hears("romeo", "++")
	if err := s.Reload("[modules.karma]\nthanks = \", thank you 🙏\"\n"); err != nil {
		t.Fatal(err)
	}
	ask("juliet, thank you 🙏", "juliet has 3.")
	if err := s.Reload("[modules.karma]\nthanks = \"\"\n"); err == nil {
		t.Error("thanks of no signs were accepted")
	}
}
