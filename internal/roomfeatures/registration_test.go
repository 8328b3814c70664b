package roomfeatures_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/muster-im/muster/internal/roomfeatures"
	"github.com/muster-im/muster/internal/store"
	"github.com/muster-im/muster/jid"
	"github.com/muster-im/muster/muc"
)

// nickStore is a store that fails when it is told to, and lets nobody on while
// gate is open.
type nickStore struct {
	gate chan struct{} // nil: nobody waits

	mu sync.Mutex
	// Guarded by mu.
	fail  error
	nicks map[jid.JID]store.ReservedNick
}

func (s *nickStore) ReservedNicks(context.Context, string) ([]store.ReservedNick, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var list []store.ReservedNick
	for _, n := range s.nicks {
		list = append(list, n)
	}
	return list, s.fail
}

func (s *nickStore) ReserveNick(_ context.Context, _ string, n store.ReservedNick) error {
	if s.gate != nil {
		<-s.gate
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fail == nil {
		s.nicks[n.Owner] = n
	}
	return s.fail
}

func (s *nickStore) ReleaseNick(_ context.Context, _ string, owner jid.JID) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fail == nil {
		delete(s.nicks, owner)
	}
	return s.fail
}

// stored returns who has which nickname in the store.
func (s *nickStore) stored() map[string]string {
	s.mu.Lock()
	defer s.mu.Unlock()
	m := make(map[string]string)
	for j, n := range s.nicks {
		m[j.String()] = n.Nick
	}
	return m
}

// newRooms returns a service with all features that ends with the test.
func newRooms(t *testing.T, w *world, st *nickStore) (send func(format string, args ...any), nicknames *roomfeatures.Nicknames) {
	t.Helper()
	nicknames, err := roomfeatures.LoadNicknames(t.Context(), st, jid.MustParse("conf.test"))
	if err != nil {
		t.Fatal(err)
	}
	s, err := muc.New(muc.Options{
		Domain: "conf.test", Router: w, Extensions: roomfeatures.All(roomfeatures.Options{Nicknames: nicknames}),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		if err := s.Shutdown(ctx); err != nil {
			t.Error(err)
		}
	})
	return func(format string, args ...any) { s.Handle(parse(t, fmt.Sprintf(format, args...))) }, nicknames
}

const wish = `<iq type='set' id='%s' from='%s@test/a' to='conf.test'><query xmlns='jabber:iq:register'><nick>%s</nick></query></iq>`

// A nickname is somebody's from the moment he asks, and again nobody's if it
// could not be stored. Nobody changes his twice at once.
func TestReservingTakesTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, st := &world{got: make(map[jid.JID][]string)}, &nickStore{nicks: make(map[jid.JID]store.ReservedNick)}
		send, _ := newRooms(t, w, st)
		send(wish, "1", "romeo", "Montague")
		expect(t, w.take("romeo@test/a"), "type='result' id='1'")

		st.gate = make(chan struct{})
		send(wish, "2", "romeo", "Moon")
		synctest.Wait()
		send(wish, "3", "juliet", "moon")
		expect(t, w.take("juliet@test/a"), "type='error' id='3'", "<conflict ")
		send(wish, "4", "juliet", "montague")
		expect(t, w.take("juliet@test/a"), "type='error' id='4'", "<conflict ")
		send(wish, "5", "romeo", "Sun")
		expect(t, w.take("romeo@test/a"), "type='error' id='5'", "<resource-constraint ")
		st.fail = errors.New("disk is full")
		close(st.gate)
		expect(t, w.take("romeo@test/a"), "type='error' id='2'", "<internal-server-error ")

		st.gate, st.fail = nil, nil
		send(wish, "6", "juliet", "moon")
		expect(t, w.take("juliet@test/a"), "type='result' id='6'")
		send(wish, "7", "juliet", "MONTAGUE")
		expect(t, w.take("juliet@test/a"), "type='error' id='7'", "<conflict ")
		want := map[string]string{"romeo@test": "Montague", "juliet@test": "moon"}
		if got := st.stored(); !maps.Equal(got, want) {
			t.Errorf("stored: got %v, want %v", got, want)
		}
	})
}

