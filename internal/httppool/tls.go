package httppool

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"
)

// Verify is how a service has to prove who it is.
type Verify string

// Ways to do so.
const (
	VerifyPeer       Verify = "peer"            // by a certificate for its name that an authority has signed
	VerifySelfSigned Verify = "selfsigned_peer" // or that it has signed itself
	VerifyNone       Verify = "none"            // not at all
)

// TLS says how connections to https addresses are encrypted.
type TLS struct {
	Verify     Verify // "" is VerifyPeer
	CACertFile string // authorities to trust; "": those of the system
	CertFile   string // certificate that is shown to the service; "": none
	KeyFile    string // its key; "": it is in CertFile
	ServerName string // whose certificate it has to be; "": of the host asked
	NoSNI      bool   // do not say in the handshake which name is meant
}

// FileError is a file of TLS that cannot be used.
type FileError struct {
	Key string // cacertfile, certfile
	Err error
}

func (e *FileError) Error() string { return e.Key + ": " + e.Err.Error() }

// Unwrap returns the cause.
func (e *FileError) Unwrap() error { return e.Err }

// handshakeError is a handshake that has failed.
type handshakeError struct{ err error }

func (e *handshakeError) Error() string { return "TLS handshake: " + e.err.Error() }
func (e *handshakeError) Unwrap() error { return e.err }

type dialFunc func(ctx context.Context, network, address string) (net.Conn, error)

// dialer returns what opens encrypted connections.
func (t TLS) dialer(dial dialFunc) (dialFunc, error) {
	base := &tls.Config{MinVersion: tls.VersionTLS12}
	if t.CACertFile != "" {
		pem, err := os.ReadFile(t.CACertFile)
		if err != nil {
			return nil, &FileError{"cacertfile", err}
		}
		base.RootCAs = x509.NewCertPool()
		if !base.RootCAs.AppendCertsFromPEM(pem) {
			return nil, &FileError{"cacertfile", errors.New("there is no certificate in it")}
		}
	}
	if t.CertFile != "" {
		key := t.KeyFile
		if key == "" {
			key = t.CertFile
		}
		cert, err := tls.LoadX509KeyPair(t.CertFile, key)
		if err != nil {
			return nil, &FileError{"certfile", err}
		}
		base.Certificates = []tls.Certificate{cert}
	}
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		name := t.ServerName
		if name == "" {
			host, _, err := net.SplitHostPort(address)
			if err != nil {
				return nil, fmt.Errorf("address of the service: %w", err)
			}
			name = host
		}
		raw, err := dial(ctx, network, address)
		if err != nil {
			return nil, err
		}
		conn := tls.Client(raw, t.config(base, name))
		if err := conn.HandshakeContext(ctx); err != nil {
			_ = raw.Close() // nothing was sent
			return nil, &handshakeError{err}
		}
		return conn, nil
	}, nil
}

// config returns base for a service of that name.
func (t TLS) config(base *tls.Config, name string) *tls.Config {
	c := base.Clone()
	if !t.NoSNI {
		c.ServerName = name
	}
	if t.Verify != VerifySelfSigned && t.Verify != VerifyNone && !t.NoSNI {
		return c // crypto/tls does it all
	}
	c.InsecureSkipVerify = true // it is verified below, unless the operator does not want it
	if t.Verify == VerifyNone {
		return c
	}
	c.VerifyConnection = func(state tls.ConnectionState) error {
		return t.verify(state.PeerCertificates, base.RootCAs, name)
	}
	return c
}

// verify checks a chain of certificates, which TLS says is not empty.
func (t TLS) verify(chain []*x509.Certificate, roots *x509.CertPool, name string) error {
	leaf := chain[0]
	o := x509.VerifyOptions{Roots: roots, DNSName: name, Intermediates: x509.NewCertPool()}
	for _, c := range chain[1:] {
		o.Intermediates.AddCert(c)
	}
	_, err := leaf.Verify(o)
	if err == nil || t.Verify != VerifySelfSigned || leaf.CheckSignature(leaf.SignatureAlgorithm, leaf.RawTBSCertificate, leaf.Signature) != nil {
		return err
	}
	o.Roots = x509.NewCertPool() // its own authority: name and time still count
	o.Roots.AddCert(leaf)
	_, err = leaf.Verify(o)
	return err
}
