package entity

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/muster-im/muster/internal/router"
	"github.com/muster-im/muster/internal/store"
	"github.com/muster-im/muster/jid"
	"github.com/muster-im/muster/stanza"
)

// ActivityStore keeps when accounts were last seen, and forgets it with them.
// It is safe for concurrent use; every method is one transaction.
type ActivityStore interface {
	// LastActivity returns store.ErrNotFound if the account was never seen.
	LastActivity(ctx context.Context, account jid.JID) (store.LastActivity, error)
	// PutLastActivity stores a list that is sorted by account, and leaves out
	// accounts that do not exist.
	PutLastActivity(ctx context.Context, list []store.LastActivity) error
}

// ActivityOptions configure an Activity. Store and Router are required.
type ActivityOptions struct {
	Store  ActivityStore
	Router interface {
		Sessions(bare jid.JID) []router.Session
		Session(full jid.JID) router.Session
	}
	// MaySee reports whether somebody gets an account's presence; nil: nobody but
	// the account itself.
	MaySee     func(ctx context.Context, who, account jid.JID) (bool, error)
	Logger     *slog.Logger
	Registerer prometheus.Registerer
}

const (
	maxWaiting   = 100_000 // accounts whose last activity is not stored yet
	batchSize    = 500     // of them stored at once
	storeTimeout = 10 * time.Second
	maxStatus    = 1024 // bytes kept of what somebody said as he left
)

// Reasons for which it is not kept when somebody was last seen.
const (
	dropFull   = "too_many_wait"
	dropFailed = "store_failed"
	dropClosed = "closed"
)

// Activity knows when accounts were last seen (XEP-0012). What is new is stored
// by a goroutine that exists only while there is something to store: it stores
// at once, and together what has come meanwhile, so that a thousand people who
// leave at once are no thousand transactions.
type Activity struct {
	// Set at construction.
	opts    ActivityOptions
	started time.Time
	dropped *prometheus.CounterVec
	wg      sync.WaitGroup

	mu sync.Mutex
	// Guarded by mu.
	waiting map[jid.JID]store.LastActivity // by account: not stored yet
	writing bool                           // the goroutine runs
	closed  bool
}

// NewActivity returns the keeper of last activities. The server's uptime begins
// now.
func NewActivity(o ActivityOptions) *Activity {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	a := &Activity{
		opts: o, started: time.Now(), waiting: make(map[jid.JID]store.LastActivity),
		dropped: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "muster_entity_activity_dropped_total", Help: "Last activities of accounts not stored, by reason.",
		}, []string{"reason"}),
	}
	if o.Registerer != nil {
		o.Registerer.MustRegister(a.dropped)
	}
	return a
}

// Left records that a session of an account has sent its last presence, p. It
// never waits.
func (a *Activity) Left(account jid.JID, p stanza.Stanza) {
	last := store.LastActivity{Account: account, Time: time.Now().UTC().Truncate(time.Microsecond), Status: status(&p)}
	a.mu.Lock()
	defer a.mu.Unlock()
	_, waits := a.waiting[account]
	switch {
	case a.closed:
		a.dropped.WithLabelValues(dropClosed).Inc()
		return
	case !waits && len(a.waiting) >= maxWaiting:
		a.dropped.WithLabelValues(dropFull).Inc()
		return
	}
	a.waiting[account] = last
	if !a.writing {
		a.writing = true
		a.wg.Go(a.write)
	}
}

// status returns what presence says in words, not more than is kept.
func status(p *stanza.Stanza) string {
	s := p.ChildText(stanza.NSClient, "status")
	if len(s) <= maxStatus {
		return s
	}
	s = s[:maxStatus]
	for !utf8.ValidString(s) {
		s = s[:len(s)-1]
	}
	return s
}

// write stores what waits, until nothing does.
func (a *Activity) write() {
	for {
		batch := a.next()
		if len(batch) == 0 {
			return
		}
		ctx, cancel := context.WithTimeout(context.Background(), storeTimeout)
		err := a.opts.Store.PutLastActivity(ctx, batch)
		cancel()
		if err != nil {
			a.dropped.WithLabelValues(dropFailed).Add(float64(len(batch)))
			a.opts.Logger.LogAttrs(ctx, slog.LevelError, "last activity not stored", slog.Int("accounts", len(batch)), slog.Any("err", err))
		}
		a.forget(batch)
	}
}

