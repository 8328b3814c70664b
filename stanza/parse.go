package stanza

import (
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/muster-im/muster/internal/xmlstream"
	"github.com/muster-im/muster/jid"
)

// Scope is what a stream's header lays down for everything inside: namespace
// bindings and xml:lang. It is immutable.
type Scope struct {
	bindings []xmlstream.Binding
	// Content is the content namespace, the header's default namespace.
	Content string
	// Lang is the header's xml:lang.
	Lang string
}

// contentScope is the scope of a stream whose content namespace is NSClient.
var contentScope = &Scope{bindings: []xmlstream.Binding{{URI: NSClient}}, Content: NSClient} //nolint:gochecknoglobals // a constant

// foreignContent are the content namespaces that are NSClient in memory.
func foreignContent(space string) bool {
	return space == "jabber:server" || space == "jabber:component:accept"
}

// ParseHeader reads the start tag that begins a stream. Its element has no
// children. Errors are of type *xmlstream.Error.
func ParseHeader(frame xmlstream.Frame) (*Element, *Scope, error) {
	p := takeParser()
	defer p.giveBack()
	p.dec.Reset(string(frame.Data), nil, true)
	token, err := p.dec.Next()
	if err != nil {
		return nil, nil, err
	}
	e := &Element{Name: Name{token.Space, token.Local}}
	scope := &Scope{bindings: append([]xmlstream.Binding(nil), p.dec.Bindings()...)}
	for _, b := range scope.bindings {
		if b.Prefix == "" {
			scope.Content = b.URI
		}
	}
	for _, a := range p.dec.Attrs() {
		e.Attrs = append(e.Attrs, Attr{Name{a.Space, a.Local}, a.Value})
	}
	scope.Lang = e.Lang()
	return e, scope, nil
}

// ParseElement reads a complete first-level element of a stream. Elements in
// the content namespace come out in NSClient. Errors are of type
// *xmlstream.Error.
func ParseElement(frame xmlstream.Frame, scope *Scope) (*Element, error) {
	p := takeParser()
	defer p.giveBack()
	p.begin(frame, scope)
	return p.tree()
}

// ParseDocument reads an element that stands alone, such as a stored stanza.
// Without a declaration it is in NSClient.
func ParseDocument(data []byte) (*Element, error) {
	frame := xmlstream.Frame{Data: data}
	for _, c := range data { // count, as a Framer would have done
		switch c {
		case '<':
			frame.Elements++
			frame.Texts++
		case '=':
			frame.Attrs++
		}
	}
	frame.Elements = frame.Elements/2 + 1
	return ParseElement(frame, contentScope)
}

// Parse reads a stanza that stands alone, such as a stored one.
func Parse(data []byte) (Stanza, error) {
	e, err := ParseDocument(data)
	if err != nil {
		return Stanza{}, err
	}
	st, ok, serr := FromElement(e)
	switch {
	case !ok:
		return Stanza{}, fmt.Errorf("<%s/> is no stanza", e.Name.Local)
	case serr != nil:
		return Stanza{}, serr
	}
	return st, nil
}

// FromElement returns the stanza in a message, presence or iq element; ok is
// false if e is none. With a malformed address the result is what could be
// read, and an error to answer with (RFC 6120 §8.3.3.8); what the stanza says
// of itself is not checked beyond that.
func FromElement(e *Element) (st Stanza, ok bool, malformed *Error) {
	if e.Name.Space != NSClient {
		return Stanza{}, false, nil
	}
	switch e.Name.Local {
	case "message":
		st.Kind = Message
	case "presence":
		st.Kind = Presence
	case "iq":
		st.Kind = IQ
	default:
		return Stanza{}, false, nil
	}
	st.Children = e.Children
	for i := range e.Attrs {
		a := &e.Attrs[i]
		var to *jid.JID
		switch a.Name {
		case Name{"", "id"}:
			st.ID = a.Value
		case Name{"", "type"}:
			st.Type = Type(a.Value)
		case Name{NSXML, "lang"}:
			if st.Lang = a.Value; a.Value == "" { // no language, which is not the stream's
				st.Attrs = append(st.Attrs, *a)
			}
		case Name{"", "from"}:
			to = &st.From
		case Name{"", "to"}:
			to = &st.To
		default:
			st.Attrs = append(st.Attrs, *a)
		}
		if to == nil {
			continue
		}
		j, err := jid.Parse(a.Value)
		if err != nil {
			malformed = NewError(Modify, JIDMalformed, "The address in '"+a.Name.Local+"' is malformed.")
			continue
		}
		*to = j
	}
	return st, true, malformed
}

// parser builds trees. Its slabs are sized from the frame's counts, so that a
// tree costs a fixed number of allocations.
type parser struct {
	dec     xmlstream.Decoder
	scope   *Scope
	pending []Node // children of the open elements
	marks   []mark

	spaces int // bytes that namespaces may still take where they change

	elements []Element // what is left of the slabs
	attrs    []Attr
	nodes    []Node
}

type mark struct {
	element  *Element
	pending  int // where its children begin
	declared int // namespaces declared when it is written, by it and around it
}

