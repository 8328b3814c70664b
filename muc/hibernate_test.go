package muc_test

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/muster-im/muster/internal/roomfeatures"
	"github.com/muster-im/muster/jid"
	"github.com/muster-im/muster/muc"
	"github.com/muster-im/muster/stanza"
)

// cabinet is a store of many rooms.
type cabinet struct {
	mu sync.Mutex
	// Guarded by mu.
	rooms map[jid.JID]muc.RoomRecord
}

func (c *cabinet) Room(_ context.Context, room jid.JID) (*muc.RoomRecord, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	rec, ok := c.rooms[room]
	if !ok {
		return nil, muc.ErrNoRoom
	}
	rec.Affiliations = slices.Clone(rec.Affiliations)
	return &rec, nil
}

func (c *cabinet) RoomData(context.Context, jid.JID) (map[string][]byte, error) { return nil, nil }

func (c *cabinet) Rooms(_ context.Context, q muc.RoomsQuery) (list []muc.RoomDescriptor, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for j := range c.rooms {
		if j.Local() > q.After {
			list = append(list, muc.RoomDescriptor{JID: j, Public: true})
		}
	}
	slices.SortFunc(list, func(a, b muc.RoomDescriptor) int { return cmp.Compare(a.JID.Local(), b.JID.Local()) })
	return list[:min(q.Limit, len(list))], nil
}

func (c *cabinet) CountRooms(context.Context, muc.RoomsQuery) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.rooms), nil
}

func (c *cabinet) ApplyRoomChange(_ context.Context, room jid.JID, _ int64, change muc.RoomChange) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	rec, ok := c.rooms[room]
	if !ok {
		rec = muc.RoomRecord{JID: room, Created: change.Created}
	}
	if change.Settings != nil {
		rec.Settings = change.Settings
	}
	if change.Subject != nil {
		rec.Subject = *change.Subject
	}
	for _, a := range change.Affiliations {
		rec.Affiliations = slices.DeleteFunc(rec.Affiliations, func(old muc.AffiliationRecord) bool { return old.JID == a.JID })
		if a.Affiliation != muc.None {
			rec.Affiliations = append(rec.Affiliations, a)
		}
	}
	if c.rooms == nil {
		c.rooms = make(map[jid.JID]muc.RoomRecord)
	}
	c.rooms[room] = rec
	return nil
}

func (*cabinet) NoteUse(context.Context, []muc.RoomUse) error { return nil }

func (c *cabinet) DeleteRoom(_ context.Context, room jid.JID, _ int64, _ *muc.Tombstone) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.rooms, room)
	return nil
}

// sleepy are rooms that are persistent unless they say otherwise, in a service
// that stops them.
func sleepy(h muc.Hibernation) muc.Options {
	return muc.Options{Store: &cabinet{}, Hibernation: h, Defaults: map[string][]string{muc.FieldPersistent: {"1"}}}
}

func (w *world) population(want muc.Population) {
	w.t.Helper()
	synctest.Wait()
	if got := w.Population(); got != want {
		w.t.Errorf("there are %+v, want %+v", got, want)
	}
}

const leaveAnna = "<presence type='unavailable' from='anna@test/r' to='coven@conf.test/anna'/>"

