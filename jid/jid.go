// Package jid implements XMPP addresses as RFC 7622 defines them. A JID is a
// small comparable value, always in its prepared form, so that two addresses
// are equal exactly when their JIDs are. The package owns no goroutines and
// nothing in it blocks.
package jid

import (
	"errors"
	"fmt"
	"strings"
)

// JID is a prepared XMPP address. The zero JID stands for "no address". JIDs
// are comparable and serve as map keys.
type JID struct {
	local, domain, resource string
}

// ErrMalformed is the cause of every refusal to parse; test with errors.Is.
var ErrMalformed = errors.New("malformed address")

// Local returns the localpart, "" if there is none.
func (j JID) Local() string { return j.local }

// Domain returns the domainpart.
func (j JID) Domain() string { return j.domain }

// Resource returns the resourcepart, "" for a bare JID.
func (j JID) Resource() string { return j.resource }

// Bare returns j without its resource.
func (j JID) Bare() JID { return JID{local: j.local, domain: j.domain} }

// DomainOnly returns the address of j's domain.
func (j JID) DomainOnly() JID { return JID{domain: j.domain} }

// IsBare reports whether j has no resource.
func (j JID) IsBare() bool { return j.resource == "" }

// IsZero reports whether j is the zero JID, "no address".
func (j JID) IsZero() bool { return j.domain == "" }

// String returns local@domain/resource.
func (j JID) String() string {
	switch {
	case j.local == "" && j.resource == "":
		return j.domain
	case j.local == "":
		return j.domain + "/" + j.resource
	case j.resource == "":
		return j.local + "@" + j.domain
	}
	return j.local + "@" + j.domain + "/" + j.resource
}

// AppendText appends the text form of j, never failing.
func (j JID) AppendText(dst []byte) ([]byte, error) {
	if j.local != "" {
		dst = append(append(dst, j.local...), '@')
	}
	dst = append(dst, j.domain...)
	if j.resource != "" {
		dst = append(append(dst, '/'), j.resource...)
	}
	return dst, nil
}

// MarshalText returns the text form.
func (j JID) MarshalText() ([]byte, error) { return j.AppendText(nil) }

// UnmarshalText parses the text form; the empty text is the zero JID.
func (j *JID) UnmarshalText(text []byte) error {
	if len(text) == 0 {
		*j = JID{}
		return nil
	}
	p, err := Parse(string(text))
	if err == nil {
		*j = p
	}
	return err
}

// Parse prepares and returns the address in s (RFC 7622 §3.1).
func Parse(s string) (JID, error) {
	local, domain, resource, err := split(s)
	if err != nil {
		return JID{}, err
	}
	return New(local, domain, resource)
}

// MustParse is Parse for constants; it panics on a malformed address.
func MustParse(s string) JID {
	j, err := Parse(s)
	if err != nil {
		panic(err)
	}
	return j
}

// split cuts s at the first '/' and, before it, at the first '@'
// (RFC 7622 §3.2); parts that are announced must not be empty.
func split(s string) (local, domain, resource string, err error) {
	domain = s
	if before, after, ok := strings.Cut(s, "/"); ok {
		if domain, resource = before, after; resource == "" {
			return "", "", "", fmt.Errorf("%w: empty resource", ErrMalformed)
		}
	}
	if before, after, ok := strings.Cut(domain, "@"); ok {
		if local, domain = before, after; local == "" {
			return "", "", "", fmt.Errorf("%w: empty localpart", ErrMalformed)
		}
	}
	return local, domain, resource, nil
}
