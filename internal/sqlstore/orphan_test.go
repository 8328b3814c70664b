package sqlstore

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/muster-im/muster/internal/archive"
	"github.com/muster-im/muster/internal/roomfeatures"
	"github.com/muster-im/muster/internal/store"
	"github.com/muster-im/muster/jid"
	"github.com/muster-im/muster/muc"
	"github.com/muster-im/muster/stanza"
)

// life is a room service on a store between start and stop, with one user.
type life struct {
	t    *testing.T
	rows *archive.Archive
	svc  *muc.Service
	got  chan string
}

func (l *life) Target(jid.JID) stanza.Target { return l }

func (l *life) Send(st stanza.Stanza) { l.Deliver([]*stanza.Encoded{stanza.Encode(st)}) }

func (l *life) Deliver(batch []*stanza.Encoded) {
	for _, e := range batch {
		l.got <- string(e.AppendTo(nil, "anna@test/r"))
	}
}

// roomArchive is the archive as rooms know it, see package server.
type roomArchive struct{ *archive.Archive }

func (a roomArchive) Append(m muc.ArchivedMessage, done func(error)) error {
	return a.Archive.Append(store.ArchiveRow(m), done)
}

func (a roomArchive) Page(ctx context.Context, q muc.ArchiveQuery) ([]muc.ArchivedMessage, error) {
	return asMessages(a.Archive.Page(ctx, store.ArchiveQuery(q)))
}

func (a roomArchive) Messages(ctx context.Context, room jid.JID, ids []string) ([]muc.ArchivedMessage, error) {
	return asMessages(a.Rows(ctx, room, ids))
}

func (a roomArchive) Count(ctx context.Context, q muc.ArchiveQuery, most int) (int, error) {
	return a.Archive.Count(ctx, store.ArchiveQuery(q), most)
}

func asMessages(rows []store.ArchiveRow, err error) ([]muc.ArchivedMessage, error) {
	var list []muc.ArchivedMessage
	for _, row := range rows {
		list = append(list, muc.ArchivedMessage(row))
	}
	return list, err
}

func begin(t *testing.T, db *DB) *life {
	t.Helper()
	l := &life{t: t, rows: archive.New(archive.Options{Store: db}), got: make(chan string, 100)}
	svc, err := muc.New(muc.Options{
		Domain: "conf.test", Router: l, Store: db, Archive: roomArchive{l.rows}, Recent: 20,
		Defaults:   map[string][]string{muc.FieldPersistent: {"1"}},
		Extensions: roomfeatures.All(roomfeatures.Options{HistorySize: 20}),
	})
	must(t, err)
	l.svc = svc
	return l
}

func (l *life) end() {
	l.t.Helper()
	must(l.t, l.svc.Shutdown(l.t.Context()))
	must(l.t, l.rows.Close(l.t.Context()))
}

// ask sends something and returns all that comes up to what contains end.
func (l *life) ask(xml, end string) string {
	l.t.Helper()
	st, err := stanza.Parse([]byte(xml))
	must(l.t, err)
	l.svc.Handle(st)
	var all strings.Builder
	for {
		select {
		case s := <-l.got:
			all.WriteString(s + "\n")
			if strings.Contains(s, end) {
				return all.String()
			}
		case <-time.After(20 * time.Second):
			l.t.Fatalf("%s: no %s in\n%s", xml, end, all.String())
		}
	}
}

func (l *life) enter() string {
	return l.ask("<presence from='anna@test/r' to='coven@conf.test/anna'><x xmlns='http://jabber.org/protocol/muc'/></presence>", "<subject")
}

func (l *life) iq(kind, id, payload string) string {
	return l.ask("<iq type='"+kind+"' id='"+id+"' from='anna@test/r' to='coven@conf.test'>"+payload+"</iq>", "id='"+id+"'")
}

const (
	accept = "<query xmlns='http://jabber.org/protocol/muc#owner'><x xmlns='jabber:x:data' type='submit'/></query>"
	face   = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)

