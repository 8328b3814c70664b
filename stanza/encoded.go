package stanza

import (
	"bytes"
	"sync"
	"sync/atomic"
	"time"

	"github.com/muster-im/muster/jid"
)

// Encoded is a stanza serialised once for any number of recipients: everything
// but the value of its to attribute. It is immutable and may be shared by all
// goroutines.
type Encoded struct {
	Stanza     Stanza // what was encoded; To is what Encode was given
	head, tail []byte // `<message … to='` and `'>…</message>`
	whole      []byte // instead: with its own to
	delayed    bool   // Stanza ends with the <delay/> of who kept it
	needless   bool   // a copy that nobody misses
	share      *share // nil: whoever is given it is the only one
}

// share is what the sessions of one account have in common that were given the
// same message.
type share struct {
	left    atomic.Int32 // sessions that have not lost it
	message *Encoded     // as it was addressed
}

// Encode serialises st for delivery to one or many recipients.
func Encode(st Stanza) *Encoded {
	st.Receipt = nil // what is encoded is new
	e := &Encoded{Stanza: st}
	scratch := takeScratch()
	data, cut := appendOpen(*scratch, &st)
	all := bytes.Clone(data)
	e.head, e.tail = all[:cut:cut], all[cut:]
	giveScratch(scratch, data)
	return e
}

// EncodeAddressed serialises st with the address that it has: a stanza to an
// account reaches the account's sessions as it was sent.
func EncodeAddressed(st Stanza) *Encoded {
	st.Receipt = nil
	scratch := takeScratch()
	data := st.AppendXML(*scratch)
	e := &Encoded{Stanza: st, whole: bytes.Clone(data)}
	giveScratch(scratch, data)
	return e
}

// scratches are buffers to write a stanza into whose length is not known yet.
var scratches = sync.Pool{New: func() any { return new([]byte) }} //nolint:gochecknoglobals // scratch memory, not state

func takeScratch() *[]byte { return scratches.Get().(*[]byte) } //nolint:errcheck,forcetypeassert // only []byte are in it

// giveScratch gives back a buffer that has grown to what data is in.
func giveScratch(scratch *[]byte, data []byte) {
	const maxKept = 16 << 10 // one huge stanza must not be remembered
	if cap(data) > maxKept {
		return
	}
	*scratch = data[:0]
	scratches.Put(scratch)
}

// EncodeDelayed serialises st, as EncodeAddressed does, with the time since when
// by has kept it (XEP-0203).
func EncodeDelayed(st Stanza, by jid.JID, since time.Time) *Encoded {
	e := EncodeAddressed(st.With(Delay(by, since)))
	e.delayed = true
	return e
}

// EncodeCopy serialises a copy of a message for those who are not given the
// message itself. Of is what they share it with, see SharedBy; nil if nobody
// misses a copy that is lost.
func EncodeCopy(st Stanza, of *Encoded) *Encoded {
	e := Encode(st)
	if of == nil {
		e.needless = true
	} else {
		e.share = of.share
	}
	return e
}

// SharedBy says, before e is delivered to anybody, that n sessions of one
// account are given it or a copy of it: who has one of them has the message.
func (e *Encoded) SharedBy(n int) {
	if n > 1 {
		e.share = &share{message: e}
		e.share.left.Store(int32(n))
	}
}

// Lost says that the session to, which was given e at a time, has ended and that
// nobody knows whether its client ever got it. It returns the message that has
// to find another way now, with the time since when it has been waiting as its
// last child, and false if there is none, because another session was given it
// that has not lost it. A session calls it once for each time it was given e.
func (e *Encoded) Lost(to jid.JID, given time.Time) (Stanza, bool) {
	st, ok := e.Missed(to)
	if ok && !e.origin().delayed {
		st = st.With(Delay(to.DomainOnly(), given))
	}
	return st, ok
}

// Missed is Lost for a session that was not there any more: nothing has waited.
func (e *Encoded) Missed(to jid.JID) (Stanza, bool) {
	if e.needless || e.share != nil && e.share.left.Add(-1) > 0 {
		return Stanza{}, false
	}
	st := e.origin().Stanza
	if st.To.IsZero() {
		st.To = to
	}
	return st, true
}

// origin is the message that e is or is a copy of.
func (e *Encoded) origin() *Encoded {
	if e.share != nil {
		return e.share.message
	}
	return e
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
