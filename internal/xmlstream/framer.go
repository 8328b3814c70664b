package xmlstream

import "bytes"

// FrameKind tells what a frame is.
type FrameKind uint8

// The kinds of frame.
const (
	FrameNone    FrameKind = iota // no complete frame yet
	FrameHeader                   // the start tag of the root element
	FrameElement                  // a complete first-level element
	FrameClose                    // the end tag of the root element
)

// Frame is one part of a stream. Data is valid until the next call of Next and
// must not be changed. The counts are hints for building a tree.
type Frame struct {
	Kind                   FrameKind
	Data                   []byte
	Elements, Attrs, Texts int
}

type state uint8

const (
	atTop      state = iota // between frames
	afterLT                 // behind '<'
	inStartTag              // in a start tag, outside quotes
	inQuote                 // in an attribute value
	afterSlash              // behind the '/' of an empty-element tag
	inContent               // between the tags inside an element
	inText                  // in character data
	inEndTag                // in an end tag
	inBang                  // behind '<!', in what must become '<![CDATA['
	inCDATA                 // in a CDATA section
	inDecl                  // in the XML declaration
	closed                  // behind the root's end tag
)

const cdataOpen = "[CDATA["

// Framer cuts a byte stream into frames. It keeps its state across calls, so
// that each byte is looked at once however slowly it arrives, and holds memory
// only while a frame is incomplete. It checks just what it needs; a Decoder
// checks the rest. It is not safe for concurrent use.
type Framer struct {
	limits Limits
	state  state
	header bool // the root's start tag has been seen
	begun  bool // it is too late for an XML declaration
	later  bool // not the first stream on its connection
	quote  byte
	match  int // progress in cdataOpen, or in "]]>"
	depth  int // open elements, the root included
	attrs  int // of the tag at hand
	counts Frame
	buf    []byte // the part of the frame that earlier calls brought
	decl   []byte // the XML declaration so far, behind "<?"
	err    error
}

// NewFramer returns a framer for a new stream.
func NewFramer(limits Limits) *Framer { return &Framer{limits: limits.withDefaults()} }

// SetLimits changes the limits from the next byte on.
func (f *Framer) SetLimits(limits Limits) { f.limits = limits.withDefaults() }

// Reset begins a new stream on the same connection. White space before it
// belongs to the old one, from where some clients send a line end.
func (f *Framer) Reset() { *f = Framer{limits: f.limits, later: true} }

// Partial reports whether a frame has begun and is not complete.
func (f *Framer) Partial() bool { return f.state != atTop && f.state != closed }

// Next scans data and returns the first complete frame with the number of bytes
// consumed. With FrameNone all of data has been consumed, and kept as far as
// needed: read more. White space between frames is dropped. After an error,
// which is an *Error, there is nothing more to be had.
func (f *Framer) Next(data []byte) (Frame, int, error) {
	if f.err != nil {
		return Frame{}, 0, f.err
	}
	begin := 0
	for i := 0; i < len(data); {
		if f.state == atTop {
			begin = i + skipSpace(data[i:])
			if begin > i && !f.later {
				f.begun = true
			}
			i = begin
			if i == len(data) {
				break
			}
		}
		next, done, err := f.step(data, i)
		if err == nil && len(f.buf)+next-begin > f.limits.MaxBytes {
			err = errorf(TooLarge, "more than %d bytes", f.limits.MaxBytes)
		}
		if err != nil {
			f.err, f.buf = err, nil
			return Frame{}, i, err
		}
		i = next
		if done != FrameNone {
			return f.finish(done, data[begin:i]), i, nil
		}
		if f.state == atTop { // the XML declaration is over
			f.buf = nil
			begin = i
		}
	}
	if f.Partial() {
		f.buf = append(f.buf, data[begin:]...)
	}
	return Frame{}, len(data), nil
}

func (f *Framer) finish(kind FrameKind, last []byte) Frame {
	frame := f.counts
	frame.Kind, frame.Data = kind, last
	if len(f.buf) > 0 {
		frame.Data = append(f.buf, last...)
		f.buf = nil
	}
	f.counts = Frame{}
	return frame
}

// step scans at least one byte from i on and returns where it stopped; done is
// the frame that ended there.
func (f *Framer) step(data []byte, i int) (next int, done FrameKind, err error) {
	switch f.state {
	case atTop:
		if data[i] != '<' {
			return i, 0, f.textAtTop(data[i])
		}
		f.state = afterLT
		return i + 1, 0, nil
	case afterLT:
		return f.afterLT(data, i)
	case inStartTag:
		return f.startTag(data, i)
	case inQuote:
		if n := bytes.IndexByte(data[i:], f.quote); n >= 0 {
			f.state = inStartTag
			return i + n + 1, 0, nil
		}
		return len(data), 0, nil
	case afterSlash:
		if data[i] != '>' {
			return i, 0, errorf(NotWellFormed, "'/' in a tag")
		}
		done, err = f.endOfStartTag(true)
		return i + 1, done, err
	case inContent:
		if data[i] == '<' {
			f.state = afterLT
			return i + 1, 0, nil
		}
		f.counts.Texts++
		f.state = inText
		fallthrough
	case inText:
		if n := bytes.IndexByte(data[i:], '<'); n >= 0 {
			f.state = afterLT
			return i + n + 1, 0, nil
		}
		return len(data), 0, nil
	case inEndTag:
		if n := bytes.IndexByte(data[i:], '>'); n >= 0 {
			return i + n + 1, f.endOfElement(), nil
		}
		return len(data), 0, nil
	case inBang:
		return f.bang(data, i)
	case inCDATA:
		return f.cdata(data, i), 0, nil
	case inDecl:
		return f.declaration(data, i)
	case closed:
	}
	return len(data), 0, nil
}

