package sqlstore

import (
	"bytes"
	"errors"
	"fmt"
	"reflect"
	"testing"
	"time"

	"github.com/muster-im/muster/jid"
	"github.com/muster-im/muster/muc"
)

func TestRoom(t *testing.T) {
	t.Parallel()
	onEngines(t, func(t *testing.T, open func() *DB) {
		db, ctx := open(), t.Context()
		if _, err := db.Room(ctx, coven); !errors.Is(err, muc.ErrNoRoom) {
			t.Errorf("no room: %v", err)
		}
		author := jid.MustParse("coven@chat.example.org/🌙 Moon's 'child'")
		want := muc.RoomRecord{
			JID: coven, Created: noon,
			Settings:  map[string][]string{"muc#roomconfig_roomname": {"Hexenküche 🧙"}, "empty": {}, "two": {"a", "b\n\"c\""}},
			Subject:   muc.Subject{Text: "Fire burn, and cauldron bubble 🔥", Lang: "en", More: []muc.SubjectText{{Lang: "de", Text: "\"Spar'n am Werk nicht Fleiß noch Mühe\" 🔥"}}, Author: author, Time: noon},
			SubjectID: "01J",
			Affiliations: []muc.AffiliationRecord{
				{JID: jid.MustParse("evil.example"), Affiliation: muc.Outcast, Reason: "no 🐍 here"},
				{JID: juliet, Affiliation: muc.Member, Nick: "🌹"},
				{JID: romeo, Affiliation: muc.Owner, Data: map[string]string{"hat": "🎩"}},
			},
		}
		must(t, db.ApplyRoomChange(ctx, coven, 3, muc.RoomChange{
			Created: noon, Settings: want.Settings, Subject: &want.Subject, SubjectID: want.SubjectID,
			Affiliations: []muc.AffiliationRecord{want.Affiliations[2], want.Affiliations[0], want.Affiliations[1]},
		}))
		must(t, db.Close())
		db = open()
		got, err := db.Room(ctx, coven)
		if err != nil || !reflect.DeepEqual(*got, want) {
			t.Fatalf("got %+v, %v\nwant %+v", got, err, want)
		}
		// What a change does not name stays.
		must(t, db.ApplyRoomChange(ctx, coven, 3, muc.RoomChange{Created: noon, Affiliations: []muc.AffiliationRecord{
			{JID: romeo, Affiliation: muc.Admin, Reason: "moved"},
			{JID: juliet},
		}}))
		want.Affiliations = []muc.AffiliationRecord{
			want.Affiliations[0],
			{JID: romeo, Affiliation: muc.Admin, Reason: "moved", Data: map[string]string{"hat": "🎩"}},
		}
		if got, err = db.Room(ctx, coven); err != nil || !reflect.DeepEqual(*got, want) {
			t.Errorf("got %+v, %v\nwant %+v", got, err, want)
		}
		must(t, db.DeleteRoom(ctx, coven, 3, nil))
		must(t, db.DeleteRoom(ctx, coven, 3, nil))
		if _, err := db.Room(ctx, coven); !errors.Is(err, muc.ErrNoRoom) {
			t.Errorf("deleted room: %v", err)
		}
		must(t, db.ApplyRoomChange(ctx, coven, 1, muc.RoomChange{Created: noon}))
		if got, err = db.Room(ctx, coven); err != nil || len(got.Affiliations) != 0 || len(got.Settings) != 0 {
			t.Errorf("room made anew has something of the old one: %+v, %v", got, err)
		}
	})
}

func TestAffiliationData(t *testing.T) {
	t.Parallel()
	onEngines(t, func(t *testing.T, open func() *DB) {
		db, ctx := open(), t.Context()
		type data = map[string]string
		for _, step := range []struct{ change, want data }{
			{data{"a": "1", "b": "2"}, data{"a": "1", "b": "2"}},
			{nil, data{"a": "1", "b": "2"}},
			{data{"b": "3"}, data{"a": "1", "b": "3"}},
			{data{"a": ""}, data{"b": "3"}},
			{data{"b": ""}, nil},
		} {
			must(t, db.ApplyRoomChange(ctx, coven, 0, muc.RoomChange{Created: noon, Affiliations: []muc.AffiliationRecord{
				{JID: romeo, Affiliation: muc.Member, Data: step.change},
			}}))
			room, err := db.Room(ctx, coven)
			must(t, err)
			if got := room.Affiliations[0].Data; !reflect.DeepEqual(got, step.want) {
				t.Errorf("change %v: got %v, want %v", step.change, got, step.want)
			}
		}
	})
}

