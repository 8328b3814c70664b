// Package sasl holds the server side of the authentication mechanisms as step
// functions: a message in, a message out, nothing known of streams, so that
// RFC 6120 §6 and XEP-0388 can both carry them. It speaks SCRAM (RFC 5802,
// RFC 7677) with and without channel binding and PLAIN (RFC 4616).
//
// A name that does not exist is answered exactly as a wrong password is, and
// takes as long. The package owns no goroutines; a step blocks on the lookup of
// the account and, for PLAIN, on its turn to hash.
package sasl

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/muster-im/muster/jid"
)

// Mechanism is the registered name of a mechanism.
type Mechanism string

// The mechanisms, strongest first.
const (
	ScramSHA256Plus Mechanism = "SCRAM-SHA-256-PLUS"
	ScramSHA1Plus   Mechanism = "SCRAM-SHA-1-PLUS"
	ScramSHA256     Mechanism = "SCRAM-SHA-256"
	ScramSHA1       Mechanism = "SCRAM-SHA-1"
	Plain           Mechanism = "PLAIN"
)

// Mechanisms returns all mechanisms of this package, strongest first.
func Mechanisms() []Mechanism {
	return []Mechanism{ScramSHA256Plus, ScramSHA1Plus, ScramSHA256, ScramSHA1, Plain}
}

// hash returns the hash of a SCRAM mechanism, and whether it binds the channel.
func (m Mechanism) hash() (h Hash, plus, ok bool) {
	switch m {
	case ScramSHA256Plus:
		return SHA256, true, true
	case ScramSHA256:
		return SHA256, false, true
	case ScramSHA1Plus:
		return SHA1, true, true
	case ScramSHA1:
		return SHA1, false, true
	}
	return "", false, false
}

// ErrBinding is the cause of a refusal for the channel binding that a client
// wants, before anything secret was shown: it is no guess of a password.
var ErrBinding = errors.New("channel binding")

// Condition is what the peer is told of a failure (RFC 6120 §6.5).
type Condition string

// The failure conditions.
const (
	Aborted              Condition = "aborted"
	AccountDisabled      Condition = "account-disabled"
	CredentialsExpired   Condition = "credentials-expired"
	EncryptionRequired   Condition = "encryption-required"
	IncorrectEncoding    Condition = "incorrect-encoding"
	InvalidAuthzid       Condition = "invalid-authzid"
	InvalidMechanism     Condition = "invalid-mechanism"
	MalformedRequest     Condition = "malformed-request"
	MechanismTooWeak     Condition = "mechanism-too-weak"
	NotAuthorized        Condition = "not-authorized"
	TemporaryAuthFailure Condition = "temporary-auth-failure"
)

// Error is a failed authentication. The peer sees the condition and Text; Err
// is for the log and says more.
type Error struct {
	Condition Condition
	Text      string
	Err       error
}

