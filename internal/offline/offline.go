// Package offline keeps messages for accounts that have no available session
// (XEP-0160). It has no goroutines; its methods wait for the store. Deliver
// also waits for the client that it delivers to, without holding a lock that
// Store takes.
package offline

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"log/slog"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/muster-im/muster/internal/store"
	"github.com/muster-im/muster/jid"
	"github.com/muster-im/muster/stanza"
)

// Store keeps the messages. It is safe for concurrent use.
type Store interface {
	// AddOffline returns store.ErrFull if that would be more than the limits.
	AddOffline(ctx context.Context, m store.OfflineMessage, limits store.OfflineLimits) error
	// Offline returns the oldest messages, oldest first.
	Offline(ctx context.Context, to jid.JID, limit int) ([]store.OfflineMessage, error)
	// DeleteOffline removes the messages with IDs up to upTo.
	DeleteOffline(ctx context.Context, to jid.JID, upTo int64) error
}

// Options configure a Service. Store is required.
type Options struct {
	Store      Store
	Limit      int   // messages that wait for one account; 0 is 1000
	LimitBytes int64 // and their bytes; 0 is 16 MiB
	Logger     *slog.Logger
	Registerer prometheus.Registerer
}

const (
	defaultLimit = 1000
	defaultBytes = 16 << 20
	pageSize     = 100       // messages handed over at once
	pageBytes    = 256 << 10 // and their bytes, unless one alone has more
	lockCount    = 256
	maxRefused   = 10_000 // conversations that are known to have no room
)

// Service stores messages and delivers them once. Where both locks are held,
// delivering was taken first.
type Service struct {
	store     Store
	limits    store.OfflineLimits
	log       *slog.Logger
	stored    prometheus.Counter
	delivered prometheus.Counter
	worthless prometheus.Counter
	full      prometheus.Counter
	unkept    prometheus.Counter
	unread    prometheus.Counter

	seed    maphash.Seed
	storing [lockCount]sync.Mutex // by account: no message comes between the look at the store that finds it empty and the end of a delivery

	mu sync.Mutex
	// Guarded by mu.
	delivering map[jid.JID]chan struct{} // closed when the delivery ends
	refused    map[conversation]int      // the smallest message that found no room, since the last delivery
}

// conversation is who writes to whom, both bare.
type conversation struct{ to, from jid.JID }

// Reasons for messages that are neither stored nor delivered.
const (
	dropWorthless = "nothing_worth_keeping"
	dropFull      = "too_many_wait"
	dropUnkept    = "must_not_be_stored"
	dropUnread    = "stored_message_unreadable"
)

// New returns the service.
func New(o Options) *Service {
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Name: name, Help: help})
	}
	dropped := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "muster_offline_dropped_total", Help: "Messages neither stored nor delivered, by reason.",
	}, []string{"reason"})
	s := &Service{
		seed: maphash.MakeSeed(), store: o.Store, log: o.Logger,
		delivering: make(map[jid.JID]chan struct{}), refused: make(map[conversation]int),
		stored:    counter("muster_offline_stored_total", "Messages stored for somebody who was away."),
		delivered: counter("muster_offline_delivered_total", "Stored messages delivered."),
		worthless: dropped.WithLabelValues(dropWorthless),
		full:      dropped.WithLabelValues(dropFull),
		unkept:    dropped.WithLabelValues(dropUnkept),
		unread:    dropped.WithLabelValues(dropUnread),
	}
	if o.Registerer != nil {
		o.Registerer.MustRegister(s.stored, s.delivered, dropped)
	}
	all := store.OfflineQuota{Messages: cmp.Or(o.Limit, defaultLimit), Bytes: cmp.Or(o.LimitBytes, defaultBytes)}
	// One sender gets half, so that others find room, too.
	s.limits = store.OfflineLimits{All: all, Sender: store.OfflineQuota{Messages: (all.Messages + 1) / 2, Bytes: (all.Bytes + 1) / 2}}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	return s
}

// Feature is what the server says of itself in discovery (XEP-0160 §4).
const Feature = "msgoffline"

const nsChatStates = "http://jabber.org/protocol/chatstates"

// Store keeps a message for the account it is addressed to. What must not be
// stored (XEP-0160 §3) is refused with service-unavailable, or dropped if
// nobody misses it. deliver is tried first, while no delivery to the account
// can come to its end: so a message is never stored behind the back of somebody
// who has just come. since is when the message arrived, zero for now.
func (s *Service) Store(ctx context.Context, st stanza.Stanza, since time.Time, deliver func() bool) error {
	switch verdict(&st) {
	case drop:
		s.worthless.Inc()
		return nil
	case refuse:
		s.unkept.Inc()
		return stanza.NewError(stanza.Cancel, stanza.ServiceUnavailable, "")
	}
	if since.IsZero() {
		since = time.Now()
	}
	m := store.OfflineMessage{To: st.To.Bare(), From: st.From.Bare(), Time: since, Stanza: st.AppendXML(nil)}
	err := s.add(ctx, m, deliver)
	switch {
	case errors.Is(err, store.ErrFull):
		s.full.Inc()
		return stanza.NewError(stanza.Cancel, stanza.ServiceUnavailable, "Too many messages wait for this person already.")
	case err != nil:
		return fmt.Errorf("store message for %s: %w", m.To, err)
	}
	return nil
}

func (s *Service) add(ctx context.Context, m store.OfflineMessage, deliver func() bool) error {
	defer s.lock(m.To)()
	if deliver() {
		return nil
	}
	if s.isRefused(&m) {
		return store.ErrFull
	}
	err := s.store.AddOffline(ctx, m, s.limits)
	switch {
	case err == nil:
		s.stored.Inc()
	case errors.Is(err, store.ErrFull):
		s.refuse(&m)
	}
	return err
}

