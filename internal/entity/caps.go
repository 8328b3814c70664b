package entity

import (
	"crypto/sha1" //nolint:gosec // XEP-0115 §9.1 has no other; it protects nothing here
	"encoding/base64"
	"maps"
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
	var identities, features []string
	forms := make(map[string]string) // by type
	for e := range info.Elements() {
		switch {
		case e.Is(stanza.NSDiscoInfo, "identity"):
			identities = append(identities, e.Attr("category")+"/"+e.Attr("type")+"/"+e.Lang()+"/"+e.Attr("name"))
		case e.Is(stanza.NSDiscoInfo, "feature"):
			features = append(features, e.Attr("var"))
		case e.Is(stanza.NSData, "x"):
			if formType, fields := capsForm(e); formType != "" { // §5.4: one without type does not count
				forms[formType] = fields
			}
		}
	}
	all := capsList(identities) + capsList(features) + capsFields(forms)
	sum := sha1.Sum([]byte(all)) //nolint:gosec // see above
	return base64.StdEncoding.EncodeToString(sum[:])
}

// capsForm returns a form's type and what its fields add to the verification
// string (§5.1, 7).
func capsForm(form *stanza.Element) (formType, fields string) {
	values := make(map[string]string) // by field
	for f := range form.Elements() {
		if !f.Is(stanza.NSData, "field") {
			continue
		}
		var list []string
		for v := range f.Elements() {
			if v.Is(stanza.NSData, "value") {
				list = append(list, v.Text())
			}
		}
		name := f.Attr("var")
		switch {
		case name != "FORM_TYPE":
			values[name] = capsList(list)
		case f.Attr("type") == "hidden" && len(list) > 0:
			formType = list[0]
		}
	}
	return formType, capsFields(values)
}

// capsFields returns names with what follows them, in order of the names.
func capsFields(m map[string]string) string {
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(m)) {
		b.WriteString(name + "<" + m[name])
	}
	return b.String()
}

// capsList returns the members of a list in order, with their delimiter: which
// plays no part in the order.
func capsList(list []string) string {
	slices.Sort(list)
	var b strings.Builder
	for _, s := range list {
		b.WriteString(s)
		b.WriteByte('<')
	}
	return b.String()
}
