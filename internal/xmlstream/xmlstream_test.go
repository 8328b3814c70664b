package xmlstream_test

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/muster-im/muster/internal/xmlstream"
)

const header = "<?xml version='1.0'?><stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>"

// decode runs a frame through a Decoder and returns its tokens as text.
func decode(frame string, outer []xmlstream.Binding, head bool) (string, error) {
	var d xmlstream.Decoder
	d.Reset(frame, outer, head)
	var b strings.Builder
	for {
		t, err := d.Next()
		switch {
		case errors.Is(err, io.EOF):
			return b.String(), nil
		case err != nil:
			return b.String(), err
		}
		switch t.Kind {
		case xmlstream.Start:
			fmt.Fprintf(&b, "<{%s}%s", t.Space, t.Local)
			for _, a := range d.Attrs() {
				fmt.Fprintf(&b, " {%s}%s=%q", a.Space, a.Local, a.Value)
			}
			b.WriteString(">")
		case xmlstream.Text:
			fmt.Fprintf(&b, "%q", t.Text)
		case xmlstream.End:
			b.WriteString("</>")
		}
	}
}

// readAll frames and decodes a stream that arrives in pieces of size bytes.
func readAll(stream string, size int, limits xmlstream.Limits) ([]string, error) {
	f := xmlstream.NewFramer(limits)
	var outer []xmlstream.Binding
	var got []string
	for rest := []byte(stream); len(rest) > 0; {
		piece := rest[:min(size, len(rest))]
		rest = rest[len(piece):]
		for len(piece) > 0 {
			frame, n, err := f.Next(piece)
			if err != nil {
				return got, err
			}
			piece = piece[n:]
			switch frame.Kind {
			case xmlstream.FrameNone:
				continue
			case xmlstream.FrameClose:
				got = append(got, "close")
				continue
			}
			text, err := decode(string(frame.Data), outer, frame.Kind == xmlstream.FrameHeader)
			if err != nil {
				return got, err
			}
			if frame.Kind == xmlstream.FrameHeader {
				outer = []xmlstream.Binding{{Prefix: "", URI: "jabber:client"}, {Prefix: "stream", URI: "http://etherx.jabber.org/streams"}}
			}
			got = append(got, text)
		}
	}
	if f.Partial() {
		got = append(got, "partial")
	}
	return got, nil
}

func kindOf(err error) any {
	if e, ok := errors.AsType[*xmlstream.Error](err); ok {
		return e.Kind
	}
	return err
}

