package sqlstore

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/muster-im/muster/internal/store"
	"github.com/muster-im/muster/jid"
	"github.com/muster-im/muster/muc"
)

// ArchiveRooms returns at most limit rooms that have an archive, ordered by
// address in byte order, behind the address after ("" for the first page).
func (db *DB) ArchiveRooms(ctx context.Context, after string, limit int) ([]store.ArchiveRoom, error) {
	var list []store.ArchiveRoom
	err := db.archive.each(ctx, "SELECT room, id FROM archive_rooms WHERE room > $1 ORDER BY room LIMIT $2",
		[]any{after, limit}, func(rows row) error {
			var room store.ArchiveRoom
			err := rows.Scan(address{&room.JID}, &room.Archive)
			list = append(list, room)
			return err
		})
	if err != nil {
		return nil, fmt.Errorf("list archives: %w", clean(err))
	}
	return list, nil
}

// RoomSettings returns the settings of a stored room, without anything else of
// it; muc.ErrNoRoom if there is none.
func (db *DB) RoomSettings(ctx context.Context, room jid.JID) (map[string][]string, error) {
	var data []byte
	found, err := db.meta.one(ctx, "SELECT settings FROM rooms WHERE service = $1 AND local = $2", []any{room.Domain(), room.Local()}, &data)
	if err == nil && !found {
		err = muc.ErrNoRoom
	}
	var settings map[string][]string
	if err == nil {
		err = json.Unmarshal(data, &settings)
	}
	if err != nil {
		return nil, fmt.Errorf("settings of room %s: %w", room, clean(err))
	}
	return settings, nil
}

// TrimArchive removes the oldest rows of a room that are from before a time, or
// more than keep (0: any number), but not more than purgeStep of them. It
// reports how many that were and whether there may be more.
func (db *DB) TrimArchive(ctx context.Context, room jid.JID, before time.Time, keep int) (removed int, more bool, err error) {
	room = room.Bare()
	last, err := db.lastToTrim(ctx, room, before, keep)
	if err == nil && last != "" {
		err = db.archive.update(ctx, func(ctx context.Context, q querier) error {
			n, err := q.exec(ctx, `DELETE FROM archive WHERE room = (SELECT id FROM archive_rooms WHERE room = $1) AND id <= $2`,
				text(room), last)
			removed = int(n)
			return err
		})
	}
	if err != nil {
		return 0, false, fmt.Errorf("trim archive of %s: %w", room, clean(err))
	}
	return removed, removed >= purgeStep, nil
}

// lastToTrim is the ID up to which a room's rows are to be removed in one step;
// "" if they are none. There is no hole: nothing goes that has something older
// before it which stays (XEP-0313 §3.2).
func (db *DB) lastToTrim(ctx context.Context, room jid.JID, before time.Time, keep int) (string, error) {
	const oldest = `SELECT id, time FROM archive WHERE room = (SELECT id FROM archive_rooms WHERE room = $1) ORDER BY id LIMIT $2`
	beyond := ""
	if keep > 0 {
		if _, err := db.archive.one(ctx, `SELECT id FROM archive WHERE room = (SELECT id FROM archive_rooms WHERE room = $1)
			ORDER BY id DESC LIMIT 1 OFFSET $2`, []any{text(room), keep}, &beyond); err != nil {
			return "", err
		}
	}
	last, done := "", false
	err := db.archive.each(ctx, oldest, []any{text(room), purgeStep}, func(rows row) error {
		var id string
		var at int64
		if err := rows.Scan(&id, &at); err != nil {
			return err
		}
		done = done || id > beyond && (before.IsZero() || at >= micros(before))
		if !done {
			last = id
		}
		return nil
	})
	return last, err
}
