package stream

import (
	"bytes"
	"strconv"
)

// Directions of what Options.Trace is told.
const (
	Received = "received"
	Sent     = "sent"
)

// plainText are the elements whose text Mask leaves: words of protocols that
// people do not choose, and what tells sessions apart.
var plainText = map[string]bool{ //nolint:gochecknoglobals // a table
	"mechanism": true, "method": true, "priority": true, "resource": true, "jid": true, "show": true,
}

// Mask appends XML to dst with its text left out: only names, attributes and
// the lengths of texts stay. So passwords, the data of SASL and what people
// write to each other are not in it, whatever element they are in. data is
// whole elements, headers or end tags; a torn end is left out.
func Mask(dst, data []byte) []byte {
	name := ""
	for len(data) > 0 {
		if data[0] != '<' {
			n := bytes.IndexByte(data, '<')
			if n < 0 {
				n = len(data)
			}
			dst = maskText(dst, data[:n], plainText[name])
			data = data[n:]
			continue
		}
		if text, ok := bytes.CutPrefix(data, []byte("<![CDATA[")); ok {
			text, rest, _ := bytes.Cut(text, []byte("]]>"))
			dst, data = maskText(dst, text, false), rest
			continue
		}
		n := tagEnd(data)
		if n < 0 {
			return dst
		}
		name = tagName(data[:n])
		dst, data = append(dst, data[:n]...), data[n:]
	}
	return dst
}

func maskText(dst, text []byte, plain bool) []byte {
	if plain || len(bytes.TrimSpace(text)) == 0 {
		return append(dst, text...)
	}
	dst = append(dst, "***"...)
	return append(strconv.AppendInt(dst, int64(len(text)), 10), "***"...)
}

// tagEnd returns the length of the tag that data begins with, -1 if it is torn.
func tagEnd(data []byte) int {
	quote := byte(0)
	for i, c := range data {
		switch {
		case quote != 0:
			if c == quote {
				quote = 0
			}
		case c == '"', c == '\'':
			quote = c
		case c == '>':
			return i + 1
		}
	}
	return -1
}

// tagName is the name in a start tag without its prefix; "" for other tags.
func tagName(tag []byte) string {
	if tag[1] == '/' || tag[1] == '?' || tag[len(tag)-2] == '/' {
		return ""
	}
	name := tag[1 : len(tag)-1]
	if i := bytes.IndexAny(name, " \t\r\n"); i >= 0 {
		name = name[:i]
	}
	return string(name[bytes.IndexByte(name, ':')+1:])
}
