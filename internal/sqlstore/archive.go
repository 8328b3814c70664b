package sqlstore

import (
	"context"
	"fmt"
	"log/slog"
	"slices"

	"github.com/muster-im/muster/internal/store"
	"github.com/muster-im/muster/jid"
)

// AppendArchive stores rows, all or none of them. A row whose ID its room has
// already, with another content, is store.ErrConflict on PostgreSQL and some
// error on SQLite.
func (db *DB) AppendArchive(ctx context.Context, rows []store.ArchiveRow) error {
	if len(rows) == 0 {
		return nil
	}
	var err error
	if db.archive.dialect == postgres {
		err = db.archive.update(ctx, func(ctx context.Context, q querier) error { return appendPostgres(ctx, q, rows) })
	} else {
		err = db.appendSQLite(ctx, rows)
	}
	if err != nil {
		return fmt.Errorf("append %d messages to archive: %w", len(rows), clean(err))
	}
	return nil
}

// appendPostgres stores rows with one statement, whatever their number. A
// commit can succeed and its answer be lost, so rows that are there already are
// no error if they are the same.
func appendPostgres(ctx context.Context, q querier, rows []store.ArchiveRow) error {
	ids, err := claimRoomIDs(ctx, q, rows)
	if err != nil {
		return err
	}
	n := len(rows)
	rooms, names, times := make([]int64, n), make([]string, n), make([]int64, n)
	nicks, real, resources := make([]string, n), make([]string, n), make([]string, n)
	subjects, stanzas := make([]bool, n), make([][]byte, n)
	for i := range rows {
		r := &rows[i]
		rooms[i], names[i], times[i] = ids[r.Room], r.ID, micros(r.Time)
		nicks[i], real[i], resources[i] = r.From.Resource(), text(r.RealJID), r.Resource
		subjects[i], stanzas[i] = r.Subject, r.Stanza
	}
	stored, err := q.exec(ctx, `INSERT INTO archive (room, id, time, nick, real_jid, resource, subject, stanza)
		SELECT * FROM unnest($1::bigint[], $2::text[], $3::bigint[], $4::text[], $5::text[], $6::text[], $7::boolean[], $8::bytea[])
		ON CONFLICT (room, id) DO NOTHING`, rooms, names, times, nicks, real, resources, subjects, stanzas)
	if err != nil || stored == int64(n) {
		return err
	}
	var same int
	if _, err := q.one(ctx, `SELECT count(*) FROM archive AS a
		JOIN unnest($1::bigint[], $2::text[], $3::bytea[]) AS b (room, id, stanza)
		ON a.room = b.room AND a.id = b.id AND a.stanza = b.stanza`, []any{rooms, names, stanzas}, &same); err != nil {
		return err
	}
	if same != n {
		return store.ErrConflict
	}
	return nil
}

// claimRoomIDs returns the ids of the rooms of rows, and keeps their archives
// from being dropped until the transaction ends.
func claimRoomIDs(ctx context.Context, q querier, rows []store.ArchiveRow) (map[jid.JID]int64, error) {
	ids := make(map[jid.JID]int64)
	var names []string
	for i := range rows {
		if _, ok := ids[rows[i].Room]; !ok {
			ids[rows[i].Room] = 0
			names = append(names, text(rows[i].Room))
		}
	}
	slices.Sort(names) // always the same order: two servers then cannot wait for each other
	for {
		found := 0
		err := q.each(ctx, "SELECT id, room FROM archive_rooms WHERE room = ANY($1::text[]) ORDER BY room FOR KEY SHARE",
			[]any{names}, func(rows row) error {
				var id int64
				var room jid.JID
				err := rows.Scan(&id, address{&room})
				ids[room] = id
				found++
				return err
			})
		if err != nil || found == len(names) {
			return ids, err
		}
		if _, err := q.exec(ctx, `INSERT INTO archive_rooms (room) SELECT unnest($1::text[])
			ON CONFLICT (room) DO NOTHING`, names); err != nil {
			return nil, err
		}
	}
}

