package xmpptest

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/muster-im/muster/jid"
	"github.com/muster-im/muster/stanza"
)

const (
	more     = "…"
	moreAttr = "xmpptest-more" // stands for … among attributes, where XML has no place for it
	anything = "*"
)

var capture = regexp.MustCompile(`\{([a-z][a-z0-9_]*)\}`)

// parseFragment reads one element as it stands on a client's stream.
func parseFragment(data string) (*stanza.Element, error) {
	e, err := stanza.ParseDocument([]byte(
		"<w xmlns='" + stanza.NSClient + "' xmlns:stream='" + stanza.NSStream + "'>" + data + "</w>"))
	if err != nil {
		return nil, err
	}
	first := e.FirstElement()
	if first == nil {
		return nil, fmt.Errorf("no element in %q", data)
	}
	for other := range e.Elements() {
		if other != first {
			return nil, fmt.Errorf("more than one element in %q", data)
		}
	}
	if strings.TrimSpace(e.Text()) != "" {
		return nil, fmt.Errorf("text beside the element in %q", data)
	}
	return first, nil
}

// parsePattern reads what an S line expects.
func parsePattern(text string) (*stanza.Element, error) {
	var b strings.Builder
	var quote rune
	tag := false
	for _, c := range text {
		switch {
		case !tag:
			tag = c == '<'
		case quote != 0:
			if c == quote {
				quote = 0
			}
		case c == '\'' || c == '"':
			quote = c
		case c == '>':
			tag = false
		case string(c) == more:
			b.WriteString(" " + moreAttr + "=''")
			continue
		}
		b.WriteRune(c)
	}
	return parseFragment(b.String())
}

// matcher compares what is received with what is expected.
type matcher struct {
	captures  map[string]string
	self      jid.JID // whose stream it is
	unordered bool    // elements may stand in any order
}

// match returns "" if got is as wanted, else what is different; captures are
// kept only if it is.
func (m *matcher) match(want, got *stanza.Element) string {
	saved := maps.Clone(m.captures)
	diff := m.stanza(want, got)
	if diff != "" {
		m.captures = saved
	}
	return diff
}

// stanza compares what stands first-level on the stream.
func (m *matcher) stanza(want, got *stanza.Element) string {
	got = got.Clone()
	attrs := got.Attrs[:0:0]
	for _, a := range got.Attrs {
		implied := a.Name == stanza.Name{Space: stanza.NSXML, Local: "lang"} ||
			a.Name == stanza.Name{Local: "to"} && (a.Value == m.self.String() || a.Value == m.self.Bare().String())
		if _, written := findAttr(want, a.Name); implied && !written {
			continue
		}
		attrs = append(attrs, a)
	}
	got.Attrs = attrs
	return m.element(want, got, "")
}

// element compares two elements. loose is a namespace that is as good as any,
// because the pattern did not declare it; "" if there is none.
func (m *matcher) element(want, got *stanza.Element, loose string) string {
	space := want.Name.Space == got.Name.Space || want.Name.Space == more || want.Name.Space == loose
	if want.Name.Local != got.Name.Local || !space {
		return fmt.Sprintf("<%s xmlns='%s'> instead of <%s xmlns='%s'>",
			got.Name.Local, got.Name.Space, want.Name.Local, want.Name.Space)
	}
	if diff := m.attrs(want, got); diff != "" {
		return "<" + want.Name.Local + "> " + diff
	}
	diff := ""
	if strings.Contains(want.Text(), more) {
		diff = m.within(want, got)
	} else {
		diff = m.children(want, got)
	}
	if diff != "" {
		return "<" + want.Name.Local + "> " + diff
	}
	return ""
}

func (m *matcher) attrs(want, got *stanza.Element) string {
	open := false
	for _, a := range want.Attrs {
		if a.Name.Local == moreAttr {
			open = true
			continue
		}
		value, ok := findAttr(got, a.Name)
		if !ok {
			return fmt.Sprintf("has no attribute %s", a.Name.Local)
		}
		if !m.value(a.Value, value) {
			return fmt.Sprintf("has %s=%q, want %q", a.Name.Local, value, a.Value)
		}
	}
	for _, a := range got.Attrs {
		if want.Name.Local == "error" && a.Name.Local == "code" {
			continue // XEP-0086
		}
		if _, ok := findAttr(want, a.Name); !ok && !open {
			return fmt.Sprintf("has an attribute %s=%q that was not expected", a.Name.Local, a.Value)
		}
	}
	return ""
}

