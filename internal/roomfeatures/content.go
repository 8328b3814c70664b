package roomfeatures

import (
	"github.com/muster-im/muster/muc"
	"github.com/muster-im/muster/stanza"
)

// content says which messages without a body belong into history and archive
// all the same, because clients that missed them would show the wrong thing:
// encrypted ones, corrections, reactions, markers and retractions. Their senders can keep
// them out with a hint (XEP-0334).
type content struct{}

func (content) Register(h *muc.Hooks) {
	h.Historic.Add("content", 0, func(ev *muc.MessageEvent) (bool, bool) {
		if ev.SubjectChange || ev.Stanza.Child(stanza.NSHints, "no-store") != nil {
			return false, false
		}
		for e := range ev.Stanza.Elements() {
			if lasts(e) {
				return true, true
			}
		}
		return false, false
	})
}

// lasts reports whether an element makes a message worth keeping.
func lasts(e *stanza.Element) bool {
	switch e.Name.Space {
	case "urn:xmpp:message-correct:0": // XEP-0308, of what has no body either
		return e.Name.Local == "replace"
	case "urn:xmpp:eme:0": // XEP-0380
		return e.Name.Local == "encryption"
	case "urn:xmpp:reactions:0": // XEP-0444 §3
		return e.Name.Local == "reactions"
	case "urn:xmpp:chat-markers:0": // XEP-0333: where somebody has read to; what asks for markers is in a message with a body
		return e.Name.Local == "displayed"
	case nsRetract: // XEP-0424 §5
		return e.Name.Local == "retract"
	}
	return false
}
