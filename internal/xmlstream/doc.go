// Package xmlstream reads the restricted XML of XMPP streams (RFC 6120 §11): a
// resumable Framer cuts a byte stream into header, complete first-level
// elements and close tag, and a Decoder turns one of them into tokens with
// resolved namespaces. Comments, processing instructions, DTDs, unknown
// entities, undeclared prefixes and duplicate attributes are refused; bytes,
// depth, elements and attributes are bounded while reading. AppendText and
// AppendAttr escape what is written. The package knows nothing of XMPP, has no
// goroutines and does no I/O.
package xmlstream

import "fmt"

// Limits bound what a peer may make us hold. A zero field is the default.
type Limits struct {
	MaxBytes int // of one frame: header or first-level element; default 256 KiB
	MaxDepth int // of elements inside a first-level element, itself included; default 64
	// MaxElements bounds the elements of one frame: a tree of empty ones takes
	// thirty times the memory of its text. The default is MaxBytes / 32.
	MaxElements int
}

const (
	defaultMaxBytes = 256 << 10
	defaultMaxDepth = 64
	minElements     = 64
	// maxAttrs bounds the attributes of one element, and its namespace
	// declarations: the search for duplicates is quadratic.
	maxAttrs = 64
	// maxBindings bounds the declarations in scope, all of which are searched
	// for each prefix.
	maxBindings = 256
	// maxOpen bounds the depth of a document that no Framer has seen.
	maxOpen = 256
)

func (l Limits) withDefaults() Limits {
	if l.MaxBytes == 0 {
		l.MaxBytes = defaultMaxBytes
	}
	if l.MaxDepth == 0 {
		l.MaxDepth = defaultMaxDepth
	}
	if l.MaxElements == 0 {
		l.MaxElements = max(l.MaxBytes/32, minElements)
	}
	return l
}

// ErrorKind says which rule an input breaks.
type ErrorKind int

// The kinds of error.
const (
	NotWellFormed       ErrorKind = iota // XML's own rules
	Misplaced                            // text between first-level elements
	Restricted                           // what RFC 6120 §11.1 forbids
	BadPrefix                            // a namespace prefix that is not declared, or wrongly
	UnsupportedEncoding                  // not UTF-8
	TooLarge                             // over Limits
)

// Error is what is wrong with an input. Framer and Decoder return no other
// errors but io.EOF.
type Error struct {
	Kind   ErrorKind
	Detail string
}

// Error returns the detail.
func (e *Error) Error() string { return "xml: " + e.Detail }

func errorf(kind ErrorKind, format string, args ...any) *Error {
	return &Error{kind, fmt.Sprintf(format, args...)}
}
