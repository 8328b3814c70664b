package stream

import (
	"strings"

	"github.com/muster-im/muster/internal/xmlstream"
	"github.com/muster-im/muster/jid"
	"github.com/muster-im/muster/stanza"
)

// Header is a stream header (RFC 6120 §4.7).
type Header struct {
	From, To jid.JID
	ID       string
	Version  string // "" for a peer from before XMPP 1.0
	Lang     string // "" if the peer names none, or something that is none
	Content  string // content namespace; "" is NSClient
}

// appendXML appends the XML declaration and the header.
func (h *Header) appendXML(dst []byte) []byte {
	content := h.Content
	if content == "" {
		content = stanza.NSClient
	}
	dst = append(dst, "<?xml version='1.0'?><stream:stream xmlns='"...)
	dst = append(dst, content...)
	dst = append(dst, "' xmlns:stream='"+stanza.NSStream+"'"...)
	for _, a := range [...]struct{ name, value string }{
		{"id", h.ID}, {"from", h.From.String()}, {"to", h.To.String()}, {"version", h.Version}, {"xml:lang", h.Lang},
	} {
		if a.value == "" {
			continue
		}
		dst = append(append(append(dst, ' '), a.name...), "='"...)
		dst = append(stanza.AppendAttrValue(dst, a.value), '\'')
	}
	return append(dst, '>')
}

// parseHeader checks the peer's header (RFC 6120 §4.7, §4.8). What is wrong
// with it is a *Error; the header holds what could be read all the same, so
// that the answer can be addressed.
func parseHeader(frame xmlstream.Frame) (h Header, scope *stanza.Scope, err error) {
	e, scope, err := stanza.ParseHeader(frame)
	if err != nil {
		return Header{}, nil, fromXML(err)
	}
	h = Header{ID: e.Attr("id"), Version: e.Attr("version"), Content: scope.Content}
	if isLanguage(scope.Lang) {
		h.Lang = scope.Lang
	}
	for _, a := range [...]struct {
		name string
		to   *jid.JID
	}{{"from", &h.From}, {"to", &h.To}} {
		value := e.Attr(a.name)
		if value == "" {
			continue
		}
		j, jerr := jid.Parse(value)
		if jerr != nil {
			err = &Error{Condition: ImproperAddressing, Text: "The address in '" + a.name + "' is malformed."}
			if a.name == "from" {
				err = &Error{Condition: InvalidFrom, Text: "The address in 'from' is malformed."}
			}
			continue
		}
		*a.to = j
	}
	switch {
	case e.Name.Local != "stream":
		return h, scope, &Error{Condition: BadFormat, Text: "The root element must be <stream:stream/>."}
	case e.Name.Space != stanza.NSStream:
		return h, scope, &Error{Condition: InvalidNamespace, Text: "The root element must be in the namespace " + stanza.NSStream + "."}
	case h.Version != "" && !supportedVersion(h.Version):
		return h, scope, &Error{Condition: UnsupportedVersion, Text: "This server speaks XMPP 1.0."}
	}
	return h, scope, err
}

// supportedVersion accepts every version from 1.0 on: the lower of both sides'
// is used, and ours is 1.0 (RFC 6120 §4.7.5).
func supportedVersion(v string) bool {
	major, minor, ok := strings.Cut(v, ".")
	return ok && isNumber(major) && isNumber(minor) && strings.TrimLeft(major, "0") != ""
}

// isLanguage reports whether s has the form of a language tag (RFC 5646 §2.1):
// it is written into stanzas for others (RFC 6120 §8.1.5).
func isLanguage(s string) bool {
	const longest = 64 // §4.4.1 recommends room for 35
	for part := range strings.SplitSeq(s, "-") {
		if len(part) == 0 || len(part) > 8 {
			return false
		}
		for _, c := range []byte(part) {
			if !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9') {
				return false
			}
		}
	}
	return len(s) <= longest
}

func isNumber(s string) bool {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return s != ""
}
