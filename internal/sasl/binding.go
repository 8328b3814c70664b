package sasl

import (
	"crypto"
	"crypto/tls"
	"crypto/x509"
)

// The channel binding types (RFC 9266, RFC 5929 §4). tls-unique is not among
// them: it is broken before TLS 1.3 and undefined in it.
const (
	TLSExporter       = "tls-exporter"
	TLSServerEndPoint = "tls-server-end-point"
)

// Binding is one channel binding of a connection.
type Binding struct {
	Type string
	Data []byte
}

// Bindings returns the channel bindings of a TLS connection, best first. leaf
// is our own certificate as the client has got it; nil leaves
// tls-server-end-point out.
func Bindings(state *tls.ConnectionState, leaf *x509.Certificate) []Binding {
	if state == nil || !state.HandshakeComplete {
		return nil
	}
	var list []Binding
	// RFC 9266 §3: with TLS 1.2 only if the master secret is extended;
	// crypto/tls exports nothing otherwise.
	if data, err := state.ExportKeyingMaterial("EXPORTER-Channel-Binding", nil, 32); err == nil {
		list = append(list, Binding{TLSExporter, data})
	}
	if leaf != nil {
		if data := endPoint(leaf); data != nil {
			list = append(list, Binding{TLSServerEndPoint, data})
		}
	}
	return list
}

// endPoint hashes a certificate with the hash of its signature, SHA-256 for
// MD5 and SHA-1 (RFC 5929 §4.1). Signatures without a hash of their own, such
// as Ed25519, leave the binding undefined.
func endPoint(leaf *x509.Certificate) []byte {
	var h crypto.Hash
	switch leaf.SignatureAlgorithm {
	case x509.MD5WithRSA, x509.SHA1WithRSA, x509.ECDSAWithSHA1, x509.DSAWithSHA1,
		x509.SHA256WithRSA, x509.SHA256WithRSAPSS, x509.ECDSAWithSHA256, x509.DSAWithSHA256:
		h = crypto.SHA256
	case x509.SHA384WithRSA, x509.SHA384WithRSAPSS, x509.ECDSAWithSHA384:
		h = crypto.SHA384
	case x509.SHA512WithRSA, x509.SHA512WithRSAPSS, x509.ECDSAWithSHA512:
		h = crypto.SHA512
	default:
		return nil
	}
	x := h.New()
	x.Write(leaf.Raw)
	return x.Sum(nil)
}
