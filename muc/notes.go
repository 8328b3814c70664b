package muc

import (
	"errors"
	"fmt"
	"iter"
	"maps"
	"slices"
	"strings"
	"unicode/utf8"
)

// Limits of what an extension keeps of a room; see Notes.
const (
	MaxNoteKey = 64       // bytes of a key
	MaxNotes   = 16 << 10 // bytes of all keys and values of one extension in one room
)

// Errors of Notes, to be tested with errors.Is.
var (
	// ErrNoteKey says that a key is empty, too long or no text.
	ErrNoteKey = errors.New("a key is text of 1 to 64 bytes")
	// ErrNoteValue says that a value is no text.
	ErrNoteValue = errors.New("a value is text in UTF-8")
	// ErrTooManyNotes says that there is no room for a value.
	ErrTooManyNotes = errors.New("an extension keeps at most 16 KiB of a room; what is larger is for the extension's own store")
)

// noteMark begins the keys of notes among a room's stored settings, of which no
// form variable and no table of another system has it.
const noteMark = "note:"

// Notes is a small store of an extension in each room: texts by key. They are in
// memory while the room is, so reading waits for nothing. What is set is staged
// and commits together with whatever else the event at hand changes: all of it or
// nothing. Of a room that is not persistent they end with the room. They outlive
// the extension, which finds them when it is back.
type Notes struct{ prefix string }

// NewNotes returns the notes of an extension in the rooms that h is of. The name
// tells extensions apart and must stay the same, or they are not found again.
func NewNotes(h *Hooks, extension string) *Notes {
	n := &Notes{prefix: noteMark + extension + "/"}
	if extension == "" || strings.Contains(extension, "/") || slices.Contains(h.notes, n.prefix) {
		panic(fmt.Sprintf("muc: notes of %q: the name is no name, or somebody else's", extension))
	}
	h.notes = append(h.notes, n.prefix)
	return n
}

// Get returns what is kept under a key, as it will be once the event at hand
// takes effect; "" if nothing is.
func (n *Notes) Get(r *Room, key string) string {
	if v, ok := r.staged.notes[n.prefix+key]; ok {
		return v
	}
	if v := r.unknown[n.prefix+key]; len(v) == 1 {
		return v[0]
	}
	return ""
}

// All iterates over keys and values, ordered by key.
func (n *Notes) All(r *Room) iter.Seq2[string, string] {
	keys := make([]string, 0, len(r.unknown))
	for key := range maps.Keys(r.unknown) {
		keys = append(keys, key)
	}
	keys = slices.AppendSeq(keys, maps.Keys(r.staged.notes))
	slices.Sort(keys)
	keys = slices.Compact(keys)
	return func(yield func(key, value string) bool) {
		for _, full := range keys {
			key, ours := strings.CutPrefix(full, n.prefix)
			if value := n.Get(r, key); ours && value != "" && !yield(key, value) {
				return
			}
		}
	}
}

// Set stages a value; "" removes it. It returns ErrNoteKey, ErrNoteValue or
// ErrTooManyNotes, and then nothing is staged.
func (n *Notes) Set(r *Room, key, value string) error {
	switch {
	case key == "" || len(key) > MaxNoteKey || !utf8.ValidString(key):
		return ErrNoteKey
	case !utf8.ValidString(value):
		return ErrNoteValue
	}
	old := n.Get(r, key)
	if old == value {
		return nil
	}
	size := len(key) + len(value)
	for k, v := range n.All(r) {
		if k != key {
			size += len(k) + len(v)
		}
	}
	if value != "" && size > MaxNotes {
		return ErrTooManyNotes
	}
	if r.staged.notes == nil {
		r.staged.notes = make(map[string]string, 1)
	}
	r.staged.notes[n.prefix+key] = value
	return nil
}

// noted is what a room keeps of extensions, and of features that are gone, with
// what a change says.
func (r *Room) noted(ch *change) map[string][]string {
	if len(ch.notes) == 0 {
		return r.unknown
	}
	all := maps.Clone(r.unknown)
	if all == nil {
		all = make(map[string][]string, len(ch.notes))
	}
	for key, value := range ch.notes {
		if all[key] = []string{value}; value == "" {
			delete(all, key)
		}
	}
	return all
}
