package stanza

import (
	"strconv"

	"github.com/muster-im/muster/jid"
)

// AppendXML appends st to dst as it stands on a stream whose default namespace
// is its content namespace, so without an xmlns attribute.
func (s *Stanza) AppendXML(dst []byte) []byte {
	if s.To.IsZero() {
		return appendRest(appendStart(dst, s), s)
	}
	dst = append(appendStart(dst, s), " to='"...)
	dst = append(appendJID(dst, s.To), '\'')
	return appendRest(dst, s)
}

// appendOpen appends st with an empty to, and says where its value belongs.
func appendOpen(dst []byte, st *Stanza) (data []byte, cut int) {
	dst = append(appendStart(dst, st), " to='"...)
	cut = len(dst)
	return appendRest(append(dst, '\''), st), cut
}

// appendStart appends the start tag up to and without to and the closing '>'.
func appendStart(dst []byte, s *Stanza) []byte {
	dst = append(append(dst, '<'), s.Kind.String()...)
	if s.Type != "" {
		dst = appendAttr(dst, "", "type", string(s.Type))
	}
	if s.ID != "" {
		dst = appendAttr(dst, "", "id", s.ID)
	}
	if !s.From.IsZero() {
		dst = append(dst, " from='"...)
		dst = append(appendJID(dst, s.From), '\'')
	}
	if s.Lang != "" {
		dst = appendAttr(dst, "xml:", "lang", s.Lang)
	}
	return appendAttrs(dst, s.Attrs)
}

func appendRest(dst []byte, s *Stanza) []byte {
	if len(s.Children) == 0 {
		return append(dst, "/>"...)
	}
	dst = append(dst, '>')
	dst = appendNodes(dst, s.Children, NSClient)
	dst = append(append(dst, "</"...), s.Kind.String()...)
	return append(dst, '>')
}

func appendJID(dst []byte, j jid.JID) []byte {
	if j.Local() != "" {
		dst = append(AppendAttrValue(dst, j.Local()), '@')
	}
	dst = append(dst, j.Domain()...)
	if j.Resource() != "" {
		dst = AppendAttrValue(append(dst, '/'), j.Resource())
	}
	return dst
}

// AppendXML appends e to dst. outer is the default namespace in scope, so that
// xmlns is written only where it changes.
func (e *Element) AppendXML(dst []byte, outer string) []byte {
	prefix, inner := "", e.Name.Space
	if inner == NSXML { // no declaration may name it (Namespaces in XML 1.0 §3)
		prefix, inner = "xml:", outer
	}
	dst = append(append(append(dst, '<'), prefix...), e.Name.Local...)
	if inner != outer {
		dst = appendAttr(dst, "", "xmlns", inner)
	}
	dst = appendAttrs(dst, e.Attrs)
	if len(e.Children) == 0 {
		return append(dst, "/>"...)
	}
	dst = appendNodes(append(dst, '>'), e.Children, inner)
	dst = append(append(append(dst, "</"...), prefix...), e.Name.Local...)
	return append(dst, '>')
}

// String returns e as XML with its namespace declared, for logs and tests.
func (e *Element) String() string { return string(e.AppendXML(nil, "")) }

func appendNodes(dst []byte, nodes []Node, outer string) []byte {
	for i := range nodes {
		if e := nodes[i].Element; e != nil {
			dst = e.AppendXML(dst, outer)
		} else {
			dst = AppendText(dst, nodes[i].Text)
		}
	}
	return dst
}

func appendAttrs(dst []byte, attrs []Attr) []byte {
	for i := range attrs {
		a := &attrs[i]
		switch a.Name.Space {
		case "":
			dst = appendAttr(dst, "", a.Name.Local, a.Value)
		case NSXML:
			dst = appendAttr(dst, "xml:", a.Name.Local, a.Value)
		default:
			prefix := "n" + strconv.Itoa(i)
			dst = appendAttr(dst, "xmlns:", prefix, a.Name.Space)
			dst = appendAttr(dst, prefix+":", a.Name.Local, a.Value)
		}
	}
	return dst
}

func appendAttr(dst []byte, prefix, name, value string) []byte {
	dst = append(append(append(append(dst, ' '), prefix...), name...), "='"...)
	return append(AppendAttrValue(dst, value), '\'')
}
