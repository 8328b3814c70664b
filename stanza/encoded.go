package stanza

// Encoded is a stanza serialised once for any number of recipients: everything
// but the value of its to attribute. It is immutable and may be shared by all
// goroutines.
type Encoded struct {
	Stanza     Stanza // what was encoded; To is what Encode was given
	head, tail []byte // `<message … to='` and `'>…</message>`
	whole      []byte // instead: with its own to
}

// Encode serialises st for delivery to one or many recipients.
func Encode(st Stanza) *Encoded {
	e := &Encoded{Stanza: st}
	e.head, e.tail = appendParts(nil, st)
	return e
}

// EncodeAddressed serialises st with the address that it has: a stanza to an
// account reaches the account's sessions as it was sent.
func EncodeAddressed(st Stanza) *Encoded {
	return &Encoded{Stanza: st, whole: st.AppendXML(nil)}
}

// AppendTo appends the stanza addressed to to, which must be escaped for an
// attribute already (see EscapeAttr). What EncodeAddressed made keeps its own
// address.
func (e *Encoded) AppendTo(dst []byte, to string) []byte {
	if e.whole != nil {
		return append(dst, e.whole...)
	}
	dst = append(dst, e.head...)
	dst = append(dst, to...)
	return append(dst, e.tail...)
}

// AppendWithoutTo appends the stanza without a to attribute; only for what
// Encode made.
func (e *Encoded) AppendWithoutTo(dst []byte) []byte {
	dst = append(dst, e.head[:len(e.head)-len(" to='")]...)
	return append(dst, e.tail[1:]...)
}

// Size is the number of bytes that AppendTo adds besides those of to.
func (e *Encoded) Size() int { return len(e.head) + len(e.tail) + len(e.whole) }

// Target takes the stanzas of one full JID. Deliver queues batch in order and
// never waits; a target that is gone or too slow drops them, counts why and
// ends itself. batch is not kept, its elements may be. It is safe for
// concurrent use.
type Target interface {
	Deliver(batch []*Encoded)
}
