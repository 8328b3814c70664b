// Package offline keeps messages for accounts that have no available session
// (XEP-0160). It has no goroutines; its methods wait for the store.
package offline

import (
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
	// AddOffline returns store.ErrFull if limit messages wait already.
	AddOffline(ctx context.Context, m store.OfflineMessage, limit int) error
	// Offline returns the oldest messages, oldest first.
	Offline(ctx context.Context, to jid.JID, limit int) ([]store.OfflineMessage, error)
	// DeleteOffline removes the messages with IDs up to upTo.
	DeleteOffline(ctx context.Context, to jid.JID, upTo int64) error
}

// Options configure a Service. Store is required.
type Options struct {
	Store      Store
	Limit      int // messages that wait for one account; 0 is 1000
	Logger     *slog.Logger
	Registerer prometheus.Registerer
}

const (
	defaultLimit = 1000
	pageSize     = 100
	lockCount    = 64
)

// Service stores messages and delivers them once.
type Service struct {
	store     Store
	limit     int
	log       *slog.Logger
	stored    prometheus.Counter
	delivered prometheus.Counter
	refused   prometheus.Counter
	seed      maphash.Seed
	locks     [lockCount]sync.Mutex // one delivery at a time for an account
}

// New returns the service.
func New(o Options) *Service {
	counter := func(name, help string) prometheus.Counter {
		c := prometheus.NewCounter(prometheus.CounterOpts{Name: name, Help: help})
		if o.Registerer != nil {
			o.Registerer.MustRegister(c)
		}
		return c
	}
	s := &Service{
		seed: maphash.MakeSeed(), store: o.Store, limit: o.Limit, log: o.Logger,
		stored:    counter("muster_offline_stored_total", "Messages stored for somebody who was away."),
		delivered: counter("muster_offline_delivered_total", "Stored messages delivered."),
		refused:   counter("muster_offline_refused_total", "Messages refused because too many waited already."),
	}
	if s.limit == 0 {
		s.limit = defaultLimit
	}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	return s
}

// nsChatStates and the like are contents that alone are not worth keeping.
const (
	nsChatStates = "http://jabber.org/protocol/chatstates"
	nsHints      = stanza.NSHints
)

// Store keeps a message for the account it is addressed to. What XEP-0160 §3
// does not want stored is refused with service-unavailable, or dropped if
// nobody misses it.
func (s *Service) Store(ctx context.Context, st stanza.Stanza) error {
	switch verdict(&st) {
	case drop:
		return nil
	case refuse:
		return stanza.NewError(stanza.Cancel, stanza.ServiceUnavailable, "")
	}
	m := store.OfflineMessage{To: st.To.Bare(), Time: time.Now(), Stanza: st.AppendXML(nil)}
	err := s.store.AddOffline(ctx, m, s.limit)
	switch {
	case errors.Is(err, store.ErrFull):
		s.refused.Inc()
		return stanza.NewError(stanza.Cancel, stanza.ServiceUnavailable, "Too many messages wait for this person already.")
	case err != nil:
		return fmt.Errorf("store message for %s: %w", m.To, err)
	}
	s.stored.Inc()
	return nil
}

type decision int

const (
	keep decision = iota
	drop
	refuse
)

// verdict says what is to become of a message (XEP-0160 §3, XEP-0334).
func verdict(st *stanza.Stanza) decision {
	switch st.Type {
	case "", stanza.TypeNormal, stanza.TypeChat:
	default:
		return refuse
	}
	if st.Child(nsHints, "no-store") != nil || st.Child(nsHints, "no-permanent-store") != nil {
		return drop
	}
	if st.Child(nsHints, "store") != nil {
		return keep
	}
	worth := false
	for e := range st.Elements() {
		if e.Name.Space != nsChatStates && !e.Is(stanza.NSClient, "thread") && e.Name.Space != nsHints {
			worth = true
		}
	}
	if worth {
		return keep
	}
	return drop
}

// Deliver hands everything that waits for an account to one of its sessions,
// oldest first, each with the time of its arrival (XEP-0203). Of two sessions
// that come at once, one gets each message. host is who kept them.
func (s *Service) Deliver(ctx context.Context, to jid.JID, host jid.JID, target stanza.Target) error {
	lock := &s.locks[maphash.Comparable(s.seed, to)%lockCount]
	lock.Lock()
	defer lock.Unlock()
	for {
		page, err := s.store.Offline(ctx, to, pageSize)
		if err != nil {
			return fmt.Errorf("load messages for %s: %w", to, err)
		}
		if len(page) == 0 {
			return nil
		}
		batch := make([]*stanza.Encoded, 0, len(page))
		for _, m := range page {
			st, err := stanza.Parse(m.Stanza)
			if err != nil {
				s.log.LogAttrs(ctx, slog.LevelError, "stored message not readable", slog.String("jid", to.String()), slog.Any("err", err))
				continue
			}
			batch = append(batch, stanza.EncodeAddressed(st.With(stanza.Delay(host, m.Time))))
		}
		target.Deliver(batch)
		s.delivered.Add(float64(len(batch)))
		if err := s.store.DeleteOffline(ctx, to, page[len(page)-1].ID); err != nil {
			return fmt.Errorf("remove messages of %s: %w", to, err)
		}
	}
}
