package c2s

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"

	"golang.org/x/net/idna"

	"github.com/muster-im/muster/internal/sasl"
	"github.com/muster-im/muster/internal/stream"
	"github.com/muster-im/muster/stanza"
)

// errNoCertificate ends a handshake.
var errNoCertificate = errors.New("no certificate")

// startTLS answers <starttls/> (RFC 6120 §5.4.2), or without it begins TLS at
// once (XEP-0368).
func (n *negotiation) startTLS(asked bool) error {
	if asked && !n.mayStartTLS() {
		// RFC 6120 §5.4.2.2: failure, and the stream is closed.
		if err := n.stream.Send(stanza.NewElement(stanza.NSTLS, "failure")); err != nil {
			return err
		}
		n.end(reasonProtocol, nil)
		return errEnded
	}
	leaf := new(*x509.Certificate)
	cfg, err := n.tlsConfig(leaf, asked)
	if err != nil {
		return err
	}
	if err := n.stream.StartTLS(cfg, asked, n.deadline); err != nil {
		if _, ok := errors.AsType[*stream.Error](err); ok {
			return err // what was sent behind <starttls/>
		}
		return fmt.Errorf("%w: %w", errTLS, err)
	}
	n.setReadDeadline(n.deadline)
	n.channel = sasl.Channel{Secure: true, Bindings: sasl.Bindings(n.stream.TLS(), *leaf)}
	return nil
}

// tlsConfig returns the configuration of this connection alone, which notes the
// certificate that is shown: the client binds to it. Sessions are not resumed,
// for then no certificate would be; connections are long, and few.
func (n *negotiation) tlsConfig(leaf **x509.Certificate, asked bool) (*tls.Config, error) {
	base := n.listener.opts.TLS(n.host)
	if base == nil {
		return nil, fmt.Errorf("%w: no configuration for %q", errTLS, n.host)
	}
	cfg, host := base.Clone(), n.host
	cfg.MinVersion = max(cfg.MinVersion, tls.VersionTLS12)
	cfg.SessionTicketsDisabled = true
	cfg.GetConfigForClient = nil
	if !asked && len(cfg.NextProtos) == 0 {
		cfg.NextProtos = []string{"xmpp-client"} // XEP-0368 §3
	}
	cfg.GetCertificate = func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
		cert, err := choose(base, hello, host)
		if err != nil {
			return nil, err
		}
		if *leaf = cert.Leaf; *leaf == nil && len(cert.Certificate) > 0 {
			*leaf, err = x509.ParseCertificate(cert.Certificate[0])
		}
		return cert, err
	}
	return cfg, nil
}

// choose returns the certificate for a handshake. A client that does not say in
// it which host it means has said so in the stream's header, host.
func choose(cfg *tls.Config, hello *tls.ClientHelloInfo, host string) (*tls.Certificate, error) {
	if hello.ServerName == "" && host != "" {
		if name, err := idna.Lookup.ToASCII(host); err == nil {
			named := *hello
			named.ServerName = name
			hello = &named
		}
	}
	if cfg.GetCertificate != nil {
		if cert, err := cfg.GetCertificate(hello); cert != nil || err != nil {
			return cert, err
		}
	}
	for i := range cfg.Certificates {
		if hello.SupportsCertificate(&cfg.Certificates[i]) == nil {
			return &cfg.Certificates[i], nil
		}
	}
	if len(cfg.Certificates) == 0 {
		return nil, errNoCertificate
	}
	return &cfg.Certificates[0], nil
}
