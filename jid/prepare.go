package jid

import (
	"fmt"
	"strings"

	"golang.org/x/net/idna"
	"golang.org/x/text/secure/precis"
)

// New prepares the three parts and joins them. Empty local and resource mean
// that there is none.
func New(local, domain, resource string) (JID, error) {
	var j JID
	var err error
	if local != "" {
		if j.local, err = precis.UsernameCaseMapped.String(local); err != nil {
			return JID{}, fmt.Errorf("%w: localpart: %w", ErrMalformed, err)
		}
		if strings.ContainsAny(j.local, `"&'/:<>@`) || len(j.local) > 1023 {
			return JID{}, fmt.Errorf("%w: localpart", ErrMalformed)
		}
	}
	if j.domain, err = idna.ToUnicode(strings.TrimSuffix(domain, ".")); err != nil || j.domain == "" {
		return JID{}, fmt.Errorf("%w: domain", ErrMalformed)
	}
	return j.WithResource(resource)
}

// WithResource returns j with resource prepared and set; "" removes it.
func (j JID) WithResource(resource string) (JID, error) {
	j.resource = ""
	if resource == "" {
		return j, nil
	}
	r, err := precis.OpaqueString.String(resource)
	if err != nil || len(r) > 1023 {
		return JID{}, fmt.Errorf("%w: resource", ErrMalformed)
	}
	j.resource = r
	return j, nil
}
