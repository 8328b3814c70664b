package stream

import (
	"errors"

	"github.com/muster-im/muster/internal/xmlstream"
	"github.com/muster-im/muster/stanza"
)

// Condition is a stream error condition (RFC 6120 §4.9.3).
type Condition string

// The stream error conditions.
const (
	BadFormat              Condition = "bad-format"
	BadNamespacePrefix     Condition = "bad-namespace-prefix"
	Conflict               Condition = "conflict"
	ConnectionTimeout      Condition = "connection-timeout"
	HostGone               Condition = "host-gone"
	HostUnknown            Condition = "host-unknown"
	ImproperAddressing     Condition = "improper-addressing"
	InternalServerError    Condition = "internal-server-error"
	InvalidFrom            Condition = "invalid-from"
	InvalidNamespace       Condition = "invalid-namespace"
	InvalidXML             Condition = "invalid-xml"
	NotAuthorized          Condition = "not-authorized"
	NotWellFormed          Condition = "not-well-formed"
	PolicyViolation        Condition = "policy-violation"
	RemoteConnectionFailed Condition = "remote-connection-failed"
	Reset                  Condition = "reset"
	ResourceConstraint     Condition = "resource-constraint"
	RestrictedXML          Condition = "restricted-xml"
	SeeOtherHost           Condition = "see-other-host"
	SystemShutdown         Condition = "system-shutdown"
	UndefinedCondition     Condition = "undefined-condition"
	UnsupportedEncoding    Condition = "unsupported-encoding"
	UnsupportedFeature     Condition = "unsupported-feature"
	UnsupportedStanzaType  Condition = "unsupported-stanza-type"
	UnsupportedVersion     Condition = "unsupported-version"
)

// Error is a stream error, ours or the peer's.
type Error struct {
	Condition Condition
	Text      string
	Remote    bool // the peer has sent it
	// App, which may be nil, says more in somebody else's namespace
	// (RFC 6120 §4.9.4).
	App *stanza.Element
}

// Error returns the condition and the text.
func (e *Error) Error() string {
	s := "stream error " + string(e.Condition)
	if e.Remote {
		s = "peer's " + s
	}
	if e.Text != "" {
		s += ": " + e.Text
	}
	return s
}

// Element returns the error as it stands on the wire.
func (e *Error) element() *stanza.Element {
	x := stanza.NewElement(stanza.NSStream, "error").Add(stanza.NewElement(stanza.NSStreamError, string(e.Condition)))
	if e.Text != "" {
		t := stanza.NewElement(stanza.NSStreamError, "text").AddText(e.Text)
		t.Attrs = []stanza.Attr{{Name: stanza.Name{Space: stanza.NSXML, Local: "lang"}, Value: "en"}}
		x.Add(t)
	}
	if e.App != nil {
		x.Add(e.App)
	}
	return x
}

// parseError reads a peer's <stream:error/>.
func parseError(x *stanza.Element) *Error {
	e := &Error{Condition: UndefinedCondition, Remote: true}
	for c := range x.Elements() {
		switch {
		case c.Name.Space != stanza.NSStreamError:
		case c.Name.Local == "text":
			e.Text = c.Text()
		default:
			e.Condition = Condition(c.Name.Local)
		}
	}
	return e
}

// fromXML returns the stream error for what is wrong with the peer's XML; other
// errors stay as they are.
func fromXML(err error) error {
	x, ok := errors.AsType[*xmlstream.Error](err)
	if !ok {
		return err
	}
	e := &Error{Condition: NotWellFormed, Text: x.Detail}
	switch x.Kind {
	case xmlstream.NotWellFormed:
	case xmlstream.Misplaced:
		e.Condition = BadFormat
	case xmlstream.Restricted:
		e.Condition = RestrictedXML
	case xmlstream.BadPrefix:
		e.Condition = BadNamespacePrefix
	case xmlstream.UnsupportedEncoding:
		e.Condition = UnsupportedEncoding
	case xmlstream.TooLarge:
		e.Condition = PolicyViolation
	}
	return e
}
