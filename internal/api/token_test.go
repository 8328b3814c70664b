package api_test

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/muster-im/muster/internal/api"
	"github.com/muster-im/muster/internal/store"
)

// tokens is a store in memory.
type tokens struct {
	mu      sync.Mutex
	byID    map[string]store.Token
	touched int
	broken  error
	// readOnly lets the store find tokens and record nothing.
	readOnly bool
}

func (s *tokens) Token(_ context.Context, id string) (store.Token, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if t, ok := s.byID[id]; ok || s.broken != nil {
		return t, s.broken
	}
	return store.Token{}, fmt.Errorf("load token: %w", store.ErrNotFound)
}

func (s *tokens) TouchToken(_ context.Context, id string, used time.Time) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.touched++
	if s.readOnly {
		return errors.New("disk is full")
	}
	t := s.byID[id]
	t.Used = used
	s.byID[id] = t
	return nil
}

// add makes a token and returns the header that shows it.
func (s *tokens) add(t store.Token) string {
	secret, id, hash := api.NewToken()
	t.ID, t.Hash = id, hash
	s.byID[id] = t
	return "Authorization: Bearer " + secret
}

func tokenWorld(change func(*api.TokenOptions)) (*world, *tokens) {
	s := &tokens{byID: make(map[string]store.Token)}
	o := api.TokenOptions{Store: s, LimitLoopback: true}
	if change != nil {
		change(&o)
	}
	return newWorld(func(a *api.Options) { a.Authority = api.NewTokens(o) }), s
}

func TestTokens(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w, s := tokenWorld(nil)
		all := []string{"things:read", "things:write"}
		whole := s.add(store.Token{Name: "whole", Scopes: all})
		reads := s.add(store.Token{Name: "reads", Scopes: all[:1]})
		one := s.add(store.Token{Name: "one", Scopes: all, Hosts: []string{"b.test"}})
		short := s.add(store.Token{Name: "short", Scopes: all, Expires: time.Now().Add(time.Hour)})
		want := func(name, method, target string, status int, header, detail string) {
			t.Helper()
			rec := w.do(t, method, "/api/v1/things"+target, "", header)
			if rec.Code != status || !strings.Contains(rec.Body.String(), detail) {
				t.Errorf("%s: got %d %s, want %d %s", name, rec.Code, rec.Body, status, detail)
			}
			if challenge := rec.Header().Get("WWW-Authenticate"); (challenge != "") != (status == 401 || strings.Contains(detail, "scope")) {
				t.Errorf("%s: WWW-Authenticate: %s", name, challenge)
			}
		}
		want("whole", "GET", "/x", 200, whole, "")
		want("reads", "GET", "/x", 200, reads, "")
		want("reads only", "DELETE", "/x", 403, reads, "lacks the scope things:write")
		want("one host", "GET", "/x?host=b.test", 200, one, "")
		want("not the first", "GET", "/x", 403, one, `not for \"a.test\" but for b.test`)
		want("which hosts there are", "GET", "/x?host=c.test", 403, one, `not for \"c.test\"`)
		want("cut", "GET", "/x", 401, whole[:len(whole)-1], "not valid")
		want("another secret", "GET", "/x", 401, whole[:len(whole)-26]+strings.Repeat("a", 26), "not valid")
		want("secret of another", "GET", "/x", 401, whole[:len(whole)-26]+reads[len(reads)-26:], "not valid")
		want("upper case", "GET", "/x", 401, "Authorization: Bearer "+strings.ToUpper(whole[len("Authorization: Bearer "):]), "not valid")
		want("in time", "GET", "/x", 200, short, "")
		time.Sleep(time.Hour)
		want("too late", "GET", "/x", 401, short, "not valid")
		if s.touched != 4 {
			t.Errorf("uses were recorded %d times, want once for each good token", s.touched)
		}
		want("an hour later", "GET", "/x", 200, whole, "")
		want("at once again", "GET", "/x", 200, whole, "")
		if s.touched != 5 {
			t.Errorf("uses were recorded %d times, want once more", s.touched)
		}
		s.broken = errors.New("no database")
		want("broken store", "GET", "/x", 500, whole, "")
		want("no token", "GET", "/x", 401, "", "muster token add")
		if strings.Contains(w.logs.String(), whole[len(whole)-26:]) {
			t.Error("the log has a secret")
		}
	})
}

// TestUseCannotBeRecorded: a token opens the API all the same, and the store is
// not asked each time.
func TestUseCannotBeRecorded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w, s := tokenWorld(nil)
		s.readOnly = true
		token := s.add(store.Token{Name: "whole", Scopes: []string{"things:read"}})
		for range 3 {
			if rec := w.do(t, "GET", "/api/v1/things/x", "", token); rec.Code != 200 {
				t.Errorf("got %d %s", rec.Code, rec.Body)
			}
		}
		if s.touched != 1 {
			t.Errorf("tried %d times, want once", s.touched)
		}
	})
}

// TestManyWrongTokens: whoever tries tokens is slowed down, and others behind the
// same address are not.
func TestManyWrongTokens(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w, s := tokenWorld(nil)
		good := s.add(store.Token{Name: "good", Scopes: []string{"things:read"}})
		try := func() (status int, wait string) {
			rec := w.do(t, "GET", "/api/v1/things/x", "", "Authorization: Bearer guess")
			return rec.Code, rec.Header().Get("Retry-After")
		}
		for i := range 10 {
			if status, _ := try(); status != 401 {
				t.Fatalf("try %d: %d", i, status)
			}
		}
		status, wait := try()
		if status != 429 || wait != "6" {
			t.Errorf("too many: got %d, Retry-After %s", status, wait)
		}
		if rec := w.do(t, "GET", "/api/v1/things/x", "", good); rec.Code != 200 {
			t.Errorf("a good token: %d %s", rec.Code, rec.Body)
		}
		time.Sleep(6 * time.Second)
		if status, _ := try(); status != 401 {
			t.Errorf("after the wait: %d", status)
		}
		if status, _ := try(); status != 429 {
			t.Errorf("and at once again: %d", status)
		}
	})
}

func TestRateOfToken(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w, s := tokenWorld(func(o *api.TokenOptions) { o.Rate, o.Burst = 0.5, 3 })
		one, other := s.add(store.Token{Name: "one", Scopes: []string{"things:read"}}), s.add(store.Token{Name: "other", Scopes: []string{"things:read"}})
		try := func(header string, want int) {
			t.Helper()
			rec := w.do(t, "GET", "/api/v1/things/x", "", header)
			if rec.Code != want {
				t.Errorf("got %d %s, want %d", rec.Code, rec.Body, want)
			}
			if want == 429 {
				if n, err := strconv.Atoi(rec.Header().Get("Retry-After")); err != nil || n != 2 {
					t.Errorf("Retry-After: %s", rec.Header().Get("Retry-After"))
				}
			}
		}
		for range 3 {
			try(one, 200)
		}
		try(one, 429)
		try(one, 429)
		try(other, 200)
		time.Sleep(2 * time.Second)
		try(one, 200)
		try(one, 429)
	})
}
