// Package invite keeps invitations: tokens with which people make accounts, even
// where registration is closed to others (XEP-0445), come into groups, and become
// contacts of who has invited them (XEP-0379, XEP-0401). What a token allows is
// stored, and only a hash of the token. An account, the use of its invitation
// and what is left to do for it are stored in one transaction; groups and
// contacts follow, after a crash when the server starts again.
//
// A Service has one goroutine from Start to Close, which tries again what has
// failed. Its methods block on the Store, on Groups and on Contacts.
package invite

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/muster-im/muster/internal/store"
	"github.com/muster-im/muster/jid"
)

// Errors of a Service, wrapped, beside those of the store: store.ErrNotFound,
// store.ErrConflict, store.ErrFull. Nothing has changed when one is returned.
var (
	// ErrInvalid says that what is asked for cannot be.
	ErrInvalid = errors.New("invalid")
	// ErrGroupNotFound says that there is no such group.
	ErrGroupNotFound = errors.New("there is no such group")
)

// Store keeps invitations. Each method is one transaction.
type Store interface {
	AddInvitation(ctx context.Context, v store.Invitation, most int) error
	Invitation(ctx context.Context, id string) (store.Invitation, error)
	Invitations(ctx context.Context, host, after string, limit int) ([]store.Invitation, error)
	DeleteInvitation(ctx context.Context, host, id string) error
	// UseInvitation takes one use for somebody who has an account.
	UseInvitation(ctx context.Context, id string, account jid.JID) error
	Arrivals(ctx context.Context) ([]store.Arrival, error)
	ArrivalDone(ctx context.Context, a store.Arrival) error
}

// Accounts makes accounts.
type Accounts interface {
	Exists(ctx context.Context, account jid.JID) (bool, error)
	// CreateInvited makes an account and uses an invitation, or does neither.
	CreateInvited(ctx context.Context, account jid.JID, password, invitation string) error
}

// Groups brings people into groups.
type Groups interface {
	// Number returns what names a group for good, 0 if there is none of that id.
	Number(ctx context.Context, group string) (int64, error)
	// Join makes somebody a member; it succeeds if he is, or if there is no such
	// group any more, be there another one with its id.
	Join(ctx context.Context, group store.InvitedGroup, user jid.JID) error
}

// Contacts makes people contacts of each other.
type Contacts interface {
	// Befriend succeeds, too, if they are, or if one has blocked the other.
	Befriend(ctx context.Context, a, b jid.JID) error
}

// Defaults and bounds.
const (
	DefaultExpiry = 7 * 24 * time.Hour
	maxExpiry     = 366 * 24 * time.Hour
	maxUses       = 1_000_000
	maxGroups     = 100
	maxNote       = 1024 // bytes
	retryEvery    = time.Minute
	arrivalTime   = time.Minute // for what is to be done for one person
)

// Options configure a Service. Store, Accounts and Contacts are required.
type Options struct {
	Store    Store
	Accounts Accounts
	Contacts Contacts
	Groups   Groups // nil: there are none
	// Expiry is how long invitations are good that say nothing of it; nil:
	// DefaultExpiry.
	Expiry func() time.Duration

	Logger     *slog.Logger
	Registerer prometheus.Registerer
}

// Service is the invitations. It is safe for concurrent use.
type Service struct {
	// Set at construction.
	opts    Options
	log     *slog.Logger
	uses    *prometheus.CounterVec
	refused *prometheus.CounterVec
	ctx     context.Context //nolint:containedctx // of what outlives the calls that bring it
	stop    context.CancelFunc
	wg      sync.WaitGroup
	retry   chan struct{} // something has failed
}

// What invitations have been used for, and why they were refused, for metrics.
const (
	usedAccount = "account"
	usedContact = "contact"

	refusedUnknown = "unknown"
	refusedExpired = "expired"
	refusedUsed    = "used"
)

