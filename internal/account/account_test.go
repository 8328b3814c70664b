package account_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/muster-im/muster/internal/account"
	"github.com/muster-im/muster/internal/sasl"
	"github.com/muster-im/muster/internal/sqlstore"
	"github.com/muster-im/muster/internal/store"
	"github.com/muster-im/muster/jid"
)

func newService(t *testing.T, change func(*account.Options)) *account.Service {
	t.Helper()
	db, err := sqlstore.Open(t.Context(), sqlstore.Options{Driver: "sqlite", Dir: t.TempDir(), Durability: "process"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	o := account.Options{Store: db, Hosts: []string{"b.test", "a.test"}, Hasher: sasl.NewHasher(4096, 1)}
	if change != nil {
		change(&o)
	}
	return account.New(o)
}

// login tries a password as a client would.
func login(t *testing.T, s *account.Service, name, password string) error {
	t.Helper()
	server, err := sasl.New(sasl.Options{Lookup: s.Keys, Settle: -1})
	if err != nil {
		t.Fatal(err)
	}
	x, err := server.Start(sasl.Plain, "a.test", sasl.Channel{Secure: true})
	if err != nil {
		t.Fatal(err)
	}
	_, _, err = x.Next(t.Context(), []byte("\x00"+name+"\x00"+password))
	return err
}

func TestLifeOfAnAccount(t *testing.T) {
	t.Parallel()
	var deleted []string
	reg := prometheus.NewRegistry()
	s := newService(t, func(o *account.Options) {
		o.Registerer = reg
	})
	for _, name := range []string{"first", "second"} {
		s.OnDeleted(name, func(ctx context.Context, j jid.JID) error {
			if ctx.Err() != nil {
				t.Error("the function's context has ended")
			}
			deleted = append(deleted, name+" "+j.String())
			return nil
		})
	}
	romeo := jid.MustParse("romeo@a.test")
	ctx := t.Context()
	step := func(what string, err error, want error) {
		t.Helper()
		if !errors.Is(err, want) {
			t.Fatalf("%s: got %v, want %v", what, err, want)
		}
	}
	step("create", s.Create(ctx, romeo, "secret"), nil)
	step("create again", s.Create(ctx, romeo, "other"), store.ErrConflict)
	step("login", login(t, s, "romeo", "secret"), nil)
	if login(t, s, "romeo", "other") == nil {
		t.Error("the refused creation has changed the password")
	}
	step("set password", s.SetPassword(ctx, romeo, "new"), nil)
	step("login with the new password", login(t, s, "Romeo", "new"), nil)
	if login(t, s, "romeo", "secret") == nil {
		t.Error("the old password goes on")
	}
	if there, err := s.Exists(ctx, jid.MustParse("romeo@a.test/orchard")); !there || err != nil {
		t.Errorf("exists: %v, %v", there, err)
	}
	step("delete", s.Delete(ctx, romeo), nil)
	if want := []string{"first romeo@a.test", "second romeo@a.test"}; !slices.Equal(deleted, want) {
		t.Errorf("told %q, want %q", deleted, want)
	}
	step("delete again", s.Delete(ctx, romeo), store.ErrNotFound)
	if len(deleted) != 2 {
		t.Error("told of a deletion that was none")
	}
	step("set password of nobody", s.SetPassword(ctx, romeo, "x"), store.ErrNotFound)
	if _, err := s.Keys(ctx, romeo); !errors.Is(err, sasl.ErrNoAccount) {
		t.Errorf("keys of nobody: %v", err)
	}
	for _, j := range []string{"romeo@a.test", "romeo@elsewhere.test", "a.test"} {
		if there, err := s.Exists(ctx, jid.MustParse(j)); there || err != nil {
			t.Errorf("%s exists: %v, %v", j, there, err)
		}
	}
	const want = `# HELP muster_account_changes_total Accounts created and deleted, and passwords set.
# TYPE muster_account_changes_total counter
muster_account_changes_total{change="created"} 1
muster_account_changes_total{change="deleted"} 1
muster_account_changes_total{change="password"} 1
`
	if err := testutil.GatherAndCompare(reg, strings.NewReader(want)); err != nil {
		t.Error(err)
	}
}

func TestRefusals(t *testing.T) {
	t.Parallel()
	s := newService(t, nil)
	for _, tt := range []struct {
		name, account, password string
		want                    error
	}{
		{"no localpart", "a.test", "secret", account.ErrName},
		{"resource", "romeo@a.test/orchard", "secret", account.ErrName},
		{"foreign host", "romeo@c.test", "secret", account.ErrHost},
		{"empty password", "romeo@a.test", "", sasl.ErrPassword},
		{"control character", "romeo@a.test", "a\x00b", sasl.ErrPassword},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			err := s.Create(t.Context(), jid.MustParse(tt.account), tt.password)
			if !errors.Is(err, tt.want) || !account.IsInvalid(err) {
				t.Errorf("got %v, want %v", err, tt.want)
			}
			if tt.password != "" && strings.Contains(err.Error(), tt.password) {
				t.Errorf("the error shows the password: %v", err)
			}
			if list, err := s.List(t.Context(), "", "", 10); err != nil || len(list) != 0 {
				t.Errorf("something was stored: %v, %v", list, err)
			}
		})
	}
	if account.IsInvalid(store.ErrNotFound) {
		t.Error("a missing account is called invalid")
	}
}

