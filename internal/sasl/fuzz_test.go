package sasl

import (
	"crypto/pbkdf2"
	"crypto/sha256"
	"strings"
	"testing"
)

func pbkdf2SHA256(t testing.TB, prepared string, salt []byte, iterations int) []byte {
	t.Helper()
	salted, err := pbkdf2.Key(sha256.New, prepared, salt, iterations, sha256.Size)
	if err != nil {
		t.Fatal(err)
	}
	return salted
}

// FuzzScram feeds both messages to an exchange: nothing panics, nobody gets in,
// and what is understood is what was said.
func FuzzScram(f *testing.F) {
	f.Add([]byte("n,,n=romeo,r=abc"), []byte("c=biws,r=abc,p=AAAA"))
	f.Add([]byte("y,a=romeo@example.org,n=r=2Co=3Dmeo,r=abc,x=y"), []byte("c=biws,r=abc,x=y,p=AAAA"))
	f.Add([]byte("p=tls-exporter,,n=romeo,r=abc"), []byte("c=,r=,p="))
	s := newTestServer(f, nil)
	f.Fuzz(func(t *testing.T, first, final []byte) {
		for _, m := range []Mechanism{ScramSHA256, ScramSHA256Plus} {
			x, err := s.Start(m, host, Channel{Secure: true, Bindings: []Binding{exporter}})
			if err != nil {
				t.Fatal(err)
			}
			reply, done, err := x.Next(t.Context(), first)
			if done {
				t.Fatalf("in after %q", first)
			}
			if err != nil {
				continue
			}
			m, err := parseClientFirst(first)
			if err != nil || m.header+m.bare != string(first) {
				t.Fatalf("%q is read as %+v, %v", first, m, err)
			}
			if !strings.HasPrefix(string(reply), "r="+m.nonce) {
				t.Fatalf("%q is answered %q", first, reply)
			}
			if _, done, err := x.Next(t.Context(), final); done || err == nil {
				t.Fatalf("in after %q, %q", first, final)
			}
		}
	})
}

// FuzzPlain splits any message without a panic.
func FuzzPlain(f *testing.F) {
	f.Add([]byte("\x00romeo\x00secret"))
	f.Add([]byte("a\x00b\x00c\x00d"))
	f.Fuzz(func(t *testing.T, message []byte) {
		authzid, name, password, err := parsePlain(message)
		if err == nil && authzid+"\x00"+name+"\x00"+password != string(message) {
			t.Errorf("%q is read as %q, %q, %q", message, authzid, name, password)
		}
	})
}