// Error returns the condition and the cause.
func (e *Error) Error() string {
	s := string(e.Condition)
	if e.Text != "" {
		s += ": " + e.Text
	}
	if e.Err != nil {
		s += ": " + e.Err.Error()
	}
	return s
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// Errors that a Lookup returns, wrapped or not.
var (
	// ErrNoAccount says that there is no such account. The peer is not told.
	ErrNoAccount = errors.New("no such account")
	// ErrDisabled says that the account may not be used. Only a peer that has
	// proved to know the password is told.
	ErrDisabled = errors.New("account is disabled")
)

// errProof is the cause of refusals that the peer must not tell apart.
var errProof = errors.New("wrong password")

// refuse is the one answer to unknown names, wrong passwords and wrong proofs.
func refuse(cause error) *Error { return &Error{Condition: NotAuthorized, Err: cause} }

func malformed(what string) *Error {
	return &Error{Condition: MalformedRequest, Text: what}
}

// Exchange is one authentication. It is used by one goroutine.
type Exchange interface {
	// Next takes the client's next message and returns the server's. The first
	// message is nil if the client has sent no initial response, which is
	// answered with an empty challenge. With done the client is authenticated
	// and reply is additional data with success, nil if there is none. An
	// *Error ends the exchange; there are no other errors.
	Next(ctx context.Context, message []byte) (reply []byte, done bool, err error)
	// Account is the account that the client claims to be: the zero JID until
	// it has, and proved only when Next has said done.
	Account() jid.JID
}

// Lookup finds the keys of an account. Errors are ErrNoAccount, ErrDisabled
// (with the keys) or a failure of ours, which is temporary-auth-failure.
type Lookup func(ctx context.Context, account jid.JID) ([]Keys, error)

// Options configure a Server.
type Options struct {
	// Lookup is required.
	Lookup Lookup
	// DecoyKey makes the salts of names that do not exist; it must be secret
	// and the same after every restart. At least 16 bytes; without it a random
	// one is used, good only for servers that are never restarted.
	DecoyKey []byte
	// Mechanisms are those that may be used; nil is all of them.
	Mechanisms []Mechanism
	// AllowPlainWithoutTLS lets PLAIN be used on unprotected streams.
	AllowPlainWithoutTLS bool
	// Hasher derives keys from passwords; nil is a new one with defaults.
	Hasher *Hasher
	// Settle is the unit that the time of a lookup is rounded up to, so that
	// it does not tell whether the name exists; 0 is 2 ms, negative is off.
	Settle time.Duration
}

const (
	minDecoyKey   = 16
	defaultSettle = 2 * time.Millisecond
	// maxMessage bounds a client's message: a name, a password and some nonce
	// of 1023 bytes each fit well.
	maxMessage = 8 << 10
)

// Server begins exchanges. It is immutable and safe for concurrent use.
type Server struct {
	// Set at construction.
	opts   Options
	hasher *Hasher
	random func() string // a fresh nonce
}

// New returns a server.
func New(o Options) (*Server, error) {
	if o.Lookup == nil {
		return nil, errors.New("sasl: no lookup")
	}
	for _, m := range o.Mechanisms {
		if !slices.Contains(Mechanisms(), m) {
			return nil, fmt.Errorf("sasl: unknown mechanism %q", m)
		}
	}
	if o.Mechanisms == nil {
		o.Mechanisms = Mechanisms()
	}
	switch n := len(o.DecoyKey); {
	case n == 0:
		o.DecoyKey = make([]byte, 32)
		rand.Read(o.DecoyKey) //nolint:errcheck // crypto/rand.Read never fails
	case n < minDecoyKey:
		return nil, fmt.Errorf("sasl: decoy key of %d bytes, want at least %d", n, minDecoyKey)
	}
	if o.Hasher == nil {
		o.Hasher = NewHasher(0, 0)
	}
	if o.Settle == 0 {
		o.Settle = defaultSettle
	}
	return &Server{opts: o, hasher: o.Hasher, random: rand.Text}, nil
}

// Channel is what a mechanism must know of the connection beneath it.
type Channel struct {
	// Secure says that the connection is encrypted.
	Secure bool
	// Bindings are the channel bindings that it has, best first (Bindings).
	Bindings []Binding
}

// Offer returns the mechanisms that may be used on a channel, strongest first.
func (s *Server) Offer(ch Channel) []Mechanism {
	var list []Mechanism
	for _, m := range Mechanisms() {
		if s.check(m, ch) == nil {
			list = append(list, m)
		}
	}
	return list
}

// check says why a mechanism cannot be used on a channel.
func (s *Server) check(m Mechanism, ch Channel) error {
	_, plus, _ := m.hash()
	switch {
	case !slices.Contains(Mechanisms(), m):
		return &Error{Condition: InvalidMechanism}
	case !slices.Contains(s.opts.Mechanisms, m):
		// RFC 6120 §6.5.9: known, and not allowed here.
		return &Error{Condition: MechanismTooWeak, Text: "The mechanism " + string(m) + " is switched off."}
	case m == Plain && !ch.Secure && !s.opts.AllowPlainWithoutTLS:
		return &Error{Condition: EncryptionRequired, Text: "PLAIN needs TLS."}
	case plus && len(ch.Bindings) == 0:
		return &Error{Condition: InvalidMechanism, Text: "This connection has no channel binding."}
	}
	return nil
}

// Start begins an authentication for an account of host. The error is an
// *Error.
func (s *Server) Start(m Mechanism, host string, ch Channel) (Exchange, error) {
	if err := s.check(m, ch); err != nil {
		return nil, err
	}
	if m == Plain {
		return &plainExchange{server: s, host: host}, nil
	}
	hash, plus, _ := m.hash()
	offered := slices.ContainsFunc(s.Offer(ch), func(m Mechanism) bool { _, plus, _ := m.hash(); return plus })
	return &scramExchange{server: s, host: host, hash: hash, plus: plus, plusOffered: offered, bindings: ch.Bindings}, nil
}

// credentials are what an exchange works with: an account's keys, or decoys
// that no password opens.
type credentials struct {
	account jid.JID
	keys    Keys
	refused error // why the right password would not do either
}

// find looks up the keys of the account that a client names, those of the first
// hash in hashes that it has. It fails only with what is our fault.
func (s *Server) find(ctx context.Context, host, name string, hashes ...Hash) (credentials, error) {
	// RFC 6120 §6.3.7: the name is the localpart, prepared as such.
	account, err := jid.New(name, host, "")
	if err != nil || account.Local() == "" {
		return s.decoy(host, name, hashes[0]), s.settle(ctx, time.Now())
	}
	began := time.Now()
	all, err := s.opts.Lookup(ctx, account)
	if werr := s.settle(ctx, began); werr != nil {
		return credentials{}, werr
	}
	c := credentials{account: account}
	switch {
	case errors.Is(err, ErrDisabled):
		c.refused = err
	case errors.Is(err, ErrNoAccount):
		return s.decoy(account.Domain(), account.Local(), hashes[0]), nil
	case err != nil:
		return credentials{}, &Error{Condition: TemporaryAuthFailure, Err: err}
	}
	for _, h := range hashes {
		for _, k := range all {
			if k.Hash == h && k.valid() {
				c.keys = k
				return c, nil
			}
		}
	}
	return s.decoy(account.Domain(), account.Local(), hashes[0]), nil
}

// decoy returns keys for an account that does not exist. They look like those
// of one that does, and stay the same.
func (s *Server) decoy(host, name string, h Hash) credentials {
	return credentials{keys: h.decoy(s.opts.DecoyKey, name+"@"+host, s.hasher.iterations), refused: ErrNoAccount}
}

// settle waits until the time since began is a whole number of units.
func (s *Server) settle(ctx context.Context, began time.Time) error {
	unit := s.opts.Settle
	if unit < 0 {
		return nil
	}
	timer := time.NewTimer(unit - time.Since(began)%unit)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return &Error{Condition: TemporaryAuthFailure, Err: ctx.Err()}
	}
}

// authorize checks the identity that a client wants to act as: none, or the
// account itself (RFC 6120 §6.3.8).
func authorize(authzid, host, name string) error {
	if authzid == "" {
		return nil
	}
	account, err := jid.New(name, host, "")
	want, werr := jid.Parse(authzid)
	if err != nil || werr != nil || want != account {
		return &Error{Condition: InvalidAuthzid, Text: "You may act only as yourself."}
	}
	return nil
}
