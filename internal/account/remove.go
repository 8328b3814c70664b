package account

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"

	"github.com/muster-im/muster/hook"
	"github.com/muster-im/muster/jid"
)

// Deleted is the event that an account is no more. It has no keys and cannot be
// logged in to, and its name is not free yet; what is stored under its name goes
// after the event. It may fire more than once for one removal: if a function
// fails or the server dies meanwhile, it fires again when the server starts or
// the name is wanted.
type Deleted struct {
	Context context.Context //nolint:containedctx // an event is a call's parameters
	Account jid.JID         // bare
	errs    []error
}

// Fail says that something is left to do.
func (ev *Deleted) Fail(err error) { ev.errs = append(ev.errs, err) }

// removal is what a Service needs for removing accounts.
type removal struct {
	deleted hook.Notify[Deleted]
	ctx     context.Context //nolint:containedctx // of what DeleteLater has begun; ends in Close
	cancel  context.CancelFunc
	wg      sync.WaitGroup

	mu sync.Mutex
	// Guarded by mu.
	closed    bool
	finishing map[jid.JID]chan struct{} // closed when the work is done
}

func newRemoval() removal {
	ctx, cancel := context.WithCancel(context.Background())
	return removal{ctx: ctx, cancel: cancel, finishing: make(map[jid.JID]chan struct{})}
}

// OnDeleted adds a function that runs when an account is deleted, in the order
// of additions; see Deleted. An error keeps the name from being used again
// before the function has succeeded. All are added before Resume.
func (s *Service) OnDeleted(name string, fn func(ctx context.Context, account jid.JID) error) {
	s.deleted.Add(name, 0, func(ev *Deleted) {
		if err := fn(ev.Context, ev.Account); err != nil {
			ev.Fail(fmt.Errorf("%s: %w", name, err))
		}
	})
}

// Resume finishes the removals that the last run of the server has not. What
// fails again is left for the next time.
func (s *Service) Resume(ctx context.Context) error {
	s.deleted.Seal()
	list, err := s.opts.Store.RemovedAccounts(ctx)
	if err != nil {
		return err
	}
	for _, account := range list {
		if s.finish(ctx, account) == nil { // which has logged it
			s.log.LogAttrs(ctx, slog.LevelInfo, "removal finished", slog.String("jid", account.String()))
		}
	}
	return ctx.Err()
}

// Delete removes an account with everything that belongs to it. Once that is
// decided nothing stops it: what cannot be done now is done when the server
// starts again, and the account is gone in any case.
func (s *Service) Delete(ctx context.Context, account jid.JID) error {
	if err := s.remove(ctx, account); err != nil {
		return err
	}
	_ = s.finish(context.WithoutCancel(ctx), account) // has been logged
	return nil
}

// DeleteLater removes an account and returns as soon as that is decided; done,
// if not nil, is called before anything else of the account ends. For those who
// are asked by one of its own sessions, which then ends.
func (s *Service) DeleteLater(ctx context.Context, account jid.JID, done func()) error {
	if err := s.remove(ctx, account); err != nil {
		return err
	}
	if done != nil {
		done()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.closed {
		s.wg.Go(func() { _ = s.finish(s.ctx, account) }) // has been logged
	}
	return nil
}

// remove takes the account itself away.
func (s *Service) remove(ctx context.Context, account jid.JID) error {
	if err := s.check(account); err != nil {
		return err
	}
	if err := s.opts.Store.RemoveAccount(ctx, account); err != nil {
		return err
	}
	s.changes.WithLabelValues("deleted").Inc()
	return nil
}

// finish does what is left of a removal, if anything is, and logs what fails.
func (s *Service) finish(ctx context.Context, account jid.JID) error {
	unlock, err := s.claim(ctx, account)
	if err != nil {
		return err
	}
	defer unlock()
	// Somebody else may have finished, and there may be a new account already.
	left, err := s.opts.Store.AccountRemoved(ctx, account)
	if err == nil && left {
		ev := &Deleted{Context: ctx, Account: account}
		panicked := s.deleted.Run(nil, ev)
		if err = errors.Join(append(ev.errs, panicked)...); err == nil {
			err = s.opts.Store.PurgeAccount(ctx, account)
		}
	}
	if err != nil {
		s.log.LogAttrs(ctx, slog.LevelError, "an account is removed, and something of it is left until the server starts again",
			slog.String("jid", account.String()), slog.Any("err", err))
		return fmt.Errorf("finish removing %s: %w", account, err)
	}
	return nil
}

// claim makes the caller the only one who finishes an account's removal.
func (s *Service) claim(ctx context.Context, account jid.JID) (unlock func(), err error) {
	for {
		s.mu.Lock()
		other, busy := s.finishing[account]
		if !busy {
			done := make(chan struct{})
			s.finishing[account] = done
			s.mu.Unlock()
			return func() {
				s.mu.Lock()
				delete(s.finishing, account)
				s.mu.Unlock()
				close(done)
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

// Close waits for the removals that are under way until ctx ends; those that are
// not finished then go on when the server starts again.
func (s *Service) Close(ctx context.Context) error {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	defer s.cancel()
	over := make(chan struct{})
	go func() {
		s.wg.Wait()
		close(over)
	}()
	select {
	case <-over:
		return nil
	case <-ctx.Done():
	}
	s.cancel()
	<-over
	return ctx.Err()
}
