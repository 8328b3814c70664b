package server

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"sync"
	"time"

	"golang.org/x/net/idna"
)

// keyPair is a certificate chain and its key in files, read again when the
// files have changed. It is safe for concurrent use.
type keyPair struct {
	// Set at construction.
	certFile, keyFile string
	log               *slog.Logger

	// Guarded by mu.
	mu    sync.Mutex
	cert  *tls.Certificate
	tried fileVersion // of the files that were last read, well or not
}

// fileVersion tells two states of a certificate and a key file apart.
type fileVersion struct {
	certTime, keyTime time.Time
	certSize, keySize int64
}

// loadKeyPair reads a certificate and its key; the error says what is wrong
// with which file.
func loadKeyPair(certFile, keyFile string, log *slog.Logger) (*keyPair, error) {
	k := &keyPair{certFile: certFile, keyFile: keyFile, log: log}
	if err := k.reload(); err != nil {
		return nil, err
	}
	return k, nil
}

// certificate returns the certificate in use. Files that have changed are read
// first; while they cannot be used, as between the renewal of the one and the
// other, what was read before stays in use.
func (k *keyPair) certificate() *tls.Certificate {
	k.mu.Lock()
	defer k.mu.Unlock()
	v, err := k.stat()
	if err != nil || v == k.tried {
		return k.cert
	}
	if err := k.reloadLocked(v); err != nil {
		k.log.Warn("keep the certificate in use", slog.Any("err", err))
	} else {
		k.log.Info("certificate reloaded", slog.String("file", k.certFile), slog.Time("expires", k.cert.Leaf.NotAfter))
	}
	return k.cert
}

// reload reads the files whether they have changed or not.
func (k *keyPair) reload() error {
	k.mu.Lock()
	defer k.mu.Unlock()
	v, err := k.stat()
	if err != nil {
		return err
	}
	return k.reloadLocked(v)
}

func (k *keyPair) reloadLocked(v fileVersion) error {
	k.tried = v
	cert, err := readKeyPair(k.certFile, k.keyFile)
	if err != nil {
		return err
	}
	k.cert = cert
	return nil
}

func (k *keyPair) stat() (fileVersion, error) {
	c, err := os.Stat(k.certFile)
	if err != nil {
		return fileVersion{}, fileError("certificate", k.certFile, err)
	}
	s, err := os.Stat(k.keyFile)
	if err != nil {
		return fileVersion{}, fileError("key", k.keyFile, err)
	}
	return fileVersion{c.ModTime(), s.ModTime(), c.Size(), s.Size()}, nil
}

func readKeyPair(certFile, keyFile string) (*tls.Certificate, error) {
	certPEM, err := os.ReadFile(certFile)
	if err != nil {
		return nil, fileError("certificate", certFile, err)
	}
	keyPEM, err := os.ReadFile(keyFile)
	if err != nil {
		return nil, fileError("key", keyFile, err)
	}
	cert, err := tls.X509KeyPair(certPEM, keyPEM)
	if err != nil {
		return nil, fmt.Errorf("certificate %s with key %s: %w", certFile, keyFile, err)
	}
	now := time.Now()
	switch {
	case now.After(cert.Leaf.NotAfter):
		return nil, fmt.Errorf("certificate %s has expired on %s: renew it", certFile, day(cert.Leaf.NotAfter))
	case now.Before(cert.Leaf.NotBefore):
		return nil, fmt.Errorf("certificate %s is valid from %s only: check the clock", certFile, day(cert.Leaf.NotBefore))
	}
	return &cert, nil
}

func day(t time.Time) string { return t.UTC().Format("2006-01-02") }

// fileError says what is wrong with a file without the system call's name.
func fileError(what, path string, err error) error {
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("%s %s: there is no such file", what, path)
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("%s %s: this user may not read it", what, path)
	}
	return fmt.Errorf("%s: %w", what, err)
}

// keyRing chooses among the certificates of one listener by the name that the
// client asks for. It is fixed once the listener serves.
type keyRing []*keyPair

// choose returns the first certificate that is valid for the name the client
// sent, and the first of all if none is or none was sent: a client that
// connects by another name than the domain may still trust it.
func (r keyRing) choose(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	if len(r) > 1 && hello.ServerName != "" {
		for _, k := range r {
			if c := k.certificate(); c.Leaf.VerifyHostname(hello.ServerName) == nil {
				return c, nil
			}
		}
	}
	return r[0].certificate(), nil
}

// covers reports whether some certificate is valid for a host.
func (r keyRing) covers(host string) bool {
	name := asciiHost(host)
	for _, k := range r {
		if k.certificate().Leaf.VerifyHostname(name) == nil {
			return true
		}
	}
	return false
}

// isSelfSigned reports whether nobody but its holder vouches for a
// certificate.
func isSelfSigned(c *x509.Certificate) bool {
	return bytes.Equal(c.RawIssuer, c.RawSubject) &&
		c.CheckSignature(c.SignatureAlgorithm, c.RawTBSCertificate, c.Signature) == nil
}

// asciiHost is a domain as it stands in certificates.
func asciiHost(host string) string {
	if net.ParseIP(host) != nil {
		return host
	}
	if a, err := idna.Lookup.ToASCII(host); err == nil {
		return a
	}
	return host
}