// next returns what is to be stored next; nothing if that is all.
func (a *Activity) next() []store.LastActivity {
	a.mu.Lock()
	defer a.mu.Unlock()
	batch := make([]store.LastActivity, 0, min(batchSize, len(a.waiting)))
	for _, last := range a.waiting {
		if batch = append(batch, last); len(batch) == batchSize {
			break
		}
	}
	a.writing = len(batch) > 0
	slices.SortFunc(batch, func(x, y store.LastActivity) int {
		return strings.Compare(x.Account.String(), y.Account.String())
	})
	return batch
}

// forget takes out what has been stored, but not what came after it.
func (a *Activity) forget(batch []store.LastActivity) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, last := range batch {
		if a.waiting[last.Account] == last {
			delete(a.waiting, last.Account)
		}
	}
	if len(a.waiting) == 0 {
		a.waiting = make(map[jid.JID]store.LastActivity) // a map does not shrink
	}
}

// AccountDeleted forgets what is not stored yet; the store forgets the rest.
func (a *Activity) AccountDeleted(_ context.Context, account jid.JID) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.waiting, account.Bare())
}

// Close returns when everything is stored, or with ctx's error.
func (a *Activity) Close(ctx context.Context) error {
	a.mu.Lock()
	a.closed = true
	a.mu.Unlock()
	stored := make(chan struct{})
	go func() {
		a.wg.Wait()
		close(stored)
	}()
	select {
	case <-stored:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// HostLast answers jabber:iq:last to the server: for how long it has been
// running (XEP-0012 §5).
func (a *Activity) HostLast(_ context.Context, iq *stanza.Stanza) (*stanza.Element, error) {
	if err := expect(iq, "query"); err != nil {
		return nil, err
	}
	return ago(a.started), nil
}

// AccountLast answers jabber:iq:last to an account, for those who get its
// presence: when it was last seen and what it said then, or that it is there
// (XEP-0012 §3).
func (a *Activity) AccountLast(ctx context.Context, iq *stanza.Stanza) (*stanza.Element, error) {
	account := iq.To.Bare()
	if err := a.mayAsk(ctx, iq); err != nil {
		return nil, err
	}
	if err := expect(iq, "query"); err != nil {
		return nil, err
	}
	if len(a.opts.Router.Sessions(account)) > 0 {
		return ago(time.Now()), nil
	}
	last, err := a.Last(ctx, account)
	switch {
	case errors.Is(err, store.ErrNotFound):
		return nil, stanza.NewError(stanza.Cancel, stanza.ItemNotFound, "Nobody has been seen here yet.")
	case err != nil:
		return nil, err
	}
	return ago(last.Time).AddText(last.Status), nil
}

// GuardSession keeps jabber:iq:last from sessions whose presence the sender may
// not see (XEP-0012 §4). Whether there is such a session makes no difference
// (§8).
func (a *Activity) GuardSession(ctx context.Context, iq *stanza.Stanza) error {
	if session := a.opts.Router.Session(iq.To); session != nil {
		state := session.State()
		if state.HasDirected(iq.From) || state.HasDirected(iq.From.Bare()) {
			return nil
		}
	}
	return a.mayAsk(ctx, iq)
}

func (a *Activity) mayAsk(ctx context.Context, iq *stanza.Stanza) error {
	if iq.From.Bare() == iq.To.Bare() {
		return nil
	}
	if a.opts.MaySee != nil {
		ok, err := a.opts.MaySee(ctx, iq.From.Bare(), iq.To.Bare())
		if err != nil || ok {
			return err
		}
	}
	return stanza.NewError(stanza.Auth, stanza.Forbidden, "")
}

// Last returns when an account's last session went, store.ErrNotFound if that is
// not known.
func (a *Activity) Last(ctx context.Context, account jid.JID) (store.LastActivity, error) {
	a.mu.Lock()
	last, ok := a.waiting[account]
	a.mu.Unlock()
	if ok {
		return last, nil
	}
	return a.opts.Store.LastActivity(ctx, account)
}

// ago says how long something is past; a clock that was set back makes it now.
func ago(t time.Time) *stanza.Element {
	seconds := max(0, int64(time.Since(t)/time.Second))
	return stanza.NewElement(stanza.NSLast, "query", "seconds", strconv.FormatInt(seconds, 10))
}