// isRefused reports whether a message as large as this has found no room before:
// who floods somebody is not to keep the store busy.
func (s *Service) isRefused(m *store.OfflineMessage) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	least, known := s.refused[conversation{m.To, m.From}]
	return known && len(m.Stanza) >= least
}

// refuse remembers that a message has found no room.
func (s *Service) refuse(m *store.OfflineMessage) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.refused) >= maxRefused {
		clear(s.refused)
	}
	s.refused[conversation{m.To, m.From}] = len(m.Stanza) // or it would not have been asked for
}

// makeRoom forgets what has been refused to an account.
func (s *Service) makeRoom(to jid.JID) {
	defer s.lock(to)() // or a refusal of before would be noted afterwards
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.refused {
		if c.to == to {
			delete(s.refused, c)
		}
	}
}

// AccountDeleted forgets what was refused to an account that is no more: whoever
// gets the name next has room.
func (s *Service) AccountDeleted(account jid.JID) { s.makeRoom(account.Bare()) }

// lock keeps messages from being stored for an account.
func (s *Service) lock(account jid.JID) (unlock func()) {
	l := &s.storing[maphash.Comparable(s.seed, account)%lockCount]
	l.Lock()
	return l.Unlock
}

type decision int

const (
	keep decision = iota
	drop
	refuse
)

// verdict says what is to become of a message (XEP-0160 §3, XEP-0334 §4). A
// sender who has said something learns if it is not kept; chat states and the
// like are worth nothing later and not even that.
func verdict(st *stanza.Stanza) decision {
	worth := false
	for e := range st.Elements() {
		if e.Name.Space != nsChatStates && e.Name.Space != stanza.NSHints && !e.Is(stanza.NSClient, "thread") {
			worth = true
		}
	}
	switch {
	case st.MessageType() != stanza.TypeNormal && st.MessageType() != stanza.TypeChat:
		return refuse
	case st.Child(stanza.NSHints, "no-store") != nil: // no-permanent-store allows this store, which is not permanent
		if st.Child(stanza.NSClient, "body") != nil {
			return refuse
		}
		return drop
	case worth || st.Child(stanza.NSHints, "store") != nil:
		return keep
	}
	return drop
}

// Taker is a target that can tell whether it has taken what it was given. Take is
// Deliver, and waits for that; after an error it will do nothing more about it.
type Taker interface {
	Take(batch []*stanza.Encoded) error
}

// Deliver hands everything that waits for an account to one of its sessions,
// oldest first, each with the time of its arrival (XEP-0203). Of two sessions
// that come at once, one gets each message. host is who kept them. A target
// that is a Taker is given no more than it takes, and what it has not taken
// stays for the next session.
func (s *Service) Deliver(ctx context.Context, to jid.JID, host jid.JID, target stanza.Target) error {
	done, err := s.begin(ctx, to)
	if err != nil {
		return err
	}
	defer done()
	defer s.makeRoom(to)
	for {
		page, err := s.page(ctx, to)
		if err != nil {
			return fmt.Errorf("load messages for %s: %w", to, err)
		}
		if len(page) == 0 {
			return nil
		}
		err = s.handOver(ctx, page, host, target)
		if errors.Is(err, errGone) { // nobody's fault
			s.log.LogAttrs(ctx, slog.LevelDebug, "stored messages wait on", slog.String("jid", to.String()), slog.Any("err", err))
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// begin waits until no other delivery to the account is under way.
func (s *Service) begin(ctx context.Context, to jid.JID) (end func(), err error) {
	ended := make(chan struct{})
	for {
		s.mu.Lock()
		other := s.delivering[to]
		if other == nil {
			s.delivering[to] = ended
			s.mu.Unlock()
			return func() {
				s.mu.Lock()
				defer s.mu.Unlock()
				delete(s.delivering, to)
				close(ended)
			}, nil
		}
		s.mu.Unlock()
		select {
		case <-other:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// page returns the oldest messages, as many as are handed over at once.
func (s *Service) page(ctx context.Context, to jid.JID) ([]store.OfflineMessage, error) {
	defer s.lock(to)()
	page, err := s.store.Offline(ctx, to, pageSize)
	size := 0
	for i := range page {
		if size += len(page[i].Stanza); size > pageBytes && i > 0 {
			return page[:i], err
		}
	}
	return page, err
}

// errGone says that the session has ended before it took its messages.
var errGone = errors.New("session is gone")

// handOver delivers messages and forgets them.
func (s *Service) handOver(ctx context.Context, page []store.OfflineMessage, host jid.JID, target stanza.Target) error {
	to := page[0].To
	batch := make([]*stanza.Encoded, 0, len(page))
	for _, m := range page {
		st, err := stanza.Parse(m.Stanza)
		if err != nil {
			s.unread.Inc()
			s.log.LogAttrs(ctx, slog.LevelError, "stored message not readable", slog.String("jid", to.String()), slog.Any("err", err))
			continue
		}
		batch = append(batch, stanza.EncodeDelayed(st, host, m.Time))
	}
	if t, ok := target.(Taker); !ok {
		target.Deliver(batch)
	} else if err := t.Take(batch); err != nil {
		return fmt.Errorf("%w: %w", errGone, err)
	}
	s.delivered.Add(float64(len(batch)))
	if err := s.store.DeleteOffline(ctx, to, page[len(page)-1].ID); err != nil {
		return fmt.Errorf("remove messages of %s: %w", to, err)
	}
	return nil
}
