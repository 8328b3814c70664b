package stanza_test

import (
	"encoding/xml"
	"errors"
	"io"
	"math"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/muster-im/muster/internal/xmlstream"
	"github.com/muster-im/muster/jid"
	"github.com/muster-im/muster/stanza"
)

// groupchat is a message of 312 bytes as clients send it.
const groupchat = `<message to='coven@conference.example.org' type='groupchat' id='purple-1234-abcd' xml:lang='en'>` +
	`<body>Harpier cries: 'tis time, 'tis time. Double, double toil and trouble; fire burn</body>` +
	`<active xmlns='http://jabber.org/protocol/chatstates'/><origin-id xmlns='urn:xmpp:sid:0' id='purple-1234-abcd'/></message>`

const header = "<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' xml:lang='de' to='example.org' version='1.0'>"

// open returns a framer and the scope behind a stream's header.
func open(tb testing.TB, head string) (*xmlstream.Framer, *stanza.Scope) {
	tb.Helper()
	f := xmlstream.NewFramer(xmlstream.Limits{})
	frame, _, err := f.Next([]byte(head))
	if err != nil {
		tb.Fatal(err)
	}
	_, scope, err := stanza.ParseHeader(frame)
	if err != nil {
		tb.Fatal(err)
	}
	return f, scope
}

func parse(tb testing.TB, text string) stanza.Stanza {
	tb.Helper()
	st, err := stanza.Parse([]byte(text))
	if err != nil {
		tb.Fatalf("%s: %v", text, err)
	}
	return st
}

func TestHeader(t *testing.T) {
	t.Parallel()
	_, scope := open(t, header)
	if scope.Lang != "de" || scope.Content != stanza.NSClient {
		t.Errorf("got %+v", scope)
	}
}

func TestRoundTrip(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		groupchat,
		`<presence/>`,
		`<presence type='unavailable' from='a@b/c'><status>gone &lt;&amp; away</status></presence>`,
		`<iq type='get' id='1'><query xmlns='jabber:iq:roster' ver=''/></iq>`,
		`<message><html xmlns='http://jabber.org/protocol/xhtml-im'><body xmlns='http://www.w3.org/1999/xhtml'>a<b>b</b>c</body></html></message>`,
		`<message><x xmlns='u' xmlns:n0='v' n0:a='1' b='&apos;&#10;&lt;'><y xmlns=''><z/></y></x></message>`,
		`<message to='b@x.org/&lt;&apos;&amp;&gt;"'><body>]]&gt;</body></message>`,
		`<message xml:space='preserve'><xml:a xml:b='c'><body/><y xmlns='u'><xml:z><y/></xml:z></y></xml:a></message>`,
		`<message xmlns:xmlns1='u' xmlns:n1='w' n1:n0='1' xmlns1:n1='2' n0='3'><a xmlns='' n1:b='4'/></message>`,
	} {
		st := parse(t, text)
		again := parse(t, string(st.AppendXML(nil)))
		if !reflect.DeepEqual(st, again) {
			t.Errorf("%s\nbecame %s\nof %+v\nwith %+v", text, st.AppendXML(nil), st, again)
		}
	}
}

func TestEncoded(t *testing.T) {
	t.Parallel()
	st := parse(t, groupchat)
	st.From = jid.MustParse("coven@conference.example.org/Third Witch")
	enc := stanza.Encode(st)
	to := jid.MustParse("ohara@example.org/o'phone")
	want := st
	want.To = to
	got := enc.AppendTo(nil, stanza.EscapeAttr(to.String()))
	if again := parse(t, string(got)); !reflect.DeepEqual(again, want) {
		t.Errorf("got %s", got)
	}
	if len(got) != enc.Size()+len(stanza.EscapeAttr(to.String())) {
		t.Errorf("Size is %d of %d bytes", enc.Size(), len(got))
	}
	want.To = jid.JID{}
	if again := parse(t, string(enc.AppendWithoutTo(nil))); !reflect.DeepEqual(again, want) {
		t.Errorf("without to: %s", enc.AppendWithoutTo(nil))
	}
}

func TestForeignContentNamespace(t *testing.T) {
	t.Parallel()
	f, scope := open(t, "<stream:stream xmlns='jabber:component:accept' xmlns:stream='http://etherx.jabber.org/streams'>")
	frame, _, err := f.Next([]byte("<message><body>hi</body></message>"))
	if err != nil {
		t.Fatal(err)
	}
	e, err := stanza.ParseElement(frame, scope)
	if err != nil {
		t.Fatal(err)
	}
	if st, ok, _ := stanza.FromElement(e); !ok || st.Body() != "hi" {
		t.Errorf("got %s", e)
	}
}

func TestMalformedAddress(t *testing.T) {
	t.Parallel()
	e, err := stanza.ParseDocument([]byte(`<message id='7' to='a@@b' from='x.org'/>`))
	if err != nil {
		t.Fatal(err)
	}
	st, ok, malformed := stanza.FromElement(e)
	if !ok || malformed == nil || malformed.Condition != stanza.JIDMalformed || st.ID != "7" || st.From.IsZero() {
		t.Errorf("got %+v, %v, %v", st, ok, malformed)
	}
}

