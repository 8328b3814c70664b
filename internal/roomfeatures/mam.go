package roomfeatures

import (
	"context"
	"crypto/rand"
	"slices"
	"time"

	"github.com/muster-im/muster/jid"
	"github.com/muster-im/muster/muc"
	"github.com/muster-im/muster/stanza"
)

// Namespaces of the archive.
const (
	nsMAM         = "urn:xmpp:mam:2"
	nsMAMExtended = "urn:xmpp:mam:2#extended"
	nsValidate    = "http://jabber.org/protocol/xdata-validate"
)

// Bounds of an answer.
const (
	defaultPage = 50
	// maxPageBytes bounds the messages of a page: more would hold up what else a
	// client is sent. There is always one.
	maxPageBytes = 512 << 10
	// maxCounted bounds what is counted for a page that is only a part: counting
	// a long archive takes longer than reading a page of it.
	maxCounted = 1000
)

// mam lets people read what is archived of a room, inside or not (XEP-0313).
type mam struct{ defaultPage, maxPage int }

func (f mam) Register(h *muc.Hooks) {
	if f.maxPage == 0 {
		f.maxPage = defaultPage
	}
	if f.defaultPage == 0 {
		f.defaultPage = defaultPage
	}
	f.defaultPage = min(f.defaultPage, f.maxPage)
	h.OnRequest("archive-query", stanza.TypeSet, stanza.Name{Space: nsMAM, Local: "query"}, f.query)
	h.OnRequest("archive-form", stanza.TypeGet, stanza.Name{Space: nsMAM, Local: "query"}, func(ev *muc.RequestEvent) error {
		if err := mayRead(ev); err != nil {
			return err
		}
		ev.Answer(stanza.NewElement(nsMAM, "query").Add(mamForm()))
		return nil
	})
	h.OnRequest("archive-metadata", stanza.TypeGet, stanza.Name{Space: nsMAM, Local: "metadata"}, metadata)
	h.Disco.Add("archive-query", 0, func(ev *muc.DiscoEvent) {
		if ev.Room.Archives() {
			ev.Feature(nsMAM)
			ev.Feature(nsMAMExtended)
		}
	})
}

// mayRead refuses those who may not read the archive (XEP-0313 §6.1.2, §8.1).
func mayRead(ev *muc.RequestEvent) error {
	switch {
	case !ev.Room.MayRead(ev.Stanza.From):
		return stanza.NewError(stanza.Auth, stanza.Forbidden, "You may not read the archive of this room.").Because(muc.ReasonRank)
	case !ev.Room.Archives():
		return stanza.NewError(stanza.Cancel, stanza.ServiceUnavailable, "The messages of this room are not kept.")
	case ev.Stanza.Payload().Attr("node") != "": // XEP-0313 §6.1.3
		return stanza.NewError(stanza.Cancel, stanza.ItemNotFound, "The archive has no such node.")
	}
	return nil
}

func (f mam) query(ev *muc.RequestEvent) error {
	if err := mayRead(ev); err != nil {
		return err
	}
	q, err := parseMAMQuery(ev.Room, ev.Stanza.Payload())
	if err != nil {
		return err
	}
	who := ev.Stanza.From
	q.showReal = ev.Room.MaySeeRealJIDs(who)
	if with := q.filter.With; !with.IsZero() && with.Bare() != ev.Room.JID() && !q.showReal && with.Bare() != who.Bare() {
		return stanza.NewError(stanza.Auth, stanza.Forbidden, "The room does not show you who its occupants are.").Because(muc.ReasonRank) // XEP-0313 §4.1.1
	}
	q.max = f.defaultPage
	if q.page.Max >= 0 {
		q.max = min(q.page.Max, f.maxPage)
	}
	archive := ev.Room.Archive()
	find := func(ctx context.Context) (muc.Answer, error) { return q.run(ctx, archive) }
	if !q.filter.With.IsZero() || q.max == 0 || q.page.Index > maxCounted { // a long way through the archive
		ev.AnswerSlowly(find)
	} else {
		ev.AnswerLater(find)
	}
	return nil
}