// TestDiedBetweenRoomAndArchive: a server that dies when the row of a destroyed
// room is gone and its archive is not has left messages that belong to nobody.
// The next room of that name has nothing of them, not even if the clock was an
// hour ahead, and they leave the disk.
func TestDiedBetweenRoomAndArchive(t *testing.T) {
	t.Parallel()
	onEngines(t, func(t *testing.T, open func() *DB) {
		db, ctx := open(), t.Context()
		first := begin(t, db)
		first.enter()
		first.iq("set", "c1", accept)
		first.iq("set", "v1", "<vCard xmlns='vcard-temp'><PHOTO><TYPE>image/png</TYPE><BINVAL>"+face+"</BINVAL></PHOTO></vCard>")
		said := first.ask("<message type='groupchat' id='s' from='anna@test/r' to='coven@conf.test'><body>a secret</body></message>", "secret")
		first.ask("<message type='groupchat' from='anna@test/r' to='coven@conf.test'><subject>old subject</subject></message>", "old subject")
		_, id, _ := strings.Cut(said, "by='coven@conf.test' id='")
		id, _, _ = strings.Cut(id, "'")
		first.end()
		var ahead store.ArchiveRow // as if the clock had been ahead meanwhile
		rows, err := db.ArchivedRows(ctx, jid.MustParse("coven@conf.test"), []string{id})
		must(t, err)
		ahead = rows[0]
		ahead.Time = ahead.Time.Add(time.Hour)
		ahead.ID = strings.TrimSuffix(muc.ArchiveQuery{Start: ahead.Time}.ByID().AfterID, "~") + "00000000"
		must(t, db.AppendArchive(ctx, []store.ArchiveRow{ahead}))
		must(t, db.DeleteRoom(ctx, jid.MustParse("coven@conf.test"), 0, nil)) // and here it dies

		second := begin(t, db)
		all := second.enter() + second.iq("set", "c2", accept)
		second.ask("<message type='groupchat' id='n' from='anna@test/r' to='coven@conf.test'><body>new</body></message>", "new")
		second.ask("<presence type='unavailable' from='anna@test/r' to='coven@conf.test/anna'/>", "unavailable")
		all += second.enter()
		all += second.iq("get", "m", "<metadata xmlns='urn:xmpp:mam:2'/>")
		all += second.iq("set", "q", "<query xmlns='urn:xmpp:mam:2'/>")
		all += second.iq("set", "i", "<query xmlns='urn:xmpp:mam:2'><x xmlns='jabber:x:data' type='submit'><field var='FORM_TYPE'><value>urn:xmpp:mam:2</value></field><field var='ids'><value>"+id+"</value></field></x></query>")
		all += second.iq("set", "a", "<moderate xmlns='urn:xmpp:message-moderate:1' id='"+ahead.ID+"'><retract xmlns='urn:xmpp:message-retract:1'/></moderate>")
		all += second.iq("get", "v", "<vCard xmlns='vcard-temp'/>")
		all += second.iq("get", "d", "<query xmlns='http://jabber.org/protocol/disco#info'/>")
		for _, old := range []string{"secret", "old subject", face, "<start id='" + id, "<end id='" + ahead.ID} {
			if strings.Contains(all, old) {
				t.Errorf("the new room shows %q:\n%s", old, all)
			}
		}
		if strings.Count(all, "item-not-found") < 2 || strings.Count(all, ">new<") != 2 {
			t.Errorf("got\n%s", all)
		}
		second.end()

		must(t, db.DeleteRoom(ctx, jid.MustParse("coven@conf.test"), 0, nil))
		rooms, err := db.ArchiveRooms(ctx, "", 10)
		must(t, err)
		if len(rooms) != 1 || rooms[0].JID.String() != "coven@conf.test" {
			t.Fatalf("archives of %v", rooms)
		}
		must(t, db.AppendArchive(ctx, archiveRows(coven, 0, 1)))
		stale := rooms[0]
		stale.JID = coven
		must(t, db.DropArchive(ctx, stale)) // that of another room
		must(t, db.DropArchive(ctx, rooms[0]))
		must(t, db.DropArchive(ctx, rooms[0])) // a second time
		if rooms, err = db.ArchiveRooms(ctx, "", 10); err != nil || len(rooms) != 1 || rooms[0].JID != coven {
			t.Errorf("archives of %v, %v", rooms, err)
		}
	})
}
