package sqlstore

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"maps"
	"sync"

	"github.com/muster-im/muster/internal/store"
	"github.com/muster-im/muster/jid"
)

// appendSQLite stores rows in one transaction. Unlike all else it talks to the
// driver without package sql in between: each archived message passes here, and
// a short batch costs half as much CPU this way.
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
	conn, err := db.archive.writer.Conn(ctx) // waits for its turn
	if err != nil {
		return nil, err
	}
	defer conn.Close() //nolint:errcheck // gives the connection back
	rawErr := conn.Raw(func(c any) error {
		// Nobody drops an archive while we have the connection.
		var ids []int64
		if ids, missing = db.rooms.lookup(rows); missing != nil {
			return nil
		}
		var broken bool
		if broken, err = db.appender.append(ctx, c, rows, ids); broken {
			return driver.ErrBadConn // the pool opens a new one
		}
		return nil
	})
	if err == nil && !errors.Is(rawErr, driver.ErrBadConn) {
		err = rawErr
	}
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

// appender has the driver's statements for appending. It is owned by whoever
// has the archive's one writing connection.
type appender struct {
	conn                            any // whose statements these are
	begin, insert, commit, rollback driver.Stmt
	args                            [8]driver.NamedValue
}

// append stores rows in one transaction. The connection is broken if it is not
// known to be out of the transaction afterwards.
func (a *appender) append(ctx context.Context, conn any, rows []store.ArchiveRow, ids []int64) (broken bool, err error) {
	if a.conn != conn {
		if err := a.prepare(conn); err != nil {
			return true, err
		}
	}
	// A context that can end would cost a goroutine per statement.
	quiet := context.WithoutCancel(ctx)
	if err := run(quiet, a.begin, nil); err != nil {
		return false, err
	}
	err = a.insertRows(quiet, rows, ids)
	if err == nil {
		err = ctx.Err()
	}
	if err == nil {
		err = run(quiet, a.commit, nil)
	}
	if err == nil {
		return false, nil
	}
	if run(quiet, a.rollback, nil) == nil {
		return false, err
	}
	// SQLite rolls back by itself when the disk is full, for one. If it has,
	// the connection can begin anew.
	if run(quiet, a.begin, nil) == nil && run(quiet, a.rollback, nil) == nil {
		return false, err
	}
	return true, errors.Join(err, a.close())
}

func (a *appender) insertRows(ctx context.Context, rows []store.ArchiveRow, ids []int64) error {
	args := a.args[:]
	defer clear(args)
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
		if err := run(ctx, a.insert, args); err != nil {
			return err
		}
	}
	return nil
}

func run(ctx context.Context, st driver.Stmt, args []driver.NamedValue) error {
	_, err := st.(driver.StmtExecContext).ExecContext(ctx, args) //nolint:errcheck,forcetypeassert // this driver's statements are
	return err
}

// prepare prepares the statements on another connection.
func (a *appender) prepare(conn any) error {
	if err := a.close(); err != nil {
		return err
	}
	c, ok := conn.(driver.Conn)
	if !ok {
		return fmt.Errorf("%T is no connection", conn)
	}
	for _, st := range []struct {
		to   *driver.Stmt
		text string
	}{
		{&a.begin, "BEGIN IMMEDIATE"},
		{&a.insert, "INSERT INTO archive (room, id, time, nick, real_jid, resource, subject, stanza) VALUES (?, ?, ?, ?, ?, ?, ?, ?)"},
		{&a.commit, "COMMIT"},
		{&a.rollback, "ROLLBACK"},
	} {
		var err error
		if *st.to, err = c.Prepare(st.text); err != nil {
			return errors.Join(err, a.close())
		}
	}
	a.conn = conn
	return nil
}

// close frees the statements, without which SQLite does not close its
// connection.
func (a *appender) close() error {
	var errs []error
	for _, st := range []driver.Stmt{a.begin, a.insert, a.commit, a.rollback} {
		if st != nil {
			errs = append(errs, st.Close())
		}
	}
	*a = appender{}
	return errors.Join(errs...)
}
