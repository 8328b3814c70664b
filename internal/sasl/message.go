package sasl

import (
	"encoding/base64"
	"strings"
	"unicode/utf8"
)

// strict decodes base64 without tolerance for stray bits.
var strict = base64.StdEncoding.Strict() //nolint:gochecknoglobals // a constant

// clientFirst is the first message of SCRAM (RFC 5802 §7).
type clientFirst struct {
	flag    byte   // 'n', 'y' or 'p'
	binding string // the type behind "p="
	authzid string
	header  string // gs2-header, with its last comma
	bare    string // client-first-message-bare
	name    string
	nonce   string
}

func parseClientFirst(message []byte) (m clientFirst, err error) {
	if len(message) == 0 || len(message) > maxMessage || !utf8.Valid(message) || strings.IndexByte(string(message), 0) >= 0 {
		return m, malformed("The message is empty, too long or not text.")
	}
	s := string(message)
	flag, rest, ok := strings.Cut(s, ",")
	if !ok {
		return m, malformed("The message has no header.")
	}
	switch {
	case flag == "n" || flag == "y":
		m.flag = flag[0]
	case strings.HasPrefix(flag, "p=") && isBindingName(flag[2:]):
		m.flag, m.binding = 'p', flag[2:]
	default:
		return m, malformed("The channel binding flag is none.")
	}
	authzid, bare, ok := strings.Cut(rest, ",")
	if !ok {
		return m, malformed("The header is incomplete.")
	}
	if authzid != "" {
		if m.authzid, ok = saslName(authzid, "a="); !ok {
			return m, malformed("The authorization identity is malformed.")
		}
	}
	m.header, m.bare = s[:len(s)-len(bare)], bare
	fields := strings.Split(bare, ",")
	// RFC 5802 §5.1: "m=" is a mandatory extension, and there is none yet.
	if len(fields) < 2 || strings.HasPrefix(bare, "m=") {
		return m, malformed("The message needs a name and a nonce.")
	}
	if m.name, ok = saslName(fields[0], "n="); !ok {
		return m, malformed("The name is malformed.")
	}
	if m.nonce, ok = strings.CutPrefix(fields[1], "r="); !ok || !isNonce(m.nonce) {
		return m, malformed("The nonce is malformed.")
	}
	if !areExtensions(fields[2:]) {
		return m, malformed("An extension is malformed.")
	}
	return m, nil
}

// clientFinal is the second message of SCRAM.
type clientFinal struct {
	binding      []byte // what "c=" decodes to
	nonce        string
	proof        []byte
	withoutProof string
}

func parseClientFinal(message []byte) (m clientFinal, err error) {
	if len(message) == 0 || len(message) > maxMessage || !utf8.Valid(message) {
		return m, malformed("The message is empty, too long or not text.")
	}
	s := string(message)
	i := strings.LastIndex(s, ",p=")
	if i < 0 {
		return m, malformed("The message has no proof.")
	}
	m.withoutProof = s[:i]
	if m.proof, err = decodeField(s[i+3:]); err != nil {
		return m, malformed("The proof is malformed.")
	}
	fields := strings.Split(m.withoutProof, ",")
	if len(fields) < 2 {
		return m, malformed("The message is incomplete.")
	}
	c, ok := strings.CutPrefix(fields[0], "c=")
	if !ok {
		return m, malformed("The message has no channel binding.")
	}
	if m.binding, err = decodeField(c); err != nil {
		return m, malformed("The channel binding is malformed.")
	}
	if m.nonce, ok = strings.CutPrefix(fields[1], "r="); !ok || !isNonce(m.nonce) {
		return m, malformed("The nonce is malformed.")
	}
	if !areExtensions(fields[2:]) {
		return m, malformed("An extension is malformed.")
	}
	return m, nil
}

// decodeField decodes base64, in which encoding/base64 alone would tolerate
// line ends.
func decodeField(s string) ([]byte, error) {
	if strings.ContainsAny(s, "\r\n") {
		return nil, base64.CorruptInputError(strings.IndexAny(s, "\r\n"))
	}
	return strict.DecodeString(s)
}

// saslName reads prefix followed by a name in which "=2C" is a comma and "=3D"
// an equals sign; no other "=" may stand in it, nor may it be empty.
func saslName(field, prefix string) (string, bool) {
	s, ok := strings.CutPrefix(field, prefix)
	if !ok || s == "" {
		return "", false
	}
	parts := strings.Split(s, "=")
	for i, p := range parts[1:] {
		switch {
		case strings.HasPrefix(p, "2C"):
			parts[i+1] = "," + p[2:]
		case strings.HasPrefix(p, "3D"):
			parts[i+1] = "=" + p[2:]
		default:
			return "", false
		}
	}
	return strings.Join(parts, ""), true
}

// isNonce accepts printable ASCII without commas.
func isNonce(s string) bool {
	for i := range len(s) {
		if s[i] < 0x21 || s[i] > 0x7e || s[i] == ',' {
			return false
		}
	}
	return s != ""
}

// isBindingName accepts cb-name of RFC 5801 §4.
func isBindingName(s string) bool {
	for i := range len(s) {
		c := s[i]
		if !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '.' || c == '-') {
			return false
		}
	}
	return s != ""
}

// areExtensions accepts attr-val pairs that nobody knows: a letter, "=", a
// value. They are ignored (RFC 5802 §5.1).
func areExtensions(fields []string) bool {
	for _, f := range fields {
		if len(f) < 3 || f[1] != '=' || !(f[0] >= 'a' && f[0] <= 'z' || f[0] >= 'A' && f[0] <= 'Z') {
			return false
		}
	}
	return true
}
