package roomfeatures_test

import (
	"context"
	"maps"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/muster-im/muster/internal/roomfeatures"
	"github.com/muster-im/muster/jid"
	"github.com/muster-im/muster/muc"
)

// counted is what a registry has counted under a name, by the values of the
// labels that vary.
func counted(t *testing.T, reg *prometheus.Registry, name string, labels ...string) map[string]float64 {
	t.Helper()
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	counts := make(map[string]float64)
	for _, f := range families {
		if f.GetName() != name {
			continue
		}
		for _, m := range f.GetMetric() {
			key := ""
			for _, want := range labels {
				for _, l := range m.GetLabel() {
					if l.GetName() == want {
						key += " " + l.GetValue()
					}
				}
			}
			counts[key[min(1, len(key)):]] += m.GetCounter().GetValue() + float64(m.GetHistogram().GetSampleCount())
		}
	}
	return counts
}

// TestRefusalsSayWhichLimit sends what is refused for one reason each.
func TestRefusalsSayWhichLimit(t *testing.T) {
	const (
		enter   = `<x xmlns='http://jabber.org/protocol/muc'/></presence>`
		owner   = `<query xmlns='http://jabber.org/protocol/muc#owner'><x xmlns='jabber:x:data' type='submit'>`
		message = ` type='groupchat' to='open@conf.test'><body>x</body></message>`
	)
	for _, tc := range []struct{ name, stanza, want string }{
		{"the service", `<presence from='nobody@test/a' to='open@conf.test/n'>` + enter, "forbidden access"},
		{"creation", `<presence from='guest@test/a' to='new@conf.test/n'>` + enter, "not-allowed access_create"},
		{"a long address", `<presence from='romeo@test/a' to='much-too-long@conf.test/n'>` + enter, "not-allowed max_room_id"},
		{"a full room", `<presence from='guest@test/a' to='open@conf.test/n'>` + enter, "service-unavailable max_users"},
		{"too many rooms", `<presence from='romeo@test/a' to='third@conf.test/n'>` + enter, "service-unavailable max_user_conferences"},
		{"a nickname", `<presence from='juliet@test/b' to='open@conf.test/Romeo'>` + enter, "conflict nick_conflict"},
		{"a long name", `<iq id='1' type='set' from='romeo@test/a' to='open@conf.test'>` + owner +
			`<field var='muc#roomconfig_roomname'><value>very long</value></field></x></query></iq>`, "not-acceptable max_room_name"},
		{"persistence", `<iq id='1' type='set' from='romeo@test/a' to='open@conf.test'>` + owner +
			`<field var='muc#roomconfig_persistentroom'><value>1</value></field></x></query></iq>`, "not-acceptable access_persistent"},
		{"a stranger's message", `<message from='guest@test/a'` + message, "not-acceptable outside"},
		{"no owner", `<iq id='1' type='get' from='juliet@test/b' to='open@conf.test'>` +
			`<query xmlns='http://jabber.org/protocol/muc#owner'/></iq>`, "forbidden rank"},
		{"a locked room", `<presence from='juliet@test/b' to='lock@conf.test/n'>` + enter, "item-not-found locked"},
		{"no such room", `<iq id='1' type='get' from='juliet@test/b' to='gone@conf.test'>` +
			`<query xmlns='http://jabber.org/protocol/disco#info'/></iq>`, "item-not-found not_found"},
		{"nonsense", `<iq id='1' type='get' from='juliet@test/b' to='open@conf.test'/>`, "bad-request malformed"},
		{"an announcement", `<message from='juliet@test/b' to='conf.test'><body>x</body></message>`, "forbidden access_admin"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := &world{got: make(map[jid.JID][]string)}
				reg := prometheus.NewRegistry()
				s, err := muc.New(muc.Options{
					Domain: "conf.test", Router: w, Registerer: reg, MaxRoomID: 5, MaxName: 3, MaxUsers: 2, AdminSeats: 1,
					MayUse:     func(j jid.JID) bool { return j.Local() != "nobody" },
					MayCreate:  func(j jid.JID) bool { return j.Local() != "guest" },
					MayPersist: func(jid.JID) bool { return false },
					Extensions: roomfeatures.All(roomfeatures.Options{RoomsPerUser: roomfeatures.NewRoomsPerUser().Limited(2)}),
				})
				if err != nil {
					t.Fatal(err)
				}
				defer func() {
					ctx, cancel := context.WithTimeout(context.Background(), time.Second)
					defer cancel()
					if err := s.Shutdown(ctx); err != nil {
						t.Error(err)
					}
				}()
				send := func(xml string) { s.Handle(parse(t, xml)); synctest.Wait() }
				send(`<presence from='romeo@test/a' to='open@conf.test/Romeo'>` + enter)
				send(`<iq id='0' type='set' from='romeo@test/a' to='open@conf.test'>` + owner + `</x></query></iq>`)
				send(`<presence from='romeo@test/a' to='lock@conf.test/Romeo'>` + enter)
				send(`<presence from='juliet@test/b' to='open@conf.test/Juliet'>` + enter)
				send(`<presence from='juliet@test/b' to='open@conf.test/Juliet'>` + enter)
				if got := counted(t, reg, "muster_muc_refusals_total", "condition", "reason"); len(got) != 0 {
					t.Fatalf("before: %v", got)
				}
				want := map[string]float64{"created": 2, "entered": 1, "again": 1}
				if got := counted(t, reg, "muster_muc_joins_total", "kind"); !maps.Equal(got, want) {
					t.Errorf("entries: got %v, want %v", got, want)
				}
				if got := counted(t, reg, "muster_muc_queued_stanzas"); got[""] == 0 {
					t.Error("no length of a queue was counted")
				}
				if tc.name == "a nickname" { // as somebody who is outside: she has left
					send(`<presence type='unavailable' from='juliet@test/b' to='open@conf.test/Juliet'/>`)
				}
				send(tc.stanza)
				got := counted(t, reg, "muster_muc_refusals_total", "condition", "reason")
				if !maps.Equal(got, map[string]float64{tc.want: 1}) {
					t.Errorf("got %v, want %q once", got, tc.want)
				}
			})
		})
	}
}