// New returns a service.
func New(o Options) *Service {
	if o.Expiry == nil {
		o.Expiry = func() time.Duration { return DefaultExpiry }
	}
	vec := func(name, help, label string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: "muster_invite_" + name, Help: help}, []string{label})
	}
	s := &Service{
		opts: o, log: o.Logger, retry: make(chan struct{}, 1),
		uses:    vec("uses_total", "Invitations used, by what came of it.", "for"),
		refused: vec("refused_total", "Invitations shown that were good for nothing.", "reason"),
	}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	if o.Registerer != nil {
		o.Registerer.MustRegister(s.uses, s.refused)
	}
	s.ctx, s.stop = context.WithCancel(context.Background())
	return s
}

// Start does what was left to do when the server last stopped.
func (s *Service) Start(ctx context.Context) error {
	if err := s.arrivals(ctx); err != nil {
		return fmt.Errorf("read what is to be done for invited people: %w", err)
	}
	s.wg.Go(s.again)
	return nil
}

// Close ends the service.
func (s *Service) Close() {
	s.stop()
	s.wg.Wait()
}

// Request asks for an invitation.
type Request struct {
	Host    string
	Name    string   // the only account that can be made; "": any
	Inviter jid.JID  // becomes a contact; zero: nobody
	Contact bool     // it is an invitation to be Inviter's contact
	NoIBR   bool     // it makes no accounts, which needs Contact
	Groups  []string // in which new accounts are
	Uses    int      // 0: one; store.Unlimited
	Expiry  time.Duration
	Note    string
	Creator string
	Most    int // open invitations that Creator may have; 0: any number
}

// Issued is a new invitation with its token, which nobody can read again.
type Issued struct {
	store.Invitation

	Token string
	URI   string // xmpp:
}

// A token is an id of idSize characters and a secret of 26, which are 130 random
// bits (XEP-0401 §5.1: alphanumeric).
const idSize = 10

func hashOf(token string) []byte {
	sum := sha256.Sum256([]byte(token))
	return sum[:]
}

// Create makes an invitation.
func (s *Service) Create(ctx context.Context, r Request) (Issued, error) {
	if err := s.check(ctx, &r); err != nil {
		return Issued{}, err
	}
	groups, err := s.numbers(ctx, r.Groups)
	if err != nil {
		return Issued{}, err
	}
	now := time.Now().UTC().Truncate(time.Second)
	v := store.Invitation{
		ID: strings.ToLower(rand.Text()[:idSize]), Host: r.Host, Name: r.Name, Inviter: r.Inviter, Account: !r.NoIBR, Contact: r.Contact,
		Groups: groups, Note: r.Note, Creator: r.Creator, Uses: r.Uses, Created: now, Expires: now.Add(r.Expiry),
	}
	token := v.ID + strings.ToLower(rand.Text())
	v.Hash = hashOf(token)
	if err := s.opts.Store.AddInvitation(ctx, v, r.Most); err != nil {
		return Issued{}, err
	}
	s.log.LogAttrs(ctx, slog.LevelInfo, "invitation created", slog.String("invitation", v.ID), slog.String("actor", v.Creator),
		slog.Int("uses", v.Uses), slog.Any("groups", r.Groups), slog.Time("expires", v.Expires))
	return Issued{v, token, uri(&v, token)}, nil
}

// uri is what clients open (XEP-0401 §5.1, §5.4).
func uri(v *store.Invitation, token string) string {
	switch {
	case v.Contact && v.Account:
		return "xmpp:" + escape(v.Inviter) + "?roster;preauth=" + token + ";ibr=y"
	case v.Contact:
		return "xmpp:" + escape(v.Inviter) + "?roster;preauth=" + token
	case v.Name != "":
		j, _ := jid.New(v.Name, v.Host, "") // it has been made of one
		return "xmpp:" + escape(j) + "?register;preauth=" + token
	}
	return "xmpp:" + v.Host + "?register;preauth=" + token
}

