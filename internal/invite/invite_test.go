package invite_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/muster-im/muster/internal/account"
	"github.com/muster-im/muster/internal/invite"
	"github.com/muster-im/muster/internal/pgtest"
	"github.com/muster-im/muster/internal/sasl"
	"github.com/muster-im/muster/internal/sqlstore"
	"github.com/muster-im/muster/internal/store"
	"github.com/muster-im/muster/jid"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// world is a server's accounts, and groups and contacts that note what happens.
type world struct {
	*invite.Service

	t        *testing.T
	db       *sqlstore.DB
	accounts *account.Service

	mu     sync.Mutex
	done   []string
	broken error
	anew   map[string]int64
}

func user(name string) jid.JID { return jid.MustParse(name + "@a.test") }

func (w *world) note(format string, args ...any) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.broken != nil {
		return w.broken
	}
	w.done = append(w.done, fmt.Sprintf(format, args...))
	return nil
}

func (w *world) take() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	slices.Sort(w.done)
	list := strings.Join(w.done, ", ")
	w.done = nil
	return list
}

func (w *world) breakDown(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.broken = err
}

// groups are those of a world.
type groups struct{ *world }

// Number is the length of the group's id, but for those that have been made anew.
func (g groups) Number(_ context.Context, group string) (int64, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if group == "none" {
		return 0, nil
	}
	return int64(len(group)) + g.anew[group], nil
}

func (g groups) Join(_ context.Context, group store.InvitedGroup, j jid.JID) error {
	return g.note("%s joins %s %d", j.Local(), group.ID, group.Number)
}

func (w *world) Befriend(_ context.Context, a, b jid.JID) error {
	return w.note("%s meets %s", a.Local(), b.Local())
}

func eachEngine(t *testing.T, f func(t *testing.T, w *world)) {
	t.Helper()
	t.Run("sqlite", func(t *testing.T) {
		t.Parallel()
		f(t, newWorld(t, sqlstore.Options{Driver: sqlstore.SQLite, Dir: t.TempDir(), Durability: sqlstore.DurabilityProcess}))
	})
	t.Run("postgres", func(t *testing.T) {
		t.Parallel()
		f(t, newWorld(t, postgres(t)))
	})
}

func postgres(t *testing.T) sqlstore.Options {
	t.Helper()
	dsn, schema := pgtest.Schema(t)
	return sqlstore.Options{Driver: sqlstore.Postgres, URL: dsn, Schema: schema, Durability: sqlstore.DurabilityProcess, MaxConns: 8}
}

