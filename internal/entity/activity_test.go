package entity

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/muster-im/muster/internal/router"
	"github.com/muster-im/muster/internal/sqlstore"
	"github.com/muster-im/muster/internal/store"
	"github.com/muster-im/muster/jid"
	"github.com/muster-im/muster/stanza"
)

// world is who is connected.
type world map[jid.JID][]router.Session

func (w world) Sessions(bare jid.JID) []router.Session { return w[bare] }

func (w world) Session(full jid.JID) router.Session {
	for _, s := range w[full.Bare()] {
		if s.JID() == full {
			return s
		}
	}
	return nil
}

// gate is a store that lets nobody in until it opens, or fails.
type gate struct {
	ActivityStore
	open    chan struct{}
	fail    error
	batches []int
}

func (g *gate) PutLastActivity(ctx context.Context, list []store.LastActivity) error {
	g.batches = append(g.batches, len(list))
	<-g.open
	if g.fail != nil {
		return g.fail
	}
	return g.ActivityStore.PutLastActivity(ctx, list)
}

func openStore(t *testing.T, accounts ...jid.JID) *sqlstore.DB {
	t.Helper()
	db, err := sqlstore.Open(t.Context(), sqlstore.Options{Driver: sqlstore.SQLite, Dir: t.TempDir(), Durability: sqlstore.DurabilityProcess})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	for _, j := range accounts {
		if err := db.CreateAccount(t.Context(), store.Account{JID: j.Bare()}); err != nil {
			t.Fatal(err)
		}
	}
	return db
}

func bye(text string) stanza.Stanza {
	e := stanza.NewElement(stanza.NSClient, "status").AddText(text)
	return stanza.Stanza{Kind: stanza.Presence, Type: stanza.TypeUnavailable}.With(e)
}

func ask(t *testing.T, a *Activity, from, to jid.JID) (string, error) {
	t.Helper()
	e, err := a.AccountLast(t.Context(), query(stanza.NSLast, "", from, to))
	if err != nil {
		return "", err
	}
	return e.Attr("seconds") + " " + e.Text(), nil
}

func closeActivity(t *testing.T, a *Activity) {
	t.Helper()
	if err := a.Close(context.Background()); err != nil {
		t.Error(err)
	}
}

func TestLastActivity(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		db := openStore(t, juliet, romeo)
		online := world{}
		o := ActivityOptions{Store: db, Router: online, MaySee: func(_ context.Context, who, _ jid.JID) (bool, error) {
			return who == friend.Bare(), nil
		}}
		a := NewActivity(o)
		never := stanza.NewError(stanza.Cancel, stanza.ItemNotFound, "")
		if got, err := ask(t, a, friend, juliet); !errors.Is(err, never) {
			t.Errorf("never seen: %q, %v", got, err)
		}
		a.Left(juliet, bye("Heading Home"))
		for _, when := range []string{"not stored yet", "stored", "after a restart"} {
			if got, err := ask(t, a, friend, juliet); err != nil || got != "0 Heading Home" {
				t.Errorf("%s: %q, %v", when, got, err)
			}
			if when == "stored" {
				closeActivity(t, a)
				a = NewActivity(o)
			}
			synctest.Wait()
		}
		time.Sleep(903 * time.Second)
		if got, err := ask(t, a, friend, juliet); err != nil || got != "903 Heading Home" {
			t.Errorf("later: %q, %v", got, err)
		}
		forbidden := stanza.NewError(stanza.Auth, stanza.Forbidden, "")
		if got, err := ask(t, a, romeo, juliet); !errors.Is(err, forbidden) {
			t.Errorf("a stranger: %q, %v", got, err)
		}
		online[juliet] = []router.Session{newSession("juliet@example.org/balcony", true)}
		if got, err := ask(t, a, friend, juliet); err != nil || got != "0 " {
			t.Errorf("online: %q, %v", got, err)
		}
		closeActivity(t, a)
	})
}

// People who leave while the store is busy are stored together, each as he left
// last.
func TestActivityIsStoredTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var people []jid.JID
		for i := range batchSize + 2 {
			people = append(people, jid.MustParse(fmt.Sprintf("p%d@example.org", i)))
		}
		db := openStore(t, people...)
		g := &gate{ActivityStore: db, open: make(chan struct{})}
		a := NewActivity(ActivityOptions{Store: g, Router: world{}})
		a.Left(people[0], bye("first"))
		synctest.Wait() // it is being stored
		time.Sleep(time.Minute)
		for _, j := range people {
			a.Left(j, bye("second"))
		}
		if got, err := ask(t, a, people[0], people[0]); err != nil || got != "0 second" {
			t.Errorf("while it is stored: %q, %v", got, err)
		}
		close(g.open)
		closeActivity(t, a)
		for _, j := range people {
			if last, err := db.LastActivity(t.Context(), j); err != nil || last.Status != "second" {
				t.Errorf("%s: %+v, %v", j, last, err)
			}
		}
		if len(g.batches) != 3 || g.batches[0] != 1 || g.batches[1] != batchSize || g.batches[2] != 2 {
			t.Errorf("batches of %v", g.batches)
		}
		a.Left(people[0], bye("third"))
		if n := testutil.ToFloat64(a.dropped.WithLabelValues(dropClosed)); n != 1 {
			t.Errorf("%v dropped after the end, want 1", n)
		}
	})
}

