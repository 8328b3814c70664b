package invite

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"time"

	"github.com/muster-im/muster/internal/store"
	"github.com/muster-im/muster/jid"
)

// arrivals does what is to be done for people who have used invitations. What
// fails is done later.
func (s *Service) arrivals(ctx context.Context) error {
	list, err := s.opts.Store.Arrivals(ctx)
	if err != nil {
		return err
	}
	for i := range list {
		if err := s.arrive(ctx, &list[i]); err != nil {
			s.log.LogAttrs(ctx, slog.LevelError, "invited person not yet where he should be",
				slog.String("jid", list[i].Account.String()), slog.Any("err", err))
			s.tryAgain()
		}
	}
	return nil
}

// arrive brings one person into his groups and to his inviter. Each step may be
// done again.
func (s *Service) arrive(ctx context.Context, a *store.Arrival) error {
	ctx, cancel := context.WithTimeout(ctx, arrivalTime)
	defer cancel()
	var errs []error
	for _, g := range a.Groups {
		if s.opts.Groups != nil {
			errs = append(errs, s.opts.Groups.Join(ctx, g, a.Account))
		}
	}
	if !a.Inviter.IsZero() {
		errs = append(errs, s.befriend(ctx, a))
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	return s.opts.Store.ArrivalDone(ctx, *a)
}

// befriend makes the two contacts of each other, if both are there still.
func (s *Service) befriend(ctx context.Context, a *store.Arrival) error {
	for _, j := range []jid.JID{a.Inviter, a.Account} {
		if exists, err := s.opts.Accounts.Exists(ctx, j); err != nil || !exists {
			return err
		}
	}
	return s.opts.Contacts.Befriend(ctx, a.Inviter, a.Account)
}

func (s *Service) tryAgain() {
	select {
	case s.retry <- struct{}{}:
	default:
	}
}

// again tries again what has failed, after a while.
func (s *Service) again() {
	for {
		select {
		case <-s.retry:
		case <-s.ctx.Done():
			return
		}
		wait := time.NewTimer(retryEvery)
		select {
		case <-wait.C:
		case <-s.ctx.Done():
			wait.Stop()
			return
		}
		if err := s.arrivals(s.ctx); err != nil {
			s.log.LogAttrs(s.ctx, slog.LevelError, "read what is to be done for invited people", slog.Any("err", err))
			s.tryAgain()
		}
	}
}

// escape writes an address as a URI does (RFC 5122 §2.2).
func escape(j jid.JID) string {
	const plain = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~!$()*+,"
	const hex = "0123456789ABCDEF"
	var b strings.Builder
	for _, c := range []byte(j.Local()) {
		if strings.IndexByte(plain, c) >= 0 {
			b.WriteByte(c)
			continue
		}
		b.WriteByte('%')
		b.WriteByte(hex[c>>4])
		b.WriteByte(hex[c&15])
	}
	return b.String() + "@" + j.Domain()
}
