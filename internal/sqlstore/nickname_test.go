package sqlstore

import (
	"errors"
	"reflect"
	"slices"
	"testing"

	"github.com/muster-im/muster/internal/store"
	"github.com/muster-im/muster/jid"
	"github.com/muster-im/muster/muc"
)

func TestReservedNicks(t *testing.T) {
	t.Parallel()
	onEngines(t, func(t *testing.T, open func() *DB) {
		db, ctx := open(), t.Context()
		newAccount(t, db, romeo)
		newAccount(t, db, juliet)
		const rooms, others = "conf.example.org", "conf.example.net"
		nick := func(owner jid.JID, nick, key string) store.ReservedNick {
			return store.ReservedNick{Owner: owner, Nick: nick, Key: key}
		}
		check := func(when, service string, want ...store.ReservedNick) {
			t.Helper()
			got, err := db.ReservedNicks(ctx, service)
			if err != nil || !slices.Equal(got, want) {
				t.Errorf("%s: got %v, %v\nwant %v", when, got, err, want)
			}
		}
		check("at first", rooms)
		must(t, db.ReserveNick(ctx, rooms, nick(romeo, "Zoë 🌹", "zoë 🌹")))
		must(t, db.ReserveNick(ctx, rooms, nick(juliet, "Capulet", "capulet")))
		must(t, db.ReserveNick(ctx, others, nick(juliet, "Zoë 🌹", "zoë 🌹")))
		if err := db.ReserveNick(ctx, rooms, nick(juliet, "ZOË 🌹", "zoë 🌹")); !errors.Is(err, store.ErrConflict) {
			t.Errorf("another's nickname: %v, want ErrConflict", err)
		}
		check("a conflict changes nothing", rooms, nick(juliet, "Capulet", "capulet"), nick(romeo, "Zoë 🌹", "zoë 🌹"))
		check("each service has its own", others, nick(juliet, "Zoë 🌹", "zoë 🌹"))
		must(t, db.ReserveNick(ctx, rooms, nick(juliet, "CAPULET", "capulet")))
		must(t, db.ReserveNick(ctx, rooms, nick(romeo, "Montague", "montague")))
		check("replaced", rooms, nick(juliet, "CAPULET", "capulet"), nick(romeo, "Montague", "montague"))
		must(t, db.ReserveNick(ctx, rooms, nick(juliet, "Zoë 🌹", "zoë 🌹")))
		must(t, db.ReleaseNick(ctx, rooms, romeo))
		must(t, db.ReleaseNick(ctx, rooms, romeo))
		check("released", rooms, nick(juliet, "Zoë 🌹", "zoë 🌹"))
		room := newJID(t, "coven", rooms)
		members := []muc.AffiliationRecord{
			{JID: juliet, Affiliation: muc.Member, Nick: "Capulet", Reason: "A friend"}, {JID: romeo, Affiliation: muc.Owner, Nick: "Montague"},
		}
		must(t, db.ApplyRoomChange(ctx, room, 1, muc.RoomChange{Created: noon, Descriptor: &muc.RoomDescriptor{JID: room}, Affiliations: members}))
		must(t, db.RemoveAccount(ctx, juliet))
		must(t, db.PurgeAccount(ctx, juliet))
		check("of an account that is gone", rooms)
		check("of an account that is gone, elsewhere", others)
		members[0].Nick = ""
		rec, err := db.Room(ctx, room)
		must(t, err)
		if !reflect.DeepEqual(rec.Affiliations, members) {
			t.Errorf("in the room: got %v\nwant %v", rec.Affiliations, members)
		}
	})
}
