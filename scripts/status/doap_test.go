package main

import (
	"encoding/xml"
	"errors"
	"io"
	"os"
	"strings"
	"testing"
)

// TestDOAPIsFresh fails if go generate would change muster.doap, or if that is
// no XML.
func TestDOAPIsFresh(t *testing.T) {
	t.Parallel()
	is, err := os.ReadFile("../../" + doapFile)
	if err != nil {
		t.Fatal(err)
	}
	should, err := freshDOAP("../..")
	if err != nil {
		t.Fatal(err)
	}
	if string(is) != should {
		t.Error(doapFile + " is stale: run make generate")
	}
	d := xml.NewDecoder(strings.NewReader(should))
	for {
		if _, err := d.Token(); errors.Is(err, io.EOF) {
			return
		} else if err != nil {
			t.Fatal(err)
		}
	}
}

func TestDOAP(t *testing.T) {
	t.Parallel()
	got := doap([]row{
		{name: "RFC 6120 (core)", version: "2011", status: partly},
		{name: "RFC 7395, XEP-0206 (BOSH)", version: "2014, 1.4", status: notYet},
		{name: "XEP-0004, XEP-0068 (forms)", version: "2.13.2, 1.3.0", status: works, what: "`a` & <b>"},
		{name: "4.1 like XEP-9999", section: true},
	})
	for _, want := range []string{
		`<implements rdf:resource="https://www.rfc-editor.org/rfc/rfc6120"/>`,
		"xep-0206.html\"/>\n        <xmpp:status>planned</xmpp:status>\n        <xmpp:version>1.4</xmpp:version>\n      </xmpp:SupportedXep>",
		"xep-0068.html\"/>\n        <xmpp:status>complete</xmpp:status>\n        <xmpp:version>1.3.0</xmpp:version>\n        <xmpp:note>a &amp; &lt;b&gt;</xmpp:note>",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in\n%s", want, got)
		}
	}
	for _, not := range []string{"rfc7395", "9999"} {
		if strings.Contains(got, not) {
			t.Errorf("%q is in\n%s", not, got)
		}
	}
}
