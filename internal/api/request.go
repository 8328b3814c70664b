package api

import (
	"encoding/base64"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// Request is what a handler knows of a request beside its body.
type Request struct {
	HTTP *http.Request

	id        string
	route     *route
	principal Principal
	path      map[string]string
	query     url.Values
	host      string
	header    http.Header // of the answer
	status    int         // of the answer, 0: the route's first
}

// ID names the request in the log.
func (r *Request) ID() string { return r.id }

// Actor is who asks, for logs.
func (r *Request) Actor() string { return r.principal.Name }

// Path returns a parameter of the path, "" if the route has none of that name.
func (r *Request) Path(name string) string { return r.path[name] }

// Query returns a parameter of the query, "" if it is absent.
func (r *Request) Query(name string) string { return r.query.Get(name) }

// Has reports whether a parameter of the query is there.
func (r *Request) Has(name string) bool { return r.query.Has(name) }

// Int returns an integer of the query, or fallback if it is absent.
func (r *Request) Int(name string, fallback int) int {
	if n, err := strconv.Atoi(r.query.Get(name)); err == nil {
		return n
	}
	return fallback
}

// Bool returns a boolean of the query, or fallback if it is absent.
func (r *Request) Bool(name string, fallback bool) bool {
	if !r.query.Has(name) {
		return fallback
	}
	return r.query.Get(name) == "true"
}

// Host is the host that the request concerns, "" of a global route without one.
func (r *Request) Host() string { return r.host }

// May reports whether who asks has a scope. A route's own is checked before its
// handler runs.
func (r *Request) May(s Scope) bool {
	return r.principal.All || slices.Contains(r.principal.Scopes, s)
}

// MayHost reports whether who asks may administrate a host.
func (r *Request) MayHost(host string) bool {
	return r.principal.All || len(r.principal.Hosts) == 0 || slices.Contains(r.principal.Hosts, host)
}

// Page returns the page that is asked for: at most limit entries behind the key
// after, "" being the first page.
func (r *Request) Page() (limit int, after string, err error) {
	raw, err := base64.RawURLEncoding.DecodeString(r.query.Get("after"))
	if err != nil {
		return 0, "", InvalidParam("after", "this is not the next of an answer")
	}
	return r.Int("limit", defaultPage), string(raw), nil
}

// Next makes the cursor behind the entry with a key, for a Page's Next, and
// names the following page in the answer's header (RFC 8288).
func (r *Request) Next(key string) string {
	cursor := base64.RawURLEncoding.EncodeToString([]byte(key))
	q := url.Values{}
	maps.Copy(q, r.query)
	q.Set("after", cursor)
	r.header.Set("Link", "<"+r.HTTP.URL.EscapedPath()+"?"+q.Encode()+`>; rel="next"`)
	return cursor
}

// SetStatus answers with another of the route's codes of success.
func (r *Request) SetStatus(code int) { r.status = code }

// Created answers 201 and says where the new thing is: the steps of a path below
// Prefix.
func (r *Request) Created(steps ...string) {
	r.status = http.StatusCreated
	for i, s := range steps {
		steps[i] = url.PathEscape(s)
	}
	location := Prefix + "/" + strings.Join(steps, "/")
	if r.query.Has("host") {
		location += "?" + url.Values{"host": {r.host}}.Encode()
	}
	r.header.Set("Location", location)
}

// SetETag tells the revision of what is answered.
func (r *Request) SetETag(revision string) { r.header.Set("ETag", etag(revision)) }

// SetRevision is SetETag for a number, and for what else is shown and changes
// without it; "" nothing.
func (r *Request) SetRevision(n int64, more string) {
	tag := strconv.FormatInt(n, 10)
	if more != "" {
		tag += "." + more
	}
	r.SetETag(tag)
}

// IfMatch refuses the request with 412 if it is meant for another revision than
// the one that is there (RFC 9110 §13.1.1), or, with If-None-Match, for none at
// all (§13.1.2). revision "" says that there is nothing. A GET for what the
// client has already is answered 304 by the frame.
func (r *Request) IfMatch(revision string) error {
	if want, ok := tags(r.HTTP.Header, "If-Match"); ok {
		match := slices.Contains(want, etag(revision)) || slices.Contains(want, "*")
		if revision == "" || !match {
			return refuse(http.StatusPreconditionFailed, reasonPrecondition, "it has changed since: get it again, and then decide (If-Match)")
		}
	}
	if none, ok := tags(r.HTTP.Header, "If-None-Match"); ok && revision != "" && !looks(r.HTTP) {
		if slices.Contains(none, "*") || weakly(none, etag(revision)) {
			return refuse(http.StatusPreconditionFailed, reasonPrecondition, "it is there already (If-None-Match)")
		}
	}
	return nil
}

// IfRevision returns the number of the revision that If-Match names, so that what
// is there can be compared with it in the transaction that changes it; ok is
// false if any will do.
func (r *Request) IfRevision() (n int64, ok bool, err error) {
	want, ok := tags(r.HTTP.Header, "If-Match")
	if !ok || slices.Contains(want, "*") {
		return 0, false, nil
	}
	if len(want) == 1 {
		tag := strings.Trim(want[0], `"`)
		number, _, _ := strings.Cut(tag, ".")
		if n, err := strconv.ParseInt(number, 10, 64); err == nil && etag(tag) == want[0] && strconv.FormatInt(n, 10) == number {
			return n, true, nil
		}
	}
	return 0, false, refuse(http.StatusPreconditionFailed, reasonPrecondition, "If-Match: want one ETag as an answer has had it")
}

// looks reports whether a request changes nothing.
func looks(r *http.Request) bool { return r.Method == http.MethodGet || r.Method == http.MethodHead }

// weakly reports whether a tag is in a list by weak comparison (RFC 9110
// §8.8.3.2): a proxy that compresses answers makes tags weak.
func weakly(list []string, tag string) bool {
	return slices.ContainsFunc(list, func(s string) bool { return strings.TrimPrefix(s, "W/") == tag })
}

func etag(revision string) string { return `"` + revision + `"` }

// tags are the entity tags of a header.
func tags(h http.Header, key string) (list []string, ok bool) {
	values := h.Values(key)
	for _, v := range values {
		for tag := range strings.SplitSeq(v, ",") {
			list = append(list, strings.TrimSpace(tag))
		}
	}
	return list, len(values) > 0
}