// TestHibernation: nobody notices that a room hibernates. What is in it is there
// when it goes on.
func TestHibernation(t *testing.T) {
	run(t, muc.Options{Store: &cabinet{}}, func(w *world) {
		w.open("ben", "chloe")
		w.send(say("ben", "before"))
		w.send("<message type='groupchat' from='anna@test/r' to='coven@conf.test'><subject>night</subject></message>")
		w.send("<iq type='set' id='1' from='anna@test/r' to='coven@conf.test'><query xmlns='http://jabber.org/protocol/muc#admin'>" +
			"<item affiliation='outcast' jid='dora@test'/><item affiliation='member' jid='ben@test' nick='ben'/></query></iq>")
		w.send("<iq type='set' id='2' from='anna@test/r' to='coven@conf.test'><query xmlns='http://jabber.org/protocol/muc#owner'><x xmlns='jabber:x:data' type='submit'>" +
			"<field var='muc#roomconfig_roomname'><value>Coven</value></field></x></query></iq>")
		synctest.Wait()
		for _, who := range []string{"anna", "ben", "chloe", "dora"} {
			w.take(who + "@test/r")
		}
		time.Sleep(90*time.Second - time.Nanosecond)
		w.population(muc.Population{Online: 1})
		time.Sleep(time.Nanosecond)
		w.population(muc.Population{Online: 1, Hibernated: 1, Hibernations: 1})
		time.Sleep(time.Hour)
		w.population(muc.Population{Online: 1, Hibernated: 1, Hibernations: 1})
		for _, who := range []string{"anna", "ben", "chloe"} {
			w.expectNothing(who + "@test/r")
		}
		w.send(say("ben", "after"))
		w.population(muc.Population{Online: 1, Hibernations: 1})
		w.expect("anna@test/r", "<body>after<")
		w.expect("chloe@test/r", "<body>after<")
		w.send(enter("dora"))
		w.expect("dora@test/r", "forbidden")
		w.send("<presence from='chloe@test/r' to='coven@conf.test/ben'/>")
		w.expect("chloe@test/r", "conflict")
		time.Sleep(90 * time.Second)
		w.population(muc.Population{Online: 1, Hibernated: 1, Hibernations: 2})
		w.send(enter("emil"))
		w.expect("emil@test/r", "coven@conf.test/anna", "coven@conf.test/ben", "coven@conf.test/chloe", "<body>before<", "<body>after<", "<subject>night<")
		time.Sleep(91 * time.Second)
		w.send("<iq type='get' id='3' from='anna@test/r' to='coven@conf.test'><query xmlns='http://jabber.org/protocol/disco#info'/></iq>")
		w.expect("anna@test/r", "name='Coven'", "<value>4<")
		for _, who := range []string{"anna", "ben", "chloe", "emil"} {
			w.send(fmt.Sprintf("<presence type='unavailable' from='%[1]s@test/r' to='coven@conf.test/%[1]s'/>", who))
		}
		w.population(muc.Population{Hibernations: 3})
	})
}

// TestLockedRoomHibernates: not before it is unlocked.
func TestLockedRoomHibernates(t *testing.T) {
	run(t, muc.Options{}, func(w *world) {
		w.send(enter("anna"))
		time.Sleep(200 * time.Second)
		w.population(muc.Population{Online: 1})
		w.send(accept)
		w.expect("anna@test/r", "id='cfg'")
		time.Sleep(90 * time.Second)
		w.population(muc.Population{Online: 1, Hibernated: 1, Hibernations: 1})
	})
}

// TestEmptyRoomsLeave: where no checks stop rooms, a stored one leaves memory
// when nobody can notice.
func TestEmptyRoomsLeave(t *testing.T) {
	for _, tt := range []struct {
		name  string
		h     muc.Hibernation
		after time.Duration
		want  muc.Population
	}{
		{"defaults", muc.Hibernation{}, 90 * time.Second, muc.Population{Hibernations: 1}},
		{"sooner than it hibernates", muc.Hibernation{EmptyAfter: 10 * time.Second}, 10 * time.Second, muc.Population{}},
		{"rooms never hibernate", muc.Hibernation{After: -1}, 90 * time.Second, muc.Population{}},
		{"they stay", muc.Hibernation{EmptyAfter: -1}, time.Hour, muc.Population{Online: 1, Hibernated: 1, Hibernations: 1}},
		{"no check", muc.Hibernation{Timeout: time.Second}, 90 * time.Second, muc.Population{Hibernations: 1}},
		{"nothing ever", muc.Hibernation{After: -1, EmptyAfter: -1}, time.Hour, muc.Population{Online: 1}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			run(t, sleepy(tt.h), func(w *world) {
				w.open()
				time.Sleep(2 * time.Hour)
				if w.Population().Online != 1 {
					t.Error("the room has gone with somebody in it")
				}
				w.send(leaveAnna)
				synctest.Wait()
				before := w.Population()
				time.Sleep(tt.after)
				synctest.Wait()
				got := w.Population()
				if got.Hibernations -= before.Hibernations; tt.name == "they stay" {
					got.Hibernations = 1
				}
				if got != tt.want {
					t.Errorf("then there are %+v, want %+v", got, tt.want)
				}
				w.take("anna@test/r")
				w.send(enter("anna"))
				w.expect("anna@test/r", "affiliation='owner'", "<status code='110'/>")
			})
		})
	}
}

