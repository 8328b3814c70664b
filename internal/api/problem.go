package api

import (
	"errors"
	"math"
	"net/http"
	"strconv"
	"time"
)

// problemMedia is the type of every answer that is an error (RFC 9457 §3).
const problemMedia = "application/problem+json"

// Problem is the body of every answer that is an error (RFC 9457 §3.1).
type Problem struct {
	Type      string       `json:"type" doc:"Which kind of problem it is: urn:muster:problem: and a word."`
	Title     string       `json:"title" doc:"The status in words."`
	Status    int          `json:"status" doc:"The status code." min:"400" max:"599"`
	Detail    string       `json:"detail" doc:"What is wrong, for people."`
	Errors    []FieldError `json:"errors,omitempty" doc:"Everything that is wrong with the request's body or parameters."`
	RequestID string       `json:"request_id,omitempty" doc:"Names the request in the server's log."`
}

// FieldError says what is wrong with one field of a body or one parameter.
type FieldError struct {
	Pointer   string `json:"pointer,omitempty" doc:"The field of the body, as the fragment of a JSON pointer."`
	Parameter string `json:"parameter,omitempty" doc:"The parameter of the path or query."`
	Detail    string `json:"detail" doc:"What is wrong with it."`
}

// problemType is the stem of the types of problems.
const problemType = "urn:muster:problem:"

// reason is why a request was refused by the frame; it is the type of the
// problem and a label of a metric.
type reason string

const (
	reasonSyntax        reason = "syntax"
	reasonInvalid       reason = "invalid"
	reasonUnauthorized  reason = "unauthorized"
	reasonScope         reason = "scope"
	reasonHost          reason = "host"
	reasonInsecure      reason = "insecure"
	reasonNotFound      reason = "not-found"
	reasonMethod        reason = "method"
	reasonConflict      reason = "conflict"
	reasonPrecondition  reason = "precondition"
	reasonUnconditional reason = "precondition-required"
	reasonSize          reason = "size"
	reasonMedia         reason = "media-type"
	reasonRate          reason = "rate"
	reasonFailures      reason = "failures"
	reasonTime          reason = "time"
	reasonInternal      reason = "internal"
)

// Error is what a route answers instead of doing what was asked.
type Error struct {
	Status int
	Detail string
	Fields []FieldError

	why    reason      // "": follows from Status
	header http.Header // more of the answer
}

// Error returns what is told to the client.
func (e *Error) Error() string { return e.Detail }

// NotFound says that what the path names does not exist.
func NotFound(detail string) *Error { return &Error{Status: http.StatusNotFound, Detail: detail} }

// Conflict says that what is asked for cannot be as things stand.
func Conflict(detail string) *Error { return &Error{Status: http.StatusConflict, Detail: detail} }

// Invalid says what is wrong with a field of the body, which is named by its
// path: "config/max_users".
func Invalid(field, detail string) *Error {
	return invalid([]FieldError{Field(field, detail)})
}

// Field says what is wrong with one field of the body.
func Field(field, detail string) FieldError { return FieldError{Pointer: "#/" + field, Detail: detail} }

// InvalidFields says what is wrong with several fields of the body; there is at
// least one.
func InvalidFields(list []FieldError) *Error {
	if len(list) > maxFound {
		list = list[:maxFound]
	}
	return invalid(list)
}

// InvalidParam says what is wrong with a parameter.
func InvalidParam(name, detail string) *Error {
	return invalid([]FieldError{{Parameter: name, Detail: detail}})
}

func invalid(list []FieldError) *Error {
	e := &Error{Status: http.StatusUnprocessableEntity, Fields: list, Detail: list[0].String()}
	if n := len(list) - 1; n > 0 {
		e.Detail += " (and " + strconv.Itoa(n) + " more, see errors)"
	}
	return e
}

// String names the field and says what is wrong.
func (f FieldError) String() string {
	switch {
	case f.Parameter != "":
		return f.Parameter + ": " + f.Detail
	case len(f.Pointer) > 2:
		return f.Pointer[2:] + ": " + f.Detail
	}
	return f.Detail
}

func refuse(status int, why reason, detail string) *Error {
	return &Error{Status: status, why: why, Detail: detail}
}

// with adds a header to the answer.
func (e *Error) with(key, value string) *Error {
	if e.header == nil {
		e.header = http.Header{}
	}
	e.header.Set(key, value)
	return e
}

// retryAfter says when it is worth another try (RFC 9110 §10.2.3).
func (e *Error) retryAfter(d time.Duration) *Error {
	return e.with("Retry-After", strconv.Itoa(max(1, int(math.Ceil(d.Seconds())))))
}

// kind is the last part of the type of the problem.
func (e *Error) kind() string {
	if e.why != "" {
		return string(e.why)
	}
	switch e.Status {
	case http.StatusBadRequest:
		return string(reasonSyntax)
	case http.StatusForbidden:
		return "forbidden"
	case http.StatusNotFound:
		return string(reasonNotFound)
	case http.StatusConflict:
		return string(reasonConflict)
	case http.StatusPreconditionFailed:
		return string(reasonPrecondition)
	case http.StatusPreconditionRequired:
		return string(reasonUnconditional)
	case http.StatusUnprocessableEntity:
		return string(reasonInvalid)
	case http.StatusInternalServerError:
		return string(reasonInternal)
	}
	return strconv.Itoa(e.Status)
}

// asError returns err as the answer to a client, and whether it is the server's
// fault.
func asError(err error) (e *Error, internal bool) {
	if e, ok := errors.AsType[*Error](err); ok {
		return e, e.Status == http.StatusInternalServerError
	}
	return refuse(http.StatusInternalServerError, reasonInternal, err.Error()), true
}
