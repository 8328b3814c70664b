package api

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// route is a Route as it is served.
type route struct {
	Route
	steps   []string // of Path; a parameter as {name}
	in, out *Schema  // nil: none
	params  []Param  // with those that the frame adds
	query   map[string]*Schema
}

func newRoute(r Route, types *schemas) *route {
	own := &route{Route: r, steps: strings.Split(strings.TrimPrefix(r.Path, "/"), "/"), query: make(map[string]*Schema)}
	own.params = slices.Clone(r.Params)
	if r.Domain == nil && !r.Global {
		own.params = append(own.params, Param{Name: "host", Query: true, Doc: "Which of the server's hosts is meant; its first one if this is absent."})
	}
	if r.Paged {
		own.params = append(
			own.params,
			Param{Name: "limit", Query: true, Kind: kindInteger, Min: 1, Max: maxPage, Default: defaultPage, Doc: "The largest number of entries in the answer."},
			Param{Name: "after", Query: true, Doc: "next of the page before; absent for the first one."})
	}
	for _, p := range own.params {
		if p.Query {
			own.query[p.Name] = p.schema()
		}
	}
	for _, s := range own.steps {
		if name, ok := parameter(s); ok && !slices.ContainsFunc(r.Params, func(p Param) bool { return p.Name == name && !p.Query }) {
			panic("api: " + r.ID + " does not declare the parameter " + name)
		}
	}
	if r.Handler.in != nil {
		own.in = types.of(r.Handler.in)
		own.in.close()
	}
	if r.Handler.out != nil {
		own.out = types.of(r.Handler.out)
	}
	if len(own.Status) == 0 {
		own.Status = []int{http.StatusOK}
		if own.out == nil && r.Handler.stream == nil {
			own.Status = []int{http.StatusNoContent}
		}
	}
	if r.ID == "" || r.Summary == "" || r.Tag == "" || r.Scope == "" && !r.Local && !r.Open {
		panic("api: " + r.Method + " " + r.Path + " is not described")
	}
	return own
}

// schema is the schema of a parameter.
func (p Param) schema() *Schema {
	s := &Schema{Type: p.Kind, Enum: p.Enum, Default: p.Default}
	if s.Type == "" {
		s.Type = kindString
	}
	if p.Max != 0 {
		least, most := int64(p.Min), int64(p.Max)
		s.Minimum, s.Maximum = &least, &most
	}
	return s
}

// parameter is the name of the parameter that a step of a path is.
func parameter(step string) (name string, ok bool) {
	name, ok = strings.CutPrefix(step, "{")
	return strings.TrimSuffix(name, "}"), ok
}

// match reports whether a path, in steps and unescaped, is the route's.
func (r *route) match(steps []string) bool {
	if len(steps) != len(r.steps) {
		return false
	}
	for i, s := range r.steps {
		if _, ok := parameter(s); !ok && s != steps[i] {
			return false
		}
	}
	return true
}

// fixed is the number of steps that are no parameters: of two routes that match
// a path, the one with more of them is meant.
func (r *route) fixed() (n int) {
	for _, s := range r.steps {
		if _, ok := parameter(s); !ok {
			n++
		}
	}
	return n
}

// split returns the steps of a path below Prefix, unescaped.
func split(u *url.URL) ([]string, bool) {
	rest, ok := strings.CutPrefix(u.EscapedPath(), Prefix+"/")
	if !ok {
		return nil, false
	}
	steps := strings.Split(rest, "/")
	for i, s := range steps {
		plain, err := url.PathUnescape(s)
		if err != nil || plain == "" || len(s) > maxPathSegment {
			return nil, false
		}
		steps[i] = plain
	}
	return steps, true
}

// find returns the route for a request and its parameters.
func (a *API) find(r *http.Request) (*route, map[string]string, error) {
	steps, ok := split(r.URL)
	method := r.Method
	if method == http.MethodHead { // RFC 9110 §9.3.2: as GET; the body is dropped on its way
		method = http.MethodGet
	}
	var found *route
	var methods []string
	for _, rt := range a.routes {
		if !ok || !rt.match(steps) {
			continue
		}
		if methods = append(methods, rt.Method); rt.Method == http.MethodGet {
			methods = append(methods, http.MethodHead)
		}
		if rt.Method == method && (found == nil || rt.fixed() > found.fixed()) {
			found = rt
		}
	}
	switch {
	case ok && a.opts.Absent[steps[0]] != "":
		return nil, nil, refuse(http.StatusNotFound, reasonNotFound, a.opts.Absent[steps[0]])
	case len(methods) == 0:
		return nil, nil, refuse(http.StatusNotFound, reasonNotFound,
			fmt.Sprintf("the API has no %.200q; %s/openapi.json says what it has", r.URL.Path, Prefix))
	case found == nil:
		slices.Sort(methods)
		allow := strings.Join(slices.Compact(methods), ", ")
		return nil, nil, refuse(http.StatusMethodNotAllowed, reasonMethod, "want "+allow).with("Allow", allow)
	}
	params := make(map[string]string)
	for i, s := range found.steps {
		if name, ok := parameter(s); ok {
			params[name] = steps[i]
		}
	}
	return found, params, nil
}

// checkQuery refuses parameters that the route does not have, and values that
// are none.
func (r *route) checkQuery(u *url.URL) (url.Values, error) {
	values, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return nil, refuse(http.StatusBadRequest, reasonSyntax, "the query is wrong: "+err.Error())
	}
	var found []FieldError
	for name, list := range values {
		s := r.query[name]
		switch {
		case s == nil:
			found = append(found, FieldError{Parameter: name, Detail: "there is no such parameter"})
		case len(list) > 1:
			found = append(found, FieldError{Parameter: name, Detail: "this is there twice"})
		case s.Type == kindBoolean:
			if list[0] != "true" && list[0] != "false" {
				found = append(found, FieldError{Parameter: name, Detail: "want true or false"})
			}
		default:
			if problem := s.scalar(list[0]); problem != "" {
				found = append(found, FieldError{Parameter: name, Detail: problem})
			}
		}
	}
	for _, p := range r.params {
		if p.Query && p.Required && !values.Has(p.Name) {
			found = append(found, FieldError{Parameter: p.Name, Detail: "this is required"})
		}
	}
	if len(found) > 0 {
		slices.SortFunc(found, func(a, b FieldError) int { return strings.Compare(a.Parameter, b.Parameter) })
		return nil, invalid(found)
	}
	return values, nil
}
