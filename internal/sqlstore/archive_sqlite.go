package sqlstore

import (
	"context"
	"database/sql/driver"
	"maps"
	"sync"

	"github.com/muster-im/muster/internal/store"
	"github.com/muster-im/muster/jid"
)

// appendSQLite stores rows in one transaction.
func (db *DB) appendSQLite(ctx context.Context, rows []store.ArchiveRow) error {
	d := db.archive
	for {
		missing, err := db.appendKnown(ctx, rows)
		if err == nil && missing != nil {
			err = db.resolveRoomIDs(ctx, missing)
		}
		if err != nil {
			return d.count(err)
		}
		if missing == nil {
			d.written()
			return nil
		}
	}
}

// appendKnown stores rows if it knows the ids of all their rooms, else it
// stores nothing and returns the rooms it does not know.
func (db *DB) appendKnown(ctx context.Context, rows []store.ArchiveRow) (missing []jid.JID, err error) {
	err = onConn(ctx, db.archive.writer, func(c *sqliteConn) (broken bool, err error) {
		// Nobody drops an archive while we have the connection.
		var ids []int64
		if ids, missing = db.rooms.lookup(rows); missing != nil {
			return false, nil
		}
		return c.appendArchive(ctx, rows, ids)
	})
	return missing, err
}

// resolveRoomIDs finds or makes ids for rooms.
func (db *DB) resolveRoomIDs(ctx context.Context, rooms []jid.JID) error {
	ids := make(map[jid.JID]int64, len(rooms))
	var age uint64
	err := db.archive.update(ctx, func(ctx context.Context, q querier) error {
		age = db.rooms.now()
		for _, room := range rooms {
			var id int64
			if _, err := q.exec(ctx, "INSERT INTO archive_rooms (room) VALUES ($1) ON CONFLICT (room) DO NOTHING",
				text(room)); err != nil {
				return err
			}
			if _, err := q.one(ctx, "SELECT id FROM archive_rooms WHERE room = $1", []any{text(room)}, &id); err != nil {
				return err
			}
			ids[room] = id
		}
		return nil
	})
	if err == nil {
		db.rooms.add(ids, age)
	}
	return err
}

// roomIDs knows which ids rooms have in SQLite's archive.
type roomIDs struct {
	mu        sync.Mutex
	ids       map[jid.JID]int64 // guarded by mu; of maxRoomIDs rooms at most
	forgotten uint64            // guarded by mu; how often forget was called
}

const maxRoomIDs = 8192

func newRoomIDs() *roomIDs { return &roomIDs{ids: make(map[jid.JID]int64)} }

// lookup returns the id of each row's room, or the rooms whose ids it does not
// know.
func (r *roomIDs) lookup(rows []store.ArchiveRow) (ids []int64, missing []jid.JID) {
	ids = make([]int64, len(rows))
	r.mu.Lock()
	defer r.mu.Unlock()
	for i := range rows {
		id, ok := r.ids[rows[i].Room]
		if !ok {
			missing = append(missing, rows[i].Room)
		}
		ids[i] = id
	}
	return ids, missing
}

// now is the age of ids that a transaction which begins now will read.
func (r *roomIDs) now() uint64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.forgotten
}

// add remembers ids that are committed, unless one may have been dropped since.
func (r *roomIDs) add(ids map[jid.JID]int64, age uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.forgotten != age {
		return
	}
	if len(r.ids)+len(ids) > maxRoomIDs {
		clear(r.ids)
	}
	maps.Copy(r.ids, ids)
}

// forget must be called by the one who drops the room's id, before he commits.
func (r *roomIDs) forget(room jid.JID) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.ids, room)
	r.forgotten++
}

// appendArchive stores rows in one transaction. The connection is broken if it is
// not known to be out of the transaction afterwards.
func (c *sqliteConn) appendArchive(ctx context.Context, rows []store.ArchiveRow, ids []int64) (broken bool, err error) {
	// A context that can end would cost a goroutine per statement.
	quiet := context.WithoutCancel(ctx)
	if _, err := c.exec(quiet, "BEGIN IMMEDIATE"); err != nil {
		return false, err
	}
	err = c.insertArchive(quiet, rows, ids)
	if err == nil {
		err = ctx.Err()
	}
	if err == nil {
		_, err = c.exec(quiet, "COMMIT")
	}
	if err != nil {
		return c.rollback(quiet), err
	}
	return false, nil
}

func (c *sqliteConn) insertArchive(ctx context.Context, rows []store.ArchiveRow, ids []int64) error {
	st, err := c.statement("INSERT INTO archive (room, id, time, nick, real_jid, resource, subject, stanza) VALUES (?, ?, ?, ?, ?, ?, ?, ?)")
	if err != nil {
		return err
	}
	var args [8]driver.NamedValue
	for i := range args {
		args[i].Ordinal = i + 1
	}
	for i := range rows {
		r := &rows[i]
		args[0].Value = ids[i]
		args[1].Value = r.ID
		args[2].Value = micros(r.Time)
		args[3].Value = r.From.Resource()
		args[4].Value = text(r.RealJID)
		args[5].Value = r.Resource
		args[6].Value = r.Subject
		args[7].Value = r.Stanza
		if _, err := st.(driver.StmtExecContext).ExecContext(ctx, args[:]); err != nil { //nolint:errcheck,forcetypeassert // this driver's statements are
			return err
		}
	}
	return nil
}
