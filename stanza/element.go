package stanza

import (
	"iter"
	"slices"
	"strings"
)

// Name is an expanded XML name.
type Name struct{ Space, Local string }

// Attr is one attribute; namespace declarations are not attributes.
type Attr struct {
	Name  Name
	Value string
}

// Node is one child of an Element: an element, or else text.
type Node struct {
	Element *Element
	Text    string
}

// Element is a parsed XML element: what is not understood is kept and passed
// on. Elements are immutable once they are shared: a parsed or routed element
// may be held by many goroutines at once, so change a Clone.
type Element struct {
	Name     Name
	Attrs    []Attr
	Children []Node
}

// NewElement returns an element with attributes given as name, value pairs.
func NewElement(space, local string, attrs ...string) *Element {
	e := &Element{Name: Name{space, local}}
	if len(attrs) > 0 {
		e.Attrs = make([]Attr, 0, len(attrs)/2)
	}
	for i := 0; i+1 < len(attrs); i += 2 {
		e.Attrs = append(e.Attrs, Attr{Name{"", attrs[i]}, attrs[i+1]})
	}
	return e
}

// Add appends child elements and returns e; nil children are left out.
func (e *Element) Add(children ...*Element) *Element {
	for _, c := range children {
		if c != nil {
			e.Children = append(e.Children, Node{Element: c})
		}
	}
	return e
}

// AddText appends text and returns e.
func (e *Element) AddText(text string) *Element {
	if text != "" {
		e.Children = append(e.Children, Node{Text: text})
	}
	return e
}

// AddTextElement appends a child of e's own namespace that holds only text.
func (e *Element) AddTextElement(local, text string) *Element {
	return e.Add(NewElement(e.Name.Space, local).AddText(text))
}

// Is reports whether e has the given expanded name.
func (e *Element) Is(space, local string) bool {
	return e != nil && e.Name.Local == local && e.Name.Space == space
}

// Attr returns the value of the attribute without a namespace, "" if absent.
func (e *Element) Attr(local string) string {
	v, _ := e.LookupAttr(local)
	return v
}

// LookupAttr returns the value of the attribute without a namespace and
// whether it is there.
func (e *Element) LookupAttr(local string) (string, bool) {
	if e != nil {
		for i := range e.Attrs {
			if e.Attrs[i].Name.Local == local && e.Attrs[i].Name.Space == "" {
				return e.Attrs[i].Value, true
			}
		}
	}
	return "", false
}

// SetAttr sets the attribute without a namespace. Only for elements that are
// not shared yet.
func (e *Element) SetAttr(local, value string) *Element {
	for i := range e.Attrs {
		if e.Attrs[i].Name == (Name{"", local}) {
			e.Attrs[i].Value = value
			return e
		}
	}
	e.Attrs = append(e.Attrs, Attr{Name{"", local}, value})
	return e
}

// Lang returns the element's own xml:lang.
func (e *Element) Lang() string {
	for i := range e.Attrs {
		if e.Attrs[i].Name == (Name{NSXML, "lang"}) {
			return e.Attrs[i].Value
		}
	}
	return ""
}

// SetLang sets the element's own xml:lang. Only for elements that are not shared
// yet.
func (e *Element) SetLang(lang string) *Element {
	e.Attrs = slices.DeleteFunc(e.Attrs, func(a Attr) bool { return a.Name == Name{NSXML, "lang"} })
	e.Attrs = append(e.Attrs, Attr{Name{NSXML, "lang"}, lang})
	return e
}

// Child returns the first child element with that name, or nil.
func (e *Element) Child(space, local string) *Element {
	if e == nil {
		return nil
	}
	return FindChild(e.Children, space, local)
}

// ChildText returns the text of the first child with that name, "" if absent.
func (e *Element) ChildText(space, local string) string {
	return e.Child(space, local).Text()
}

// Elements iterates over the child elements.
func (e *Element) Elements() iter.Seq[*Element] {
	if e == nil {
		return func(func(*Element) bool) {}
	}
	return elementsOf(e.Children)
}

// FirstElement returns the first child element, or nil.
func (e *Element) FirstElement() *Element {
	for c := range e.Elements() {
		return c
	}
	return nil
}

// Text returns the text directly inside e, child elements left out.
func (e *Element) Text() string {
	if e == nil {
		return ""
	}
	if len(e.Children) == 1 {
		return e.Children[0].Text
	}
	var b strings.Builder
	for _, n := range e.Children {
		if n.Element == nil {
			b.WriteString(n.Text)
		}
	}
	return b.String()
}

// Clone returns a shallow copy whose attribute and child lists may be changed;
// the children themselves stay shared.
func (e *Element) Clone() *Element {
	c := *e
	c.Attrs = append([]Attr(nil), e.Attrs...)
	c.Children = append([]Node(nil), e.Children...)
	return &c
}

// FindChild returns the first element with that name among nodes, or nil.
func FindChild(nodes []Node, space, local string) *Element {
	for i := range nodes {
		if c := nodes[i].Element; c != nil && c.Name.Local == local && c.Name.Space == space {
			return c
		}
	}
	return nil
}

func elementsOf(nodes []Node) iter.Seq[*Element] {
	return func(yield func(*Element) bool) {
		for i := range nodes {
			if c := nodes[i].Element; c != nil && !yield(c) {
				return
			}
		}
	}
}
