// Package stanza holds what travels on XMPP streams: elements, stanzas, stanza
// errors, data forms and the other payloads that several services share, with
// their encoders. Parsing keeps everything it does not know, so that stanzas
// are passed on untouched. Nothing here blocks or owns a goroutine.
package stanza

import (
	"iter"

	"github.com/muster-im/muster/jid"
)

// Kind tells the three stanzas apart (RFC 6120 §8.2).
type Kind uint8

// The kinds of stanza.
const (
	Message Kind = iota + 1
	Presence
	IQ
)

// String returns the element name.
func (k Kind) String() string {
	switch k {
	case Message:
		return "message"
	case Presence:
		return "presence"
	case IQ:
		return "iq"
	}
	return "unknown"
}

// Type is a stanza's type attribute; "" means that it is absent.
type Type string

// The types of RFC 6120 §8.2.3 and RFC 6121 §4.7.1, §5.2.2.
const (
	TypeError        Type = "error"
	TypeGet          Type = "get"
	TypeSet          Type = "set"
	TypeResult       Type = "result"
	TypeNormal       Type = "normal"
	TypeChat         Type = "chat"
	TypeGroupchat    Type = "groupchat"
	TypeHeadline     Type = "headline"
	TypeUnavailable  Type = "unavailable"
	TypeSubscribe    Type = "subscribe"
	TypeSubscribed   Type = "subscribed"
	TypeUnsubscribe  Type = "unsubscribe"
	TypeUnsubscribed Type = "unsubscribed"
	TypeProbe        Type = "probe"
)

// Stanza is a message, presence or IQ. It is passed by value; Children is
// shared and immutable once the stanza has been handed on, so replace the
// slice (WithChildren, With, Without) instead of writing into it.
type Stanza struct {
	Kind     Kind
	ID       string
	Type     Type
	From, To jid.JID // zero: absent
	Lang     string  // xml:lang
	Attrs    []Attr  // further attributes, which no RFC defines
	Children []Node
	Receipt  *Receipt // of a client that wants to know when it is handled, or nil
}

// Child returns the first child element with that name, or nil.
func (s *Stanza) Child(space, local string) *Element { return FindChild(s.Children, space, local) }

// ChildText returns the text of the first child with that name.
func (s *Stanza) ChildText(space, local string) string { return s.Child(space, local).Text() }

// Elements iterates over the child elements.
func (s *Stanza) Elements() iter.Seq[*Element] { return elementsOf(s.Children) }

// MessageType returns the type of a message: without one, or with one that no
// RFC knows, it is normal (RFC 6121 §5.2.2).
func (s *Stanza) MessageType() Type {
	switch s.Type {
	case TypeChat, TypeError, TypeGroupchat, TypeHeadline:
		return s.Type
	}
	return TypeNormal
}

// Element returns s as an element, for a stanza that travels in another one
// (XEP-0297). It shares the children.
func (s *Stanza) Element() *Element {
	e := &Element{Name: Name{NSClient, s.Kind.String()}, Children: s.Children}
	set := func(name Name, value string) {
		if value != "" {
			e.Attrs = append(e.Attrs, Attr{name, value})
		}
	}
	e.Attrs = make([]Attr, 0, 5+len(s.Attrs))
	set(Name{Local: "type"}, string(s.Type))
	set(Name{Local: "id"}, s.ID)
	set(Name{Local: "from"}, s.From.String())
	set(Name{Local: "to"}, s.To.String())
	set(Name{NSXML, "lang"}, s.Lang)
	e.Attrs = append(e.Attrs, s.Attrs...)
	return e
}

// Payload returns the first child element that is not an <error/>: the query
// of an IQ. It is nil if there is none.
func (s *Stanza) Payload() *Element {
	for c := range s.Elements() {
		if !c.Is(NSClient, "error") {
			return c
		}
	}
	return nil
}

// Body returns the text of the first <body/>.
func (s *Stanza) Body() string { return s.ChildText(NSClient, "body") }

// IsRequest reports whether s is an IQ that must be answered.
func (s *Stanza) IsRequest() bool {
	return s.Kind == IQ && (s.Type == TypeGet || s.Type == TypeSet)
}

// With returns a copy of s with elements added behind its children; nil
// elements are left out.
func (s Stanza) With(elements ...*Element) Stanza {
	children := make([]Node, len(s.Children), len(s.Children)+len(elements))
	copy(children, s.Children)
	for _, e := range elements {
		if e != nil {
			children = append(children, Node{Element: e})
		}
	}
	s.Children = children
	return s
}

// Without returns a copy of s without the child elements that drop reports.
// If there is none, s itself is returned.
func (s Stanza) Without(drop func(*Element) bool) Stanza {
	for i := range s.Children {
		if e := s.Children[i].Element; e == nil || !drop(e) {
			continue
		}
		kept := append(make([]Node, 0, len(s.Children)), s.Children[:i]...)
		for _, n := range s.Children[i+1:] {
			if n.Element == nil || !drop(n.Element) {
				kept = append(kept, n)
			}
		}
		s.Children = kept
		return s
	}
	return s
}

// Reply returns the stanza that answers s with the given type: addresses
// swapped, id kept, no children.
func (s *Stanza) Reply(t Type) Stanza {
	return Stanza{Kind: s.Kind, ID: s.ID, Type: t, From: s.To, To: s.From}
}

// Result returns the IQ result that answers s, with payload if it is not nil.
func (s *Stanza) Result(payload *Element) Stanza { return s.Reply(TypeResult).With(payload) }
