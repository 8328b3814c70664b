package server

import (
	"crypto/tls"
	"fmt"
	"log/slog"
	"net/netip"
	"path/filepath"
	"strings"

	"github.com/muster-im/muster/config"
)

// SelfSignedCertificate is the name of the certificate that is made for
// development, in the data directory. Clients that trust this file trust the
// server.
const SelfSignedCertificate = "selfsigned.crt"

// hostMark in the path of a certificate or key stands for each host in turn.
const hostMark = "@HOST@"

// certificates are all certificates of a server, fixed once they are loaded.
// Listeners that name the same files share them.
type certificates struct {
	pairs map[[2]string]*keyPair // by certificate and key file
	rings map[string]keyRing     // by the configuration's key of the listener
}

// loadCertificates reads the certificates of all listeners. For those that
// name none, selfSigned returns the files of one; if it is nil they are left
// out.
func loadCertificates(cfg *config.Config, selfSigned func() (certFile, keyFile string, err error), log *slog.Logger) (*certificates, config.Problems) {
	c := &certificates{pairs: make(map[[2]string]*keyPair), rings: make(map[string]keyRing)}
	var problems config.Problems
	for _, l := range tlsListeners(cfg) {
		if l.tls.CertFile == "" && selfSigned == nil {
			continue
		}
		if err := c.load(cfg, l, selfSigned, log); err != nil {
			problems = append(problems, cfg.Problem(l.key+".certfile", err.Error()))
		}
	}
	return c, problems
}

// tlsListener is a listener that uses TLS.
type tlsListener struct {
	key     string // of the configuration
	address string
	tls     config.TLS
}

func clientsKey(i int) string    { return fmt.Sprintf("listen.c2s[%d].tls", i) }
func componentsKey(i int) string { return fmt.Sprintf("listen.component[%d].tls", i) }
func httpKey(i int) string       { return fmt.Sprintf("listen.http[%d].tls", i) }

func tlsListeners(cfg *config.Config) []tlsListener {
	var list []tlsListener
	for i := range cfg.Listen.C2S {
		l := &cfg.Listen.C2S[i]
		list = append(list, tlsListener{clientsKey(i), l.IPAddress, l.TLS})
	}
	for i := range cfg.Listen.Component {
		l := &cfg.Listen.Component[i]
		list = append(list, tlsListener{componentsKey(i), l.IPAddress, l.TLS})
	}
	for i := range cfg.Listen.HTTP {
		l := &cfg.Listen.HTTP[i]
		list = append(list, tlsListener{httpKey(i), l.IPAddress, l.TLS})
	}
	withTLS := list[:0]
	for _, l := range list {
		if l.tls.Mode != "none" {
			withTLS = append(withTLS, l)
		}
	}
	return withTLS
}

func (c *certificates) load(cfg *config.Config, l tlsListener, selfSigned func() (string, string, error), log *slog.Logger) error {
	files := [][2]string{{l.tls.CertFile, l.tls.KeyFile}}
	switch {
	case l.tls.CertFile == "":
		certFile, keyFile, err := selfSigned()
		if err != nil {
			return err
		}
		files[0] = [2]string{certFile, keyFile}
	case strings.Contains(l.tls.CertFile+l.tls.KeyFile, hostMark):
		files = files[:0]
		for _, host := range cfg.General.Hosts {
			files = append(files, [2]string{forHost(l.tls.CertFile, host), forHost(l.tls.KeyFile, host)})
		}
	}
	var ring keyRing
	for _, f := range files {
		pair := c.pairs[f]
		if pair == nil {
			var err error
			if pair, err = loadKeyPair(f[0], f[1], log); err != nil {
				return err
			}
			c.pairs[f] = pair
		}
		if isSelfSigned(pair.certificate().Leaf) && !isLoopback(l.address) {
			return fmt.Errorf("certificate %s is self-signed, and %s can be reached from elsewhere: use one from a certificate authority, or listen at 127.0.0.1", f[0], l.address)
		}
		ring = append(ring, pair)
	}
	c.rings[l.key] = ring
	return nil
}

func forHost(path, host string) string { return strings.ReplaceAll(path, hostMark, asciiHost(host)) }

func isLoopback(address string) bool {
	ip, err := netip.ParseAddr(address)
	return err == nil && ip.IsLoopback()
}

// uncovered returns a problem for each host that no certificate of a client
// listener is valid for: its clients will complain.
func (c *certificates) uncovered(cfg *config.Config) config.Problems {
	var problems config.Problems
	for i := range cfg.Listen.C2S {
		key := clientsKey(i)
		ring := c.rings[key]
		for _, host := range cfg.General.Hosts {
			if ring != nil && !ring.covers(host) {
				problems = append(problems, cfg.Problem(key+".certfile",
					fmt.Sprintf("the certificate %s is not valid for %s, so clients will not trust it", ring[0].certFile, host)))
			}
		}
	}
	return problems
}

// tlsConfig is the configuration of connections to the listener with that key.
// Its certificates are those of the moment.
func (s *Server) tlsConfig(key string) *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS12,
		GetCertificate: func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
			return s.certs.Load().rings[key].choose(hello)
		},
	}
}

// selfSignedIn returns a function that makes a certificate for all hosts in
// the data directory.
func selfSignedIn(cfg *config.Config) func() (certFile, keyFile string, err error) {
	return func() (string, string, error) {
		certFile, keyFile, err := ensureSelfSigned(cfg.General.DataDir, cfg.General.Hosts)
		if err != nil {
			return "", "", dirError(cfg.General.DataDir, "written to", err)
		}
		return certFile, keyFile, nil
	}
}

// selfSignedPaths are the files of the self-made certificate.
func selfSignedPaths(dir string) (certFile, keyFile string) {
	return filepath.Join(dir, SelfSignedCertificate), filepath.Join(dir, "selfsigned.key")
}
