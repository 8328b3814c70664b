package admin_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/muster-im/muster/internal/admin"
	"github.com/muster-im/muster/internal/sasl"
	"github.com/muster-im/muster/internal/store"
	"github.com/muster-im/muster/jid"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var errWeak = fmt.Errorf("%w: the password is weak", sasl.ErrPassword)

// accounts is an account service in memory.
type accounts struct {
	mu     sync.Mutex
	byJID  map[jid.JID]string
	broken error
}

func (a *accounts) Create(_ context.Context, j jid.JID, password string) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	switch _, ok := a.byJID[j]; {
	case a.broken != nil:
		return a.broken
	case password == "weak":
		return errWeak
	case ok:
		return fmt.Errorf("create account: %w", store.ErrConflict)
	}
	a.byJID[j] = password
	return nil
}

func (a *accounts) SetPassword(_ context.Context, j jid.JID, password string) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if _, ok := a.byJID[j]; !ok {
		return fmt.Errorf("set password: %w", store.ErrNotFound)
	}
	a.byJID[j] = password
	return nil
}

func (a *accounts) Account(_ context.Context, j jid.JID) (store.Account, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if _, ok := a.byJID[j]; !ok {
		return store.Account{}, fmt.Errorf("load account: %w", store.ErrNotFound)
	}
	return store.Account{JID: j, Created: time.Unix(7, 0)}, nil
}

func (a *accounts) Delete(_ context.Context, j jid.JID) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if _, ok := a.byJID[j]; !ok {
		return fmt.Errorf("delete account: %w", store.ErrNotFound)
	}
	delete(a.byJID, j)
	return nil
}

func (a *accounts) List(_ context.Context, domain, after string, limit int) ([]store.Account, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	var list []store.Account
	for _, j := range slices.SortedFunc(maps.Keys(a.byJID), func(x, y jid.JID) int { return cmp.Compare(x.String(), y.String()) }) {
		if (domain == "" || j.Domain() == domain) && j.String() > after && len(list) < limit {
			list = append(list, store.Account{JID: j, Created: time.Unix(1e9, 0).UTC()})
		}
	}
	return list, nil
}

// serve starts the API on a socket in a directory of its own.
func serve(t *testing.T) (*admin.Client, *accounts, string) {
	t.Helper()
	dir, err := os.MkdirTemp("", "admin") // t.TempDir is too long for a socket
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	acc := &accounts{byJID: map[jid.JID]string{}}
	l, err := admin.Listen(dir)
	if err != nil {
		t.Fatal(err)
	}
	srv := &http.Server{ReadHeaderTimeout: time.Second, Handler: admin.New(admin.Options{
		Accounts: acc,
		Info:     func() admin.Info { return admin.Info{Version: "1.2", Hosts: []string{"a.test", "b.test"}} },
		Hosts:    []string{"a.test", "b.test"},
	}).Socket()}
	var wg sync.WaitGroup
	wg.Go(func() { _ = srv.Serve(l) })
	t.Cleanup(func() { _ = srv.Close(); wg.Wait() })
	return admin.NewClient(filepath.Join(dir, admin.SocketName)), acc, dir
}

func TestAccounts(t *testing.T) {
	t.Parallel()
	c, acc, _ := serve(t)
	ctx := t.Context()
	romeo := jid.MustParse("romeo@a.test")
	if err := c.AddAccount(ctx, romeo, "one"); err != nil {
		t.Fatal(err)
	}
	odd := jid.MustParse(`o\2fdd%2f@b.test`) // must survive its way through a path
	if err := c.AddAccount(ctx, odd, "odd"); err != nil {
		t.Fatal(err)
	}
	if err := c.SetPassword(ctx, romeo, "two"); err != nil {
		t.Fatal(err)
	}
	if got := acc.byJID[romeo]; got != "two" {
		t.Errorf("password is %q, want two", got)
	}
	if a, err := c.Account(ctx, odd); err != nil || a.JID != odd || a.Created.Unix() != 7 {
		t.Errorf("got %v, %v", a, err)
	}
	if err := c.DeleteAccount(ctx, odd); err != nil {
		t.Error(err)
	}
	if len(acc.byJID) != 1 {
		t.Errorf("accounts left: %v, want romeo's only", acc.byJID)
	}
}

