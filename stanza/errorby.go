package stanza

import (
	"slices"

	"github.com/muster-im/muster/jid"
)

// WithErrorBy returns children in which an error that was made by hidden (the
// attribute by, RFC 6120 §8.3.1) is shown as made by another address.
func WithErrorBy(children []Node, hidden, shown jid.JID) []Node {
	out := slices.Clone(children)
	for i, n := range out {
		if n.Element == nil || !n.Element.Is(NSClient, "error") {
			continue
		}
		by, err := jid.Parse(n.Element.Attr("by"))
		if err != nil || by.Bare() != hidden.Bare() {
			continue
		}
		e := *n.Element
		e.Attrs = slices.Clone(e.Attrs)
		out[i].Element = e.SetAttr("by", shown.String())
	}
	return out
}
