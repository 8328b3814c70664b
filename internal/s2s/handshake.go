package s2s

import (
	"crypto/sha1" //nolint:gosec // what XEP-0114 §3 says
	"crypto/subtle"
	"encoding/hex"
	"time"

	"github.com/muster-im/muster/internal/stream"
	"github.com/muster-im/muster/jid"
	"github.com/muster-im/muster/stanza"
)

// nsComponent is the content namespace of a component's stream (XEP-0114 §5).
const nsComponent = "jabber:component:accept"

const (
	negotiationTime = 15 * time.Second // from the connection to a stream that carries stanzas
	queueBytes      = 64 << 20         // that wait to be written: the stanzas of everybody
	defaultStanza   = 256 << 10        // the largest that is accepted
)

// proof is what a component shows that it knows the secret (XEP-0114 §3).
func proof(streamID, secret string) string {
	sum := sha1.Sum([]byte(streamID + secret)) //nolint:gosec // as above
	return hex.EncodeToString(sum[:])
}

// proves compares a proof without telling by its time how much of it is right.
func proves(given, streamID, secret string) bool {
	return subtle.ConstantTimeCompare([]byte(given), []byte(proof(streamID, secret))) == 1
}

func handshakeElement(text string) *stanza.Element {
	e := stanza.NewElement(stanza.NSClient, "handshake")
	if text != "" {
		e.AddText(text)
	}
	return e
}

// checkContent refuses a stream that is not that of a component.
func checkContent(h stream.Header) error {
	if h.Content != nsComponent {
		return &stream.Error{Condition: stream.InvalidNamespace, Text: "Components speak " + nsComponent + " here."}
	}
	return nil
}

// checkStanza applies the rules that hold for a stanza wherever it goes
// (RFC 6120 §8.2.3, RFC 6121 §4.7.1).
func checkStanza(st *stanza.Stanza) *stanza.Error {
	bad := func(text string) *stanza.Error { return stanza.NewError(stanza.Modify, stanza.BadRequest, text) }
	switch {
	case st.Kind == stanza.Presence && !isPresenceType(st.Type):
		return bad("There is no such type of presence.")
	case st.Kind != stanza.IQ:
		return nil
	case st.ID == "":
		return bad("An IQ needs an id.")
	}
	switch st.Type {
	case stanza.TypeResult, stanza.TypeError:
		return nil
	case stanza.TypeGet, stanza.TypeSet:
	default:
		return bad("An IQ is of type get, set, result or error.")
	}
	n := 0
	for range st.Elements() {
		n++
	}
	if n != 1 {
		return bad("A request has exactly one child element.")
	}
	return nil
}

func isPresenceType(t stanza.Type) bool {
	switch t {
	case "", stanza.TypeUnavailable, stanza.TypeSubscribe, stanza.TypeSubscribed, stanza.TypeUnsubscribe,
		stanza.TypeUnsubscribed, stanza.TypeProbe, stanza.TypeError:
		return true
	}
	return false
}

// isFarewell reports whether a stanza tells somebody that he is in a room no
// more (XEP-0045 §7.14).
func isFarewell(st *stanza.Stanza) bool {
	if st.Kind != stanza.Presence || st.Type != stanza.TypeUnavailable {
		return false
	}
	x := st.Child(stanza.NSMUCUser, "x")
	if x == nil {
		return false
	}
	for c := range x.Elements() {
		if c.Name.Local == "status" && c.Attr("code") == "110" {
			return true
		}
	}
	return false
}

// ends reports whether a stanza says that its sender is gone, or comes back
// because he is not there.
func ends(st *stanza.Stanza) bool {
	return st.Type == stanza.TypeError || st.Kind == stanza.Presence && st.Type == stanza.TypeUnavailable
}

// domainOf is an address of a whole domain.
func domainOf(domain string) (jid.JID, error) { return jid.New("", domain, "") }