// stopping stops rooms between 120 and 150 seconds after something has happened.
var stopping = muc.Hibernation{After: 60 * time.Second, CheckEvery: 30 * time.Second, Timeout: 60 * time.Second}

// TestStop: who is in a room that is stopped, and what he gets.
func TestStop(t *testing.T) {
	const goodbye = "<status code='332'/>"
	stopped := muc.Population{Hibernations: 1, DeepHibernations: 1}
	for _, tt := range []struct {
		name    string
		options func(*muc.Options)
		inside  func(w *world)
		who     string // gets the goodbye; "": nobody does
		want    muc.Population
	}{
		{"nobody is in it", nil, func(w *world) { w.send(leaveAnna) }, "", stopped},
		{"its owner", nil, func(*world) {}, "anna@test/r", stopped},
		{"an administrator of the service", func(o *muc.Options) {
			o.IsAdmin = func(who jid.JID) bool { return who.Local() == "ben" }
		}, func(w *world) { w.send(enter("ben")); w.send(leaveAnna) }, "ben@test/r", stopped},
		{"somebody else", nil, func(w *world) { w.send(enter("ben")); w.send(leaveAnna) }, "", muc.Population{Online: 1, Hibernations: 1}},
		{"its owner with two sessions", func(o *muc.Options) {
			o.Defaults[muc.FieldMultiSession] = []string{"1"}
		}, func(w *world) { w.send(strings.Replace(enter("anna"), "/r'", "/phone'", 1)) }, "", muc.Population{Online: 1, Hibernations: 1}},
		{"its owner and somebody", nil, func(w *world) { w.send(enter("ben")) }, "", muc.Population{Online: 1, Hibernations: 1}},
		{
			"it is temporary", func(o *muc.Options) { o.Defaults[muc.FieldPersistent] = []string{"0"} },
			func(*world) {}, "",
			muc.Population{Online: 1, Hibernations: 1},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			o := sleepy(stopping)
			if tt.options != nil {
				tt.options(&o)
			}
			run(t, o, func(w *world) {
				w.open()
				w.send("<message type='groupchat' from='anna@test/r' to='coven@conf.test'><subject>night</subject></message>")
				tt.inside(w)
				set := time.Now()
				everybody := []string{"anna@test/r", "anna@test/phone", "ben@test/r"}
				synctest.Wait()
				for _, who := range everybody {
					w.take(who)
				}
				time.Sleep(120*time.Second - time.Nanosecond)
				w.population(muc.Population{Online: 1, Hibernated: 1, Hibernations: 1})
				time.Sleep(30*time.Second + time.Nanosecond) // now it has been asked
				w.population(tt.want)
				for _, who := range everybody {
					switch got := strings.Join(w.take(who), ""); {
					case who != tt.who && got != "":
						t.Errorf("%s gets\n%s", who, got)
					case who == tt.who && (!strings.Contains(got, goodbye) || !strings.Contains(got, "<reason>") || strings.Contains(got, "'110'") ||
						!strings.Contains(got, "affiliation='owner' role='none'") || !strings.HasPrefix(got, "<presence ") || strings.Contains(got, "destroy")):
						t.Errorf("%s gets\n%s", who, got)
					}
				}
				w.send(say("dora", "anybody?"))
				if tt.want == stopped { // a stranger's message is refused as ever, by a room that is back
					w.expect("dora@test/r", "not-acceptable")
					w.population(muc.Population{Online: 1, Hibernations: 1, DeepHibernations: 1, Recreations: 1})
				}
				w.take("anna@test/r")
				w.send(enter("anna"))
				w.expect("anna@test/r", "affiliation='owner'", "<subject>night<", set.UTC().Format("2006-01-02T15:04:05"))
			})
		})
	}
}

