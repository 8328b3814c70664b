package xmlstream

import (
	"io"
	"slices"
	"strings"
	"unicode/utf8"
)

// Namespaces that XML itself binds.
const (
	nsXML   = "http://www.w3.org/XML/1998/namespace"
	nsXMLNS = "http://www.w3.org/2000/xmlns/"
)

// Binding binds a namespace prefix ("" is the default namespace) to a URI.
type Binding struct{ Prefix, URI string }

// TokenKind tells what a token is.
type TokenKind uint8

// The kinds of token. An empty-element tag gives a Start and an End.
const (
	Start TokenKind = iota + 1
	End
	Text
)

// Token is one piece of a frame.
type Token struct {
	Kind  TokenKind
	Space string // of Start: the namespace URI
	Local string // of Start
	Text  string // of Text: never ""
}

// Attr is one attribute of a start tag; declarations are not among them.
type Attr struct{ Space, Local, Value string }

type openElement struct {
	name     string // as written, with its prefix
	bindings int    // how many were there before it
}

// Decoder turns one frame into tokens. Strings in tokens are parts of the
// frame wherever possible. It may be reused, and is not safe for concurrent
// use.
type Decoder struct {
	s        string
	pos      int
	open     []openElement
	bindings []Binding
	attrs    []Attr // while a tag is read, Space is the prefix
	empty    bool   // the last Start was an empty-element tag
	header   bool   // only a start tag is there
}

// Reset begins with a new frame, in the scope of outer bindings. A header frame
// is a start tag alone.
func (d *Decoder) Reset(frame string, outer []Binding, header bool) {
	d.s, d.pos, d.empty, d.header = frame, 0, false, header
	d.open, d.attrs = d.open[:0], d.attrs[:0]
	d.bindings = append(d.bindings[:0], outer...)
}

// Attrs returns the attributes of the last Start token, valid until the next
// call of Next.
func (d *Decoder) Attrs() []Attr { return d.attrs }

// Bindings returns the namespace bindings in scope, valid until the next call
// of Next.
func (d *Decoder) Bindings() []Binding { return d.bindings }

// Next returns the next token, io.EOF behind the last, or an *Error.
func (d *Decoder) Next() (Token, error) {
	if d.empty {
		d.empty = false
		d.close()
		return Token{Kind: End}, nil
	}
	if d.pos == 0 && !utf8.ValidString(d.s) {
		return Token{}, errorf(UnsupportedEncoding, "no valid UTF-8") // RFC 6120 §4.9.3.22
	}
	for d.pos < len(d.s) {
		rest := d.s[d.pos:]
		if rest[0] != '<' {
			return d.text(rest)
		}
		if len(rest) < 2 {
			break
		}
		switch rest[1] {
		case '/':
			return d.endTag(rest)
		case '!':
			token, err := d.section(rest)
			if err != nil || token.Text != "" {
				return token, err
			}
		case '?':
			return Token{}, errorf(Restricted, "processing instruction")
		default:
			return d.startTag()
		}
	}
	if d.pos < len(d.s) || len(d.open) > 0 && !d.header {
		return Token{}, errorf(NotWellFormed, "unexpected end")
	}
	return Token{}, io.EOF
}

func (d *Decoder) text(rest string) (Token, error) {
	n := strings.IndexByte(rest, '<')
	if n < 0 {
		n = len(rest)
	}
	if len(d.open) == 0 {
		return Token{}, errorf(NotWellFormed, "text outside an element")
	}
	d.pos += n
	t, err := text(rest[:n])
	return Token{Kind: Text, Text: t}, err
}

// section reads a CDATA section; an empty one gives a token without text.
func (d *Decoder) section(rest string) (Token, error) {
	content, ok := strings.CutPrefix(rest, "<!"+cdataOpen)
	if !ok {
		return Token{}, errorf(Restricted, "comment or declaration")
	}
	n := strings.Index(content, "]]>")
	if n < 0 || len(d.open) == 0 {
		return Token{}, errorf(NotWellFormed, "CDATA section without end")
	}
	d.pos += len("<!") + len(cdataOpen) + n + len("]]>")
	t, err := cdata(content[:n])
	return Token{Kind: Text, Text: t}, err
}

func (d *Decoder) endTag(rest string) (Token, error) {
	if len(d.open) == 0 {
		return Token{}, errorf(NotWellFormed, "end tag")
	}
	want := d.open[len(d.open)-1].name
	after, ok := strings.CutPrefix(rest[len("</"):], want)
	for ok && after != "" && isSpace(after[0]) {
		after = after[1:]
	}
	if !ok || after == "" || after[0] != '>' {
		return Token{}, errorf(NotWellFormed, "<%.40s> has another end tag", want)
	}
	d.pos = len(d.s) - len(after) + 1
	d.close()
	return Token{Kind: End}, nil
}

func (d *Decoder) close() {
	last := len(d.open) - 1
	d.bindings = d.bindings[:d.open[last].bindings]
	d.open = d.open[:last]
}

