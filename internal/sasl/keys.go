package sasl

import (
	"context"
	"crypto/hmac"
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/sha1" //nolint:gosec // SCRAM-SHA-1 rests on HMAC-SHA-1, which is not broken
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"runtime"

	"golang.org/x/text/secure/precis"
)

// Hash names the hash that keys are made with.
type Hash string

// The hashes.
const (
	SHA256 Hash = "SHA-256"
	SHA1   Hash = "SHA-1"
)

// Keys authenticate one account by one hash (RFC 5802 §3). The password cannot
// be read from them.
type Keys struct {
	Hash       Hash
	Salt       []byte
	Iterations int
	StoredKey  []byte
	ServerKey  []byte
}

func (k *Keys) valid() bool {
	size := k.Hash.size()
	return size > 0 && len(k.StoredKey) == size && len(k.ServerKey) == size && k.Iterations > 0 && len(k.Salt) > 0
}

func (h Hash) size() int {
	switch h {
	case SHA256:
		return sha256.Size
	case SHA1:
		return sha1.Size
	}
	return 0
}

func (h Hash) new() hash.Hash {
	if h == SHA1 {
		return sha1.New() //nolint:gosec // see the import
	}
	return sha256.New()
}

// sum is H(data) of RFC 5802 §2.2.
func (h Hash) sum(data []byte) []byte {
	x := h.new()
	x.Write(data)
	return x.Sum(nil)
}

// hmac is HMAC(key, data) of RFC 5802 §2.2.
func (h Hash) hmac(key, data []byte) []byte {
	x := hmac.New(h.new, key)
	x.Write(data)
	return x.Sum(nil)
}

const (
	saltSize          = 16
	defaultIterations = 10_000
	minIterations     = 4096 // RFC 7677 §4
)

// decoy returns the keys of an account that does not exist: the salt is a
// function of secret and name, the keys match no password.
func (h Hash) decoy(secret []byte, name string, iterations int) Keys {
	of := func(what string) []byte { return SHA256.hmac(secret, []byte(what+"\x00"+string(h)+"\x00"+name)) }
	return Keys{
		Hash: h, Salt: of("salt")[:saltSize], Iterations: iterations,
		StoredKey: of("stored key")[:h.size()], ServerKey: of("server key")[:h.size()],
	}
}

// ErrPassword is the cause of every refusal of a password; test with errors.Is.
var ErrPassword = errors.New("unusable password")

// maxPassword bounds a password in bytes: longer ones only cost time.
const maxPassword = 1024

// Prepare returns a password as it goes into the keys (RFC 8265 §4.2).
func Prepare(password string) (string, error) {
	switch {
	case password == "":
		return "", fmt.Errorf("%w: it is empty", ErrPassword)
	case len(password) > maxPassword:
		return "", fmt.Errorf("%w: it is longer than %d bytes", ErrPassword, maxPassword)
	}
	p, err := precis.OpaqueString.String(password)
	if err != nil {
		// The cause may hold characters of the password: it is left out.
		return "", fmt.Errorf("%w: it has a character that is not allowed", ErrPassword)
	}
	return p, nil
}

// Hasher derives keys from passwords. Since that is made to be dear, only so
// many run at once and the others wait. It is safe for concurrent use.
type Hasher struct {
	// Set at construction.
	iterations int
	turns      chan struct{}
}

// NewHasher returns a hasher for new keys of so many iterations, of which so
// many work at once; zero is 10,000, and one less than there are processors.
func NewHasher(iterations, workers int) *Hasher {
	if iterations == 0 {
		iterations = defaultIterations
	}
	if workers == 0 {
		workers = max(runtime.GOMAXPROCS(0)-1, 1)
	}
	return &Hasher{iterations: max(iterations, minIterations), turns: make(chan struct{}, workers)}
}

// Keys returns new keys for a password, one per hash, each with its own random
// salt. The error is ErrPassword or that of ctx.
func (x *Hasher) Keys(ctx context.Context, password string) ([]Keys, error) {
	prepared, err := Prepare(password)
	if err != nil {
		return nil, err
	}
	var list []Keys
	for _, h := range []Hash{SHA256, SHA1} {
		salt := make([]byte, saltSize)
		rand.Read(salt) //nolint:errcheck // crypto/rand.Read never fails
		k := Keys{Hash: h, Salt: salt, Iterations: x.iterations}
		k.StoredKey, k.ServerKey, err = x.derive(ctx, k, prepared)
		if err != nil {
			return nil, err
		}
		list = append(list, k)
	}
	return list, nil
}

// derive returns the keys that password gives with the hash, salt and
// iterations of k. It waits for its turn.
func (x *Hasher) derive(ctx context.Context, k Keys, password string) (stored, server []byte, err error) {
	select {
	case x.turns <- struct{}{}:
	case <-ctx.Done():
		return nil, nil, ctx.Err()
	}
	defer func() { <-x.turns }()
	// RFC 5802 §3: SaltedPassword := Hi(Normalize(password), salt, i).
	salted, err := pbkdf2.Key(k.Hash.new, password, k.Salt, k.Iterations, k.Hash.size())
	if err != nil {
		return nil, nil, fmt.Errorf("derive keys: %w", err)
	}
	return k.Hash.sum(k.Hash.hmac(salted, []byte("Client Key"))), k.Hash.hmac(salted, []byte("Server Key")), nil
}
