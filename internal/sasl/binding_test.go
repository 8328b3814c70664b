package sasl

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"math/big"
	"net"
	"testing"
	"time"
)

// TestBindings compares our bindings with what the client sees of the same
// handshake.
func TestBindings(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name    string
		version uint16
		curve   elliptic.Curve
		hash    func([]byte) []byte
	}{
		{"TLS 1.3", tls.VersionTLS13, elliptic.P256(), func(b []byte) []byte { h := sha256.Sum256(b); return h[:] }},
		{"TLS 1.2, extended master secret", tls.VersionTLS12, elliptic.P256(), func(b []byte) []byte { h := sha256.Sum256(b); return h[:] }},
		{"SHA-384 certificate", tls.VersionTLS13, elliptic.P384(), func(b []byte) []byte { h := sha512.Sum384(b); return h[:] }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			cert := certificate(t, tt.curve)
			a, b := net.Pipe()
			server := tls.Server(a, &tls.Config{Certificates: []tls.Certificate{cert}, MaxVersion: tt.version})
			client := tls.Client(b, &tls.Config{InsecureSkipVerify: true, MaxVersion: tt.version}) //nolint:gosec // a test
			failed := make(chan error, 1)
			go func() { failed <- server.Handshake() }()
			if err := errors.Join(client.Handshake(), <-failed); err != nil {
				t.Fatal(err)
			}
			defer a.Close()
			defer b.Close()
			ours, theirs := server.ConnectionState(), client.ConnectionState()
			material, err := theirs.ExportKeyingMaterial("EXPORTER-Channel-Binding", nil, 32)
			if err != nil {
				t.Fatal(err)
			}
			want := []Binding{{TLSExporter, material}, {TLSServerEndPoint, tt.hash(theirs.PeerCertificates[0].Raw)}}
			if got := Bindings(&ours, cert.Leaf); fmt.Sprint(got) != fmt.Sprint(want) {
				t.Errorf("got %v, want %v", got, want)
			}
			if got := Bindings(&ours, nil); len(got) != 1 {
				t.Errorf("without certificate: %v", got)
			}
		})
	}
	if got := Bindings(nil, nil); got != nil {
		t.Errorf("without TLS: %v", got)
	}
}

func certificate(t testing.TB, curve elliptic.Curve) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(curve, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{host}, NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}
}