func newWorld(t *testing.T, o sqlstore.Options) *world {
	t.Helper()
	db, err := sqlstore.Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	w := &world{t: t, db: db}
	w.accounts = account.New(account.Options{Store: db, Hosts: []string{"a.test", "b.test"}, Hasher: sasl.NewHasher(4096, 2)})
	w.begin()
	t.Cleanup(func() {
		w.Close()
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	w.must(w.accounts.Create(t.Context(), user("romeo"), "x"))
	return w
}

// begin makes the service, as a start of the server does.
func (w *world) begin() {
	w.Service = invite.New(invite.Options{Store: w.db, Accounts: w.accounts, Contacts: w, Groups: groups{w}})
	w.must(w.Start(w.t.Context()))
}

func (w *world) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) create(r invite.Request) invite.Issued {
	w.t.Helper()
	if r.Host == "" {
		r.Host = "a.test"
	}
	v, err := w.Create(w.t.Context(), r)
	w.must(err)
	return v
}

// register does what a client does with a token.
func (w *world) register(token, name string) error {
	id, only, _, err := w.Show(w.t.Context(), "a.test", token)
	if err == nil && only != "" && only != name {
		err = errors.New("another name")
	}
	if err != nil {
		return err
	}
	return w.Register(w.t.Context(), id, user(name), "secret")
}

func (w *world) expect(what string, err, want error) {
	w.t.Helper()
	if !errors.Is(err, want) {
		w.t.Errorf("%s: got %v, want %v", what, err, want)
	}
}

func TestLife(t *testing.T) {
	t.Parallel()
	eachEngine(t, func(t *testing.T, w *world) {
		ctx := t.Context()
		v := w.create(invite.Request{Groups: []string{"verona", "party", "verona"}, Inviter: user("romeo"), Uses: 2, Note: "🌹"})
		if len(v.Token) != 36 || v.URI != "xmpp:a.test?register;preauth="+v.Token || strings.Contains(string(v.Hash), v.Token) {
			t.Errorf("issued %+v", v)
		}
		if d := v.Expires.Sub(v.Created); d != 7*24*time.Hour {
			t.Errorf("it lasts %v", d)
		}
		w.expect("another host", func() error { _, _, _, err := w.Show(ctx, "b.test", v.Token); return err }(), store.ErrNotFound)
		for _, token := range []string{"", "x", v.ID, v.Token[:35], v.Token + "a", v.Token[:35] + "!", strings.ToUpper(v.Token)} {
			w.expect("wrong token "+token, w.register(token, "juliet"), store.ErrNotFound)
		}
		w.expect("somebody's name", w.register(v.Token, "romeo"), store.ErrConflict)
		w.expect("first", w.register(v.Token, "juliet"), nil)
		if got := w.take(); got != "juliet joins party 5, juliet joins verona 6, romeo meets juliet" {
			t.Errorf("then %s", got)
		}
		list, err := w.List(ctx, "a.test", "", 10)
		if err != nil || len(list) != 1 || list[0].Uses != 1 || list[0].Used != 1 || list[0].Note != "🌹" || !slices.Equal(list[0].Groups, []store.InvitedGroup{{ID: "party", Number: 5}, {ID: "verona", Number: 6}}) {
			t.Errorf("listed %+v, %v", list, err)
		}
		if other, err := w.List(ctx, "b.test", "", 10); err != nil || len(other) != 0 {
			t.Errorf("b.test has %+v, %v", other, err)
		}
		w.expect("second", w.register(v.Token, "tybalt"), nil)
		w.expect("third", w.register(v.Token, "paris"), store.ErrNotFound)
		if there, err := w.accounts.Exists(ctx, user("paris")); there || err != nil {
			t.Errorf("paris: %v, %v", there, err)
		}
		again := w.create(invite.Request{Uses: store.Unlimited})
		for i := range 3 {
			w.expect("without limit", w.register(again.Token, fmt.Sprintf("guest%d", i)), nil)
		}
		w.expect("revoke elsewhere", w.Revoke(ctx, "b.test", again.ID, ""), store.ErrNotFound)
		w.expect("revoke", w.Revoke(ctx, "a.test", again.ID, ""), nil)
		w.expect("revoke again", w.Revoke(ctx, "a.test", again.ID, ""), store.ErrNotFound)
		w.expect("revoked", w.register(again.Token, "guest9"), store.ErrNotFound)
	})
}

// TestTwoAtOnce: of many who use a single-use token at once, one wins.
func TestTwoAtOnce(t *testing.T) {
	t.Parallel()
	eachEngine(t, func(t *testing.T, w *world) {
		v := w.create(invite.Request{Groups: []string{"verona"}})
		id, _, _, err := w.Show(t.Context(), "a.test", v.Token)
		w.must(err)
		errs := make([]error, 8)
		var wg sync.WaitGroup
		for i := range errs {
			wg.Go(func() { errs[i] = w.Register(t.Context(), id, user(fmt.Sprintf("guest%d", i)), "x") })
		}
		wg.Wait()
		won := 0
		for i, err := range errs {
			there, other := w.accounts.Exists(t.Context(), user(fmt.Sprintf("guest%d", i)))
			if there != (err == nil) || other != nil {
				t.Errorf("guest%d: %v, and there is an account: %v", i, err, there)
			}
			if err == nil {
				won++
			} else {
				w.expect("too late", err, store.ErrInvitation)
			}
		}
		if won != 1 {
			t.Errorf("%d have won", won)
		}
	})
}

// TestCrash: who has an account comes into his groups, although the server dies
// or its database fails at once.
func TestCrash(t *testing.T) {
	t.Parallel()
	eachEngine(t, func(t *testing.T, w *world) {
		v := w.create(invite.Request{Groups: []string{"verona"}, Inviter: user("romeo")})
		w.breakDown(errors.New("the disk is gone"))
		w.expect("register", w.register(v.Token, "juliet"), nil)
		if got := w.take(); got != "" {
			t.Errorf("too early: %s", got)
		}
		w.Close()
		w.breakDown(nil)
		w.begin()
		if got := w.take(); got != "juliet joins verona 6, romeo meets juliet" {
			t.Errorf("then %s", got)
		}
		w.Close()
		w.begin()
		if got := w.take(); got != "" {
			t.Errorf("again: %s", got)
		}
	})
}

// TestNames: XEP-0445 §5: a name is kept for who is invited.
func TestNames(t *testing.T) {
	t.Parallel()
	eachEngine(t, func(t *testing.T, w *world) {
		ctx := t.Context()
		v := w.create(invite.Request{Name: "Juliet"})
		if v.URI != "xmpp:juliet@a.test?register;preauth="+v.Token {
			t.Errorf("got %s", v.URI)
		}
		other := w.create(invite.Request{Uses: 5})
		w.expect("somebody else", w.accounts.Create(ctx, user("juliet"), "x"), store.ErrReserved)
		w.expect("with another invitation", w.register(other.Token, "juliet"), store.ErrReserved)
		_, err := w.Create(ctx, invite.Request{Host: "a.test", Name: "juliet"})
		w.expect("invited twice", err, store.ErrReserved)
		_, err = w.Create(ctx, invite.Request{Host: "a.test", Name: "romeo"})
		w.expect("name that is taken", err, store.ErrConflict)
		w.expect("on another host", w.accounts.Create(ctx, jid.MustParse("juliet@b.test"), "x"), nil)
		if w.register(v.Token, "nurse") == nil {
			t.Error("another name is accepted")
		}
		w.expect("the one", w.register(v.Token, "juliet"), nil)
		odd := w.create(invite.Request{Name: "küche"})
		if !strings.HasPrefix(odd.URI, "xmpp:k%C3%BCche@a.test?") {
			t.Errorf("got %s", odd.URI)
		}
		w.must(w.Revoke(ctx, "a.test", odd.ID, ""))
		w.expect("free again", w.accounts.Create(ctx, user("küche"), "x"), nil)
	})
}

// TestContacts: XEP-0379 §3.4: somebody who has an account uses an invitation to
// become a contact, and nobody else's.
func TestContacts(t *testing.T) {
	t.Parallel()
	eachEngine(t, func(t *testing.T, w *world) {
		ctx := t.Context()
		w.must(w.accounts.Create(ctx, user("juliet"), "x"))
		v := w.create(invite.Request{Inviter: user("romeo"), Contact: true, Groups: []string{"verona"}})
		if v.URI != "xmpp:romeo@a.test?roster;preauth="+v.Token+";ibr=y" {
			t.Errorf("got %s", v.URI)
		}
		accept := func(inviter string, token string) bool {
			ok, err := w.Accept(ctx, user(inviter), user("juliet"), token)
			w.must(err)
			return ok
		}
		if accept("tybalt", v.Token) || accept("romeo", v.Token[:30]) {
			t.Error("a token is good for what it is not")
		}
		if !accept("romeo", v.Token) {
			t.Error("the token is refused")
		}
		if got := w.take(); got != "romeo meets juliet" { // groups are for new accounts
			t.Errorf("then %s", got)
		}
		if accept("romeo", v.Token) {
			t.Error("the token is used twice")
		}
		register := w.create(invite.Request{Inviter: user("romeo")})
		if accept("romeo", register.Token) {
			t.Error("an invitation to make an account is one to be a contact")
		}
		only := w.create(invite.Request{Inviter: user("romeo"), Contact: true, NoIBR: true})
		w.expect("no accounts", w.register(only.Token, "paris"), store.ErrNotFound)
		w.must(w.accounts.Delete(ctx, user("romeo")))
		if list, err := w.List(ctx, "a.test", "", 9); err != nil || len(list) != 0 {
			t.Errorf("the invitations of who is gone are %+v, %v", list, err)
		}
	})
}

func TestRefusals(t *testing.T) {
	t.Parallel()
	eachEngine(t, func(t *testing.T, w *world) {
		for _, tt := range []struct {
			name string
			r    invite.Request
			want error
		}{
			{"negative", invite.Request{Uses: -2}, invite.ErrInvalid},
			{"too many", invite.Request{Uses: 1_000_001}, invite.ErrInvalid},
			{"too long", invite.Request{Expiry: 400 * 24 * time.Hour}, invite.ErrInvalid},
			{"past", invite.Request{Expiry: -time.Hour}, invite.ErrInvalid},
			{"no name", invite.Request{Name: "a b"}, invite.ErrInvalid},
			{"one name for many", invite.Request{Name: "a", Uses: 2}, invite.ErrInvalid},
			{"contact of nobody", invite.Request{Contact: true}, invite.ErrInvalid},
			{"good for nothing", invite.Request{NoIBR: true}, invite.ErrInvalid},
			{"inviter who is not there", invite.Request{Inviter: user("ghost")}, invite.ErrInvalid},
			{"group that is not there", invite.Request{Groups: []string{"none"}}, invite.ErrGroupNotFound},
			{"note with lines", invite.Request{Note: "a\nb"}, invite.ErrInvalid},
		} {
			tt.r.Host = "a.test"
			_, err := w.Create(t.Context(), tt.r)
			w.expect(tt.name, err, tt.want)
		}
		w.create(invite.Request{Creator: "romeo@a.test", Most: 1})
		_, err := w.Create(t.Context(), invite.Request{Host: "a.test", Creator: "romeo@a.test", Most: 1})
		w.expect("too many of one person", err, store.ErrFull)
		if list, err := w.List(t.Context(), "a.test", "", 99); err != nil || len(list) != 1 {
			t.Errorf("there are %+v, %v", list, err)
		}
	})
}

// TestGroupMadeAnew: an invitation is to the group that there was when it was made,
// not to another one that has got its id.
func TestGroupMadeAnew(t *testing.T) {
	t.Parallel()
	eachEngine(t, func(t *testing.T, w *world) {
		v := w.create(invite.Request{Groups: []string{"board", "verona"}, Uses: store.Unlimited})
		w.mu.Lock()
		w.anew = map[string]int64{"board": 10}
		w.mu.Unlock()
		want := []store.InvitedGroup{{ID: "board", Number: 5, Gone: true}, {ID: "verona", Number: 6}}
		list, err := w.List(t.Context(), "a.test", "", 9)
		if err != nil || len(list) != 1 || !slices.Equal(list[0].Groups, want) {
			t.Errorf("listed %+v, %v", list, err)
		}
		if one, err := w.Invitation(t.Context(), "a.test", v.ID); err != nil || !slices.Equal(one.Groups, want) {
			t.Errorf("it is %+v, %v", one, err)
		}
		w.expect("register", w.register(v.Token, "juliet"), nil)
		if got := w.take(); got != "juliet joins board 5, juliet joins verona 6" {
			t.Errorf("then %s", got)
		}
	})
}