func TestList(t *testing.T) {
	t.Parallel()
	s := newService(t, nil)
	for _, j := range []string{"z@a.test", "b@b.test", "m@a.test", "a@b.test"} {
		if err := s.Create(t.Context(), jid.MustParse(j), "secret"); err != nil {
			t.Fatal(err)
		}
	}
	for _, tt := range []struct {
		name, domain, after string
		limit               int
		want                string
	}{
		{"all", "", "", 10, "m@a.test z@a.test a@b.test b@b.test"},
		{"first page", "", "", 3, "m@a.test z@a.test a@b.test"},
		{"next page", "", "a@b.test", 3, "b@b.test"},
		{"behind a page that ends with the domain", "", "z@a.test", 3, "a@b.test b@b.test"},
		{"one domain", "b.test", "", 10, "a@b.test b@b.test"},
		{"one domain, next page", "b.test", "a@b.test", 10, "b@b.test"},
		{"behind what is not there", "", "n@a.test", 1, "z@a.test"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			list, err := s.List(t.Context(), tt.domain, tt.after, tt.limit)
			if err != nil {
				t.Fatal(err)
			}
			got := make([]string, 0, len(list))
			for _, a := range list {
				got = append(got, a.JID.String())
				if a.Created.IsZero() {
					t.Errorf("%s was never created", a.JID)
				}
			}
			if s := strings.Join(got, " "); s != tt.want {
				t.Errorf("got %s, want %s", s, tt.want)
			}
		})
	}
	for _, q := range [][2]string{{"c.test", ""}, {"", "@"}} {
		if _, err := s.List(t.Context(), q[0], q[1], 1); !account.IsInvalid(err) {
			t.Errorf("list %q: got %v", q, err)
		}
	}
}

// brokenStore fails as a store does whose disk is gone.
type brokenStore struct{ account.Store }

func (brokenStore) Account(context.Context, jid.JID) (store.Account, error) {
	return store.Account{}, errBroken
}

var errBroken = errors.New("the disk is gone") //nolint:gochecknoglobals // an error

func TestBrokenStoreIsNoMissingAccount(t *testing.T) {
	t.Parallel()
	s := newService(t, func(o *account.Options) { o.Store = brokenStore{} })
	romeo := jid.MustParse("romeo@a.test")
	if _, err := s.Exists(t.Context(), romeo); !errors.Is(err, errBroken) {
		t.Errorf("exists: %v", err)
	}
	if _, err := s.Keys(t.Context(), romeo); !errors.Is(err, errBroken) {
		t.Errorf("keys: %v", err)
	}
	if err := s.SetPassword(t.Context(), romeo, "secret"); !errors.Is(err, errBroken) {
		t.Errorf("set password: %v", err)
	}
}
