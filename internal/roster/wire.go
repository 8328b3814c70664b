package roster

import (
	"encoding/binary"
	"slices"
	"strconv"

	"github.com/muster-im/muster/internal/store"
	"github.com/muster-im/muster/jid"
	"github.com/muster-im/muster/stanza"
)

// About how many bytes an item has on the wire, and what is around it in a push.
const itemSize, pushSize = 128, 160

// appendItem appends an item as clients are shown it (RFC 6121 §2.1.2). Lists are
// long, so there are no elements in between.
func appendItem(dst []byte, item *store.RosterItem) []byte {
	dst = stanza.AppendJID(append(dst, "<item jid='"...), item.Contact)
	if !item.InRoster {
		return append(dst, "' subscription='remove'/>"...)
	}
	if item.Name != "" {
		dst = stanza.AppendAttrValue(append(dst, "' name='"...), item.Name)
	}
	dst = stanza.AppendAttrValue(append(dst, "' subscription='"...), string(item.Subscription))
	if item.PendingOut {
		dst = append(dst, "' ask='subscribe"...)
	}
	if item.Approved {
		dst = append(dst, "' approved='true"...)
	}
	if len(item.Groups) == 0 {
		return append(dst, "'/>"...)
	}
	dst = append(dst, "'>"...)
	for _, g := range item.Groups {
		dst = append(stanza.AppendText(append(dst, "<group>"...), g), "</group>"...)
	}
	return append(dst, "</item>"...)
}

// appendShown appends an item as lists have it: one that is not in the roster not at
// all.
func appendShown(dst []byte, item *store.RosterItem) []byte {
	if !item.InRoster {
		return dst
	}
	return appendItem(dst, item)
}

// queryStart is the start tag of what holds items, without its end.
const queryStart = "<query xmlns='" + stanza.NSRoster + "'"

// listOf is the answer to iq with everything that items appends, most items or
// about that many. It also returns the version that this is.
func listOf(iq *stanza.Stanza, most int, items func(dst []byte) (list []byte, v ver)) []*stanza.Encoded {
	w := stanza.NewWritten(1, itemSize*(most+2))
	w.Add(iq.Result(nil), func(dst []byte) []byte {
		dst = append(dst, queryStart...)
		at := len(dst)
		dst, v := items(append(dst, '>'))
		dst = slices.Insert(dst, at, v.appendAttr(nil)...) // nobody knows it before
		return append(dst, "</query>"...)
	})
	return w.Batch()
}

// pushes are what an account's interested sessions are told together.
type pushes struct {
	owner   jid.JID
	written stanza.Written
}

// newPushes returns an empty list with room for n.
func newPushes(owner jid.JID, n int) pushes {
	return pushes{owner: owner, written: stanza.NewWritten(n, n*(itemSize+pushSize))}
}

// add adds the push of an item that is on the wire already. It comes from the
// account itself, which is the one sender that clients accept it from (RFC 6121
// §2.1.6).
func (p *pushes) add(s *Service, item []byte, v ver) {
	var id [32]byte
	st := stanza.Stanza{Kind: stanza.IQ, Type: stanza.TypeSet, From: p.owner}
	st.ID = string(strconv.AppendUint(append(id[:0], "push-"...), s.pushed.Add(1), 36))
	p.written.Add(st, func(dst []byte) []byte {
		dst = append(v.appendAttr(append(dst, queryStart...)), '>')
		dst = append(dst, item...)
		return append(dst, "</query>"...)
	})
}

// digestOf is a number for an item on the wire, which is the same in every run of
// the server.
func digestOf(item []byte) uint64 {
	const offset, prime = 14695981039346656037, 1099511628211
	h := uint64(offset) ^ uint64(len(item))
	for ; len(item) >= 8; item = item[8:] {
		h = (h ^ binary.LittleEndian.Uint64(item)) * prime
		h ^= h >> 29
	}
	for _, b := range item {
		h = (h ^ uint64(b)) * prime
	}
	h ^= h >> 30 // the sum of many must not depend on what they have in common
	h *= 0xbf58476d1ce4e5b9
	h ^= h >> 27
	h *= 0x94d049bb133111eb
	return h ^ h>>31
}
