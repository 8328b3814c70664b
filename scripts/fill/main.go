// Command fill writes accounts and rooms into a data directory that no server
// uses, to measure one that has many: bench/measure.sh. They are bench1, bench2
// and so on, with the password bench; the owner of room N is account N.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"strconv"
	"time"

	"github.com/muster-im/muster/internal/sasl"
	"github.com/muster-im/muster/internal/sqlstore"
	"github.com/muster-im/muster/internal/store"
	"github.com/muster-im/muster/jid"
	"github.com/muster-im/muster/muc"
)

func main() {
	dir := flag.String("dir", "", "data directory")
	domain := flag.String("domain", "localhost", "domain of the accounts; rooms are at conference.DOMAIN")
	accounts := flag.Int("accounts", 100_000, "how many accounts")
	rooms := flag.Int("rooms", 100_000, "how many rooms")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := fill(ctx, *dir, *domain, *accounts, *rooms); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func fill(ctx context.Context, dir, domain string, accounts, rooms int) (err error) {
	db, err := sqlstore.Open(ctx, sqlstore.Options{Driver: sqlstore.SQLite, Dir: dir, Durability: sqlstore.DurabilityProcess})
	if err != nil {
		return err
	}
	defer func() {
		if cerr := db.Close(); err == nil {
			err = cerr
		}
	}()
	keys, err := benchKeys(ctx)
	if err != nil {
		return err
	}
	for i := range accounts {
		name, err := jid.New("bench"+strconv.Itoa(i+1), domain, "")
		if err != nil {
			return err
		}
		if err := db.CreateAccount(ctx, store.Account{JID: name, Keys: keys, Created: time.Now()}); err != nil {
			return err
		}
	}
	for i := range rooms {
		if err := fillRoom(ctx, db, domain, strconv.Itoa(i+1)); err != nil {
			return err
		}
	}
	return nil
}

// benchKeys makes the keys that all accounts share: deriving them for each
// would take minutes.
func benchKeys(ctx context.Context) ([]store.SCRAMKeys, error) {
	made, err := sasl.NewHasher(0, 0).Keys(ctx, "bench")
	if err != nil {
		return nil, err
	}
	var keys []store.SCRAMKeys
	for _, k := range made {
		keys = append(keys, store.SCRAMKeys{
			Hash: string(k.Hash), Salt: k.Salt, Iterations: k.Iterations, StoredKey: k.StoredKey, ServerKey: k.ServerKey,
		})
	}
	return keys, nil
}

// fillRoom stores a public room as its owner would have made it.
func fillRoom(ctx context.Context, db *sqlstore.DB, domain, n string) error {
	room, err := jid.New("room"+n, "conference."+domain, "")
	if err != nil {
		return err
	}
	owner, err := jid.New("bench"+n, domain, "")
	if err != nil {
		return err
	}
	return db.ApplyRoomChange(ctx, room, 1, muc.RoomChange{
		Created:      time.Now(),
		Descriptor:   &muc.RoomDescriptor{JID: room, Name: "Room " + n, Public: true},
		Settings:     map[string][]string{"muc#roomconfig_roomname": {"Room " + n}, "muc#roomconfig_persistentroom": {"1"}},
		Affiliations: []muc.AffiliationRecord{{JID: owner, Affiliation: muc.Owner}},
	})
}