// TestGoesOnAsIfAwake: a room that is asked and does not qualify begins anew to
// be idle.
func TestGoesOnAsIfAwake(t *testing.T) {
	run(t, sleepy(stopping), func(w *world) {
		w.open("ben")
		time.Sleep(time.Second)
		w.send(say("anna", "still there?")) // at 1 s; hibernates at 61 s, is asked at 150 s, hibernates at 210 s …
		for _, at := range []struct {
			s    int
			want muc.Population
		}{
			{61, muc.Population{Online: 1, Hibernated: 1, Hibernations: 1}},
			{150, muc.Population{Online: 1, Hibernations: 1}},
			{209, muc.Population{Online: 1, Hibernations: 1}},
			{210, muc.Population{Online: 1, Hibernated: 1, Hibernations: 2}},
			{270, muc.Population{Online: 1, Hibernations: 2}},
		} {
			synctest.Wait()
			time.Sleep(time.Until(at0.Add(time.Duration(at.s) * time.Second)))
			w.population(at.want)
		}
	})
}

// at0 is when virtual time begins.
var at0 = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)

// TestListsWakeNobody: neither lists of rooms nor what administrators tell all
// restart the clocks of an empty room.
func TestListsWakeNobody(t *testing.T) {
	o := sleepy(stopping)
	o.IsAdmin = func(who jid.JID) bool { return who.Local() == "admin" }
	run(t, o, func(w *world) {
		w.open()
		w.send(leaveAnna)
		for range 14 {
			time.Sleep(10 * time.Second)
			w.send("<iq type='get' id='1' from='ben@test/r' to='conf.test'><query xmlns='http://jabber.org/protocol/disco#items'/></iq>")
			w.expect("ben@test/r", "coven@conf.test")
			w.send("<message from='admin@test/r' to='conf.test'><body>update tonight</body></message>")
		}
		time.Sleep(10 * time.Second)
		w.population(muc.Population{Hibernations: 1, DeepHibernations: 1})
		w.send("<iq type='get' id='1' from='ben@test/r' to='conf.test'><query xmlns='http://jabber.org/protocol/disco#items'/></iq>")
		w.expect("ben@test/r", "coven@conf.test")
		w.population(muc.Population{Hibernations: 1, DeepHibernations: 1})
	})
}

// TestStopFreesTheSlot: who was in a room that is stopped is in one room less.
func TestStopFreesTheSlot(t *testing.T) {
	o := sleepy(stopping)
	one := roomfeatures.Options{HistorySize: 20, RoomsPerUser: roomfeatures.NewRoomsPerUser().Limited(1)}
	runWith(t, o, one, func(w *world) {
		w.open()
		second := strings.ReplaceAll(enter("anna"), "coven", "attic")
		w.send(second)
		w.expect("anna@test/r", "service-unavailable")
		time.Sleep(150 * time.Second)
		w.expect("anna@test/r", "<status code='332'/>")
		w.send(second)
		w.expect("anna@test/r", "<status code='201'/>")
	})
}