// check refuses what cannot be an invitation, and completes what can.
func (s *Service) check(ctx context.Context, r *Request) error {
	wrong := func(format string, args ...any) error {
		return fmt.Errorf("%w: %s", ErrInvalid, fmt.Sprintf(format, args...))
	}
	if r.Uses == 0 {
		r.Uses = 1
	}
	if r.Expiry == 0 {
		r.Expiry = s.opts.Expiry()
	}
	switch {
	case r.Uses < store.Unlimited || r.Uses > maxUses:
		return wrong("an invitation has from 1 to %d uses", maxUses)
	case r.Expiry < time.Second || r.Expiry > maxExpiry:
		return wrong("an invitation lasts from a second to %d days", maxExpiry/(24*time.Hour))
	case r.Name != "" && r.Uses != 1:
		return wrong("an invitation for one name has one use")
	case r.Name != "" && (r.Contact || r.NoIBR), r.NoIBR && !r.Contact, r.Contact && r.Inviter.IsZero(), r.NoIBR && len(r.Groups) > 0:
		return wrong("these do not go together")
	case len(r.Note) > maxNote || !utf8.ValidString(r.Note) || strings.ContainsFunc(r.Note, unicode.IsControl):
		return wrong("a note has at most %d bytes, in one line", maxNote)
	case len(r.Groups) > maxGroups:
		return wrong("at most %d groups", maxGroups)
	}
	if r.Name != "" {
		j, err := jid.New(r.Name, r.Host, "")
		if err != nil {
			return wrong("%v", err)
		}
		r.Name = j.Local()
	}
	return s.checkThere(ctx, r)
}

// checkThere refuses inviters and groups that are not there.
func (s *Service) checkThere(ctx context.Context, r *Request) error {
	if !r.Inviter.IsZero() {
		r.Inviter = r.Inviter.Bare()
		exists, err := s.opts.Accounts.Exists(ctx, r.Inviter)
		if err != nil {
			return err
		}
		if !exists {
			return fmt.Errorf("%w: %s has no account here", ErrInvalid, r.Inviter)
		}
	}
	return nil
}

// numbers finds groups, each once.
func (s *Service) numbers(ctx context.Context, ids []string) (list []store.InvitedGroup, err error) {
	for _, id := range slices.Compact(slices.Sorted(slices.Values(ids))) {
		number := int64(0)
		if s.opts.Groups != nil {
			if number, err = s.opts.Groups.Number(ctx, id); err != nil {
				return nil, err
			}
		}
		if number == 0 {
			return nil, fmt.Errorf("%w: %s", ErrGroupNotFound, id)
		}
		list = append(list, store.InvitedGroup{ID: id, Number: number})
	}
	return list, nil
}

// mark says of invitations which of their groups are gone.
func (s *Service) mark(ctx context.Context, list []store.Invitation) error {
	numbers := make(map[string]int64)
	for i := range list {
		for k := range list[i].Groups {
			g := &list[i].Groups[k]
			number, known := numbers[g.ID]
			if !known && s.opts.Groups != nil {
				var err error
				if number, err = s.opts.Groups.Number(ctx, g.ID); err != nil {
					return err
				}
				numbers[g.ID] = number
			}
			g.Gone = number == 0 || number != g.Number
		}
	}
	return nil
}

// Invitation returns an invitation of a host, store.ErrNotFound if there is none.
func (s *Service) Invitation(ctx context.Context, host, id string) (store.Invitation, error) {
	v, err := s.opts.Store.Invitation(ctx, id)
	if err == nil && (v.Host != host || !time.Now().Before(v.Expires)) {
		err = store.ErrNotFound
	}
	if err != nil {
		return v, err
	}
	list := []store.Invitation{v}
	err = s.mark(ctx, list)
	return list[0], err
}

// List returns at most limit invitations of a host that are still good, behind an
// id, ordered by id.
func (s *Service) List(ctx context.Context, host, after string, limit int) ([]store.Invitation, error) {
	list, err := s.opts.Store.Invitations(ctx, host, after, limit)
	if err == nil {
		err = s.mark(ctx, list)
	}
	return list, err
}