var parsers = sync.Pool{New: func() any { return new(parser) }} //nolint:gochecknoglobals // scratch memory, not state

func takeParser() *parser { return parsers.Get().(*parser) } //nolint:errcheck,forcetypeassert // only parsers are in it

func (p *parser) giveBack() {
	p.dec.Reset("", nil, false)
	clear(p.pending) // not empty only after an error
	clear(p.marks)
	p.scope, p.pending, p.marks = nil, p.pending[:0], p.marks[:0]
	p.elements, p.attrs, p.nodes = nil, nil, nil
	if cap(p.pending) > 1024 { // one huge element must not be remembered
		p.pending = nil
	}
	parsers.Put(p)
}

// A tree is written with a declaration wherever the namespace changes, so what
// was short with one declaration may become long without bounds. These hold for
// the tree as it will be written.
const (
	// minSpaces and timesSpaces bound the bytes of namespaces: so many, or so
	// many times the text that was read if that is more.
	minSpaces   = 64 << 10
	timesSpaces = 4
	// maxDeclared and maxScope bound the declarations of an element, and those in
	// scope, to what is read again: see package xmlstream.
	maxDeclared = 64
	maxScope    = 192
)

func (p *parser) begin(frame xmlstream.Frame, scope *Scope) {
	p.scope = scope
	p.spaces = max(minSpaces, timesSpaces*len(frame.Data))
	p.dec.Reset(string(frame.Data), scope.bindings, false)
	p.elements = make([]Element, 0, max(frame.Elements, 1))
	if frame.Attrs > 0 {
		p.attrs = make([]Attr, 0, frame.Attrs)
	}
	if n := frame.Elements - 1 + frame.Texts; n > 0 {
		p.nodes = make([]Node, 0, n)
	}
}

func (p *parser) tree() (*Element, error) {
	var root *Element
	for {
		token, err := p.dec.Next()
		if err != nil {
			return p.finish(root, err)
		}
		switch token.Kind {
		case xmlstream.Start:
			e := p.element(token)
			declared, err := p.declare(e)
			if err != nil {
				return nil, err
			}
			if root == nil {
				root = e
			} else {
				p.pending = append(p.pending, Node{Element: e})
			}
			p.marks = append(p.marks, mark{e, len(p.pending), declared})
		case xmlstream.Text:
			p.pending = append(p.pending, Node{Text: token.Text})
		case xmlstream.End:
			p.end()
		}
	}
}

// finish returns the tree if err is only the end of the frame.
func (p *parser) finish(root *Element, err error) (*Element, error) {
	switch {
	case !errors.Is(err, io.EOF):
		return nil, err
	case root == nil:
		return nil, &xmlstream.Error{Kind: xmlstream.NotWellFormed, Detail: "no element"}
	}
	return root, nil
}

func (p *parser) element(token xmlstream.Token) *Element {
	if len(p.elements) == cap(p.elements) {
		p.elements = make([]Element, 0, 8)
	}
	p.elements = append(p.elements, Element{})
	e := &p.elements[len(p.elements)-1]
	e.Name = Name{token.Space, token.Local}
	if token.Space == p.scope.Content && foreignContent(token.Space) {
		e.Name.Space = NSClient
	}
	if attrs := p.dec.Attrs(); len(attrs) > 0 {
		from := len(p.attrs)
		for _, a := range attrs {
			p.attrs = append(p.attrs, Attr{Name{a.Space, a.Local}, a.Value})
		}
		e.Attrs = p.attrs[from:len(p.attrs):len(p.attrs)]
	}
	return e
}

// declare takes account of the namespaces that an element declares when it is
// written inside the open ones, and returns how many are in its scope then.
func (p *parser) declare(e *Element) (scope int, err error) {
	outer, own := p.scope.Content, 0
	if n := len(p.marks); n > 0 {
		last := &p.marks[n-1]
		outer, scope = last.element.Name.Space, last.declared
	}
	if e.Name.Space != outer {
		own++
		p.spaces -= len(e.Name.Space)
	}
	for i := range e.Attrs {
		if space := e.Attrs[i].Name.Space; space != "" && space != NSXML {
			own++
			p.spaces -= len(space)
		}
	}
	if scope += own; own > 0 && (p.spaces < 0 || own > maxDeclared || scope > maxScope) {
		return 0, &xmlstream.Error{Kind: xmlstream.TooLarge, Detail: "too many changes of namespace, or of long ones"}
	}
	return scope, nil
}

// end closes the innermost element: its children move from the pending ones
// into a slice of their own.
func (p *parser) end() {
	last := len(p.marks) - 1
	m := p.marks[last]
	p.marks[last] = mark{}
	p.marks = p.marks[:last]
	if children := p.pending[m.pending:]; len(children) > 0 {
		from := len(p.nodes)
		p.nodes = append(p.nodes, children...)
		m.element.Children = p.nodes[from:len(p.nodes):len(p.nodes)]
		clear(children)
		p.pending = p.pending[:m.pending]
	}
}