// TestDataOfNobody: an entry without an affiliation is there as long as it has
// data.
func TestDataOfNobody(t *testing.T) {
	t.Parallel()
	onEngines(t, func(t *testing.T, open func() *DB) {
		db, ctx := open(), t.Context()
		hat := map[string]string{"hat": "🎩"}
		for i, step := range []struct {
			change muc.AffiliationRecord
			want   []muc.AffiliationRecord
		}{
			{muc.AffiliationRecord{JID: romeo, Affiliation: muc.None, Data: hat}, []muc.AffiliationRecord{{JID: romeo, Affiliation: muc.None, Data: hat}}},
			{muc.AffiliationRecord{JID: romeo, Affiliation: muc.Member}, []muc.AffiliationRecord{{JID: romeo, Affiliation: muc.Member, Data: hat}}},
			{muc.AffiliationRecord{JID: romeo, Affiliation: muc.None, Data: hat}, []muc.AffiliationRecord{{JID: romeo, Affiliation: muc.None, Data: hat}}},
			{muc.AffiliationRecord{JID: romeo, Affiliation: muc.None, Data: map[string]string{"hat": ""}}, nil},
			{muc.AffiliationRecord{JID: romeo, Affiliation: muc.Member, Data: hat}, []muc.AffiliationRecord{{JID: romeo, Affiliation: muc.Member, Data: hat}}},
			{muc.AffiliationRecord{JID: romeo, Affiliation: muc.None}, nil},
		} {
			must(t, db.ApplyRoomChange(ctx, coven, 0, muc.RoomChange{Created: noon, Affiliations: []muc.AffiliationRecord{step.change}}))
			room, err := db.Room(ctx, coven)
			must(t, err)
			if !reflect.DeepEqual(room.Affiliations, step.want) {
				t.Errorf("step %d: got %v, want %v", i, room.Affiliations, step.want)
			}
		}
	})
}

// TestRoomData: what features keep of a room, and that it goes with the room.
func TestRoomData(t *testing.T) {
	t.Parallel()
	onEngines(t, func(t *testing.T, open func() *DB) {
		db, ctx := open(), t.Context()
		type data = map[string][]byte
		large := bytes.Repeat([]byte{0, 0xff}, 1<<16)
		for i, step := range []struct{ change, want data }{
			{nil, data{}},
			{data{"a": {0, 1}, "b": large}, data{"a": {0, 1}, "b": large}},
			{data{"a": {2}}, data{"a": {2}, "b": large}},
			{data{"a": nil, "c": nil}, data{"b": large}},
		} {
			must(t, db.ApplyRoomChange(ctx, coven, 0, muc.RoomChange{Created: noon, Data: step.change}))
			if got, err := db.RoomData(ctx, coven); err != nil || !reflect.DeepEqual(got, step.want) {
				t.Errorf("step %d: got %d keys, %v, want %d", i, len(got), err, len(step.want))
			}
		}
		must(t, db.DeleteRoom(ctx, coven, 0, nil))
		must(t, db.ApplyRoomChange(ctx, coven, 0, muc.RoomChange{Created: noon}))
		if got, err := db.RoomData(ctx, coven); err != nil || len(got) > 0 {
			t.Errorf("a room made anew has %d keys of the old one, %v", len(got), err)
		}
	})
}

func TestStaleEpoch(t *testing.T) {
	t.Parallel()
	onEngines(t, func(t *testing.T, open func() *DB) {
		db, ctx := open(), t.Context()
		name := func(s string) muc.RoomChange {
			return muc.RoomChange{Created: noon, Settings: map[string][]string{"name": {s}}}
		}
		must(t, db.ApplyRoomChange(ctx, coven, 5, name("first")))
		must(t, db.ApplyRoomChange(ctx, coven, 7, name("second")))
		if err := db.ApplyRoomChange(ctx, coven, 6, name("stale")); !errors.Is(err, muc.ErrStaleEpoch) {
			t.Errorf("change of a former owner: %v", err)
		}
		if err := db.DeleteRoom(ctx, coven, 6, nil); !errors.Is(err, muc.ErrStaleEpoch) {
			t.Errorf("deletion by a former owner: %v", err)
		}
		room, err := db.Room(ctx, coven)
		if err != nil || room.Settings["name"][0] != "second" {
			t.Errorf("got %+v, %v", room, err)
		}
		must(t, db.DeleteRoom(ctx, coven, 7, nil))
	})
}

