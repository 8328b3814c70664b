package client

import (
	"bytes"
	"crypto/hmac"
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/sha1" //nolint:gosec // SCRAM-SHA-1 is what some servers have
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"hash"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/muster-im/muster/stanza"
)

// preferred are the mechanisms that we know, the strongest first.
var preferred = []string{"SCRAM-SHA-256-PLUS", "SCRAM-SHA-1-PLUS", "SCRAM-SHA-256", "SCRAM-SHA-1", "PLAIN"} //nolint:gochecknoglobals // a table

// authenticate logs in (RFC 6120 §6).
func (c *Client) authenticate(features *stanza.Element) error {
	mechanism, err := c.choose(features)
	if err != nil {
		return err
	}
	if mechanism == "PLAIN" {
		_, err := c.exchange("auth", mechanism, "\x00"+c.opts.Username+"\x00"+c.opts.Password)
		return err
	}
	s := scram{user: c.opts.Username, password: c.opts.Password, keys: c.opts.Keys, hash: sha256.New, size: sha256.Size, gs2: "n,,"}
	if strings.Contains(mechanism, "SHA-1") {
		s.hash, s.size = sha1.New, sha1.Size
	}
	if strings.HasSuffix(mechanism, "-PLUS") {
		data, err := c.stream.TLS().ExportKeyingMaterial("EXPORTER-Channel-Binding", nil, 32)
		if err != nil {
			return fmt.Errorf("channel binding: %w", err)
		}
		s.gs2, s.binding = "p=tls-exporter,,", data
	}
	challenge, err := c.exchange("auth", mechanism, s.first())
	if err != nil {
		return err
	}
	final, err := s.final(challenge)
	if err != nil {
		return err
	}
	verifier, err := c.exchange("response", "", final)
	if err != nil {
		return err
	}
	return s.verify(verifier)
}

// choose returns the mechanism to use of those that the server offers.
func (c *Client) choose(features *stanza.Element) (string, error) {
	var offered []string
	for m := range features.Child(stanza.NSSASL, "mechanisms").Elements() {
		offered = append(offered, m.Text())
	}
	if want := c.opts.Mechanism; want != "" {
		if !slices.Contains(offered, want) {
			return "", fmt.Errorf("server does not offer %s, but %v", want, offered)
		}
		return want, nil
	}
	tls := c.stream.TLS()
	for _, m := range preferred {
		plus := strings.HasSuffix(m, "-PLUS")
		if slices.Contains(offered, m) && (!plus || tls != nil && tls.Version >= 0x0304) {
			return m, nil
		}
	}
	return "", fmt.Errorf("server offers no mechanism that we know, but %v", offered)
}

// exchange sends one step and returns what the server answers, decoded.
func (c *Client) exchange(element, mechanism, data string) (string, error) {
	e := stanza.NewElement(stanza.NSSASL, element)
	if mechanism != "" {
		e.SetAttr("mechanism", mechanism)
	}
	if err := c.stream.Send(e.AddText(base64.StdEncoding.EncodeToString([]byte(data)))); err != nil {
		return "", err
	}
	answer, err := c.stream.Next()
	if err != nil {
		return "", err
	}
	switch {
	case answer.Is(stanza.NSSASL, "challenge"), answer.Is(stanza.NSSASL, "success"):
		text, err := base64.StdEncoding.DecodeString(answer.Text())
		return string(text), err
	case answer.Is(stanza.NSSASL, "failure"):
		failure := &AuthError{Condition: "undefined", Text: answer.ChildText(stanza.NSSASL, "text")}
		for c := range answer.Elements() {
			if c.Name.Local != "text" {
				failure.Condition = c.Name.Local
			}
		}
		return "", failure
	}
	return "", fmt.Errorf("server sent <%s/> while logging in", answer.Name.Local)
}

// scram is the client's side of SCRAM (RFC 5802).
type scram struct {
	user, password string
	keys           *Keys
	hash           func() hash.Hash
	size           int
	gs2            string
	binding        []byte
	nonce, bare    string
	signature      []byte // that the server must show
}

func (s *scram) first() string {
	s.nonce = rand.Text()
	s.bare = "n=" + strings.NewReplacer("=", "=3D", ",", "=2C").Replace(s.user) + ",r=" + s.nonce
	return s.gs2 + s.bare
}

func (s *scram) final(serverFirst string) (string, error) {
	fields := strings.Split(serverFirst, ",")
	if len(fields) < 3 || !strings.HasPrefix(fields[0], "r="+s.nonce) ||
		!strings.HasPrefix(fields[1], "s=") || !strings.HasPrefix(fields[2], "i=") {
		return "", errors.New("server's SCRAM challenge is malformed")
	}
	salt, err := base64.StdEncoding.DecodeString(fields[1][2:])
	if err != nil {
		return "", fmt.Errorf("salt: %w", err)
	}
	iterations, err := strconv.Atoi(fields[2][2:])
	if err != nil || iterations < 1 || iterations > 10_000_000 {
		return "", errors.New("server's iteration count makes no sense")
	}
	salted, err := s.keys.derive(keyOf{s.password, string(salt), iterations, s.size}, func() ([]byte, error) {
		return pbkdf2.Key(s.hash, s.password, salt, iterations, s.size)
	})
	if err != nil {
		return "", err
	}
	withoutProof := "c=" + base64.StdEncoding.EncodeToString(append([]byte(s.gs2), s.binding...)) + "," + fields[0]
	message := []byte(s.bare + "," + serverFirst + "," + withoutProof)
	clientKey := s.mac(salted, []byte("Client Key"))
	h := s.hash()
	h.Write(clientKey)
	proof := s.mac(h.Sum(nil), message)
	subtle.XORBytes(proof, proof, clientKey)
	s.signature = s.mac(s.mac(salted, []byte("Server Key")), message)
	return withoutProof + ",p=" + base64.StdEncoding.EncodeToString(proof), nil
}

// Keys remembers salted passwords (RFC 5802 §5.1), for programs that log in
// often. It is safe for concurrent use; a nil *Keys remembers nothing.
type Keys struct {
	mu   sync.Mutex
	keys map[keyOf][]byte // guarded by mu
}

// keyOf is what a salted password depends on.
type keyOf struct {
	password, salt   string
	iterations, size int
}

// NewKeys returns an empty memory.
func NewKeys() *Keys { return &Keys{keys: make(map[keyOf][]byte)} }

// derive returns a key that is known, or makes it.
func (k *Keys) derive(of keyOf, derive func() ([]byte, error)) ([]byte, error) {
	if k == nil {
		return derive()
	}
	k.mu.Lock()
	key := k.keys[of]
	k.mu.Unlock()
	if key != nil {
		return key, nil
	}
	key, err := derive()
	if err == nil {
		k.mu.Lock()
		k.keys[of] = key
		k.mu.Unlock()
	}
	return key, err
}

// verify checks that the server knows the keys too.
func (s *scram) verify(serverFinal string) error {
	text, ok := strings.CutPrefix(serverFinal, "v=")
	got, err := base64.StdEncoding.DecodeString(text)
	if !ok || err != nil || !bytes.Equal(got, s.signature) {
		return errors.New("server does not know the account's keys")
	}
	return nil
}

func (s *scram) mac(key, data []byte) []byte {
	m := hmac.New(s.hash, key)
	m.Write(data)
	return m.Sum(nil)
}
