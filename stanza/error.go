package stanza

import (
	"errors"
	"strconv"

	"github.com/muster-im/muster/jid"
)

// ErrorType says what the sender may do about an error (RFC 6120 §8.3.2).
type ErrorType string

// The error types.
const (
	Auth     ErrorType = "auth"     // retry after providing credentials
	Cancel   ErrorType = "cancel"   // do not retry
	Continue ErrorType = "continue" // a warning: proceed
	Modify   ErrorType = "modify"   // retry after changing the data
	Wait     ErrorType = "wait"     // retry later
)

// Condition is a defined condition (RFC 6120 §8.3.3).
type Condition string

// The defined conditions.
const (
	BadRequest            Condition = "bad-request"
	Conflict              Condition = "conflict"
	FeatureNotImplemented Condition = "feature-not-implemented"
	Forbidden             Condition = "forbidden"
	Gone                  Condition = "gone"
	InternalServerError   Condition = "internal-server-error"
	ItemNotFound          Condition = "item-not-found"
	JIDMalformed          Condition = "jid-malformed"
	NotAcceptable         Condition = "not-acceptable"
	NotAllowed            Condition = "not-allowed"
	NotAuthorized         Condition = "not-authorized"
	PolicyViolation       Condition = "policy-violation"
	RecipientUnavailable  Condition = "recipient-unavailable"
	Redirect              Condition = "redirect"
	RegistrationRequired  Condition = "registration-required"
	RemoteServerNotFound  Condition = "remote-server-not-found"
	RemoteServerTimeout   Condition = "remote-server-timeout"
	ResourceConstraint    Condition = "resource-constraint"
	ServiceUnavailable    Condition = "service-unavailable"
	SubscriptionRequired  Condition = "subscription-required"
	UndefinedCondition    Condition = "undefined-condition"
	UnexpectedRequest     Condition = "unexpected-request"
)

// LegacyCode is the number that stood for the condition before XMPP
// (XEP-0086 §3).
func (c Condition) LegacyCode() int {
	switch c {
	case Gone, Redirect:
		return 302
	case BadRequest, JIDMalformed, UnexpectedRequest:
		return 400
	case NotAuthorized:
		return 401
	case Forbidden:
		return 403
	case ItemNotFound, RecipientUnavailable, RemoteServerNotFound:
		return 404
	case NotAllowed, PolicyViolation:
		return 405
	case NotAcceptable:
		return 406
	case RegistrationRequired, SubscriptionRequired:
		return 407
	case Conflict:
		return 409
	case FeatureNotImplemented:
		return 501
	case ServiceUnavailable:
		return 503
	case RemoteServerTimeout:
		return 504
	}
	return 500
}

// Error is a stanza error. Services return it as an error; one place turns it
// into the answer that the peer sees.
type Error struct {
	Type      ErrorType
	Condition Condition
	Text      string
	By        jid.JID  // who refused; zero: not told
	Address   string   // content of <gone/> and <redirect/>, a URI
	App       *Element // application-specific condition
	Code      int      // of XEP-0086, for clients that know nothing newer; 0: not sent
	Reason    string   // why, for counters: a constant; not sent
}

// Error returns the condition and the text.
func (e *Error) Error() string {
	if e.Text != "" {
		return string(e.Condition) + ": " + e.Text
	}
	return string(e.Condition)
}

// Is makes errors.Is compare type and condition, the text aside.
func (e *Error) Is(target error) bool {
	t, ok := target.(*Error) //nolint:errorlint // Is must not unwrap its argument
	return ok && t.Type == e.Type && t.Condition == e.Condition
}

// NewError returns an error with a text for people, which may be "".
func NewError(t ErrorType, c Condition, text string) *Error {
	return &Error{Type: t, Condition: c, Text: text}
}

// Because sets the reason that counters show, a constant, and returns e.
func (e *Error) Because(reason string) *Error {
	e.Reason = reason
	return e
}

// ErrorReply returns the stanza that answers s with err, and false if s must
// not be answered: an error never answers an error or an IQ result
// (RFC 6120 §8.3.1). The original children are kept behind the error for IQs
// and messages alike, so that the sender sees what was refused.
func (s *Stanza) ErrorReply(err *Error) (Stanza, bool) {
	if s.Type == TypeError || s.Kind == IQ && s.Type == TypeResult {
		return Stanza{}, false
	}
	r := s.Reply(TypeError)
	r.Lang = s.Lang
	r.Children = append(append(make([]Node, 0, len(s.Children)+1), s.Children...), Node{Element: err.Element()})
	return r, true
}

// Element returns the <error/> child.
func (e *Error) Element() *Element {
	x := NewElement(NSClient, "error", "type", string(e.Type))
	if e.Code != 0 {
		x.SetAttr("code", strconv.Itoa(e.Code))
	}
	if !e.By.IsZero() {
		x.SetAttr("by", e.By.String())
	}
	x.Add(NewElement(NSStanzaError, string(e.Condition)).AddText(e.Address))
	if e.Text != "" {
		t := NewElement(NSStanzaError, "text").AddText(e.Text)
		t.Attrs = []Attr{{Name{NSXML, "lang"}, "en"}}
		x.Add(t)
	}
	return x.Add(e.App)
}

// ParseError reads the <error/> of a stanza; nil if there is none.
func (s *Stanza) ParseError() *Error {
	x := s.Child(NSClient, "error")
	if x == nil {
		return nil
	}
	e := &Error{Type: ErrorType(x.Attr("type")), Condition: UndefinedCondition}
	e.By, _ = jid.Parse(x.Attr("by"))
	for c := range x.Elements() {
		switch {
		case c.Name.Space != NSStanzaError:
			e.App = c
		case c.Name.Local == "text":
			e.Text = c.Text()
		default:
			e.Condition, e.Address = Condition(c.Name.Local), c.Text()
		}
	}
	return e
}

// AsError returns the stanza error in err's chain, or nil.
func AsError(err error) *Error {
	e, _ := errors.AsType[*Error](err)
	return e
}
