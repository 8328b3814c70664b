package stanza

import (
	"fmt"
	"time"

	"github.com/muster-im/muster/jid"
)

// FormatTime returns t as XEP-0082 wants it: UTC, with milliseconds if it has
// any.
func FormatTime(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.999Z") }

// ParseTime reads a DateTime of XEP-0082 §3.2.
func ParseTime(s string) (time.Time, error) {
	t, err := time.Parse(time.RFC3339Nano, s)
	if err != nil {
		return time.Time{}, fmt.Errorf("time %q: want the form 2002-09-10T23:08:25Z", s)
	}
	return t.UTC(), nil
}

// Delay returns a <delay/> (XEP-0203): from delayed the stanza, or kept it,
// since stamp.
func Delay(from jid.JID, stamp time.Time) *Element {
	e := NewElement(NSDelay, "delay")
	if !from.IsZero() {
		e.SetAttr("from", from.String())
	}
	return e.SetAttr("stamp", FormatTime(stamp))
}
