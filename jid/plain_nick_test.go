package jid

import (
	"math/rand/v2"
	"testing"

	"golang.org/x/text/secure/precis"
)

// TestPlainNickKey: the short way is the way of RFC 8266.
func TestPlainNickKey(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	taken := 0
	for range 20_000 {
		nick := make([]byte, 1+rng.IntN(8))
		for i := range nick {
			if nick[i] = byte(rng.IntN(128)); rng.IntN(4) == 0 {
				nick[i] = ' '
			}
		}
		key, ok := plainNickKey(string(nick))
		if !ok {
			continue
		}
		taken++
		if want, err := precis.Nickname.CompareKey(string(nick)); err != nil || key != want {
			t.Fatalf("%q has key %q, want %q, %v", nick, key, want, err)
		}
	}
	if taken < 1000 {
		t.Errorf("only %d nicknames went the short way", taken)
	}
	if n := testing.AllocsPerRun(100, func() { _, _ = NickKey("hecate the third") }); n > 0 {
		t.Errorf("a plain nickname costs %v allocations", n)
	}
}