func findAttr(e *stanza.Element, name stanza.Name) (string, bool) {
	for _, a := range e.Attrs {
		if a.Name == name {
			return a.Value, true
		}
	}
	return "", false
}

// children compares all children, in order.
func (m *matcher) children(want, got *stanza.Element) string {
	var have []*stanza.Element
	for e := range got.Elements() {
		have = append(have, e)
	}
	for e := range want.Elements() {
		if len(have) == 0 {
			return fmt.Sprintf("has no <%s>", e.Name.Local)
		}
		i := 0
		if m.unordered {
			i = max(0, slices.IndexFunc(have, func(h *stanza.Element) bool { return m.same(e, h) }))
		}
		if diff := m.element(e, have[i], ""); diff != "" {
			return diff
		}
		have = slices.Delete(have, i, i+1)
	}
	if len(have) > 0 {
		return fmt.Sprintf("has a <%s xmlns='%s'> that was not expected", have[0].Name.Local, have[0].Name.Space)
	}
	wantText, gotText := strings.TrimSpace(want.Text()), strings.TrimSpace(got.Text())
	if !m.value(wantText, gotText) {
		return fmt.Sprintf("says %q, want %q", gotText, wantText)
	}
	return ""
}

// within looks for the elements of a pattern with … anywhere below got, in
// document order and beside each other.
func (m *matcher) within(want, got *stanza.Element) string {
	for text := range strings.SplitSeq(want.Text(), more) {
		if text = strings.TrimSpace(text); !strings.Contains(got.Text(), text) {
			return fmt.Sprintf("says %q, want %q in it", got.Text(), text)
		}
	}
	var wanted []*stanza.Element
	for e := range want.Elements() {
		if !m.unordered {
			wanted = append(wanted, e)
			continue
		}
		if left := m.search([]*stanza.Element{e}, got, want.Name.Space); len(left) > 0 {
			wanted = left
			break
		}
	}
	if left := m.search(wanted, got, want.Name.Space); len(left) > 0 {
		return fmt.Sprintf("holds nothing like <%s> where it was expected", left[0].Name.Local)
	}
	return ""
}

// same reports whether two elements are alike, and captures nothing.
func (m *matcher) same(want, got *stanza.Element) bool {
	saved := maps.Clone(m.captures)
	defer func() { m.captures = saved }()
	return m.element(want, got, "") == ""
}

// search goes through everything below got and returns the wanted elements that
// are left to find.
func (m *matcher) search(wanted []*stanza.Element, got *stanza.Element, loose string) []*stanza.Element {
	for e := range got.Elements() {
		if len(wanted) == 0 {
			break
		}
		saved := maps.Clone(m.captures)
		if m.element(wanted[0], e, loose) == "" {
			wanted = wanted[1:]
			continue
		}
		m.captures = saved
		wanted = m.search(wanted, e, loose)
	}
	return wanted
}

// value compares an attribute's value or a text.
func (m *matcher) value(want, got string) bool {
	if want == anything || want == got {
		return true
	}
	places := capture.FindAllStringSubmatchIndex(want, -1)
	if places == nil {
		return false
	}
	var expr strings.Builder
	var names []string
	expr.WriteString(`(?s)\A`)
	at := 0
	for _, p := range places {
		expr.WriteString(regexp.QuoteMeta(want[at:p[0]]))
		name := want[p[2]:p[3]]
		if known, ok := m.captures[name]; ok {
			expr.WriteString(regexp.QuoteMeta(known))
		} else {
			expr.WriteString("(.+)")
			names = append(names, name)
		}
		at = p[1]
	}
	expr.WriteString(regexp.QuoteMeta(want[at:]) + `\z`)
	found := regexp.MustCompile(expr.String()).FindStringSubmatch(got)
	if found == nil {
		return false
	}
	for i, name := range names {
		if known, ok := m.captures[name]; ok && known != found[i+1] { // twice in one value
			return false
		}
		m.captures[name] = found[i+1]
	}
	return true
}

// fill puts what was captured into what a client says.
func (m *matcher) fill(text string) string {
	return capture.ReplaceAllStringFunc(text, func(place string) string {
		if value, ok := m.captures[place[1:len(place)-1]]; ok {
			return stanza.EscapeAttr(value)
		}
		return place
	})
}