func TestErrorReply(t *testing.T) {
	t.Parallel()
	st := parse(t, `<iq type='set' id='1' from='a@b/c' to='d.org'><q xmlns='u'/></iq>`)
	cause := &stanza.Error{Type: stanza.Cancel, Condition: stanza.Gone, Text: "Moved.", Address: "xmpp:e.org", By: jid.MustParse("d.org")}
	reply, ok := st.ErrorReply(cause)
	if !ok || reply.To != st.From || reply.From != st.To || reply.ID != "1" || reply.Child("u", "q") == nil {
		t.Errorf("got %s", reply.AppendXML(nil))
	}
	if got := reply.ParseError(); !reflect.DeepEqual(got, cause) {
		t.Errorf("got %+v, want %+v", got, cause)
	}
	if _, again := reply.ErrorReply(cause); again {
		t.Error("an error was answered by an error")
	}
	if !errors.Is(cause, stanza.NewError(stanza.Cancel, stanza.Gone, "")) {
		t.Error("errors.Is does not compare type and condition")
	}
}

func TestForm(t *testing.T) {
	t.Parallel()
	form := stanza.NewForm(stanza.FormForm, "urn:test").Add(
		stanza.Field{Type: stanza.FieldFixed, Values: []string{"About"}},
		stanza.Field{Var: "b", Type: stanza.FieldBoolean, Label: "Yes?", Required: true, Values: []string{"true"}},
		stanza.Field{Var: "l", Type: stanza.FieldListMulti, Values: []string{"x", "y"}, Options: []stanza.Option{{Label: "X", Value: "x"}}},
	)
	form.Title, form.Instructions = "T", []string{"one", "two"}
	got, err := stanza.ParseForm(form.Element())
	if err != nil || !reflect.DeepEqual(got, form) {
		t.Errorf("got %+v, %v\nwant %+v", got, err, form)
	}
	if yes, err := got.Field("b").Bool(); !yes || err != nil {
		t.Errorf("Bool: %v, %v", yes, err)
	}
	if _, err := got.Field("l").Bool(); err == nil {
		t.Error("x is no boolean")
	}
	for _, bad := range []string{`<x xmlns='jabber:x:data'/>`, `<x xmlns='jabber:x:data' type='odd'/>`, `<y/>`} {
		e, _ := stanza.ParseDocument([]byte(bad))
		if _, err := stanza.ParseForm(e); err == nil {
			t.Errorf("%s was accepted", bad)
		}
	}
}

func TestPage(t *testing.T) {
	t.Parallel()
	tests := []struct {
		in   string
		want *stanza.Page
	}{
		{`<q/>`, nil},
		{`<q><set xmlns='http://jabber.org/protocol/rsm'><max>5</max><after>a</after></set></q>`, &stanza.Page{Max: 5, Index: -1, After: "a"}},
		{`<q><set xmlns='http://jabber.org/protocol/rsm'><before/></set></q>`, &stanza.Page{Max: -1, Index: -1, Last: true}},
		{`<q><set xmlns='http://jabber.org/protocol/rsm'><max>0</max><index>3</index></set></q>`, &stanza.Page{Max: 0, Index: 3}},
	}
	for _, test := range tests {
		e, _ := stanza.ParseDocument([]byte(test.in))
		if got, err := stanza.ParsePage(e); err != nil || !reflect.DeepEqual(got, test.want) {
			t.Errorf("%s: got %+v, %v", test.in, got, err)
		}
	}
	e, _ := stanza.ParseDocument([]byte(`<q><set xmlns='http://jabber.org/protocol/rsm'><max>-1</max></set></q>`))
	if _, err := stanza.ParsePage(e); err == nil {
		t.Error("a negative page was accepted")
	}
}

func TestTimes(t *testing.T) {
	t.Parallel()
	want := time.Date(2002, 9, 10, 23, 8, 25, 120e6, time.UTC)
	for _, s := range []string{"2002-09-10T23:08:25.12Z", "2002-09-11T01:08:25.120+02:00"} {
		if got, err := stanza.ParseTime(s); err != nil || !got.Equal(want) {
			t.Errorf("%s: %v, %v", s, got, err)
		}
	}
	if got := stanza.FormatTime(want.In(time.FixedZone("", 3600))); got != "2002-09-10T23:08:25.12Z" {
		t.Errorf("formatted %s", got)
	}
	if _, err := stanza.ParseTime("20020910T23:08:25"); err == nil {
		t.Error("the old format was accepted")
	}
}