func TestListIsComplete(t *testing.T) {
	t.Parallel()
	c, acc, _ := serve(t)
	const n = 2003 // more than two pages
	for i := range n {
		acc.byJID[jid.MustParse(fmt.Sprintf("user%04d@a.test", i))] = "x"
	}
	acc.byJID[jid.MustParse("other@b.test")] = "x"
	seen := map[jid.JID]bool{}
	for a, err := range c.Accounts(t.Context(), "a.test") {
		if err != nil {
			t.Fatal(err)
		}
		seen[a.JID] = true
	}
	if len(seen) != n {
		t.Errorf("listed %d accounts, want %d", len(seen), n)
	}
}

func TestRefusals(t *testing.T) {
	t.Parallel()
	c, acc, _ := serve(t)
	ctx := t.Context()
	acc.byJID[jid.MustParse("taken@a.test")] = "x"
	add := func(address, password string) error {
		return c.AddAccount(ctx, jid.MustParse(address), password)
	}
	tests := []struct {
		name   string
		err    error
		status int
		detail string
	}{
		{"taken", add("taken@a.test", "x"), 409, "there is an account taken@a.test already"},
		{"empty password", add("new@a.test", ""), 422, "password: this must not be empty"},
		{"weak password", add("new@a.test", "weak"), 422, "password: " + errWeak.Error()},
		{"foreign host", add("new@c.test", "x"), 404, `this server does not serve "c.test" but a.test, b.test`},
		{"full address", add("new@a.test/phone", "x"), 422, `want an address like name@a.test, got "new@a.test/phone"`},
		{"host alone", add("a.test", "x"), 422, `want an address like name@a.test, got "a.test"`},
		{"password of nobody", c.SetPassword(ctx, jid.MustParse("no@a.test"), "x"), 404, "there is no account no@a.test"},
		{"look for nobody", func() error { _, err := c.Account(ctx, jid.MustParse("no@a.test")); return err }(), 404, "there is no account no@a.test"},
		{"delete nobody", c.DeleteAccount(ctx, jid.MustParse("no@a.test")), 404, "there is no account no@a.test"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			e, ok := errors.AsType[*admin.Error](tt.err)
			if !ok || e.Status != tt.status || e.Detail != tt.detail {
				t.Errorf("got %v (%+v), want %d %s", tt.err, e, tt.status, tt.detail)
			}
		})
	}
}

func TestFailureIsTold(t *testing.T) {
	t.Parallel()
	c, acc, _ := serve(t)
	acc.broken = errors.New("disk is full")
	err := c.AddAccount(t.Context(), jid.MustParse("x@a.test"), "x")
	if e, ok := errors.AsType[*admin.Error](err); !ok || e.Status != 500 || !strings.Contains(e.Detail, "disk is full") {
		t.Errorf("got %v, want the cause with status 500", err)
	}
}

func TestSocket(t *testing.T) {
	t.Parallel()
	c, _, dir := serve(t)
	fi, err := os.Stat(c.Socket())
	if err != nil {
		t.Fatal(err)
	}
	if fi.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, want 0600", fi.Mode().Perm())
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 1 {
		t.Errorf("directory has %v (%v), want the socket only", entries, err)
	}
}

func TestNotRunning(t *testing.T) {
	t.Parallel()
	dir, err := os.MkdirTemp("", "admin")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	path := filepath.Join(dir, admin.SocketName)
	if _, err := admin.NewClient(path).Info(t.Context()); !errors.Is(err, admin.ErrNotRunning) {
		t.Errorf("no socket: got %v, want ErrNotRunning", err)
	}
	// What a killed server leaves behind.
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	l.SetUnlinkOnClose(false)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := admin.NewClient(path).Info(t.Context()); !errors.Is(err, admin.ErrNotRunning) {
		t.Errorf("dead socket: got %v, want ErrNotRunning", err)
	}
	again, err := admin.Listen(dir)
	if err != nil {
		t.Fatalf("a dead socket is in the way: %v", err)
	}
	if err := again.Close(); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the socket is still there after Close: %v", err)
	}
}

func TestLongPath(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), strings.Repeat("d", 100))
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	_, err := admin.Listen(dir)
	if err == nil || !strings.Contains(err.Error(), "choose a shorter data directory") {
		t.Errorf("got %v, want the remedy", err)
	}
}
