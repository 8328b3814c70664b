package stanza

import "github.com/muster-im/muster/internal/xmlstream"

// AppendText appends s escaped as character data.
func AppendText(dst []byte, s string) []byte { return xmlstream.AppendText(dst, s) }

// AppendAttrValue appends s escaped for an attribute in single quotes.
func AppendAttrValue(dst []byte, s string) []byte { return xmlstream.AppendAttr(dst, s) }

// EscapeAttr returns s escaped for an attribute in single quotes.
func EscapeAttr(s string) string { return string(AppendAttrValue(nil, s)) }
