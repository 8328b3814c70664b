package roomfeatures

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/muster-im/muster/jid"
	"github.com/muster-im/muster/muc"
	"github.com/muster-im/muster/stanza"
)

// tape is an archive of one room in memory.
type tape struct {
	muc.Archive // what is not needed
	messages    []muc.ArchivedMessage
}

func (a tape) selected(q muc.ArchiveQuery) []muc.ArchivedMessage {
	return slices.DeleteFunc(slices.Clone(a.messages), func(m muc.ArchivedMessage) bool {
		return m.ID <= q.AfterID || q.BeforeID != "" && m.ID >= q.BeforeID
	})
}

func (a tape) Page(_ context.Context, q muc.ArchiveQuery) ([]muc.ArchivedMessage, error) {
	list := a.selected(q)
	if q.Newest {
		return list[max(0, len(list)-q.Limit):], nil
	}
	return list[:min(q.Limit, len(list))], nil
}

func (a tape) Count(_ context.Context, q muc.ArchiveQuery, most int) (int, error) {
	return min(most, len(a.selected(q))), nil
}

func (a tape) Messages(_ context.Context, _ jid.JID, ids []string) ([]muc.ArchivedMessage, error) {
	return slices.DeleteFunc(slices.Clone(a.messages), func(m muc.ArchivedMessage) bool { return !slices.Contains(ids, m.ID) }), nil
}

var team = jid.MustParse("team@conf.test")

// record returns an archive of n messages, each with a body of size bytes.
func record(n, size int) tape {
	var a tape
	for i := range n {
		a.messages = append(a.messages, muc.ArchivedMessage{
			ID: fmt.Sprintf("%03d", i), Room: team, Time: time.Unix(int64(i), 0), From: team,
			Stanza: fmt.Appendf(nil, "<message xmlns='jabber:client' type='groupchat' id='%d'><body>%s</body></message>", i, strings.Repeat("x", size)),
		})
	}
	return a
}

// ask returns the ids of an answer's results, and its <fin/>.
func ask(t *testing.T, a tape, q mamQuery) (ids []string, fin string) {
	t.Helper()
	q.filter.Room = team
	answer, err := q.run(t.Context(), a)
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range answer.Messages {
		ids = append(ids, m.Child(nsMAM, "result").Attr("id"))
	}
	return ids, answer.Payload.Attr("complete") + " " + answer.Payload.Child(stanza.NSRSM, "set").ChildText(stanza.NSRSM, "count")
}

// A page of long messages is shorter, at the end that a client asks for next,
// and never empty.
func TestLongMessages(t *testing.T) {
	t.Parallel()
	all := stanza.Page{Max: -1, Index: -1}
	last := all
	last.Last = true
	for _, test := range []struct {
		name string
		size int
		page stanza.Page
		want string
	}{
		{"short ones", 10, all, "[000 001 002 003 004] true 5"},
		{"oldest first", maxPageBytes/3 + 1, all, "[000 001]  5"},
		{"newest first", maxPageBytes/3 + 1, last, "[003 004]  5"},
		{"huge ones", 2 * maxPageBytes, all, "[000]  5"},
		{"huge ones, newest", 2 * maxPageBytes, last, "[004]  5"},
	} {
		ids, fin := ask(t, record(5, test.size), mamQuery{page: test.page, max: 50})
		if got := fmt.Sprint(ids, " ", fin); got != test.want {
			t.Errorf("%s: got %s, want %s", test.name, got, test.want)
		}
	}
}

// What is said of a page's place is left out where counting takes long, but not
// if it is asked for.
func TestLongArchive(t *testing.T) {
	t.Parallel()
	a := record(maxCounted+10, 0)
	for _, test := range []struct {
		name string
		page stanza.Page
		max  int
		want string
	}{
		{"a page", stanza.Page{Max: 2, Index: -1}, 2, "[000 001]  "},
		{"the count", stanza.Page{Max: 0, Index: -1}, 0, "[]  1010"},
	} {
		ids, fin := ask(t, a, mamQuery{page: test.page, max: test.max})
		if got := fmt.Sprint(ids, " ", fin); got != test.want {
			t.Errorf("%s: got %q, want %q", test.name, got, test.want)
		}
	}
}

// What cannot be read any more leaves an empty place, and the others where they
// are (XEP-0313 §3.2).
func TestUnreadableMessage(t *testing.T) {
	t.Parallel()
	a := record(3, 1)
	a.messages[1].Stanza = []byte("<message")
	q := mamQuery{page: stanza.Page{Max: -1, Index: -1}, max: 50}
	if ids, fin := ask(t, a, q); fmt.Sprint(ids, " ", fin) != "[000 001 002] true 3" {
		t.Errorf("got %v %s", ids, fin)
	}
	q.filter.Room = team
	answer, err := q.run(t.Context(), a)
	if err != nil {
		t.Fatal(err)
	}
	forwarded := answer.Messages[1].Child(nsMAM, "result").Child(stanza.NSForward, "forwarded")
	if forwarded.Child(stanza.NSDelay, "delay") == nil || forwarded.Child(stanza.NSClient, "message") != nil {
		t.Errorf("got %+v, want the time alone", forwarded)
	}
}
