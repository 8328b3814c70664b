package roomfeatures_test

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/muster-im/muster/internal/roomfeatures"
	"github.com/muster-im/muster/jid"
	"github.com/muster-im/muster/muc"
)

// TestLeftOut: what a service does not have, its rooms do not advertise.
func TestLeftOut(t *testing.T) {
	key := []byte("k")
	for _, tt := range []struct {
		name, feature string
		without       roomfeatures.Options
	}{
		{"occupant ids", "urn:xmpp:occupant-id:0", roomfeatures.Options{}},
		{"retraction", "urn:xmpp:message-retract:1", roomfeatures.Options{OccupantIDKey: key, NoRetraction: true}},
		{"hats", "urn:xmpp:hats:0", roomfeatures.Options{OccupantIDKey: key, NoHats: true}},
		{"commands", "http://jabber.org/protocol/commands", roomfeatures.Options{OccupantIDKey: key, NoHats: true}},
		{"avatars", "vcard-temp", roomfeatures.Options{OccupantIDKey: key, NoAvatars: true}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := describeRoom(t, roomfeatures.Options{OccupantIDKey: key}); !strings.Contains(got, "'"+tt.feature+"'") {
				t.Errorf("with it: no %s in\n%s", tt.feature, got)
			}
			if got := describeRoom(t, tt.without); strings.Contains(got, "'"+tt.feature+"'") {
				t.Errorf("without it: %s in\n%s", tt.feature, got)
			}
		})
	}
}

// describeRoom returns what a new room says of itself.
func describeRoom(t *testing.T, o roomfeatures.Options) (info string) {
	synctest.Test(t, func(t *testing.T) {
		w := &world{got: make(map[jid.JID][]string)}
		s, err := muc.New(muc.Options{Domain: "conf.test", Router: w, Extensions: roomfeatures.All(o)})
		if err != nil {
			t.Fatal(err)
		}
		s.Handle(parse(t, `<presence from='romeo@test/a' to='coven@conf.test/Romeo'><x xmlns='http://jabber.org/protocol/muc'/></presence>`))
		w.take("romeo@test/a")
		s.Handle(parse(t, `<iq type='get' id='i' from='romeo@test/a' to='coven@conf.test'><query xmlns='http://jabber.org/protocol/disco#info'/></iq>`))
		info = w.take("romeo@test/a")
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := s.Shutdown(ctx); err != nil {
			t.Error(err)
		}
	})
	return info
}
