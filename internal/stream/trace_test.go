package stream

import "testing"

func TestMask(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ name, in, want string }{
		{
			"a message", `<message to='juliet@a.test' id="1"><body>wherefore &lt;art&gt;</body><active xmlns='x'/></message>`,
			`<message to='juliet@a.test' id="1"><body>***21***</body><active xmlns='x'/></message>`,
		},
		{
			"SASL", `<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>AGp1bGlldABzZWNyZXQ=</auth>`,
			`<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>***20***</auth>`,
		},
		{
			"registration", `<iq><query xmlns='jabber:iq:register'><username>bill</username><password>calliope</password></query></iq>`,
			`<iq><query xmlns='jabber:iq:register'><username>***4***</username><password>***8***</password></query></iq>`,
		},
		{"words of protocols", `<iq><bind><resource>phone</resource></bind></iq><presence><show>away</show><s:priority>5</s:priority></presence>`, `<iq><bind><resource>phone</resource></bind></iq><presence><show>away</show><s:priority>5</s:priority></presence>`},
		{"text behind a plain element", `<jid>a@b</jid>secret`, `<jid>a@b</jid>***6***`},
		{"text behind an empty plain element", `<show/>secret`, `<show/>***6***`},
		{"text around children", `<a>one<b/>two</a>`, `<a>***3***<b/>***3***</a>`},
		{"CDATA", `<body><![CDATA[a<b>]]c]]></body>`, `<body>***7***</body>`},
		{"CDATA in a plain element", `<show><![CDATA[secret]]></show>`, `<show>***6***</show>`},
		{"an attribute with >", `<a b='x>secret'>text</a>`, `<a b='x>secret'>***4***</a>`},
		{"white space", "<a>\n  <b/>\n</a> ", "<a>\n  <b/>\n</a> "},
		{"a header", `<?xml version='1.0'?><stream:stream to='a.test'>`, `<?xml version='1.0'?><stream:stream to='a.test'>`},
		{"torn", `<a>x</a><b c='`, `<a>***1***</a>`},
		{"torn text", `secret`, `***6***`},
		{"the least", `<>x`, `<>***1***`},
	} {
		if got := string(Mask(nil, []byte(test.in))); got != test.want {
			t.Errorf("%s: got %s, want %s", test.name, got, test.want)
		}
	}
}

func FuzzMask(f *testing.F) {
	f.Add([]byte(`<a b='x'>text<![CDATA[more]]></a>`))
	f.Fuzz(func(t *testing.T, data []byte) {
		Mask(nil, data) // must not panic
	})
}
