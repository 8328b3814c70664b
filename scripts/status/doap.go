package main

import (
	"encoding/xml"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
)

const doapFile = "muster.doap"

const doapBegin = `<?xml version="1.0" encoding="UTF-8"?>
<!-- Generated from docs/protocol.md by scripts/status (XEP-0453). -->
<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#" xmlns="http://usefulinc.com/ns/doap#" xmlns:xmpp="https://linkmauve.fr/ns/xmpp-doap#">
  <Project xml:lang="en">
    <name>Muster</name>
    <shortdesc>An XMPP group-chat server</shortdesc>
    <homepage rdf:resource="https://github.com/muster-im/muster"/>
    <bug-database rdf:resource="https://github.com/muster-im/muster/issues"/>
    <license rdf:resource="https://www.apache.org/licenses/LICENSE-2.0"/>
    <programming-language>Go</programming-language>
    <os>Linux</os>
    <category rdf:resource="https://linkmauve.fr/ns/xmpp-doap#category-server"/>
`

const doapEnd = `  </Project>
</rdf:RDF>
`

var specification = regexp.MustCompile(`(RFC|XEP)[ -](\d{4})`)

// doapStatus is a row's status in the words of XEP-0453.
func doapStatus(status string) string {
	switch status {
	case works:
		return "complete"
	case partly:
		return "partial"
	}
	return "planned"
}

// doap describes the project by the rows of the document.
func doap(rows []row) string {
	var b strings.Builder
	b.WriteString(doapBegin)
	for _, r := range rows {
		if r.section {
			continue
		}
		names, _, _ := strings.Cut(r.name, " (")
		versions := strings.Split(r.version, ", ")
		for i, spec := range specification.FindAllStringSubmatch(names, -1) {
			version := versions[0]
			if i < len(versions) {
				version = versions[i]
			}
			switch {
			case spec[1] == "XEP":
				fmt.Fprintf(&b, "    <implements>\n      <xmpp:SupportedXep>\n        <xmpp:xep rdf:resource=%q/>\n"+
					"        <xmpp:status>%s</xmpp:status>\n        <xmpp:version>%s</xmpp:version>\n",
					"https://xmpp.org/extensions/xep-"+spec[2]+".html", doapStatus(r.status), escaped(version))
				if r.what != "" {
					fmt.Fprintf(&b, "        <xmpp:note>%s</xmpp:note>\n", escaped(r.what))
				}
				b.WriteString("      </xmpp:SupportedXep>\n    </implements>\n")
			case r.status != notYet:
				fmt.Fprintf(&b, "    <implements rdf:resource=%q/>\n", "https://www.rfc-editor.org/rfc/rfc"+spec[2])
			}
		}
	}
	b.WriteString(doapEnd)
	return b.String()
}

func escaped(text string) string {
	var b strings.Builder
	_ = xml.EscapeText(&b, []byte(strings.ReplaceAll(text, "`", ""))) // a Builder takes everything
	return b.String()
}

// freshDOAP returns the description as it should be.
func freshDOAP(root string) (string, error) {
	document, err := os.ReadFile(filepath.Join(root, protocolFile))
	if err != nil {
		return "", err
	}
	rows, err := parse(string(document))
	if err != nil {
		return "", err
	}
	return doap(rows), nil
}
