package router

import (
	"context"
	"hash/maphash"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/muster-im/muster/jid"
	"github.com/muster-im/muster/stanza"
)

// CarbonFeatures are what the server says of carbons in discovery (XEP-0280 §3,
// §6.2): it keeps exactly to the rules of §6.1.
func CarbonFeatures() []string { return []string{stanza.NSCarbons, nsCarbonRules} }

const (
	nsCarbonRules = "urn:xmpp:carbons:rules:0"

	rememberedCopies = 64 // of a session; older ones are forgotten
)

// carbonState is what a session has to do with carbons.
type carbonState struct {
	enabled atomic.Bool

	mu sync.Mutex
	// Guarded by mu.
	copied *[rememberedCopies]uint64 // messages that it has copies of, a ring; 0 is none
	next   int
}

// remember keeps what the session was given a copy of.
func (c *carbonState) remember(hash uint64) {
	if hash == 0 {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.copied == nil {
		c.copied = new([rememberedCopies]uint64)
	}
	c.copied[c.next] = hash
	c.next = (c.next + 1) % rememberedCopies
}

func (c *carbonState) remembers(hash uint64) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return hash != 0 && c.copied != nil && slices.Contains(c.copied[:], hash)
}

// SetCarbons is the IQHandler for a session's request to get copies of its
// account's messages, or no more (XEP-0280 §4, §5). It holds until the session
// ends.
func (r *Router) SetCarbons(_ context.Context, iq *stanza.Stanza) (*stanza.Element, error) {
	session := r.sessions.get(iq.From)
	if session == nil || iq.From.Bare() != iq.To.Bare() { // §4.1, §5.1
		return nil, stanza.NewError(stanza.Cancel, stanza.NotAllowed, "Copies are for the account's own clients.")
	}
	switch payload := iq.Payload(); payload.Name.Local {
	case "enable":
		session.State().carbons.enabled.Store(true)
	case "disable":
		session.State().carbons.enabled.Store(false)
	default:
		return nil, stanza.NewError(stanza.Modify, stanza.BadRequest, "Carbons are enabled or disabled.")
	}
	return nil, nil
}

// Carbons reports whether the session has asked for copies of its account's
// messages.
func (p *PresenceState) Carbons() bool { return p.carbons.enabled.Load() }

// copySent gives the sender's other sessions that want it a copy of what a
// client sends (XEP-0280 §8). What goes to the sender's own account is copied
// once, where it arrives.
func (r *Router) copySent(st *stanza.Stanza) {
	if st.Kind != stanza.Message || st.Type == stanza.TypeGroupchat || st.From.Bare() == st.To.Bare() {
		return
	}
	var buf [few]Session
	others := buf[:0]
	var sender Session
	for _, s := range r.sessions.of(st.From.Bare()) {
		switch {
		case s.JID() == st.From:
			sender = s
		case s.State().Carbons():
			others = append(others, s)
		}
	}
	if len(others) == 0 || sender == nil {
		return
	}
	if r.isPrivateToRoom(st, sender) { // §6.1: for those who have the same nickname there
		others = slices.DeleteFunc(others, func(s Session) bool { return !sharesNick(sender, s, st.To.Bare()) })
		if mustNotCopy(st) {
			return
		}
	} else {
		others = r.eligible(others, st, st.To)
	}
	r.deliverCopies(others, st, "sent", nil)
}

// directionAt is what a copy says that is made where the message arrives. In a
// conversation with oneself there is one copy, not one for each side.
func directionAt(st *stanza.Stanza) string {
	if !st.From.IsBare() && st.From.Bare() == st.To.Bare() {
		return "sent"
	}
	return "received"
}

