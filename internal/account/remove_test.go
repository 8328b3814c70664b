package account_test

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"

	"go.uber.org/goleak"

	"github.com/muster-im/muster/internal/account"
	"github.com/muster-im/muster/internal/sasl"
	"github.com/muster-im/muster/internal/sqlstore"
	"github.com/muster-im/muster/internal/store"
	"github.com/muster-im/muster/jid"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// runs is a server's runs one after the other, on one database.
type runs struct {
	t  *testing.T
	db *sqlstore.DB

	mu     sync.Mutex
	told   []string
	broken error // of the second of those who are told
}

func newRuns(t *testing.T) *runs {
	t.Helper()
	r := &runs{t: t}
	var err error
	r.db, err = sqlstore.Open(t.Context(), sqlstore.Options{Driver: "sqlite", Dir: t.TempDir(), Durability: "process"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.db.Close(); err != nil {
			t.Error(err)
		}
	})
	return r
}

// begin begins a run.
func (r *runs) begin() *account.Service {
	r.t.Helper()
	s := account.New(account.Options{Store: r.db, Hosts: []string{"a.test"}, Hasher: sasl.NewHasher(4096, 1)})
	for _, name := range []string{"sessions", "contacts"} {
		s.OnDeleted(name, func(_ context.Context, j jid.JID) error {
			r.mu.Lock()
			defer r.mu.Unlock()
			r.told = append(r.told, name+" "+j.Local())
			if name == "contacts" {
				return r.broken
			}
			return nil
		})
	}
	if err := s.Resume(r.t.Context()); err != nil {
		r.t.Fatal(err)
	}
	return s
}

// want checks who has been told since the last look.
func (r *runs) want(when string, want ...string) {
	r.t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	if !slices.Equal(r.told, want) {
		r.t.Errorf("%s: told %q, want %q", when, r.told, want)
	}
	r.told = nil
}

var romeo = jid.MustParse("romeo@a.test")

// TestInterruptedRemoval: what fails is done again, at the next start or when
// the name is wanted, and nobody gets the name before.
func TestInterruptedRemoval(t *testing.T) {
	t.Parallel()
	r := newRuns(t)
	s := r.begin()
	ctx := t.Context()
	if err := s.Create(ctx, romeo, "secret"); err != nil {
		t.Fatal(err)
	}
	r.broken = errors.New("the disk is on fire")
	if err := s.Delete(ctx, romeo); err != nil {
		t.Errorf("delete: %v; the account is gone all the same", err)
	}
	r.want("deleted", "sessions romeo", "contacts romeo")
	if there, err := s.Exists(ctx, romeo); there || err != nil {
		t.Errorf("exists: %v, %v", there, err)
	}
	if err := s.Create(ctx, romeo, "new"); !errors.Is(err, r.broken) {
		t.Errorf("create before all is done: %v", err)
	}
	r.want("name wanted", "sessions romeo", "contacts romeo")

	r.begin()
	r.want("started, and it fails again", "sessions romeo", "contacts romeo")
	r.broken = nil
	r.begin()
	r.want("started", "sessions romeo", "contacts romeo")
	s = r.begin()
	r.want("started with nothing to do")
	if err := s.Create(ctx, romeo, "new"); err != nil {
		t.Errorf("create: %v", err)
	}
	r.want("created")
}

// TestNameWantedByMany: of those who want the name of an account that is being
// removed one gets it, and none of what they do takes the new account's things.
func TestNameWantedByMany(t *testing.T) {
	t.Parallel()
	r := newRuns(t)
	s := r.begin()
	ctx := t.Context()
	if err := s.Create(ctx, romeo, "secret"); err != nil {
		t.Fatal(err)
	}
	if err := r.db.RemoveAccount(ctx, romeo); err != nil { // as if the server had died
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	var mu sync.Mutex
	made, refused := 0, 0
	for range 8 {
		wg.Go(func() {
			err := s.Create(ctx, romeo, "secret")
			mu.Lock()
			defer mu.Unlock()
			switch {
			case err == nil:
				made++
			case errors.Is(err, store.ErrConflict):
				refused++
			default:
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if made != 1 || refused != 7 {
		t.Errorf("%d got the name, %d were refused", made, refused)
	}
	r.want("once", "sessions romeo", "contacts romeo")
}

// TestDeleteLater: whoever asks learns that it is decided before anything ends.
func TestDeleteLater(t *testing.T) {
	t.Parallel()
	r := newRuns(t)
	s := r.begin()
	ctx := t.Context()
	if err := s.Create(ctx, romeo, "secret"); err != nil {
		t.Fatal(err)
	}
	err := s.DeleteLater(ctx, romeo, func() {
		r.want("decided")
		if there, err := s.Exists(ctx, romeo); there || err != nil {
			t.Errorf("exists: %v, %v", there, err)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(ctx); err != nil {
		t.Fatal(err)
	}
	r.want("closed", "sessions romeo", "contacts romeo")
	if err := s.DeleteLater(ctx, romeo, func() { t.Error("decided once more") }); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("delete nobody: %v", err)
	}
}

// TestPanicWhileRemoving costs nothing but another try.
func TestPanicWhileRemoving(t *testing.T) {
	t.Parallel()
	r := newRuns(t)
	s := account.New(account.Options{Store: r.db, Hosts: []string{"a.test"}, Hasher: sasl.NewHasher(4096, 1)})
	s.OnDeleted("bad", func(context.Context, jid.JID) error { panic("as asked") })
	if err := s.Create(t.Context(), romeo, "secret"); err != nil {
		t.Fatal(err)
	}
	if err := s.Delete(t.Context(), romeo); err != nil {
		t.Fatal(err)
	}
	r.begin()
	r.want("started", "sessions romeo", "contacts romeo")
}
