package config

import (
	"bytes"
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/pelletier/go-toml/v2"
	"github.com/pelletier/go-toml/v2/unstable"
)

// source is a parsed file: its values, and where each of them stands.
type source struct {
	name   string
	dir    string // that relative paths are relative to; "": the working directory
	values map[string]any
	keys   map[string]position // by path: where the key stands
	places map[string]position // by path: where the value stands
}

// resolve returns a path of the file as this process has to say it.
func (s *source) resolve(path string) string {
	if path == "" || s.dir == "" || filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(s.dir, path)
}

type position struct{ line, col int }

// parse reads TOML. A file that is not TOML has one problem: reading cannot go
// on behind it.
func parse(name string, data []byte) (*source, error) {
	s := &source{name: name, keys: make(map[string]position), places: make(map[string]position)}
	data = bytes.TrimPrefix(data, []byte("\uFEFF")) // some editors of Windows begin files with it
	if err := toml.Unmarshal(data, &s.values); err != nil {
		p := Problem{File: name, Text: strings.TrimPrefix(err.Error(), "toml: ")}
		if d, ok := errors.AsType[*toml.DecodeError](err); ok {
			p.Line, p.Col = d.Position()
			p.Key = strings.Join(d.Key(), ".")
		}
		return nil, Problems{p}
	}
	s.locate(data)
	return s, nil
}

// locate walks the syntax tree and notes where everything stands.
func (s *source) locate(data []byte) {
	var p unstable.Parser
	p.Reset(data)
	arrays := make(map[string]int) // elements of arrays of tables so far
	table := ""
	for p.NextExpression() {
		e := p.Expression()
		switch e.Kind {
		case unstable.Table:
			table = s.header(&p, e, arrays, false)
		case unstable.ArrayTable:
			table = s.header(&p, e, arrays, true)
		case unstable.KeyValue:
			s.keyValue(&p, e, table)
		}
	}
}

// header returns the path of a table's header; its parts that are arrays of
// tables mean their last elements.
func (s *source) header(p *unstable.Parser, e *unstable.Node, arrays map[string]int, array bool) string {
	path := ""
	for it := e.Key(); it.Next(); {
		key := it.Node()
		path = join(path, string(key.Data))
		at := place(p, key)
		if it.IsLast() && array {
			arrays[path]++
		}
		if _, ok := s.keys[path]; !ok {
			s.keys[path] = at
		}
		if n := arrays[path]; n > 0 {
			path = fmt.Sprintf("%s[%d]", path, n-1)
		}
		if _, ok := s.keys[path]; !ok {
			s.keys[path] = at
		}
	}
	return path
}

func (s *source) keyValue(p *unstable.Parser, e *unstable.Node, table string) {
	path := table
	for it := e.Key(); it.Next(); {
		path = join(path, string(it.Node().Data))
		if _, ok := s.keys[path]; !ok {
			s.keys[path] = place(p, it.Node())
		}
	}
	s.value(p, e.Value(), path)
}

func (s *source) value(p *unstable.Parser, v *unstable.Node, path string) {
	if v.Raw.Length > 0 {
		s.places[path] = place(p, v)
	} else if at, ok := s.keys[path]; ok {
		s.places[path] = at
	}
	switch v.Kind {
	case unstable.InlineTable:
		for it := v.Children(); it.Next(); {
			s.keyValue(p, it.Node(), path)
		}
	case unstable.Array:
		i := 0
		for it := v.Children(); it.Next(); {
			element := fmt.Sprintf("%s[%d]", path, i)
			s.keys[element] = s.keys[path]
			s.value(p, it.Node(), element)
			i++
		}
	}
}

func place(p *unstable.Parser, n *unstable.Node) position {
	start := p.Shape(n.Raw).Start
	return position{start.Line, start.Column}
}

func join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}