func TestActivityOfDeletedAccounts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		db := openStore(t, juliet)
		g := &gate{ActivityStore: db, open: make(chan struct{})}
		a := NewActivity(ActivityOptions{Store: g, Router: world{}})
		a.Left(romeo.Bare(), bye("")) // keeps the store busy
		synctest.Wait()
		a.Left(juliet, bye("I am deleted"))
		a.AccountDeleted(t.Context(), juliet)
		close(g.open)
		closeActivity(t, a)
		if _, err := db.LastActivity(t.Context(), juliet); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("the next juliet inherits: %v", err)
		}
	})
}

func TestActivityNotStored(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := &gate{ActivityStore: openStore(t, juliet), open: make(chan struct{}), fail: errors.New("disk full")}
		close(g.open)
		a := NewActivity(ActivityOptions{Store: g, Router: world{}})
		a.Left(juliet, bye(""))
		synctest.Wait()
		g.fail = nil
		a.Left(juliet, bye("again"))
		closeActivity(t, a)
		if got, err := ask(t, a, juliet, juliet); err != nil || got != "0 again" {
			t.Errorf("%q, %v", got, err)
		}
		if n := testutil.ToFloat64(a.dropped.WithLabelValues(dropFailed)); n != 1 {
			t.Errorf("%v dropped, want 1", n)
		}
	})
}

// Close gives up with its context while the store hangs.
func TestActivityCloseInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := &gate{ActivityStore: openStore(t, juliet), open: make(chan struct{})}
		a := NewActivity(ActivityOptions{Store: g, Router: world{}})
		a.Left(juliet, bye(""))
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := a.Close(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v", err)
		}
		close(g.open)
	})
}

func TestStatusIsBounded(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ name, text, want string }{
		{"as long as may be", strings.Repeat("x", maxStatus), strings.Repeat("x", maxStatus)},
		{"longer", strings.Repeat("x", maxStatus+1), strings.Repeat("x", maxStatus)},
		{"cut inside a letter", strings.Repeat("x", maxStatus-2) + "🌹", strings.Repeat("x", maxStatus-2)},
		{"none", "", ""},
	} {
		p := bye(test.text)
		if got := status(&p); got != test.want {
			t.Errorf("%s: %d bytes, want %d", test.name, len(got), len(test.want))
		}
	}
}

// TestGuardSession: XEP-0012 §4 and §8. Whoever may not see a session's presence
// cannot find out whether it is there.
func TestGuardSession(t *testing.T) {
	t.Parallel()
	balcony := newSession("juliet@example.org/balcony", true)
	directed := jid.MustParse("nurse@example.org/kitchen")
	balcony.State().Directed(directed, true, 10)
	balcony.State().Directed(jid.MustParse("tybalt@example.org"), true, 10)
	a := NewActivity(ActivityOptions{
		Router: world{juliet: {balcony}},
		MaySee: func(_ context.Context, who, _ jid.JID) (bool, error) { return who == friend.Bare(), nil },
	})
	for _, test := range []struct {
		name     string
		from, to string
		want     error
	}{
		{"oneself", "juliet@example.org/phone", "juliet@example.org/balcony", nil},
		{"a contact", friend.String(), "juliet@example.org/balcony", nil},
		{"a contact, no such session", friend.String(), "juliet@example.org/tomb", nil},
		{"directed presence", directed.String(), "juliet@example.org/balcony", nil},
		{"directed presence to all of him", "tybalt@example.org/x", "juliet@example.org/balcony", nil},
		{"directed presence of another session", directed.String(), "juliet@example.org/tomb", stanza.NewError(stanza.Auth, stanza.Forbidden, "")},
		{"a stranger", romeo.String(), "juliet@example.org/balcony", stanza.NewError(stanza.Auth, stanza.Forbidden, "")},
		{"a stranger, no such session", romeo.String(), "juliet@example.org/tomb", stanza.NewError(stanza.Auth, stanza.Forbidden, "")},
	} {
		iq := query(stanza.NSLast, "", jid.MustParse(test.from), jid.MustParse(test.to))
		if err := a.GuardSession(t.Context(), iq); !errors.Is(err, test.want) {
			t.Errorf("%s: %v, want %v", test.name, err, test.want)
		}
	}
}
