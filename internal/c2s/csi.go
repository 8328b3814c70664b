package c2s

import (
	"slices"

	"github.com/muster-im/muster/internal/stream"
	"github.com/muster-im/muster/stanza"
)

const (
	nsCSI        = "urn:xmpp:csi:0"
	nsChatStates = "http://jabber.org/protocol/chatstates"
	// maxHeld bounds what is held back from a client that nobody looks at.
	maxHeld = 256
)

// indicate takes what the client says of its state (XEP-0352 §4.2). Nothing is
// said in reply, but what was held back goes out before anything else is
// answered (§5.1).
func (s *Session) indicate(e *stanza.Element) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch e.Name.Local {
	case "active":
		s.unhold()
		s.quiet = false
	case "inactive":
		s.quiet = true
	default:
		return &stream.Error{Condition: stream.UnsupportedStanzaType}
	}
	return nil
}

// hold keeps what can wait until the client is looked at, or until something
// comes that cannot; the order stays. Of presence and chat states only the
// newest of a sender is kept. The mutex is held.
func (s *Session) hold(batch []*stanza.Encoded) {
	for _, e := range batch {
		switch urgencyOf(&e.Stanza) {
		case supersedes:
			s.held = slices.DeleteFunc(s.held, func(o *stanza.Encoded) bool {
				return o.Stanza.From == e.Stanza.From && o.Stanza.Kind == e.Stanza.Kind && urgencyOf(&o.Stanza) == supersedes
			})
			s.held = append(s.held, e)
		case waits:
			s.held = append(s.held, e)
		case urgent:
			s.held = append(s.held, e)
			s.unhold()
		}
		if len(s.held) >= maxHeld {
			s.unhold()
		}
	}
}

// unhold sends what was held back, but what is of people who have been blocked
// meanwhile. The mutex is held.
func (s *Session) unhold() {
	if len(s.held) == 0 {
		return
	}
	blocks := s.state.BlockList()
	batch := slices.DeleteFunc(s.held, func(e *stanza.Encoded) bool {
		return blocks.Blocks(e.Stanza.From) && urgencyOf(&e.Stanza) != urgent
	})
	s.held = nil
	s.write(batch)
}

// urgency says what may be done with a stanza for a client that nobody looks at.
type urgency uint8

const (
	urgent     urgency = iota // goes out at once
	waits                     // may wait, and must come
	supersedes                // may wait, and makes an older one of its sender pointless
)

// urgencyOf sorts stanzas as XEP-0352 §3.2 suggests. What a room says with
// status codes is never left out: it tells what has happened, not how things
// stand.
func urgencyOf(st *stanza.Stanza) urgency {
	switch st.Kind {
	case stanza.Presence:
		if st.Type != "" && st.Type != stanza.TypeUnavailable {
			return urgent
		}
		x := st.Child(stanza.NSMUCUser, "x")
		switch {
		case x == nil, x.Child(stanza.NSMUCUser, "status") == nil && x.Child(stanza.NSMUCUser, "destroy") == nil:
			return supersedes
		case hasStatus(x, "110"):
			return urgent
		}
		return waits
	case stanza.Message:
		return urgencyOfMessage(st)
	}
	return urgent
}

func hasStatus(x *stanza.Element, code string) bool {
	for e := range x.Elements() {
		if e.Is(stanza.NSMUCUser, "status") && e.Attr("code") == code {
			return true
		}
	}
	return false
}

// urgencyOfMessage: only chat states wait.
func urgencyOfMessage(st *stanza.Stanza) urgency {
	if st.Type == stanza.TypeError {
		return urgent
	}
	states := false
	for e := range st.Elements() {
		switch {
		case e.Name.Space == nsChatStates:
			states = true
		case e.Name.Space == stanza.NSHints, e.Is(stanza.NSClient, "thread"):
		default:
			return urgent
		}
	}
	if states {
		return supersedes
	}
	return urgent
}