// metadata says where the archive begins and ends (XEP-0313 §5).
func metadata(ev *muc.RequestEvent) error {
	if err := mayRead(ev); err != nil {
		return err
	}
	q, archive := wholeArchive(ev.Room), ev.Room.Archive()
	q.Limit = 1
	ev.AnswerLater(func(ctx context.Context) (muc.Answer, error) {
		answer := stanza.NewElement(nsMAM, "metadata")
		for _, name := range []string{"start", "end"} {
			q.Newest = name == "end"
			page, err := archive.Page(ctx, q)
			if err != nil {
				return muc.Answer{}, err
			}
			for _, m := range page {
				answer.Add(stanza.NewElement(nsMAM, name, "id", m.ID, "timestamp", stanza.FormatTime(m.Time)))
			}
		}
		return muc.Answer{Payload: answer}, nil
	})
	return nil
}

// wholeArchive selects everything that was said in a room, and nothing of one
// that had its name before.
func wholeArchive(r *muc.Room) muc.ArchiveQuery {
	q := muc.ArchiveQuery{Room: r.JID(), Start: r.Created().Truncate(time.Millisecond)}.ByID()
	q.Start = time.Time{} // the ids say it, and to count them is quick
	return q
}

// run finds the answer. It runs away from the room.
func (q *mamQuery) run(ctx context.Context, archive muc.Archive) (muc.Answer, error) {
	if err := q.lookUp(ctx, archive); err != nil {
		return muc.Answer{}, err
	}
	page, complete, err := q.read(ctx, archive)
	if err != nil {
		return muc.Answer{}, err
	}
	result := stanza.PageResult{Index: -1, Count: -1}
	if len(page) > 0 {
		result.First, result.Last = page[0].ID, page[len(page)-1].ID
	}
	if err := q.count(ctx, archive, page, complete, &result); err != nil {
		return muc.Answer{}, err
	}
	fin := stanza.NewElement(nsMAM, "fin")
	if complete { // XEP-0313 §4.3.2
		fin.SetAttr("complete", "true")
	}
	answer := muc.Answer{Payload: fin.Add(result.Element())}
	if q.flip { // XEP-0313 §4.3.4
		slices.Reverse(page)
	}
	for i := range page {
		answer.Messages = append(answer.Messages, q.result(&page[i]))
	}
	return answer, nil
}

// lookUp checks that the messages which the query names are there (XEP-0313
// §4.1.3, §4.3.2).
func (q *mamQuery) lookUp(ctx context.Context, archive muc.Archive) error {
	var named []string
	for _, id := range append([]string{q.afterID, q.beforeID, q.page.After, q.page.Before}, q.ids...) {
		if id != "" && !slices.Contains(named, id) {
			named = append(named, id)
		}
	}
	if len(named) == 0 {
		return nil
	}
	found, err := archive.Messages(ctx, q.filter.Room, named)
	if err != nil {
		return err
	}
	found = slices.DeleteFunc(found, func(m muc.ArchivedMessage) bool { return m.Time.Before(q.created) })
	if len(found) < len(named) {
		return stanza.NewError(stanza.Cancel, stanza.ItemNotFound, "The archive has no message with this id.")
	}
	q.named = found
	return nil
}

// whole selects everything that the query is about.
func (q *mamQuery) whole() muc.ArchiveQuery { return between(q.filter.ByID(), q.afterID, q.beforeID) }

// between is what s selects behind one message and before another; "": any.
func between(s muc.ArchiveQuery, after, before string) muc.ArchiveQuery {
	s.AfterID = max(s.AfterID, after)
	if before != "" && (s.BeforeID == "" || before < s.BeforeID) {
		s.BeforeID = before
	}
	return s
}

// selection is the part that is asked for.
func (q *mamQuery) selection() muc.ArchiveQuery {
	s := between(q.whole(), q.page.After, q.page.Before)
	s.Newest = q.page.Last || q.page.Before != ""
	if q.page.Index >= 0 && !q.bounded() {
		s.Skip = q.page.Index
	}
	return s
}

// bounded reports whether the query asks for a part by its neighbour.
func (q *mamQuery) bounded() bool { return q.page.After != "" || q.page.Before != "" || q.page.Last }

// read returns the page that is asked for, and whether that is all.
func (q *mamQuery) read(ctx context.Context, archive muc.Archive) (page []muc.ArchivedMessage, complete bool, err error) {
	s := q.selection()
	s.Limit = q.max + 1
	if q.ids != nil {
		page = q.among(s)
	} else if page, err = archive.Page(ctx, s); err != nil {
		return nil, false, err
	}
	complete = len(page) <= q.max
	bytes, n := 0, 0
	for n < min(len(page), q.max) {
		m := page[n]
		if s.Newest {
			m = page[len(page)-1-n]
		}
		if bytes += len(m.Stanza); bytes > maxPageBytes && n > 0 {
			complete = false
			break
		}
		n++
	}
	if s.Newest {
		return page[len(page)-n:], complete, nil
	}
	return page[:n], complete, nil
}