// deliverCopies sends a message, in a wrapper of the account's own making, to
// sessions of the account (XEP-0280 §7, §8), which remember that they have it.
// of is the message itself if they share it with those who are given that.
func (r *Router) deliverCopies(sessions []Session, st *stanza.Stanza, direction string, of *stanza.Encoded) {
	if len(sessions) == 0 {
		return
	}
	account, peer := sessions[0].JID().Bare(), st.From
	if peer.Bare() == account {
		peer = st.To
	}
	wrapper := stanza.Stanza{Kind: stanza.Message, Type: st.Type, From: account}
	wrapper = wrapper.With(stanza.NewElement(stanza.NSCarbons, direction).Add(
		stanza.NewElement(stanza.NSForward, "forwarded").Add(st.Element())))
	batch := []*stanza.Encoded{stanza.EncodeCopy(wrapper, of)}
	hash := r.copyHash(peer, st.ID)
	for _, s := range sessions {
		s.State().carbons.remember(hash)
		s.Deliver(batch)
	}
	r.metrics.carbons.Add(float64(len(sessions)))
}

// eligible returns those of the sessions that are given a copy of a message of
// their account's conversation with peer: all or none (XEP-0280 §6.1, §9). An
// error is for those who have a copy of what it answers.
func (r *Router) eligible(sessions []Session, st *stanza.Stanza, peer jid.JID) []Session {
	if st.Type == stanza.TypeError {
		hash := r.copyHash(peer, st.ID)
		return slices.DeleteFunc(sessions, func(s Session) bool { return !s.State().carbons.remembers(hash) })
	}
	if mustNotCopy(st) || !isConversation(st) {
		return nil
	}
	return sessions
}

// isConversation reports whether a message is of the kinds that are copied
// (XEP-0280 §6.1).
func isConversation(st *stanza.Stanza) bool {
	switch kind := st.MessageType(); {
	case kind == stanza.TypeGroupchat:
		return false
	case kind == stanza.TypeChat, kind == stanza.TypeNormal && st.Child(stanza.NSClient, "body") != nil:
		return true
	}
	for e := range st.Elements() {
		switch e.Name.Space {
		case "urn:xmpp:receipts", "http://jabber.org/protocol/chatstates", "urn:xmpp:chat-markers:0":
			return true // XEP-0184, XEP-0085, XEP-0333
		case stanza.NSConference:
			return true // XEP-0249
		case stanza.NSMUCUser:
			return isMediated(e) // XEP-0045 §7.8.2
		}
	}
	return false
}

// mustNotCopy reports whether the sender has asked for no copies (XEP-0280 §9,
// XEP-0334 §4.3).
func mustNotCopy(st *stanza.Stanza) bool {
	return st.Child(stanza.NSCarbons, "private") != nil || st.Child(stanza.NSHints, "no-copy") != nil
}

// isMediated reports whether an <x/> of a room brings an invitation, or the
// answer to one.
func isMediated(x *stanza.Element) bool {
	return x.Child(stanza.NSMUCUser, "invite") != nil || x.Child(stanza.NSMUCUser, "decline") != nil
}

// isPrivateFromRoom reports whether a message is a private one of an occupant,
// which the room has given to all the sessions that are in it.
func (r *Router) isPrivateFromRoom(st *stanza.Stanza) bool {
	if st.From.IsBare() || st.Type == stanza.TypeError || r.IsHost(st.From.Domain()) {
		return false
	}
	x := st.Child(stanza.NSMUCUser, "x")
	return x != nil && !isMediated(x)
}

// isPrivateToRoom reports whether a message is a private one to an occupant of a
// room that the sending session is in.
func (r *Router) isPrivateToRoom(st *stanza.Stanza, sender Session) bool {
	if st.To.IsBare() || r.service(st.To.Domain()) == nil || st.Type == stanza.TypeError {
		return false
	}
	return st.Child(stanza.NSMUCUser, "x") != nil || len(sender.State().directedIn(st.To.Bare())) > 0
}

// sharesNick reports whether two sessions have entered a room with the same
// nickname.
func sharesNick(a, b Session, room jid.JID) bool {
	return slices.ContainsFunc(a.State().directedIn(room), b.State().HasDirected)
}

// copyHash identifies a message in a conversation. The peer is known by its bare
// address: an error may come from the account instead of the resource.
func (r *Router) copyHash(peer jid.JID, id string) uint64 {
	if id == "" {
		return 0 // what has no id answers nothing
	}
	return maphash.Comparable(r.sessions.seed, struct {
		peer jid.JID
		id   string
	}{peer.Bare(), id}) | 1
}