func (d *Decoder) startTag() (Token, error) {
	if len(d.open) == 0 && d.pos > 0 {
		return Token{}, errorf(NotWellFormed, "more than one element")
	}
	begin := d.pos + 1
	prefix, local, at := d.qname(begin)
	if local == "" {
		return Token{}, errorf(NotWellFormed, "element name")
	}
	if len(d.open) == maxOpen {
		return Token{}, errorf(TooLarge, "elements nested deeper than %d", maxOpen)
	}
	d.open = append(d.open, openElement{d.s[begin:at], len(d.bindings)})
	d.attrs = d.attrs[:0]
	declared := len(d.bindings)
	for {
		spaced := at < len(d.s) && isSpace(d.s[at])
		for at < len(d.s) && isSpace(d.s[at]) {
			at++
		}
		if at >= len(d.s) {
			return Token{}, errorf(NotWellFormed, "tag without end")
		}
		if d.s[at] == '>' {
			at++
			break
		}
		if d.s[at] == '/' {
			if !strings.HasPrefix(d.s[at:], "/>") {
				return Token{}, errorf(NotWellFormed, "'/' in a tag")
			}
			d.empty = true
			at += 2
			break
		}
		if !spaced {
			return Token{}, errorf(NotWellFormed, "no space before an attribute")
		}
		var err error
		if at, err = d.attribute(at); err != nil {
			return Token{}, err
		}
		if len(d.attrs) > maxAttrs || len(d.bindings)-declared > maxAttrs || len(d.bindings) > maxBindings {
			return Token{}, errorf(TooLarge, "too many attributes or namespace declarations")
		}
	}
	d.pos = at
	space, ok := d.lookup(prefix)
	if !ok {
		return Token{}, errorf(BadPrefix, "prefix %.40s is not declared", prefix)
	}
	if err := d.resolve(); err != nil {
		return Token{}, err
	}
	return Token{Kind: Start, Space: space, Local: local}, nil
}

// qname reads a qualified name from i on; local is "" if there is none.
func (d *Decoder) qname(i int) (prefix, local string, end int) {
	n := scanName(d.s[i:])
	end = i + n
	if n == 0 || end >= len(d.s) || d.s[end] != ':' {
		return "", d.s[i:end], end
	}
	m := scanName(d.s[end+1:])
	if m == 0 {
		return "", "", end
	}
	return d.s[i:end], d.s[end+1 : end+1+m], end + 1 + m
}

// attribute reads one attribute, and keeps it as a declaration or for resolve.
func (d *Decoder) attribute(i int) (end int, err error) {
	prefix, local, i := d.qname(i)
	if local == "" {
		return 0, errorf(NotWellFormed, "attribute name")
	}
	for i < len(d.s) && isSpace(d.s[i]) {
		i++
	}
	if i >= len(d.s) || d.s[i] != '=' {
		return 0, errorf(NotWellFormed, "attribute %.40s has no value", local)
	}
	i++
	for i < len(d.s) && isSpace(d.s[i]) {
		i++
	}
	if i >= len(d.s) || d.s[i] != '"' && d.s[i] != '\'' {
		return 0, errorf(NotWellFormed, "the value of attribute %.40s is not quoted", local)
	}
	n := strings.IndexByte(d.s[i+1:], d.s[i])
	if n < 0 {
		return 0, errorf(NotWellFormed, "the value of attribute %.40s has no end", local)
	}
	value, err := attrValue(d.s[i+1 : i+1+n])
	if err != nil {
		return 0, err
	}
	end = i + n + 2
	switch {
	case prefix == "" && local == "xmlns":
		return end, d.declare("", value)
	case prefix == "xmlns":
		return end, d.declare(local, value)
	}
	d.attrs = append(d.attrs, Attr{prefix, local, value})
	return end, nil
}

// declare binds a prefix for the element at hand (Namespaces in XML 1.0 §3).
func (d *Decoder) declare(prefix, uri string) error {
	for _, b := range d.bindings[d.open[len(d.open)-1].bindings:] {
		if b.Prefix == prefix {
			return errorf(NotWellFormed, "the prefix %.40s is declared twice", prefix)
		}
	}
	switch {
	case prefix == "xml":
		if uri != nsXML {
			return errorf(BadPrefix, "the prefix xml is bound to another namespace")
		}
		return nil
	case prefix == "xmlns", uri == nsXMLNS, uri == nsXML:
		return errorf(BadPrefix, "reserved prefix or namespace")
	case prefix != "" && uri == "":
		return errorf(BadPrefix, "the prefix %.40s is bound to nothing", prefix)
	}
	d.bindings = append(d.bindings, Binding{prefix, uri})
	return nil
}

func (d *Decoder) lookup(prefix string) (uri string, ok bool) {
	for _, b := range slices.Backward(d.bindings) {
		if b.Prefix == prefix {
			return b.URI, true
		}
	}
	switch prefix {
	case "":
		return "", true
	case "xml":
		return nsXML, true
	}
	return "", false
}

// resolve finds the namespaces of the attributes and refuses duplicates.
func (d *Decoder) resolve() error {
	for i := range d.attrs {
		a := &d.attrs[i]
		if a.Space != "" { // the default namespace is not for attributes
			space, ok := d.lookup(a.Space)
			if !ok {
				return errorf(BadPrefix, "prefix %.40s is not declared", a.Space)
			}
			a.Space = space
		}
		for j := range i {
			if d.attrs[j].Local == a.Local && d.attrs[j].Space == a.Space {
				return errorf(NotWellFormed, "two attributes %.40s", a.Local)
			}
		}
	}
	return nil
}
