package stanza

import "github.com/muster-im/muster/internal/xmlstream"

// Frames are what ParseHeader and ParseElement read.
type (
	// Frame is one complete piece of a stream.
	Frame = xmlstream.Frame
	// FrameKind says what it is.
	FrameKind = xmlstream.FrameKind
)