// However many want one nickname at once, one gets it, and it is his in the
// store.
func TestReservingAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, st := &world{got: make(map[jid.JID][]string)}, &nickStore{nicks: make(map[jid.JID]store.ReservedNick)}
		send, nicknames := newRooms(t, w, st)
		var all sync.WaitGroup
		for i := range 50 {
			all.Go(func() { send(wish, "1", fmt.Sprintf("u%d", i), "Moon") })
		}
		all.Wait()
		var winners []string
		for i := range 50 {
			who := fmt.Sprintf("u%d@test", i)
			if strings.Contains(w.take(who+"/a"), "type='result'") {
				winners = append(winners, who)
			}
		}
		if len(winners) != 1 || !maps.Equal(st.stored(), map[string]string{winners[0]: "Moon"}) {
			t.Fatalf("winners: %v, stored: %v", winners, st.stored())
		}
		if err := nicknames.AccountDeleted(t.Context(), jid.MustParse(winners[0])); err != nil {
			t.Fatal(err)
		}
		send(wish, "2", "nurse", "moon")
		expect(t, w.take("nurse@test/a"), "type='result' id='2'")
	})
}

// A hundred thousand reserved nicknames are all respected.
func TestManyNicknames(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, st := &world{got: make(map[jid.JID][]string)}, &nickStore{nicks: make(map[jid.JID]store.ReservedNick)}
		for i := range 100_000 {
			owner := jid.MustParse(fmt.Sprintf("u%d@test", i))
			st.nicks[owner] = store.ReservedNick{Owner: owner, Nick: fmt.Sprintf("Nick %d", i), Key: fmt.Sprintf("nick %d", i)}
		}
		send, _ := newRooms(t, w, st)
		const enter = `<presence from='%s@test/a' to='coven@conf.test/%s'><x xmlns='http://jabber.org/protocol/muc'/></presence>`
		for i := range 100 {
			send(enter, "romeo", fmt.Sprintf("NICK %d", i*1000))
			expect(t, w.take("romeo@test/a"), "<conflict ")
		}
		send(enter, "u4711", "Nick 4711")
		expect(t, w.take("u4711@test/a"), "<status code='110'/>")
	})
}

// Admins who are not inside are asked by their account, once for each request;
// a crowd of requests is refused.
func TestRequestsForRegistration(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, st := &world{got: make(map[jid.JID][]string)}, &nickStore{nicks: make(map[jid.JID]store.ReservedNick)}
		send, _ := newRooms(t, w, st)
		send(`<presence from='romeo@test/a' to='coven@conf.test/Romeo'><x xmlns='http://jabber.org/protocol/muc'/></presence>`)
		send(`<iq type='set' id='c' from='romeo@test/a' to='coven@conf.test'><query xmlns='http://jabber.org/protocol/muc#owner'><x xmlns='jabber:x:data' type='submit'/></query></iq>`)
		send(`<iq type='set' id='d' from='romeo@test/a' to='coven@conf.test'><query xmlns='http://jabber.org/protocol/muc#admin'><item affiliation='admin' jid='juliet@test'/></query></iq>`)
		expect(t, w.take("romeo@test/a"), "type='result' id='d'")
		const ask = `<iq type='set' id='1' from='u%d@test/a' to='coven@conf.test'><query xmlns='jabber:iq:register'><x xmlns='jabber:x:data' type='submit'>` +
			`<field var='muc#register_roomnick'><value>U%d</value></field></x></query></iq>`
		for i := range 21 {
			send(ask, i, i)
		}
		for _, admin := range []string{"romeo@test/a", "juliet@test"} {
			if n := strings.Count(w.take(admin), "muc#register_allow"); n != 20 {
				t.Errorf("%s was asked %d times, want 20", admin, n)
			}
		}
		expect(t, w.take("u19@test/a"), "type='result'")
		expect(t, w.take("u20@test/a"), "<resource-constraint ")
		time.Sleep(time.Minute)
		send(ask, 20, 20)
		expect(t, w.take("u20@test/a"), "type='result'")
	})
}
