package server

import (
	"crypto/tls"
	"crypto/x509"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func selfSignedFor(t *testing.T, hosts ...string) (certFile, keyFile string) {
	t.Helper()
	certFile, keyFile, err := ensureSelfSigned(t.TempDir(), hosts)
	if err != nil {
		t.Fatal(err)
	}
	return certFile, keyFile
}

func load(t *testing.T, certFile, keyFile string) *keyPair {
	t.Helper()
	k, err := loadKeyPair(certFile, keyFile, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func TestSelfSignedIsTrustworthyAsItself(t *testing.T) {
	t.Parallel()
	certFile, keyFile := selfSignedFor(t, "localhost", "bücher.test", "192.0.2.1")
	leaf := load(t, certFile, keyFile).certificate().Leaf
	pool := x509.NewCertPool()
	pool.AddCert(leaf)
	for _, name := range []string{"localhost", "xn--bcher-kva.test", "192.0.2.1"} {
		if _, err := leaf.Verify(x509.VerifyOptions{Roots: pool, DNSName: name}); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if !isSelfSigned(leaf) {
		t.Error("not recognised as self-signed")
	}
	fi, err := os.Stat(keyFile)
	if err != nil || fi.Mode().Perm() != 0o600 {
		t.Errorf("key file: %v, %v, want mode 0600", fi.Mode(), err)
	}
}

func TestSelfSignedIsKeptWhileItWillDo(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		serial := func(hosts ...string) string {
			certFile, keyFile, err := ensureSelfSigned(dir, hosts)
			if err != nil {
				t.Fatal(err)
			}
			return load(t, certFile, keyFile).certificate().Leaf.SerialNumber.String()
		}
		first := serial("a.test")
		if serial("a.test") != first {
			t.Error("the second start has made another certificate")
		}
		withHost := serial("a.test", "b.test")
		if withHost == first {
			t.Error("a new host is not in the certificate")
		}
		if serial("a.test") != withHost {
			t.Error("a certificate that covers more than needed was replaced")
		}
		time.Sleep(selfSignedLife - selfSignedRenewal + time.Hour)
		if serial("a.test") == withHost {
			t.Error("a certificate near its end was kept")
		}
	})
}

func TestReload(t *testing.T) {
	t.Parallel()
	certFile, keyFile := selfSignedFor(t, "a.test")
	k := load(t, certFile, keyFile)
	old := k.certificate()

	newCert, newKey, err := makeSelfSigned([]string{"b.test", "c.test"})
	if err != nil {
		t.Fatal(err)
	}
	if err := writeFile(certFile, newCert, 0o644); err != nil {
		t.Fatal(err)
	}
	if k.certificate() != old {
		t.Error("a certificate without its key was taken into use")
	}
	if err := writeFile(keyFile, newKey, 0o600); err != nil {
		t.Fatal(err)
	}
	if got := k.certificate().Leaf.DNSNames; len(got) != 2 {
		t.Errorf("certificate in use is for %v, want the new one", got)
	}
	if err := os.Remove(certFile); err != nil {
		t.Fatal(err)
	}
	if k.certificate() == nil || k.certificate().Leaf.DNSNames[0] != "b.test" {
		t.Error("the certificate in use was lost with its file")
	}
	if err := k.reload(); err == nil || !strings.Contains(err.Error(), "there is no such file") {
		t.Errorf("reload: got %v, want the missing file named", err)
	}
}

func TestBadFiles(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	certFile, keyFile := selfSignedFor(t, "a.test")
	_, otherKey := selfSignedFor(t, "a.test")
	garbage := filepath.Join(dir, "garbage.pem")
	if err := os.WriteFile(garbage, []byte("garbage"), 0o600); err != nil {
		t.Fatal(err)
	}
	missing := filepath.Join(dir, "missing.pem")
	tests := []struct{ name, cert, key, want string }{
		{"missing certificate", missing, keyFile, "certificate " + missing + ": there is no such file"},
		{"missing key", certFile, missing, "key " + missing + ": there is no such file"},
		{"garbage", garbage, keyFile, "certificate " + garbage},
		{"not its key", certFile, otherKey, "private key does not match"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			_, err := loadKeyPair(tt.cert, tt.key, slog.New(slog.DiscardHandler))
			if err == nil || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "\n") {
				t.Errorf("got %v, want one line with %q", err, tt.want)
			}
		})
	}
	synctest.Test(t, func(t *testing.T) {
		c, k := selfSignedFor(t, "a.test")
		time.Sleep(selfSignedLife + time.Hour)
		if _, err := loadKeyPair(c, k, slog.New(slog.DiscardHandler)); err == nil || !strings.Contains(err.Error(), "has expired on 2001-") {
			t.Errorf("expired: got %v", err)
		}
	})
}

func TestChooseByName(t *testing.T) {
	t.Parallel()
	var ring keyRing
	for _, host := range []string{"a.test", "b.test"} {
		certFile, keyFile := selfSignedFor(t, host)
		ring = append(ring, load(t, certFile, keyFile))
	}
	for _, tt := range []struct{ asked, got string }{{"a.test", "a.test"}, {"b.test", "b.test"}, {"c.test", "a.test"}, {"", "a.test"}} {
		c, err := ring.choose(&tls.ClientHelloInfo{ServerName: tt.asked})
		if err != nil || c.Leaf.DNSNames[0] != tt.got {
			t.Errorf("asked for %q: got %v, %v, want %s", tt.asked, c.Leaf.DNSNames, err, tt.got)
		}
	}
}