// TestVerdicts holds what must be refused, and why, and what must not.
func TestVerdicts(t *testing.T) {
	t.Parallel()
	const ok = xmlstream.ErrorKind(-1)
	tests := []struct {
		name, in string
		want     xmlstream.ErrorKind
	}{
		{"plain", "<a>x</a>", ok},
		{"both quotes", `<a b="1" c='2'/>`, ok},
		{"greater-than in a value", "<a b='>'>></a>", ok},
		{"CDATA", "<a><![CDATA[<b>]]]]></a>", ok},
		{"predefined entities", "<a b='&lt;&gt;&amp;&apos;&quot;'>&lt;</a>", ok},
		{"character references", "<a>&#65;&#x1F319;&#13;</a>", ok},
		{"xml prefix", "<a xml:lang='en'/>", ok},
		{"xml prefix declared as it is", "<a xmlns:xml='http://www.w3.org/XML/1998/namespace'/>", ok},
		{"unbinding the default namespace", "<a xmlns=''/>", ok},
		{"name beyond ASCII", "<\u00E4\u4E2D/>", ok},
		{"space around =", "<a b = '1' />", ok},
		{"space in an end tag", "<a></a >", ok},
		{"comment", "<a><!-- x --></a>", xmlstream.Restricted},
		{"comment at top", "<!-- x --><a/>", xmlstream.Restricted},
		{"processing instruction", "<a><?php ?></a>", xmlstream.Restricted},
		{"document type", "<!DOCTYPE a><a/>", xmlstream.Restricted},
		{"second XML declaration", "<?xml version='1.0'?><a/>", xmlstream.Restricted},
		{"unknown entity", "<a>&nbsp;</a>", xmlstream.Restricted},
		{"CDATA at top", "<![CDATA[x]]>", xmlstream.Restricted},
		{"undeclared element prefix", "<p:a/>", xmlstream.BadPrefix},
		{"undeclared attribute prefix", "<a p:b='1'/>", xmlstream.BadPrefix},
		{"prefix out of scope", "<a><b xmlns:p='u'/><p:c/></a>", xmlstream.BadPrefix},
		{"prefix bound to nothing", "<a xmlns:p=''/>", xmlstream.BadPrefix},
		{"xml rebound", "<a xmlns:xml='u'/>", xmlstream.BadPrefix},
		{"xmlns declared", "<a xmlns:xmlns='u'/>", xmlstream.BadPrefix},
		{"xmlns namespace bound", "<a xmlns:p='http://www.w3.org/2000/xmlns/'/>", xmlstream.BadPrefix},
		{"xml namespace bound", "<a xmlns='http://www.w3.org/XML/1998/namespace'/>", xmlstream.BadPrefix},
		{"duplicate attribute", "<a b='1' b='2'/>", xmlstream.NotWellFormed},
		{"duplicate by two prefixes", "<a xmlns:p='u' xmlns:q='u' p:b='1' q:b='2'/>", xmlstream.NotWellFormed},
		{"duplicate declaration", "<a xmlns='u' xmlns='v'/>", xmlstream.NotWellFormed},
		{"no space between attributes", "<a b='1'c='2'/>", xmlstream.NotWellFormed},
		{"unquoted value", "<a b=1/>", xmlstream.NotWellFormed},
		{"no value", "<a b/>", xmlstream.NotWellFormed},
		{"less-than in a value", "<a b='<'/>", xmlstream.NotWellFormed},
		{"less-than in a tag", "<a <b/>", xmlstream.NotWellFormed},
		{"mismatched end tag", "<a><b></a></b>", xmlstream.NotWellFormed},
		{"name that begins with a digit", "<1a/>", xmlstream.NotWellFormed},
		{"name that begins with a colon", "<:a/>", xmlstream.NotWellFormed},
		{"name that ends with a colon", "<a: />", xmlstream.NotWellFormed},
		{"two colons", "<a:b:c xmlns:a='u'/>", xmlstream.NotWellFormed},
		{"times sign in a name", "<a\u00D7/>", xmlstream.NotWellFormed},
		{"bare ampersand", "<a>a & b</a>", xmlstream.NotWellFormed},
		{"reference to a surrogate", "<a>&#xD800;</a>", xmlstream.NotWellFormed},
		{"reference to NUL", "<a>&#0;</a>", xmlstream.NotWellFormed},
		{"reference beyond Unicode", "<a>&#x110000;</a>", xmlstream.NotWellFormed},
		{"signed reference", "<a>&#+65;</a>", xmlstream.NotWellFormed},
		{"control character", "<a>\x01</a>", xmlstream.NotWellFormed},
		{"control character in a value", "<a b='\x1F'/>", xmlstream.NotWellFormed},
		{"U+FFFE in text", "<a>\uFFFE</a>", xmlstream.NotWellFormed},
		{"U+FFFF in a value", "<a b='\uFFFF'/>", xmlstream.NotWellFormed},
		{"U+FFFE in CDATA", "<a><![CDATA[\uFFFE]]></a>", xmlstream.NotWellFormed},
		{"end of CDATA in text", "<a>]]></a>", xmlstream.NotWellFormed},
		{"end of CDATA in text with a reference", "<a>&lt;]]></a>", xmlstream.NotWellFormed},
		{"broken UTF-8", "<a>\xC3</a>", xmlstream.UnsupportedEncoding},
		{"surrogate in UTF-8", "<a>\xED\xA0\x80</a>", xmlstream.UnsupportedEncoding},
		{"text between elements", "x<a/>", xmlstream.Misplaced},
		{"slash in a tag", "<a / b='1'>", xmlstream.NotWellFormed},
		{"too many attributes", "<a" + manyAttrs(65) + "/>", xmlstream.TooLarge},
		{"too deep", strings.Repeat("<a>", 65) + strings.Repeat("</a>", 65), xmlstream.TooLarge},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			got, err := readAll(header+test.in, 1<<20, xmlstream.Limits{})
			switch {
			case test.want == ok && (err != nil || len(got) != 2):
				t.Errorf("%.200q: got %q, %v, want it accepted", test.in, got, err)
			case test.want != ok && kindOf(err) != test.want:
				t.Errorf("%.200q: got %q, %v, want an error of kind %d", test.in, got, err, test.want)
			}
		})
	}
}