// Revoke ends an invitation of a host, store.ErrNotFound if there is none.
func (s *Service) Revoke(ctx context.Context, host, id, actor string) error {
	err := s.opts.Store.DeleteInvitation(ctx, host, id)
	if err == nil {
		s.log.LogAttrs(ctx, slog.LevelInfo, "invitation revoked", slog.String("invitation", id), slog.String("actor", actor))
	}
	return err
}

// lookup returns the invitation with a token, store.ErrNotFound if there is none
// or its time is over.
func (s *Service) lookup(ctx context.Context, host, token string) (store.Invitation, error) {
	if len(token) <= idSize {
		s.refused.WithLabelValues(refusedUnknown).Inc()
		return store.Invitation{}, store.ErrNotFound
	}
	v, err := s.opts.Store.Invitation(ctx, token[:idSize])
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return v, err
	}
	if subtle.ConstantTimeCompare(v.Hash, hashOf(token)) != 1 || v.Host != host {
		s.refused.WithLabelValues(refusedUnknown).Inc()
		return store.Invitation{}, store.ErrNotFound
	}
	if !time.Now().Before(v.Expires) {
		s.refused.WithLabelValues(refusedExpired).Inc()
		return store.Invitation{}, store.ErrNotFound
	}
	return v, nil
}

// Show returns what a token allows at a host: the invitation's id and the only
// name that can be registered with it ("" any). bounded says that its uses are
// counted. store.ErrNotFound says that it allows nothing (XEP-0445 §4).
func (s *Service) Show(ctx context.Context, host, token string) (id, name string, bounded bool, err error) {
	v, err := s.lookup(ctx, host, token)
	if err == nil && !v.Account {
		err = store.ErrNotFound
	}
	return v.ID, v.Name, v.Uses != store.Unlimited, err
}

// Register makes an account for who has shown an invitation. Its time is not
// asked for again (XEP-0445 §4).
func (s *Service) Register(ctx context.Context, id string, account jid.JID, password string) error {
	if err := s.opts.Accounts.CreateInvited(ctx, account, password, id); err != nil {
		if errors.Is(err, store.ErrInvitation) {
			s.refused.WithLabelValues(refusedUsed).Inc()
		}
		return err
	}
	s.used(ctx, usedAccount, id, account)
	return nil
}

// Accept makes somebody who has an account the contact of who has invited him,
// and reports whether a token is good for that (XEP-0379 §3.4).
func (s *Service) Accept(ctx context.Context, inviter, who jid.JID, token string) (bool, error) {
	v, err := s.lookup(ctx, inviter.Domain(), token)
	if err == nil && (v.Inviter != inviter.Bare() || !v.Contact) {
		err = store.ErrNotFound
	}
	if err == nil {
		err = s.opts.Store.UseInvitation(ctx, v.ID, who.Bare())
	}
	switch {
	case errors.Is(err, store.ErrNotFound):
		return false, nil
	case errors.Is(err, store.ErrInvitation):
		s.refused.WithLabelValues(refusedUsed).Inc()
		return false, nil
	case err != nil:
		return false, err
	}
	s.used(ctx, usedContact, v.ID, who.Bare())
	return true, nil
}

// used does what follows from the use of an invitation.
func (s *Service) used(ctx context.Context, what, id string, account jid.JID) {
	s.uses.WithLabelValues(what).Inc()
	s.log.LogAttrs(ctx, slog.LevelInfo, "invitation used", slog.String("invitation", id), slog.String("jid", account.String()), slog.String("for", what))
	if err := s.arrivals(context.WithoutCancel(ctx)); err != nil {
		s.log.LogAttrs(ctx, slog.LevelError, "read what is to be done for invited people", slog.Any("err", err))
		s.tryAgain()
	}
}