// among is what s selects of the messages that the query names.
func (q *mamQuery) among(s muc.ArchiveQuery) []muc.ArchivedMessage {
	var list []muc.ArchivedMessage
	for _, m := range q.named {
		if slices.Contains(q.ids, m.ID) && m.ID > s.AfterID && (s.BeforeID == "" || m.ID < s.BeforeID) && isFrom(&m, s.With) {
			list = append(list, m)
		}
	}
	list = list[min(s.Skip, len(list)):]
	if extra := len(list) - s.Limit; extra > 0 && s.Newest {
		list = list[extra:]
	} else if extra > 0 {
		list = list[:s.Limit]
	}
	return list
}

func isFrom(m *muc.ArchivedMessage, with jid.JID) bool {
	switch {
	case with.IsZero(), with == m.From, with == m.RealJID:
		return true
	}
	return !m.RealJID.IsZero() && with.Bare() == m.RealJID && with.Resource() == m.Resource
}

// count says how much there is in all, and where the page stands in it
// (XEP-0059 §2.2), unless that takes too long.
func (q *mamQuery) count(ctx context.Context, archive muc.Archive, page []muc.ArchivedMessage, complete bool, result *stanza.PageResult) (err error) {
	if q.page.Index >= 0 && !q.bounded() {
		result.Index = q.page.Index // XEP-0059 §2.6
	}
	whole := q.whole()
	switch {
	case complete && !q.bounded() && q.page.Index < 0:
		result.Index, result.Count = 0, len(page)
	case q.ids != nil:
		whole.Limit = len(q.ids)
		all := q.among(whole)
		result.Count = len(all)
		if len(page) > 0 {
			result.Index = slices.IndexFunc(all, func(m muc.ArchivedMessage) bool { return m.ID == page[0].ID })
		}
	case q.max == 0: // XEP-0059 §2.7: that is what is asked for
		result.Count, err = archive.Count(ctx, whole, 1<<30)
	case whole.With.IsZero():
		err = countAround(ctx, archive, whole, page, result)
	}
	return err
}

// countAround counts a selection and what of it stands before a page, if that is
// not too much.
func countAround(ctx context.Context, archive muc.Archive, whole muc.ArchiveQuery, page []muc.ArchivedMessage, result *stanza.PageResult) error {
	n, err := archive.Count(ctx, whole, maxCounted+1)
	if err != nil || n > maxCounted {
		return err
	}
	result.Count = n
	if len(page) == 0 || result.Index >= 0 {
		return nil
	}
	whole.BeforeID = page[0].ID
	result.Index, err = archive.Count(ctx, whole, maxCounted)
	return err
}

// result is what somebody gets of one message (XEP-0313 §4.2, §6.1.2).
func (q *mamQuery) result(m *muc.ArchivedMessage) stanza.Stanza {
	forwarded := stanza.NewElement(stanza.NSForward, "forwarded").Add(stanza.Delay(jid.JID{}, m.Time))
	// A message that is not readable any more leaves its place empty (§3.2).
	if st, err := stanza.Parse(m.Stanza); err == nil {
		st = st.Without(func(e *stanza.Element) bool { return e.Is(stanza.NSMUCUser, "x") }) // §8.4
		if q.showReal && !m.RealJID.IsZero() {
			st = st.With(stanza.NewElement(stanza.NSMUCUser, "x").Add(stanza.NewElement(stanza.NSMUCUser, "item", "jid", fullJID(m))))
		}
		forwarded.Add(st.Element())
	}
	result := stanza.NewElement(nsMAM, "result", "id", m.ID)
	if q.queryID != "" {
		result.SetAttr("queryid", q.queryID)
	}
	return stanza.Stanza{Kind: stanza.Message, ID: rand.Text()}.With(result.Add(forwarded))
}

// fullJID is the address that a message came from, as far as it is known.
func fullJID(m *muc.ArchivedMessage) string {
	if full, err := m.RealJID.WithResource(m.Resource); err == nil && m.Resource != "" {
		return full.String()
	}
	return m.RealJID.String()
}