// DeleteArchiveRows removes those of rows that are stored with the content they
// have here.
func (db *DB) DeleteArchiveRows(ctx context.Context, rows []store.ArchiveRow) error {
	err := db.archive.update(ctx, func(ctx context.Context, q querier) error {
		for i := range rows {
			if _, err := q.exec(ctx, `DELETE FROM archive
				WHERE room = (SELECT id FROM archive_rooms WHERE room = $1) AND id = $2 AND stanza = $3`,
				text(rows[i].Room), rows[i].ID, rows[i].Stanza); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("delete %d messages from archive: %w", len(rows), clean(err))
	}
	return nil
}

// ReplaceArchived puts another stanza in the place of an archived one, which
// keeps its ID, time and sender; store.ErrNotFound if the room has no such
// message.
func (db *DB) ReplaceArchived(ctx context.Context, room jid.JID, id string, stanza []byte) error {
	room = room.Bare()
	err := db.archive.update(ctx, func(ctx context.Context, q querier) error {
		n, err := q.exec(ctx, `UPDATE archive SET stanza = $3
			WHERE room = (SELECT id FROM archive_rooms WHERE room = $1) AND id = $2`, text(room), id, stanza)
		if err == nil && n == 0 {
			return store.ErrNotFound
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("replace message %s of %s: %w", id, room, clean(err))
	}
	return nil
}

// DeleteArchive removes all messages of a room. They are gone for every reader
// at once and from the disk some time later.
func (db *DB) DeleteArchive(ctx context.Context, room jid.JID) error {
	room = room.Bare()
	var id int64
	found, err := db.archive.one(ctx, "SELECT id FROM archive_rooms WHERE room = $1", []any{text(room)}, &id)
	if err != nil {
		return fmt.Errorf("delete archive of %s: %w", room, clean(err))
	}
	if !found { // as for most new rooms: nothing is written
		return nil
	}
	return db.DropArchive(ctx, store.ArchiveRoom{JID: room, Archive: id})
}

// DropArchive removes one archive of a room, and leaves alone what the room has
// begun since.
func (db *DB) DropArchive(ctx context.Context, r store.ArchiveRoom) error {
	room, id := r.JID.Bare(), r.Archive
	err := db.archive.update(ctx, func(ctx context.Context, q querier) error {
		if n, err := q.exec(ctx, "DELETE FROM archive_rooms WHERE room = $1 AND id = $2", text(room), id); err != nil || n == 0 {
			return err
		}
		if _, err := q.exec(ctx, "INSERT INTO archive_dropped (id) VALUES ($1)", id); err != nil {
			return err
		}
		db.rooms.forget(room) // nobody else writes until we commit
		return nil
	})
	if err != nil {
		return fmt.Errorf("delete archive of %s: %w", room, clean(err))
	}
	select {
	case db.purge <- struct{}{}:
	default:
	}
	return nil
}

// purgeStep is how many rows of a dropped archive one transaction removes: few
// enough that a commit of new messages hardly waits for it.
const purgeStep = 200

// purgeArchives removes dropped archives from the disk, when asked to.
func (db *DB) purgeArchives(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-db.purge:
		}
		for more := true; more; {
			var err error
			if more, err = db.purgeArchive(ctx); err != nil && ctx.Err() == nil {
				db.log.LogAttrs(ctx, slog.LevelError, "remove dropped archive", slog.Any("err", err))
				more = false // tried again after the next deletion or start
			}
		}
	}
}

// purgeArchive removes some rows of one dropped archive and reports whether
// there may be more.
func (db *DB) purgeArchive(ctx context.Context) (more bool, err error) {
	var id int64
	more, err = db.archive.one(ctx, "SELECT id FROM archive_dropped ORDER BY id LIMIT 1", nil, &id)
	if err != nil || !more {
		return false, err
	}
	err = db.archive.update(ctx, func(ctx context.Context, q querier) error {
		// Another server may do the same: changing nothing locks the entry.
		if n, err := q.exec(ctx, "UPDATE archive_dropped SET id = id WHERE id = $1", id); err != nil || n == 0 {
			return err
		}
		n, err := q.exec(ctx, `DELETE FROM archive WHERE room = $1 AND id IN
			(SELECT id FROM archive WHERE room = $1 LIMIT $2)`, id, purgeStep)
		if err != nil || n == purgeStep {
			return err
		}
		_, err = q.exec(ctx, "DELETE FROM archive_dropped WHERE id = $1", id)
		return err
	})
	return more, err
}
