package server

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/muster-im/muster/internal/sqlstore"
	"github.com/muster-im/muster/muc"
)

// Limits of what an extension keeps; see Store.
const (
	MaxKeys     = 10_000
	MaxKey      = 256      // bytes
	MaxKeyValue = 64 << 10 // bytes
)

// Errors of Store, to be tested with errors.Is.
var (
	// ErrKey says that a key is empty, too long or no text.
	ErrKey = errors.New("a key is text of 1 to 256 bytes")
	// ErrValue says that a value is too large.
	ErrValue = errors.New("a value has at most 64 KiB")
	// ErrStoreFull says that there is no room for one more key.
	ErrStoreFull = errors.New("an extension keeps at most 10,000 keys")
	// ErrNoStore says that the server is not there yet.
	ErrNoStore = errors.New("the store can be used once the server has been made: from OnStart on")
)

// Store is a small store of one extension: values by key, for all rooms and
// hosts of the server together. Every call is one transaction and waits for the
// database; inside a room, where nothing may wait, it returns muc.ErrInRoom. It is
// safe for concurrent use.
type Store struct {
	name string
	db   *sqlstore.DB // set before anything starts; nil until then
}

// check says why the store cannot be asked for a key.
func (s *Store) check(key string) error {
	switch {
	case s.db == nil:
		return fmt.Errorf("extension %s: %w", s.name, ErrNoStore)
	case key == "" || len(key) > MaxKey || !utf8.ValidString(key) || strings.ContainsRune(key, 0):
		return fmt.Errorf("extension %s: %w", s.name, ErrKey)
	}
	return muc.MayWait()
}

// Get returns what is kept under a key, nil if nothing is.
func (s *Store) Get(ctx context.Context, key string) ([]byte, error) {
	if err := s.check(key); err != nil {
		return nil, err
	}
	return s.db.ExtensionValue(ctx, s.name, key)
}

// Keys returns the keys that begin with prefix, ordered by bytes.
func (s *Store) Keys(ctx context.Context, prefix string) ([]string, error) {
	if err := s.check(prefix + "?"); err != nil {
		return nil, err
	}
	return s.db.ExtensionKeys(ctx, s.name, prefix)
}

// Set keeps a value under a key; an empty one removes it.
func (s *Store) Set(ctx context.Context, key string, value []byte) error {
	return s.Update(ctx, key, func([]byte) ([]byte, error) { return value, nil })
}

// Update replaces what is kept under a key by what change makes of it, nil if
// nothing is; updates come one after the other, so nothing gets lost between. An
// empty value removes it, an error leaves everything as it was. change must not
// wait for anything and may run again.
func (s *Store) Update(ctx context.Context, key string, change func(old []byte) ([]byte, error)) error {
	if err := s.check(key); err != nil {
		return err
	}
	ok, err := s.db.ChangeExtension(ctx, s.name, key, MaxKeys, func(old []byte) ([]byte, error) {
		value, err := change(old)
		if err == nil && len(value) > MaxKeyValue {
			err = fmt.Errorf("extension %s: key %s: %w", s.name, key, ErrValue)
		}
		return value, err
	})
	if err == nil && !ok {
		err = fmt.Errorf("extension %s: key %s: %w", s.name, key, ErrStoreFull)
	}
	return err
}