// textAtTop is what is wrong with text that begins with c where an element
// should.
func (f *Framer) textAtTop(c byte) error {
	switch {
	case f.header:
		return errorf(Misplaced, "text between elements")
	case c >= 0xF5: // no UTF-8 begins so, but the byte order marks of UTF-16
		return errorf(UnsupportedEncoding, "no valid UTF-8")
	}
	return errorf(NotWellFormed, "text before the root element")
}

func (f *Framer) afterLT(data []byte, i int) (int, FrameKind, error) {
	first := !f.begun
	f.begun = true
	switch data[i] {
	case '/':
		if f.depth == 0 {
			return i, 0, errorf(NotWellFormed, "an end tag without its start tag")
		}
		f.state = inEndTag
		return i + 1, 0, nil
	case '!':
		if f.depth < 2 {
			return i, 0, errorf(Restricted, "comment or document type declaration")
		}
		f.state, f.match = inBang, 0
		return i + 1, 0, nil
	case '?':
		if !first {
			return i, 0, errorf(Restricted, "processing instruction")
		}
		f.state, f.match = inDecl, 0
		return i + 1, 0, nil
	}
	if f.counts.Elements++; f.counts.Elements > f.limits.MaxElements {
		return i, 0, errorf(TooLarge, "more than %d elements", f.limits.MaxElements)
	}
	f.state, f.attrs = inStartTag, 0
	return i, 0, nil
}

func (f *Framer) startTag(data []byte, i int) (int, FrameKind, error) {
	for ; i < len(data); i++ {
		if classes[data[i]]&classMarkup == 0 {
			continue
		}
		switch data[i] {
		case '"', '\'':
			if f.attrs++; f.attrs > 2*maxAttrs { // the Decoder tells them from declarations
				return i, 0, errorf(TooLarge, "more than %d attributes", maxAttrs)
			}
			f.quote, f.state = data[i], inQuote
			f.counts.Attrs++
			return i + 1, 0, nil
		case '/':
			f.state = afterSlash
			return i + 1, 0, nil
		case '>':
			done, err := f.endOfStartTag(false)
			return i + 1, done, err
		case '<':
			return i, 0, errorf(NotWellFormed, "'<' in a tag")
		}
	}
	return i, 0, nil
}

func (f *Framer) endOfStartTag(empty bool) (FrameKind, error) {
	switch {
	case !f.header && empty:
		return 0, errorf(NotWellFormed, "the root element is empty")
	case !f.header:
		f.header, f.depth, f.state = true, 1, atTop
		return FrameHeader, nil
	case f.depth > f.limits.MaxDepth:
		return 0, errorf(TooLarge, "elements nested deeper than %d", f.limits.MaxDepth)
	case !empty:
		f.depth++
		f.state = inContent
		return 0, nil
	case f.depth == 1:
		f.state = atTop
		return FrameElement, nil
	}
	f.state = inContent
	return 0, nil
}

func (f *Framer) endOfElement() FrameKind {
	f.depth--
	switch f.depth {
	case 0:
		f.state = closed
		return FrameClose
	case 1:
		f.state = atTop
		return FrameElement
	}
	f.state = inContent
	return FrameNone
}

func (f *Framer) bang(data []byte, i int) (int, FrameKind, error) {
	for ; i < len(data); i++ {
		if data[i] != cdataOpen[f.match] {
			return i, 0, errorf(Restricted, "comment or declaration")
		}
		if f.match++; f.match == len(cdataOpen) {
			f.state, f.match = inCDATA, 0
			f.counts.Texts++
			return i + 1, 0, nil
		}
	}
	return i, 0, nil
}

// cdata looks for "]]>"; match counts the brackets just seen.
func (f *Framer) cdata(data []byte, i int) int {
	for ; i < len(data); i++ {
		switch {
		case data[i] == ']':
			f.match = min(f.match+1, 2)
		case data[i] == '>' && f.match == 2:
			f.state, f.match = inContent, 0
			return i + 1
		case f.match > 0:
			f.match = 0
		default:
			n := bytes.IndexByte(data[i:], ']')
			if n < 0 {
				return len(data)
			}
			i += n - 1
		}
	}
	return i
}

// declaration collects the XML declaration and checks it.
func (f *Framer) declaration(data []byte, i int) (int, FrameKind, error) {
	for ; i < len(data); i++ {
		f.decl = append(f.decl, data[i])
		if len(f.decl) > maxDeclaration {
			return i, 0, errorf(TooLarge, "XML declaration longer than %d bytes", maxDeclaration)
		}
		if bytes.HasSuffix(f.decl, []byte("?>")) {
			err := checkDeclaration(string(f.decl[:len(f.decl)-2]))
			f.state, f.decl = atTop, nil
			return i + 1, 0, err
		}
	}
	return i, 0, nil
}

// maxDeclaration bounds the XML declaration, of which 54 bytes suffice.
const maxDeclaration = 256

func skipSpace(data []byte) int {
	for i, c := range data {
		if c != ' ' && c != '\n' && c != '\t' && c != '\r' {
			return i
		}
	}
	return len(data)
}