// TestParseAllocations guards what docs/performance.md says.
func TestParseAllocations(t *testing.T) {
	_, scope := open(t, header)
	f := xmlstream.NewFramer(xmlstream.Limits{})
	_, _, _ = f.Next([]byte(header))
	data := []byte(groupchat)
	allocs := math.Inf(1) // the least of many runs: the race detector empties pools now and then
	for range 50 {
		allocs = min(allocs, testing.AllocsPerRun(1, func() {
			frame, _, _ := f.Next(data)
			if _, err := stanza.ParseElement(frame, scope); err != nil {
				t.Fatal(err)
			}
		}))
	}
	if allocs > 5 {
		t.Errorf("parsing a groupchat message: %v allocations, want at most 5", allocs)
	}
}

func TestDeliveryAllocatesNothing(t *testing.T) {
	enc := stanza.Encode(parse(t, groupchat))
	buf := make([]byte, 0, 1024)
	if allocs := testing.AllocsPerRun(100, func() { buf = enc.AppendTo(buf[:0], "a@b/c") }); allocs != 0 {
		t.Errorf("%v allocations per recipient, want 0", allocs)
	}
}

// TestEncodeAllocations: what is sent is written into scratch memory and takes
// what it needs.
func TestEncodeAllocations(t *testing.T) {
	st := parse(t, groupchat)
	for name, encode := range map[string]func(stanza.Stanza) *stanza.Encoded{"one": stanza.EncodeAddressed, "many": stanza.Encode} {
		allocs := math.Inf(1) // the least of many runs, as above
		for range 100 {
			allocs = min(allocs, testing.AllocsPerRun(1, func() { encode(st) }))
		}
		if allocs > 2 {
			t.Errorf("%s: %v allocations to encode, want 2: the stanza and its bytes", name, allocs)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(groupchat))
	f.Add([]byte("<iq xmlns:a='b' a:c='d'><a:e xmlns=''/>\r\n</iq>"))
	f.Fuzz(func(t *testing.T, data []byte) {
		e, err := stanza.ParseDocument(data)
		if err != nil {
			return
		}
		text := e.AppendXML(nil, "")
		again, err := stanza.ParseDocument(text)
		if err != nil || !reflect.DeepEqual(joined(e), joined(again)) {
			t.Errorf("%q\nwas written as %q\n%v", data, text, err)
		}
	})
}

// joined joins neighbouring texts: where CDATA divides them makes no
// difference to anybody.
func joined(e *stanza.Element) *stanza.Element {
	c := &stanza.Element{Name: e.Name}
	if len(e.Attrs) > 0 {
		c.Attrs = e.Attrs
	}
	for _, n := range e.Children {
		last := len(c.Children) - 1
		switch {
		case n.Element != nil:
			c.Children = append(c.Children, stanza.Node{Element: joined(n.Element)})
		case last >= 0 && c.Children[last].Element == nil:
			c.Children[last].Text += n.Text
		case n.Text != "":
			c.Children = append(c.Children, stanza.Node{Text: n.Text})
		}
	}
	return c
}

func BenchmarkParse(b *testing.B) {
	f, scope := open(b, header)
	data := []byte(groupchat)
	b.Run("muster", func(b *testing.B) {
		b.SetBytes(int64(len(data)))
		b.ReportAllocs()
		for b.Loop() {
			frame, _, _ := f.Next(data)
			if _, err := stanza.ParseElement(frame, scope); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("encoding-xml", func(b *testing.B) {
		b.SetBytes(int64(len(data)))
		b.ReportAllocs()
		for b.Loop() {
			if _, err := oracleTree(groupchat); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// oracleTree builds the same tree with encoding/xml.
func oracleTree(text string) (*stanza.Element, error) {
	d := xml.NewDecoder(strings.NewReader(text))
	var stack []*stanza.Element
	var root *stanza.Element
	for {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			return root, nil
		}
		if err != nil {
			return nil, err
		}
		switch t := token.(type) {
		case xml.StartElement:
			e := &stanza.Element{Name: stanza.Name{Space: t.Name.Space, Local: t.Name.Local}}
			for _, a := range t.Attr {
				e.Attrs = append(e.Attrs, stanza.Attr{Name: stanza.Name{Space: a.Name.Space, Local: a.Name.Local}, Value: a.Value})
			}
			if len(stack) > 0 {
				stack[len(stack)-1].Add(e)
			} else {
				root = e
			}
			stack = append(stack, e)
		case xml.CharData:
			if len(stack) > 0 {
				stack[len(stack)-1].AddText(string(t))
			}
		case xml.EndElement:
			stack = stack[:len(stack)-1]
		}
	}
}

func BenchmarkEncode(b *testing.B) {
	st := parse(b, groupchat)
	b.Run("whole", func(b *testing.B) {
		b.ReportAllocs()
		buf := make([]byte, 0, 1024)
		for b.Loop() {
			buf = st.AppendXML(buf[:0])
		}
	})
	b.Run("addressed", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			stanza.EncodeAddressed(st)
		}
	})
	b.Run("recipient", func(b *testing.B) {
		b.ReportAllocs()
		enc := stanza.Encode(st)
		buf := make([]byte, 0, 1024)
		for b.Loop() {
			buf = enc.AppendTo(buf[:0], "juliet@example.org/balcony")
		}
	})
}
