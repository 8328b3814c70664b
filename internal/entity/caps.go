package entity

import (
	"crypto/sha1" //nolint:gosec // XEP-0115 §9.1 has no other; it protects nothing here
	"encoding/base64"
	"slices"
	"strings"

	"github.com/muster-im/muster/stanza"
)

// capsNode names the software in entity capabilities (XEP-0115 §4).
const capsNode = "https://github.com/muster-im/muster"

// Caps returns the stream feature that tells a client what the server can do,
// so that one that knows it need not ask (XEP-0115 §6.3).
func (s *Service) Caps() *stanza.Element {
	return stanza.NewElement(stanza.NSCaps, "c", "hash", "sha-1", "node", capsNode, "ver", s.capsVersion)
}

// capsVersion returns the verification string of a disco#info result (XEP-0115
// §5.1).
func capsVersion(info *stanza.Element) string {
	var identities, features, forms []string
	for e := range info.Elements() {
		switch {
		case e.Is(stanza.NSDiscoInfo, "identity"):
			identities = append(identities, e.Attr("category")+"/"+e.Attr("type")+"/"+e.Lang()+"/"+e.Attr("name")+"<")
		case e.Is(stanza.NSDiscoInfo, "feature"):
			features = append(features, e.Attr("var")+"<")
		case e.Is(stanza.NSData, "x"):
			forms = append(forms, capsForm(e))
		}
	}
	var all strings.Builder
	for _, list := range [][]string{identities, features, forms} {
		slices.Sort(list)
		all.WriteString(strings.Join(list, ""))
	}
	sum := sha1.Sum([]byte(all.String())) //nolint:gosec // see above
	return base64.StdEncoding.EncodeToString(sum[:])
}

// capsForm returns what a form adds to the verification string (§5.1, 7); a
// form without type adds nothing (§5.4).
func capsForm(form *stanza.Element) string {
	formType := ""
	var fields []string
	for f := range form.Elements() {
		if !f.Is(stanza.NSData, "field") {
			continue
		}
		var values []string
		for v := range f.Elements() {
			if v.Is(stanza.NSData, "value") {
				values = append(values, v.Text()+"<")
			}
		}
		if f.Attr("var") == "FORM_TYPE" {
			if f.Attr("type") == "hidden" && len(values) > 0 {
				formType = values[0]
			}
			continue
		}
		slices.Sort(values)
		fields = append(fields, f.Attr("var")+"<"+strings.Join(values, ""))
	}
	if formType == "" {
		return ""
	}
	slices.Sort(fields)
	return formType + strings.Join(fields, "")
}
