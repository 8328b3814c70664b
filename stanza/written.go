package stanza

import "github.com/muster-im/muster/jid"

// Written is a batch of stanzas in memory that they share, with children that are
// written instead of built: a long list, or many stanzas at once. What is made of
// them has no Children and is missed by nobody, so it is for answers and pushes.
type Written struct {
	batch []*Encoded
	slab  []Encoded
	data  []byte
}

// slabSize is how many stanzas share memory at most. More at once is no better: large
// pieces of memory are new every time.
const slabSize = 64

// NewWritten returns an empty batch with room for n stanzas of so many bytes in
// all. There may be more.
func NewWritten(n, size int) Written {
	if n > slabSize {
		size = size / n * slabSize
	}
	return Written{batch: make([]*Encoded, 0, n), slab: make([]Encoded, 0, min(n, slabSize)), data: make([]byte, 0, size)}
}

// Add appends st, for delivery to one or many recipients. children appends what is
// in it to the bytes that it is given, which it must not change; the default
// namespace in scope is NSClient.
func (w *Written) Add(st Stanza, children func(dst []byte) []byte) {
	st.Receipt, st.Children = nil, nil
	if len(w.slab) == cap(w.slab) { // those before stay where they are
		w.slab = make([]Encoded, 0, min(max(1, len(w.batch)), slabSize))
		w.data = make([]byte, 0, cap(w.data))
	}
	from := len(w.data)
	data := append(appendStart(w.data, &st), " to='"...)
	cut := len(data)
	data = children(append(data, "'>"...))
	data = append(append(append(data, "</"...), st.Kind.String()...), '>')
	w.data = data
	w.slab = append(w.slab, Encoded{Stanza: st, head: data[from:cut:cut], tail: data[cut:len(data):len(data)], needless: true})
	w.batch = append(w.batch, &w.slab[len(w.slab)-1])
}

// Batch returns the stanzas in the order in which they were added.
func (w *Written) Batch() []*Encoded { return w.batch }

// AppendJID appends an address escaped for an attribute in single quotes.
func AppendJID(dst []byte, j jid.JID) []byte { return appendJID(dst, j) }