func TestRoomPages(t *testing.T) {
	t.Parallel()
	onEngines(t, func(t *testing.T, open func() *DB) {
		db, ctx := open(), t.Context()
		var want []muc.RoomDescriptor
		for i, local := range []string{"a", "a.b", "aa", "zz", "é", "部屋"} {
			d := muc.RoomDescriptor{JID: newJID(t, local, "chat.example.org"), Name: "room 🏠 " + local, Public: i%2 == 0}
			must(t, db.ApplyRoomChange(ctx, d.JID, 0, muc.RoomChange{Created: noon, Descriptor: &d}))
			want = append(want, d)
		}
		must(t, db.ApplyRoomChange(ctx, jid.MustParse("b@other.example"), 0, muc.RoomChange{Created: noon}))
		var got []muc.RoomDescriptor
		for after := ""; ; after = got[len(got)-1].JID.Local() {
			page, err := db.Rooms(ctx, muc.RoomsQuery{Service: "chat.example.org", After: after, Limit: 4})
			must(t, err)
			if len(page) == 0 {
				break
			}
			got = append(got, page...)
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("got %+v\nwant %+v", got, want)
		}
		for _, test := range []struct {
			q     muc.RoomsQuery
			page  []muc.RoomDescriptor
			count int
		}{
			{muc.RoomsQuery{Last: true, Limit: 2}, want[4:], 6},
			{muc.RoomsQuery{Before: "zz", Last: true, Limit: 2}, want[1:3], 3},
			{muc.RoomsQuery{After: "a", Before: "zz", Limit: 5}, want[1:3], 2},
			{muc.RoomsQuery{Public: true, Limit: 2}, []muc.RoomDescriptor{want[0], want[2]}, 3},
			{muc.RoomsQuery{Public: true, After: "aa", Limit: 2}, want[4:5], 1},
		} {
			test.q.Service = "chat.example.org"
			page, err := db.Rooms(ctx, test.q)
			n, cerr := db.CountRooms(ctx, test.q)
			if err != nil || cerr != nil || !reflect.DeepEqual(page, test.page) || n != test.count {
				t.Errorf("%+v: got %+v of %d, %v, %v, want %+v of %d", test.q, page, n, err, cerr, test.page, test.count)
			}
		}
	})
}

// TestTombstones: what is left of a destroyed room stays until the name is used
// again.
func TestTombstones(t *testing.T) {
	t.Parallel()
	onEngines(t, func(t *testing.T, open func() *DB) {
		db, ctx := open(), t.Context()
		stone := &muc.Tombstone{
			Reason: "moved 🏠", Alternative: jid.MustParse("new@chat.example.org"), Until: time.Now().Add(time.Hour).UTC().Truncate(time.Microsecond),
			Denied: []jid.JID{jid.MustParse("far.example.org"), jid.MustParse("tybalt@example.org")},
		}
		old := &muc.Tombstone{Until: time.Now().Add(-time.Hour)}
		d := &muc.RoomDescriptor{JID: coven, Name: "coven"}
		must(t, db.ApplyRoomChange(ctx, coven, 0, muc.RoomChange{Created: noon, Descriptor: d}))
		must(t, db.DeleteRoom(ctx, jid.MustParse("old@chat.example.org"), 0, old)) // a room that was never stored
		must(t, db.DeleteRoom(ctx, coven, 0, stone))
		must(t, db.Close())
		db = open()
		rec, err := db.Room(ctx, coven)
		if err != nil || rec.Tombstone == nil || !reflect.DeepEqual(rec.Tombstone, stone) {
			t.Fatalf("got %+v, %v, want %+v", rec, err, stone)
		}
		if _, err := db.Room(ctx, jid.MustParse("old@chat.example.org")); !errors.Is(err, muc.ErrNoRoom) {
			t.Errorf("what has expired is still there: %v", err)
		}
		must(t, db.ApplyRoomChange(ctx, coven, 0, muc.RoomChange{Created: noon, Descriptor: d}))
		if rec, err = db.Room(ctx, coven); err != nil || rec.Tombstone != nil {
			t.Errorf("a new room: got %+v, %v", rec, err)
		}
		must(t, db.DeleteRoom(ctx, coven, 0, nil))
		if _, err := db.Room(ctx, coven); !errors.Is(err, muc.ErrNoRoom) {
			t.Errorf("after the second end: %v", err)
		}
	})
}

func TestRoomChangeIsWhole(t *testing.T) {
	t.Parallel()
	onEngines(t, func(t *testing.T, open func() *DB) {
		db, ctx := open(), t.Context()
		must(t, db.ApplyRoomChange(ctx, coven, 0, muc.RoomChange{Created: noon, Settings: map[string][]string{"name": {"before"}}}))
		breakAffiliations(t, db)
		err := db.ApplyRoomChange(ctx, coven, 0, muc.RoomChange{
			Created:      noon,
			Settings:     map[string][]string{"name": {"after"}},
			Affiliations: []muc.AffiliationRecord{{JID: romeo, Affiliation: muc.Owner}},
		})
		if err == nil {
			t.Fatal("no error")
		}
		var settings string
		if _, err := db.meta.one(ctx, "SELECT settings FROM rooms", nil, &settings); err != nil || settings != `{"name":["before"]}` {
			t.Errorf("settings are %s, %v", settings, err)
		}
	})
}

