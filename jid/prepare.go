package jid

import (
	"fmt"
	"net/netip"
	"strings"
	"unicode/utf8"

	"golang.org/x/net/idna"
	"golang.org/x/text/secure/precis"
)

// maxPart bounds each part in octets, after preparation (RFC 7622 §3.2–§3.4).
const maxPart = 1023

var errNoUTF8 = fmt.Errorf("%w: no UTF-8", ErrMalformed)

// New prepares the three parts and joins them. Empty local and resource mean
// that there is none.
func New(local, domain, resource string) (JID, error) {
	var j JID
	var err error
	if j.domain, err = prepareDomain(domain); err != nil {
		return JID{}, err
	}
	if local != "" {
		if j.local, err = prepareLocal(local); err != nil {
			return JID{}, err
		}
	}
	return j.WithResource(resource)
}

// WithResource returns j with resource prepared and set; "" removes it.
func (j JID) WithResource(resource string) (JID, error) {
	j.resource = ""
	if resource == "" {
		return j, nil
	}
	r, err := prepareResource(resource)
	if err != nil {
		return JID{}, err
	}
	j.resource = r
	return j, nil
}

// Classes of ASCII characters: where they need no preparation.
const (
	plainLocal = 1 << iota
	plainDomain
	plainResource
)

var asciiClasses = makeClasses() //nolint:gochecknoglobals // a table

func makeClasses() (t [utf8.RuneSelf]uint8) {
	for c := range t {
		b := byte(c)
		if b > ' ' && b < 0x7F && !('A' <= b && b <= 'Z') && !strings.ContainsRune(`"&'/:<>@`, rune(b)) {
			t[c] |= plainLocal
		}
		if 'a' <= b && b <= 'z' || '0' <= b && b <= '9' || b == '-' || b == '.' {
			t[c] |= plainDomain
		}
		if b >= ' ' && b < 0x7F {
			t[c] |= plainResource
		}
	}
	return t
}

// plain reports whether s holds only ASCII of the class, so that preparation
// would change nothing.
func plain(s string, class uint8) bool {
	for i := range len(s) {
		if s[i] >= utf8.RuneSelf || asciiClasses[s[i]]&class == 0 {
			return false
		}
	}
	return true
}

// prepareLocal applies UsernameCaseMapped and refuses what RFC 7622 §3.3.1
// excludes besides.
func prepareLocal(s string) (string, error) {
	if !utf8.ValidString(s) {
		return "", errNoUTF8
	}
	if !plain(s, plainLocal) {
		prepared, err := precis.UsernameCaseMapped.String(s)
		if err != nil {
			return "", unfit("localpart", s, precis.UsernameCaseMapped)
		}
		if strings.ContainsAny(prepared, `"&'/:<>@`) {
			return "", fmt.Errorf("%w: localpart has one of \"&'/:<>@", ErrMalformed)
		}
		s = prepared
	}
	if err := checkSize("localpart", s); err != nil {
		return "", err
	}
	return s, nil
}

// unfit refuses a part that a profile of strings does, with the character that
// does not belong there, if it is one.
func unfit(part, s string, profile *precis.Profile) error {
	for _, r := range s {
		if _, err := profile.String(string(r)); err != nil {
			return fmt.Errorf("%w: the %s has %q (%U), which does not belong there", ErrMalformed, part, r, r)
		}
	}
	return fmt.Errorf("%w: the %s has characters that do not go together", ErrMalformed, part)
}

// checkSize bounds a part.
func checkSize(part, s string) error {
	if s == "" || len(s) > maxPart {
		return fmt.Errorf("%w: %s of %d bytes, want 1 to %d", ErrMalformed, part, len(s), maxPart)
	}
	return nil
}

// prepareResource applies OpaqueString (RFC 7622 §3.4).
func prepareResource(s string) (string, error) {
	if !utf8.ValidString(s) {
		return "", errNoUTF8
	}
	if !plain(s, plainResource) {
		prepared, err := precis.OpaqueString.String(s)
		if err != nil {
			return "", unfit("resource", s, precis.OpaqueString)
		}
		s = prepared
	}
	if err := checkSize("resource", s); err != nil {
		return "", err
	}
	return s, nil
}

// domains maps and validates U-labels as RFC 5895 and RFC 7622 §3.2 want it.
var domains = idna.New( //nolint:gochecknoglobals // immutable
	idna.MapForLookup(), idna.Transitional(false), idna.BidiRule(), idna.CheckJoiners(true), idna.StrictDomainName(true))

// prepareDomain returns a domain name in U-labels and lower case without a
// trailing dot, or an IP address (RFC 7622 §3.2).
func prepareDomain(s string) (string, error) {
	if !utf8.ValidString(s) {
		return "", errNoUTF8
	}
	s = strings.TrimSuffix(s, ".")
	if literal, ok := strings.CutPrefix(s, "["); ok {
		literal, closed := strings.CutSuffix(literal, "]")
		ip, err := netip.ParseAddr(literal)
		if err != nil || !closed || !ip.Is6() || ip.Zone() != "" {
			return "", fmt.Errorf("%w: domain %.60q is no IPv6 address", ErrMalformed, s)
		}
		return "[" + ip.String() + "]", nil
	}
	if !plain(s, plainDomain) || strings.Contains(s, "xn--") {
		prepared, err := domains.ToUnicode(s)
		if err != nil {
			return "", fmt.Errorf("%w: %.60q is no domain", ErrMalformed, s)
		}
		s = strings.TrimSuffix(prepared, ".")
	}
	if err := checkSize("domain", s); err != nil {
		return "", err
	}
	for label := range strings.SplitSeq(s, ".") {
		if err := checkLabel(label); err != nil {
			return "", err
		}
	}
	return s, nil
}

// checkLabel applies the rules of host names, which idna leaves out: 1 to 63
// octets as they stand in DNS, no hyphen at either end.
func checkLabel(label string) error {
	size := len(label)
	if !plain(label, plainDomain) {
		ascii, err := domains.ToASCII(label)
		if err != nil {
			return fmt.Errorf("%w: %.60q is no part of a domain", ErrMalformed, label)
		}
		size = len(ascii)
	}
	if size == 0 || size > 63 || label[0] == '-' || label[len(label)-1] == '-' {
		return fmt.Errorf("%w: %.60q is no part of a domain", ErrMalformed, label)
	}
	return nil
}
