package stanza

import (
	"strconv"
	"time"
)

// HistoryRequest is how much of what was said before somebody who enters wants at
// most (XEP-0045 §7.2.14). A limit below 0 is none.
type HistoryRequest struct {
	MaxChars, MaxStanzas, Seconds int
	Since                         time.Time // zero: from the beginning
}

// ParseHistoryRequest reads what a presence asks for. What is no limit is refused
// with a *Error that names it: nobody gets more than he wants because he
// was misunderstood.
func ParseHistoryRequest(presence *Stanza) (HistoryRequest, error) {
	q := HistoryRequest{MaxChars: -1, MaxStanzas: -1, Seconds: -1}
	e := presence.Child(NSMUC, "x").Child(NSMUC, "history")
	for _, limit := range []struct {
		name string
		to   *int
	}{{"maxchars", &q.MaxChars}, {"maxstanzas", &q.MaxStanzas}, {"seconds", &q.Seconds}} {
		value, given := e.LookupAttr(limit.name)
		if !given {
			continue
		}
		n, err := strconv.Atoi(value)
		if err != nil || n < 0 {
			return q, badHistory(limit.name, "is no number")
		}
		*limit.to = min(n, 1<<30)
	}
	if value, given := e.LookupAttr("since"); given {
		t, err := ParseTime(value)
		if err != nil {
			return q, badHistory("since", "is no time")
		}
		q.Since = t
	}
	return q, nil
}

func badHistory(attr, what string) error {
	return NewError(Modify, BadRequest, "The attribute "+attr+" of <history/> "+what+".")
}
