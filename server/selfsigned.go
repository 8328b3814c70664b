package server

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"
)

// The certificate that is made for development: how long it is valid, and how
// long before its end the next start makes another.
const (
	selfSignedLife    = 397 * 24 * time.Hour
	selfSignedRenewal = 30 * 24 * time.Hour
)

// ensureSelfSigned makes a self-signed certificate for hosts in dir unless
// there is one that will do, and returns the paths of certificate and key.
func ensureSelfSigned(dir string, hosts []string) (certFile, keyFile string, err error) {
	certFile, keyFile = selfSignedPaths(dir)
	if cert, err := readKeyPair(certFile, keyFile); err == nil && stillGood(cert.Leaf, hosts) {
		return certFile, keyFile, nil
	}
	certPEM, keyPEM, err := makeSelfSigned(hosts)
	if err != nil {
		return "", "", fmt.Errorf("make a certificate: %w", err)
	}
	err = errors.Join(writeFile(keyFile, keyPEM, 0o600), writeFile(certFile, certPEM, 0o644))
	return certFile, keyFile, err
}

func stillGood(leaf *x509.Certificate, hosts []string) bool {
	if time.Until(leaf.NotAfter) < selfSignedRenewal {
		return false
	}
	for _, h := range hosts {
		if leaf.VerifyHostname(asciiHost(h)) != nil {
			return false
		}
	}
	return true
}

func makeSelfSigned(hosts []string) (certPEM, keyPEM []byte, err error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return nil, nil, err
	}
	now := time.Now()
	template := &x509.Certificate{
		SerialNumber:          serial,
		Subject:               pkix.Name{CommonName: asciiHost(hosts[0]), Organization: []string{"Muster, self-signed"}},
		NotBefore:             now.Add(-24 * time.Hour), // for clocks that are behind ours
		NotAfter:              now.Add(selfSignedLife),
		KeyUsage:              x509.KeyUsageDigitalSignature,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		BasicConstraintsValid: true,
	}
	for _, h := range hosts {
		if ip := net.ParseIP(h); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else {
			template.DNSNames = append(template.DNSNames, asciiHost(h))
		}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return nil, nil, err
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, nil, err
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
		pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER}), nil
}

// writeFile replaces a file as a whole.
func writeFile(path string, data []byte, mode os.FileMode) error {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+"-")
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	err = errors.Join(err, f.Chmod(mode), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return nil
}
