package main

import (
	"testing"

	"github.com/muster-im/muster/internal/sqlstore"
	"github.com/muster-im/muster/jid"
	"github.com/muster-im/muster/muc"
)

// TestFill: what was asked for is there, and whole.
func TestFill(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := fill(t.Context(), dir, "localhost", 3, 2); err != nil {
		t.Fatal(err)
	}
	db, err := sqlstore.Open(t.Context(), sqlstore.Options{Driver: sqlstore.SQLite, Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	}()
	accounts, err := db.Accounts(t.Context(), "localhost", "", 10)
	if err != nil || len(accounts) != 3 {
		t.Fatalf("%d accounts, %v", len(accounts), err)
	}
	if a, err := db.Account(t.Context(), jid.MustParse("bench3@localhost")); err != nil || len(a.Keys) == 0 || len(a.Keys[0].StoredKey) == 0 {
		t.Errorf("the last account is %+v, %v", a, err)
	}
	rooms, err := db.Rooms(t.Context(), muc.RoomsQuery{Service: "conference.localhost", Limit: 10})
	if err != nil || len(rooms) != 2 || !rooms[0].Public || rooms[0].Name != "Room 1" {
		t.Errorf("rooms %+v, %v", rooms, err)
	}
	room, err := db.Room(t.Context(), jid.MustParse("room2@conference.localhost"))
	if err != nil || len(room.Affiliations) != 1 || room.Affiliations[0].Affiliation != muc.Owner {
		t.Errorf("the last room is %+v, %v", room, err)
	}
}
