package sasl

import (
	"context"
	"crypto/subtle"
	"errors"
	"strings"
	"unicode/utf8"

	"github.com/muster-im/muster/jid"
)

// plainExchange is PLAIN (RFC 4616).
type plainExchange struct {
	server  *Server
	host    string
	asked   bool
	account jid.JID
}

// Account returns who the client claims to be.
func (x *plainExchange) Account() jid.JID { return x.account }

// Next takes the one message of the mechanism.
func (x *plainExchange) Next(ctx context.Context, message []byte) ([]byte, bool, error) {
	if message == nil && !x.asked {
		x.asked = true
		return []byte{}, false, nil
	}
	authzid, name, password, err := parsePlain(message)
	if err != nil {
		return nil, false, err
	}
	if err := authorize(authzid, x.host, name); err != nil {
		return nil, false, err
	}
	c, err := x.server.find(ctx, x.host, name, SHA256, SHA1)
	if err != nil {
		return nil, false, err
	}
	x.account = claimed(c.account, x.host, name)
	err = x.server.verify(ctx, c, password)
	return nil, err == nil, err
}

// verify compares a password with credentials, decoys included: the hashing is
// the same for all.
func (s *Server) verify(ctx context.Context, c credentials, password string) error {
	prepared, perr := Prepare(password)
	if perr != nil {
		prepared = "unprepared" // it costs the same, and is refused below
	}
	stored, _, err := s.hasher.derive(ctx, c.keys, prepared)
	if err != nil {
		return &Error{Condition: TemporaryAuthFailure, Err: err}
	}
	right := subtle.ConstantTimeCompare(stored, c.keys.StoredKey) == 1
	return verdict(c, right && perr == nil)
}

// verdict is the end of every exchange that got as far as a proof.
func verdict(c credentials, right bool) error {
	switch {
	case !right, errors.Is(c.refused, ErrNoAccount):
		return refuse(errors.Join(errProof, c.refused))
	case c.refused != nil:
		return &Error{Condition: AccountDisabled, Err: c.refused}
	}
	return nil
}

// parsePlain splits message = [authzid] NUL authcid NUL passwd (RFC 4616 §2).
func parsePlain(message []byte) (authzid, name, password string, err error) {
	if len(message) > maxMessage || !utf8.Valid(message) {
		return "", "", "", malformed("The message is too long or not UTF-8.")
	}
	parts := strings.Split(string(message), "\x00")
	if len(parts) != 3 || parts[1] == "" || parts[2] == "" {
		return "", "", "", malformed("PLAIN needs a name and a password.")
	}
	return parts[0], parts[1], parts[2], nil
}

// claimed is the account that a client names, whether it exists or not.
func claimed(found jid.JID, host, name string) jid.JID {
	if !found.IsZero() {
		return found
	}
	j, err := jid.New(name, host, "")
	if err != nil {
		return jid.JID{}
	}
	return j
}
