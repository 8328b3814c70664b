package stanza

import (
	"fmt"
	"strconv"
)

// Page is a request for a part of a list (XEP-0059).
type Page struct {
	Max    int // at most so many items; -1: not told
	After  string
	Before string
	Last   bool // an empty <before/>: the last page
	Index  int  // -1: not told
}

// ParsePage reads the <set/> in a query; nil if there is none.
func ParsePage(query *Element) (*Page, error) {
	set := query.Child(NSRSM, "set")
	if set == nil {
		return nil, nil //nolint:nilnil // no page was asked for
	}
	p := &Page{Max: -1, Index: -1, After: set.ChildText(NSRSM, "after")}
	for _, n := range []struct {
		name string
		to   *int
	}{{"max", &p.Max}, {"index", &p.Index}} {
		e := set.Child(NSRSM, n.name)
		if e == nil {
			continue
		}
		v, err := strconv.Atoi(e.Text())
		if err != nil || v < 0 {
			return nil, fmt.Errorf("%s: want a whole number, got %q", n.name, e.Text())
		}
		*n.to = v
	}
	if b := set.Child(NSRSM, "before"); b != nil {
		p.Before, p.Last = b.Text(), b.Text() == ""
	}
	return p, nil
}

// PageResult describes a part of a list (XEP-0059 §2.1).
type PageResult struct {
	First, Last string
	Index       int // of First; -1: not told
	Count       int // of the whole list; -1: not told
}

// Element returns the <set/> of a result.
func (p PageResult) Element() *Element {
	set := NewElement(NSRSM, "set")
	if p.First != "" {
		first := NewElement(NSRSM, "first").AddText(p.First)
		if p.Index >= 0 {
			first.SetAttr("index", strconv.Itoa(p.Index))
		}
		set.Add(first).AddTextElement("last", p.Last)
	}
	if p.Count >= 0 {
		set.AddTextElement("count", strconv.Itoa(p.Count))
	}
	return set
}
