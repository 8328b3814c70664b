package httppool

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
)

// Reason is why there is no answer.
type Reason string

// Reasons.
const (
	Timeout     Reason = "timeout"     // the service did not answer in time
	Unreachable Reason = "unreachable" // nobody listens there
	Untrusted   Reason = "untrusted"   // its certificate, or TLS itself
	Overloaded  Reason = "overloaded"  // all workers were busy for too long
	TooLarge    Reason = "too_large"   // the answer
	Broken      Reason = "broken"      // the answer is none, or ends too early
	Cancelled   Reason = "cancelled"   // nobody waits for the answer any more
)

// errTooLarge says that an answer was not read to its end.
var errTooLarge = errors.New("answer is too large")

// Error says that a service has not answered. Its text has nothing of what was
// asked, nor of what came back, which may repeat it.
type Error struct {
	Reason Reason
	text   string
	err    error // only context.Canceled
}

func (e *Error) Error() string {
	if e.text == "" {
		return string(e.Reason)
	}
	return string(e.Reason) + ": " + e.text
}

// Unwrap returns context.Canceled if that is the reason.
func (e *Error) Unwrap() error { return e.err }

// explain says why a request has failed. ctx is the caller's, call ends earlier.
func explain(ctx, call context.Context, err error) *Error {
	if errors.Is(ctx.Err(), context.Canceled) {
		return &Error{Reason: Cancelled, err: context.Canceled}
	}
	if errors.Is(err, errTooLarge) {
		return &Error{Reason: TooLarge}
	}
	if n, ok := errors.AsType[net.Error](err); call.Err() != nil || ok && n.Timeout() {
		return &Error{Reason: Timeout}
	}
	if text, ok := distrust(err); ok {
		return &Error{Reason: Untrusted, text: text}
	}
	if e, ok := errors.AsType[*net.DNSError](err); ok {
		return &Error{Reason: Unreachable, text: e.Error()}
	}
	if e, ok := errors.AsType[*net.OpError](err); ok && e.Op == "dial" {
		return &Error{Reason: Unreachable, text: e.Error()}
	}
	return &Error{Reason: Broken, text: "the connection ended, or what came is not HTTP"}
}

// distrust reports whether TLS has failed, and says how: before anything secret
// was sent, or when the service does not like our certificate.
func distrust(err error) (text string, failed bool) {
	if e, ok := errors.AsType[*handshakeError](err); ok {
		return e.Error(), true
	}
	if e, ok := errors.AsType[tls.AlertError](err); ok {
		return e.Error(), true
	}
	return "", false
}