func manyAttrs(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, " a%d='1'", i)
	}
	return b.String()
}

func TestDeclarations(t *testing.T) {
	t.Parallel()
	const ok = xmlstream.ErrorKind(-1)
	tests := []struct {
		in   string
		want xmlstream.ErrorKind
	}{
		{"", ok},
		{"<?xml version='1.0'?>", ok},
		{"<?xml version=\"1.0\" encoding='utf-8' standalone='yes' ?>\n", ok},
		{"<?xml version='1.1'?>", xmlstream.NotWellFormed},
		{"<?xml encoding='UTF-8'?>", xmlstream.NotWellFormed},
		{"<?xml version='1.0' encoding='ISO-8859-1'?>", xmlstream.UnsupportedEncoding},
		{"<?xml-stylesheet?>", xmlstream.Restricted},
		{"<?php echo?>", xmlstream.Restricted},
		{"<?xml version='1.0'" + strings.Repeat(" ", 300), xmlstream.TooLarge},
		{"\xEF\xBB\xBF", xmlstream.NotWellFormed}, // RFC 6120 §11.6: no byte order mark, but a character
		{"\xFF\xFE<\x00", xmlstream.UnsupportedEncoding},
		{"\xFE\xFF\x00<", xmlstream.UnsupportedEncoding},
		{"\xE4", xmlstream.NotWellFormed},
	}
	for _, test := range tests {
		_, err := readAll(test.in+"<s xmlns='u'>", 3, xmlstream.Limits{})
		if test.want == ok && err != nil || test.want != ok && kindOf(err) != test.want {
			t.Errorf("%.60q: got %v, want kind %d", test.in, err, test.want)
		}
	}
}

const sample = header + " \n<message to='a' b=\"&lt;\r\n\"><body>1 &lt; 2\r\n\u00E4</body><x xmlns='u' xmlns:p='v' p:q='r'/></message>\n" +
	"<presence/> <iq><q xmlns='u'><![CDATA[]] ]]>y<![CDATA[<]]></q></iq></stream:stream>\n"

func TestPiecesMakeNoDifference(t *testing.T) {
	t.Parallel()
	want, err := readAll(sample, len(sample), xmlstream.Limits{})
	if err != nil || len(want) != 5 {
		t.Fatalf("got %q, %v", want, err)
	}
	if w := `<{jabber:client}message {}to="a" {}b="< "><{jabber:client}body>"1 < 2\nä"</><{u}x {v}q="r"></></>`; want[1] != w {
		t.Errorf("got %s\nwant %s", want[1], w)
	}
	for _, size := range []int{1, 2, 3, 7, 13, 64, 1399, 1400} {
		got, err := readAll(sample, size, xmlstream.Limits{})
		if err != nil || strings.Join(got, "\n") != strings.Join(want, "\n") {
			t.Errorf("in pieces of %d: %v\ngot  %q\nwant %q", size, err, got, want)
		}
	}
}

func TestLimitsHoldWhileReading(t *testing.T) {
	t.Parallel()
	limits := xmlstream.Limits{MaxBytes: 1000}
	for name, endless := range map[string]string{
		"a first tag": "<stream", "an attribute": header + "<a b='", "text": header + "<a>", "a tag": header + "<a ",
	} {
		f := xmlstream.NewFramer(limits)
		data := []byte(endless)
		var err error
		for i := 0; i < 100 && err == nil; i++ {
			for len(data) > 0 && err == nil {
				var n int
				_, n, err = f.Next(data)
				data = data[n:]
			}
			data = bytes.Repeat([]byte("x"), 100)
		}
		if kindOf(err) != xmlstream.TooLarge {
			t.Errorf("%s that never ends: got %v, want TooLarge", name, err)
		}
	}
}

