package api

import (
	"encoding/json"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
)

// The parts of an OpenAPI 3.1 document that are needed.
type (
	document struct {
		OpenAPI    string                          `json:"openapi"`
		Info       docInfo                         `json:"info"`
		Servers    []docServer                     `json:"servers"`
		Tags       []docTag                        `json:"tags"`
		Paths      map[string]map[string]operation `json:"paths"`
		Components components                      `json:"components"`
	}
	docInfo struct {
		Title       string `json:"title"`
		Version     string `json:"version"`
		Description string `json:"description"`
	}
	docServer struct {
		URL string `json:"url"`
	}
	docTag struct {
		Name string `json:"name"`
	}
	components struct {
		Schemas   map[string]*Schema      `json:"schemas"`
		Responses map[string]response     `json:"responses"`
		Security  map[string]securityType `json:"securitySchemes"`
	}
	securityType struct {
		Type        string `json:"type"`
		Scheme      string `json:"scheme"`
		Description string `json:"description"`
	}
	operation struct {
		ID          string                `json:"operationId"`
		Summary     string                `json:"summary"`
		Description string                `json:"description,omitempty"`
		Tags        []string              `json:"tags"`
		Parameters  []docParam            `json:"parameters,omitempty"`
		Body        *docBody              `json:"requestBody,omitempty"`
		Responses   map[string]response   `json:"responses"`
		Security    []map[string][]string `json:"security"`
		Scope       Scope                 `json:"x-scope,omitempty"`
		Global      bool                  `json:"x-global,omitempty"`
	}
	docParam struct {
		Name        string  `json:"name"`
		In          string  `json:"in"`
		Description string  `json:"description,omitempty"`
		Required    bool    `json:"required,omitempty"`
		Schema      *Schema `json:"schema"`
	}
	docBody struct {
		Required bool             `json:"required"`
		Content  map[string]media `json:"content"`
	}
	response struct {
		Ref         string              `json:"$ref,omitempty"`
		Description string              `json:"description,omitempty"`
		Headers     map[string]docValue `json:"headers,omitempty"`
		Content     map[string]media    `json:"content,omitempty"`
	}
	media struct {
		Schema *Schema `json:"schema"`
	}
	docValue struct {
		Description string  `json:"description"`
		Schema      *Schema `json:"schema"`
	}
)

// document makes the OpenAPI document of the routes.
func (a *API) document() []byte {
	a.types.of(typeOf[Problem]())
	d := document{
		OpenAPI: "3.1.0",
		Info: docInfo{
			Title: "Muster", Version: a.opts.Version,
			Description: "Administration of a Muster server. Errors are problem documents (RFC 9457). " +
				"Fields and parameters that are not described are refused; answers may have more of them in later versions.",
		},
		Servers: []docServer{{URL: Prefix}}, Tags: []docTag{},
		Paths: make(map[string]map[string]operation),
		Components: components{
			Schemas: a.types.named, Responses: make(map[string]response),
			Security: map[string]securityType{"token": {
				Type: "http", Scheme: "bearer", Description: "A token of muster token add. x-scope is the scope that an operation wants.",
			}},
		},
	}
	var names []string
	for _, r := range a.routes {
		if r.Local {
			continue
		}
		names = append(names, r.Tag)
		if d.Paths[r.Path] == nil {
			d.Paths[r.Path] = make(map[string]operation)
		}
		d.Paths[r.Path][strings.ToLower(r.Method)] = a.operation(r, d.Components.Responses)
	}
	slices.Sort(names)
	for _, n := range slices.Compact(names) {
		d.Tags = append(d.Tags, docTag{n})
	}
	data, err := json.Marshal(d)
	if err != nil {
		panic(err) // the types above
	}
	return data
}

// operation describes a route; what it answers in trouble is added to shared.
func (a *API) operation(r *route, shared map[string]response) operation {
	op := operation{
		ID: r.ID, Summary: r.Summary, Description: r.Doc, Tags: []string{r.Tag}, Scope: r.Scope, Global: r.Global && !r.Open,
		Responses: make(map[string]response), Security: []map[string][]string{},
	}
	if !r.Open {
		op.Security = append(op.Security, map[string][]string{"token": {}})
	}
	for _, p := range r.params {
		in := "path"
		if p.Query {
			in = "query"
		}
		op.Parameters = append(op.Parameters, docParam{
			Name: p.Name, In: in, Description: p.Doc, Required: p.Required || !p.Query, Schema: p.schema(),
		})
	}
	if r.in != nil {
		op.Body = &docBody{Required: true, Content: map[string]media{"application/json": {r.in}}}
	}
	for _, code := range r.Status {
		op.Responses[strconv.Itoa(code)] = r.success(code)
	}
	for _, code := range r.errors() {
		name := "Error" + strconv.Itoa(code)
		op.Responses[strconv.Itoa(code)] = response{Ref: "#/components/responses/" + name}
		shared[name] = failure(code, a.types.of(typeOf[Problem]()))
	}
	return op
}

// success describes the answer with a code.
func (r *route) success(code int) response {
	s := response{Description: http.StatusText(code)}
	switch {
	case r.Handler.stream != nil:
		s.Content = map[string]media{r.Handler.media: {&Schema{}}}
	case r.out != nil && code != http.StatusNoContent:
		s.Content = map[string]media{"application/json": {r.out}}
	}
	if code == http.StatusCreated {
		s.Headers = map[string]docValue{"Location": {"Where the new thing is.", &Schema{Type: kindString}}}
	}
	return s
}

func failure(code int, problem *Schema) response {
	f := response{
		Description: http.StatusText(code),
		Content:     map[string]media{problemMedia: {problem}},
	}
	switch code {
	case http.StatusUnauthorized:
		f.Headers = map[string]docValue{"WWW-Authenticate": {"Asks for a token (RFC 6750).", &Schema{Type: kindString}}}
	case http.StatusTooManyRequests, http.StatusServiceUnavailable:
		f.Headers = map[string]docValue{"Retry-After": {"Seconds after which it is worth another try.", &Schema{Type: kindInteger}}}
	}
	return f
}

// errors are the codes that a route may answer in trouble.
func (r *route) errors() []int {
	codes := map[int]struct{}{
		http.StatusBadRequest: {}, http.StatusForbidden: {}, http.StatusUnprocessableEntity: {},
		http.StatusInternalServerError: {}, http.StatusServiceUnavailable: {},
	}
	add := func(list ...int) {
		for _, c := range list {
			codes[c] = struct{}{}
		}
	}
	add(r.Errors...)
	if !r.Open {
		add(http.StatusUnauthorized, http.StatusTooManyRequests)
	}
	if r.in != nil {
		add(http.StatusRequestTimeout, http.StatusRequestEntityTooLarge, http.StatusUnsupportedMediaType)
	}
	if !r.Global { // no such host
		add(http.StatusNotFound)
	}
	return slices.Sorted(maps.Keys(codes))
}
