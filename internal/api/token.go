package api

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/muster-im/muster/internal/shaper"
	"github.com/muster-im/muster/internal/store"
)

// A token is tokenPrefix, an id of tokenIDSize characters and a secret: the
// prefix lets programs that look for secrets in the wrong places know it.
const (
	tokenPrefix = "muster_"
	tokenIDSize = 10
	tokenSize   = len(tokenPrefix) + tokenIDSize + 1 + 26
)

// Limits of those who try tokens.
const (
	failureBurst = 10
	failureEvery = 6 * time.Second
	touchEvery   = time.Hour // the time of the last use is this exact
)

// NewToken makes a token: what its owner keeps and what is stored. The secret
// has 130 random bits, so a plain hash of it gives nothing away.
func NewToken() (secret, id string, hash []byte) {
	id = strings.ToLower(rand.Text()[:tokenIDSize])
	secret = tokenPrefix + id + "_" + strings.ToLower(rand.Text())
	return secret, id, hashOf(secret)
}

func hashOf(secret string) []byte {
	sum := sha256.Sum256([]byte(secret))
	return sum[:]
}

// TokenStore is where the tokens are.
type TokenStore interface {
	// Token returns a token by its id, store.ErrNotFound if there is none.
	Token(ctx context.Context, id string) (store.Token, error)
	// TouchToken records that a token was used.
	TouchToken(ctx context.Context, id string, used time.Time) error
}

// TokenOptions configure Tokens. Store is required.
type TokenOptions struct {
	Store TokenStore
	// Rate is how many requests a token may make per second on average, Burst how
	// many at once. 0 is without limit.
	Rate  float64
	Burst int
	// LimitLoopback counts failures of loopback addresses, too.
	LimitLoopback bool
	Logger        *slog.Logger
}

// Tokens are an authority by bearer tokens (RFC 6750). A token is looked up for
// each request, so one that is revoked is of no use at once. It is safe for
// concurrent use.
type Tokens struct {
	opts     TokenOptions
	log      *slog.Logger
	failures *shaper.Addresses

	mu   sync.Mutex
	uses map[string]*use // guarded by mu; by the id of a token that is there
}

// use is what is known of a token that has been used since the start.
type use struct {
	limit   *rate.Limiter // nil: none
	touched time.Time     // when its use was recorded last, or could not be
}

// NewTokens returns the authority.
func NewTokens(o TokenOptions) *Tokens {
	t := &Tokens{
		opts: o, log: o.Logger, uses: make(map[string]*use),
		failures: shaper.NewAddresses(failureBurst, failureEvery, o.LimitLoopback),
	}
	if t.log == nil {
		t.log = slog.New(slog.DiscardHandler)
	}
	return t
}

// challenge asks for a token (RFC 6750 §3).
const challenge = `Bearer realm="muster"`

// Authenticate returns whose token a request carries.
func (t *Tokens) Authenticate(r *http.Request) (Principal, error) {
	header := r.Header.Values("Authorization")
	if len(header) == 0 {
		return Principal{}, refuse(http.StatusUnauthorized, reasonUnauthorized,
			"this needs a token: muster token add makes one, and it goes into the header Authorization: Bearer TOKEN").with("WWW-Authenticate", challenge)
	}
	scheme, secret, _ := strings.Cut(header[0], " ")
	token, err := store.Token{}, error(store.ErrNotFound)
	if len(header) == 1 && strings.EqualFold(scheme, "Bearer") {
		token, err = t.lookup(r.Context(), strings.TrimSpace(secret))
	}
	switch {
	case errors.Is(err, store.ErrNotFound):
		return Principal{}, t.fail(r)
	case err != nil:
		return Principal{}, err
	}
	wait, touch := t.wait(&token)
	if wait > 0 {
		return Principal{}, refuse(http.StatusTooManyRequests, reasonRate, "too many requests with this token").retryAfter(wait)
	}
	if touch {
		t.touch(r.Context(), &token)
	}
	p := Principal{Name: token.Name, Hosts: token.Hosts, Scopes: make([]Scope, len(token.Scopes))}
	for i, s := range token.Scopes {
		p.Scopes[i] = Scope(s)
	}
	return p, nil
}

// lookup returns the token with a secret, store.ErrNotFound if there is none or
// its time is over.
func (t *Tokens) lookup(ctx context.Context, secret string) (store.Token, error) {
	if len(secret) != tokenSize || !strings.HasPrefix(secret, tokenPrefix) || secret[len(tokenPrefix)+tokenIDSize] != '_' {
		return store.Token{}, store.ErrNotFound
	}
	token, err := t.opts.Store.Token(ctx, secret[len(tokenPrefix):][:tokenIDSize])
	if err != nil {
		return store.Token{}, err
	}
	if subtle.ConstantTimeCompare(token.Hash, hashOf(secret)) != 1 || token.Expired(time.Now()) {
		return store.Token{}, store.ErrNotFound
	}
	return token, nil
}

// fail refuses a token that is none. Whoever tries many has to wait; tokens that
// are good pass all the same, since a proxy may stand in front of both.
func (t *Tokens) fail(r *http.Request) error {
	if ap, err := netip.ParseAddrPort(r.RemoteAddr); err == nil && !t.failures.Try(net.TCPAddrFromAddrPort(ap)) {
		return refuse(http.StatusTooManyRequests, reasonFailures, "too many wrong tokens from your address").retryAfter(failureEvery)
	}
	return refuse(http.StatusUnauthorized, reasonUnauthorized, "this token is not valid: it may be mistyped, revoked or expired").
		with("WWW-Authenticate", challenge+`, error="invalid_token"`)
}

// wait is how long a token has to wait for its next request; 0: it has been
// counted. touch says whether its use is to be recorded.
func (t *Tokens) wait(token *store.Token) (wait time.Duration, touch bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	u := t.uses[token.ID]
	if u == nil {
		u = &use{touched: token.Used}
		if t.opts.Rate > 0 {
			u.limit = rate.NewLimiter(rate.Limit(t.opts.Rate), max(1, t.opts.Burst))
		}
		t.uses[token.ID] = u
	}
	if u.limit != nil {
		reserved := u.limit.Reserve()
		if wait = reserved.Delay(); wait > 0 {
			reserved.Cancel()
			return wait, false
		}
	}
	now := time.Now()
	if touch = now.Sub(u.touched) >= touchEvery; touch {
		u.touched = now
	}
	return 0, touch
}

// touch records the use of a token. A failure costs nothing but that, and is not
// tried again soon: a store in trouble has other things to do.
func (t *Tokens) touch(ctx context.Context, token *store.Token) {
	if err := t.opts.Store.TouchToken(ctx, token.ID, time.Now()); err != nil {
		t.log.LogAttrs(ctx, slog.LevelWarn, "record the use of a token", slog.String("token", token.Name), slog.Any("err", err))
	}
}