func TestWhiteSpaceCostsNothing(t *testing.T) {
	f := xmlstream.NewFramer(xmlstream.Limits{MaxBytes: 1000})
	_, _, _ = f.Next([]byte(header))
	space := bytes.Repeat([]byte(" \n"), 1<<15)
	allocs := testing.AllocsPerRun(100, func() {
		if _, n, err := f.Next(space); err != nil || n != len(space) {
			t.Fatalf("consumed %d, %v", n, err)
		}
	})
	if allocs != 0 || f.Partial() {
		t.Errorf("white space between elements: %v allocations", allocs)
	}
}

// oracle returns what encoding/xml makes of a document, in decode's notation.
func oracle(doc string) (string, error) {
	d := xml.NewDecoder(strings.NewReader(doc))
	var b strings.Builder
	for {
		t, err := d.Token()
		switch {
		case errors.Is(err, io.EOF):
			return b.String(), nil
		case err != nil:
			return "", err
		}
		switch t := t.(type) {
		case xml.StartElement:
			fmt.Fprintf(&b, "<{%s}%s", t.Name.Space, t.Name.Local)
			for _, a := range t.Attr {
				if a.Name.Space != "xmlns" && a.Name != (xml.Name{Local: "xmlns"}) {
					fmt.Fprintf(&b, " {%s}%s=%q", a.Name.Space, a.Name.Local, a.Value)
				}
			}
			b.WriteString(">")
		case xml.CharData:
			if len(t) > 0 {
				fmt.Fprintf(&b, "%q", string(t))
			}
		case xml.EndElement:
			b.WriteString("</>")
		}
	}
}

// FuzzDecoder compares with encoding/xml: what we accept, it accepts and
// understands alike. It is laxer, so the reverse does not hold; and it neither
// normalises white space in values nor joins character data as we do.
func FuzzDecoder(f *testing.F) {
	for _, s := range []string{
		"<a xmlns='u'><b c='1'/>x</a>", "<a>&lt;&#65;</a>", "<p:a xmlns:p='u' p:b='c'/>", "<a><![CDATA[x]]>y</a>", "<a b='\r\n'>\r</a>",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, doc string) {
		framer := xmlstream.NewFramer(xmlstream.Limits{})
		_, _, _ = framer.Next([]byte("<s>"))
		frame, n, err := framer.Next([]byte(doc))
		got, derr := decode(doc, nil, false)
		if derr != nil {
			return
		}
		if trimmed := strings.Trim(doc, " \t\r\n"); trimmed == doc && doc != "" && (err != nil || frame.Kind != xmlstream.FrameElement || n != len(doc)) {
			t.Errorf("%q: the decoder accepts it, the framer says %v, %d, %v", doc, frame.Kind, n, err)
		}
		want, oerr := oracle(doc)
		if oerr != nil {
			t.Errorf("%q: accepted as %s, encoding/xml says %v", doc, got, oerr)
			return
		}
		if !strings.ContainsAny(doc, "\t\r\n[") && got != want {
			t.Errorf("%q:\ngot  %s\nwant %s", doc, got, want)
		}
	})
}

// FuzzFramer looks for panics, frames that pieces change, and limits that do
// not hold.
func FuzzFramer(f *testing.F) {
	f.Add(sample, 3)
	f.Add(header+"<a><!--", 1)
	f.Add("<?xml version='1.0'?", 2)
	f.Fuzz(func(t *testing.T, stream string, size int) {
		limits := xmlstream.Limits{MaxBytes: 200, MaxDepth: 5}
		whole, errWhole := readAll(stream, max(len(stream), 1), limits)
		pieces, errPieces := readAll(stream, max(size, 1)%50+1, limits)
		if (errWhole == nil) != (errPieces == nil) && kindOf(errWhole) != xmlstream.TooLarge && kindOf(errPieces) != xmlstream.TooLarge {
			t.Errorf("%q: whole %v, in pieces %v", stream, errWhole, errPieces)
		}
		if errWhole == nil && errPieces == nil && strings.Join(whole, "\n") != strings.Join(pieces, "\n") {
			t.Errorf("%q: whole %q, in pieces %q", stream, whole, pieces)
		}
	})
}