func breakAffiliations(t *testing.T, db *DB) {
	t.Helper()
	execOn(t, db.meta, "DROP TABLE affiliations")
}

func TestManyAffiliations(t *testing.T) {
	t.Parallel()
	onEngines(t, func(t *testing.T, open func() *DB) {
		n := 100_000
		if testing.Short() {
			n = 1000
		}
		db, ctx := open(), t.Context()
		list := make([]muc.AffiliationRecord, n)
		for i := range list {
			list[i] = muc.AffiliationRecord{JID: newJID(t, fmt.Sprintf("user%06d", i), "example.org"), Affiliation: muc.Member}
		}
		must(t, db.ApplyRoomChange(ctx, coven, 0, muc.RoomChange{Created: noon, Affiliations: list}))
		changed := muc.AffiliationRecord{JID: list[n/2].JID, Affiliation: muc.Admin}
		must(t, db.ApplyRoomChange(ctx, coven, 0, muc.RoomChange{Created: noon, Affiliations: []muc.AffiliationRecord{changed}}))
		list[n/2] = changed
		room, err := db.Room(ctx, coven)
		must(t, err)
		if !reflect.DeepEqual(room.Affiliations, list) {
			t.Errorf("got %d affiliations that differ from the %d stored", len(room.Affiliations), n)
		}
	})
}

func BenchmarkManyAffiliations(b *testing.B) {
	db, err := Open(b.Context(), Options{Driver: SQLite, Dir: b.TempDir(), Durability: DurabilityProcess})
	if err != nil {
		b.Fatal(err)
	}
	defer db.Close() //nolint:errcheck // nothing depends on it
	list := make([]muc.AffiliationRecord, 100_000)
	for i := range list {
		j, err := jid.New(fmt.Sprintf("user%06d", i), "example.org", "")
		if err != nil {
			b.Fatal(err)
		}
		list[i] = muc.AffiliationRecord{JID: j, Affiliation: muc.Member}
	}
	if err := db.ApplyRoomChange(b.Context(), coven, 0, muc.RoomChange{Created: noon, Affiliations: list}); err != nil {
		b.Fatal(err)
	}
	b.Run("load", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := db.Room(b.Context(), coven); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("change one", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if err := db.ApplyRoomChange(b.Context(), coven, 0, muc.RoomChange{Created: noon, Affiliations: list[500:501]}); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// TestChangeBringsNothingBack: a late change must not revive a deleted room.
func TestChangeBringsNothingBack(t *testing.T) {
	t.Parallel()
	onEngines(t, func(t *testing.T, open func() *DB) {
		db, ctx := open(), t.Context()
		must(t, db.ApplyRoomChange(ctx, coven, 0, muc.RoomChange{Created: noon}))
		must(t, db.DeleteRoom(ctx, coven, 0, nil))
		late := muc.RoomChange{Subject: &muc.Subject{Text: "late"}}
		if err := db.ApplyRoomChange(ctx, coven, 0, late); !errors.Is(err, muc.ErrNoRoom) {
			t.Errorf("change of a deleted room: got %v, want ErrNoRoom", err)
		}
	})
}

// BenchmarkCreateRoom is what the store does of a room that somebody makes: it is
// looked for, in vain, and then stored with its owner.
func BenchmarkCreateRoom(b *testing.B) {
	db, err := Open(b.Context(), Options{Driver: SQLite, Dir: b.TempDir(), Durability: DurabilityProcess})
	if err != nil {
		b.Fatal(err)
	}
	defer db.Close() //nolint:errcheck // nothing depends on it
	change := muc.RoomChange{
		Created: noon, Descriptor: &muc.RoomDescriptor{Name: "A room", Public: true}, Settings: map[string][]string{"muc#roomconfig_persistentroom": {"1"}},
		Affiliations: []muc.AffiliationRecord{{JID: jid.MustParse("crone1@shakespeare.lit"), Affiliation: muc.Owner}},
	}
	n := 0
	b.ReportAllocs()
	before := cpuTime()
	for b.Loop() {
		n++
		room, err := jid.New(fmt.Sprintf("room%d", n), "chat.shakespeare.lit", "")
		if err != nil {
			b.Fatal(err)
		}
		if _, err := db.Room(b.Context(), room); !errors.Is(err, muc.ErrNoRoom) {
			b.Fatal(err)
		}
		if err := db.ApplyRoomChange(b.Context(), room, 0, change); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(cpuTime()-before)/float64(n)/1000, "cpu-µs/room")
}
