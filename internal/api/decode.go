package api

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"os"
	"reflect"
	"slices"
	"unicode/utf8"
)

// value is a JSON value as it was sent.
type value struct {
	kind   string // as in a schema, and "null"
	text   string // of a string or a number
	fields []field
	items  []*value
}

type field struct {
	name  string
	value *value
}

// readBody returns the body of a request, which must be JSON.
func readBody(w http.ResponseWriter, r *http.Request) ([]byte, error) {
	media, params, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if cs := params["charset"]; err != nil || media != "application/json" || cs != "" && cs != "utf-8" && cs != "UTF-8" {
		return nil, refuse(http.StatusUnsupportedMediaType, reasonMedia, "want a body with Content-Type: application/json").
			with("Accept", "application/json")
	}
	if enc := r.Header.Get("Content-Encoding"); enc != "" && enc != "identity" {
		return nil, refuse(http.StatusUnsupportedMediaType, reasonMedia, "want a body without Content-Encoding").
			with("Accept-Encoding", "identity")
	}
	data, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return nil, refuse(http.StatusRequestEntityTooLarge, reasonSize, fmt.Sprintf("the body has more than %d bytes", maxBody))
	}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return nil, refuse(http.StatusRequestTimeout, reasonTime, "the body has taken too long")
	}
	if err != nil {
		return nil, refuse(http.StatusBadRequest, reasonSyntax, "the body broke off: "+err.Error())
	}
	return data, nil
}

// noBody refuses a body where a route has none.
func noBody(r *http.Request) error {
	if r.ContentLength == 0 {
		return nil
	}
	if n, _ := io.ReadFull(r.Body, make([]byte, 1)); n == 0 { // length unknown, and it was nothing
		return nil
	}
	return refuse(http.StatusBadRequest, reasonSyntax, "this operation takes no body")
}

// decode reads data, which must conform to schema, into a new value of type t,
// whose pointer it returns. All that is wrong is found at once, before anything
// is done.
func decode(data []byte, schema *Schema, t reflect.Type) (any, error) {
	v, err := parse(data)
	if err != nil {
		return nil, refuse(http.StatusBadRequest, reasonSyntax, "the body is not JSON as it should be: "+err.Error())
	}
	var c checker
	c.check(schema, v, "#")
	if len(c.found) > 0 {
		return nil, invalid(c.found)
	}
	out := reflect.New(t).Interface()
	if err := json.Unmarshal(data, out); err != nil {
		return nil, invalid([]FieldError{{Pointer: "#", Detail: err.Error()}})
	}
	return out, nil
}

// parse reads one JSON value: valid UTF-8, no key twice in an object, no more
// than maxDepth values in each other and nothing behind (RFC 8259; RFC 7493 §2.3).
func parse(data []byte) (*value, error) {
	if !utf8.Valid(data) {
		return nil, errors.New("it is not UTF-8")
	}
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	v, err := parseValue(d, 1)
	if err != nil {
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			return nil, errors.New("it ends too early")
		}
		return nil, fmt.Errorf("near byte %d: %w", d.InputOffset(), err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("near byte %d: there is more behind the value", d.InputOffset())
	}
	return v, nil
}

func parseValue(d *json.Decoder, depth int) (*value, error) {
	token, err := d.Token()
	if err != nil {
		return nil, err
	}
	switch t := token.(type) {
	case string:
		return &value{kind: kindString, text: t}, nil
	case json.Number:
		return &value{kind: kindNumber, text: t.String()}, nil
	case bool:
		return &value{kind: kindBoolean}, nil
	case json.Delim:
		if depth > maxDepth {
			return nil, fmt.Errorf("more than %d values in each other", maxDepth)
		}
		if t == '[' {
			return parseArray(d, depth)
		}
		return parseObject(d, depth)
	}
	return &value{kind: kindNull}, nil
}

func parseArray(d *json.Decoder, depth int) (*value, error) {
	v := &value{kind: kindArray}
	for d.More() {
		item, err := parseValue(d, depth+1)
		if err != nil {
			return nil, err
		}
		v.items = append(v.items, item)
	}
	_, err := d.Token()
	return v, err
}

func parseObject(d *json.Decoder, depth int) (*value, error) {
	v := &value{kind: kindObject}
	seen := make(map[string]struct{})
	for d.More() {
		token, err := d.Token()
		if err != nil {
			return nil, err
		}
		name, _ := token.(string)
		if _, twice := seen[name]; twice {
			return nil, fmt.Errorf("the key %q is there twice", name)
		}
		seen[name] = struct{}{}
		inner, err := parseValue(d, depth+1)
		if err != nil {
			return nil, err
		}
		v.fields = append(v.fields, field{name, inner})
	}
	_, err := d.Token()
	return v, err
}

// maxFound bounds what is said of one body.
const maxFound = 20

// checker collects what is wrong with a value.
type checker struct{ found []FieldError }

func (c *checker) wrong(at, format string, args ...any) {
	if len(c.found) < maxFound {
		c.found = append(c.found, FieldError{Pointer: at, Detail: fmt.Sprintf(format, args...)})
	}
}

func (c *checker) check(s *Schema, v *value, at string) {
	s = s.resolve()
	switch {
	case s.Type == "":
		return // anything
	case s.Type != v.kind && (s.Type != kindInteger || v.kind != kindNumber):
		c.wrong(at, "want %s, got %s", article(s.Type), article(v.kind))
		return
	}
	switch s.Type {
	case kindObject:
		c.object(s, v, at)
	case kindArray:
		if s.MaxItems > 0 && len(v.items) > s.MaxItems {
			c.wrong(at, "want at most %d items, got %d", s.MaxItems, len(v.items))
			return
		}
		for i, item := range v.items {
			c.check(s.Items, item, fmt.Sprintf("%s/%d", at, i))
		}
	case kindString, kindInteger, kindNumber:
		if problem := s.scalar(v.text); problem != "" {
			c.wrong(at, "%s", problem)
		}
	}
}

func (c *checker) object(s *Schema, v *value, at string) {
	for _, f := range v.fields {
		inner := s.Properties[f.name]
		if inner == nil {
			inner = s.values
		}
		where := at + "/" + pointerEscape(f.name)
		if inner == nil {
			c.wrong(where, "there is no such field%s", s.meant(f.name))
			continue
		}
		c.check(inner, f.value, where)
	}
	for _, name := range s.Required {
		if !slices.ContainsFunc(v.fields, func(f field) bool { return f.name == name }) {
			c.wrong(at+"/"+pointerEscape(name), "this is required")
		}
	}
}