// TestPreload: all stored rooms are loaded at a pace, and hibernate at once.
func TestPreload(t *testing.T) {
	const rooms = 1200
	o := sleepy(muc.Hibernation{EmptyAfter: -1})
	c := o.Store.(*cabinet) //nolint:errcheck,forcetypeassert // it is
	c.rooms = make(map[jid.JID]muc.RoomRecord)
	for i := range rooms {
		j := jid.MustParse(fmt.Sprintf("room%04d@conf.test", i))
		c.rooms[j] = muc.RoomRecord{
			JID: j, Created: at0, Settings: map[string][]string{muc.FieldPersistent: {"1"}},
			Affiliations: []muc.AffiliationRecord{{JID: jid.MustParse("anna@test"), Affiliation: muc.Owner}},
		}
	}
	run(t, o, func(w *world) {
		w.Preload()
		time.Sleep(10 * time.Millisecond)
		w.population(muc.Population{Online: 500, Hibernated: 500, Hibernations: 500, Recreations: 500})
		w.send(strings.ReplaceAll(enter("anna"), "coven", "room1199"))
		w.expect("anna@test/r", "affiliation='owner'")
		time.Sleep(time.Second)
		w.population(muc.Population{Online: rooms, Hibernated: rooms - 1, Hibernations: rooms - 1, Recreations: rooms})
		time.Sleep(time.Hour)
		w.population(muc.Population{Online: rooms, Hibernated: rooms, Hibernations: rooms, Recreations: rooms})
		w.send(strings.ReplaceAll(enter("anna"), "coven", "room0000"))
		w.expect("anna@test/r", "affiliation='owner'")
	})
}

// answers counts what comes back, and lets a test wait for it.
type answers struct{ got chan string }

func (a *answers) Send(st stanza.Stanza) {
	if st.Kind == stanza.IQ || st.Kind == stanza.Message {
		a.got <- st.ID
	}
}

func (a *answers) Target(jid.JID) stanza.Target { return a }

func (a *answers) Deliver([]*stanza.Encoded) {}

// TestNothingIsLost: rooms are stopped and come back as fast as they can, in
// real time, while stanzas and calls come. Every one is answered.
func TestNothingIsLost(t *testing.T) {
	t.Parallel()
	const people, each = 8, 400
	a := &answers{got: make(chan string, people*each)}
	o := sleepy(muc.Hibernation{After: 1, CheckEvery: 1, Timeout: 1})
	o.Domain, o.Router, o.Extensions = "conf.test", a, roomfeatures.All(roomfeatures.Options{HistorySize: 20})
	s, err := muc.New(o)
	if err != nil {
		t.Fatal(err)
	}
	rooms := make([]jid.JID, 3)
	for i := range rooms {
		rooms[i] = jid.MustParse(fmt.Sprintf("room%d@conf.test", i))
		if _, err := s.CreateRoom(t.Context(), rooms[i], nil); err != nil {
			t.Fatal(err)
		}
	}
	var talk sync.WaitGroup
	for p := range people {
		talk.Go(func() {
			from := jid.MustParse(fmt.Sprintf("p%d@test/r", p))
			for i := range each {
				st := stanza.Stanza{Kind: stanza.IQ, Type: stanza.TypeGet, ID: fmt.Sprint(p, i), From: from, To: rooms[i%len(rooms)]}
				switch i % 3 {
				case 0:
					st = st.With(stanza.NewElement(stanza.NSPing, "ping"))
				case 1:
					st = st.With(stanza.NewElement(stanza.NSDiscoInfo, "query"))
				default: // refused: he is not inside
					st.Kind, st.Type = stanza.Message, stanza.TypeGroupchat
					st = st.With(stanza.NewElement(stanza.NSClient, "body").AddText("hello?"))
				}
				if i%50 == 49 {
					if _, err := s.Room(t.Context(), rooms[0]); err != nil {
						t.Error(err)
					}
				}
				if busy := s.Handle(st); busy != nil {
					<-busy
				}
			}
		})
	}
	talk.Wait()
	seen := make(map[string]bool)
	deadline := time.After(time.Minute)
	for len(seen) < people*each {
		select {
		case id := <-a.got:
			if seen[id] {
				t.Errorf("%s is answered twice", id)
			}
			seen[id] = true
		case <-deadline:
			t.Fatalf("%d of %d are answered", len(seen), people*each)
		}
	}
	p := s.Population()
	if p.DeepHibernations < 10 || p.Recreations < 10 {
		t.Errorf("rooms were hardly ever stopped: %+v", p)
	}
	if err := s.Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
}
