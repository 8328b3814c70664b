package sqlstore

import (
	"cmp"
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"time"

	"github.com/muster-im/muster/jid"
	"github.com/muster-im/muster/muc"
)

// Room returns a stored room, muc.ErrNoRoom if there is none.
func (db *DB) Room(ctx context.Context, room jid.JID) (*muc.RoomRecord, error) {
	rec := &muc.RoomRecord{JID: room.Bare()}
	err := db.meta.view(ctx, func(ctx context.Context, q querier) error {
		id, err := readRoom(ctx, q, rec)
		if err != nil {
			return err
		}
		rec.Affiliations, err = readAffiliations(ctx, q, id)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("load room %s: %w", room, clean(err))
	}
	return rec, nil
}

// readRoom fills rec with the room's row and returns the row's id.
func readRoom(ctx context.Context, q querier, rec *muc.RoomRecord) (id int64, err error) {
	var created, subjectTime int64
	var settings []byte
	found, err := q.one(ctx, `SELECT id, created, settings, subject, subject_author, subject_time, subject_id
		FROM rooms WHERE service = $1 AND local = $2`, []any{rec.JID.Domain(), rec.JID.Local()},
		&id, &created, &settings, &rec.Subject.Text, address{&rec.Subject.Author}, &subjectTime, &rec.SubjectID)
	if err != nil {
		return 0, err
	}
	if !found {
		return 0, muc.ErrNoRoom
	}
	rec.Created, rec.Subject.Time = stamp(created), stamp(subjectTime)
	if err := json.Unmarshal(settings, &rec.Settings); err != nil {
		return 0, fmt.Errorf("settings: %w", err)
	}
	return id, nil
}

// Rooms returns at most limit descriptors of the rooms of a service, ordered by
// local part in byte order, behind the local part after.
func (db *DB) Rooms(ctx context.Context, service, after string, limit int) ([]muc.RoomDescriptor, error) {
	var page []muc.RoomDescriptor
	err := db.meta.each(ctx, `SELECT local, name, public FROM rooms WHERE service = $1 AND local > $2
		ORDER BY local LIMIT $3`, []any{service, after, limit}, func(rows *sql.Rows) error {
		var d muc.RoomDescriptor
		var local string
		err := rows.Scan(&local, &d.Name, &d.Public)
		if err != nil {
			return err
		}
		if d.JID, err = jid.New(local, service, ""); err != nil {
			return err
		}
		page = append(page, d)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("list rooms of %s: %w", service, clean(err))
	}
	return page, nil
}

// ApplyRoomChange creates the room if it is not stored, and applies all of
// change or nothing. An affiliation's Data replaces the keys it names, "" removing
// one, and keeps the others.
//
// A room's epoch goes with the room: the epoch of a deleted one is not
// remembered.
func (db *DB) ApplyRoomChange(ctx context.Context, room jid.JID, epoch int64, change muc.RoomChange) error {
	err := db.meta.update(ctx, func(ctx context.Context, q querier) error {
		id, err := claimRoom(ctx, q, room, epoch, change.Created)
		if err != nil {
			return err
		}
		if err := changeRoom(ctx, q, id, &change); err != nil {
			return err
		}
		return changeAffiliations(ctx, q, id, change.Affiliations)
	})
	if err != nil {
		return fmt.Errorf("change room %s: %w", room, clean(err))
	}
	return nil
}

// claimRoom makes sure that the room has a row, writes epoch to it unless a
// higher one stands there, and returns the row's id. A change without a time of
// creation does not bring back a room that is gone.
func claimRoom(ctx context.Context, q querier, room jid.JID, epoch int64, created time.Time) (id int64, err error) {
	if created.IsZero() {
		found, err := q.one(ctx, "SELECT id FROM rooms WHERE service = $1 AND local = $2", []any{room.Domain(), room.Local()}, &id)
		if err != nil || !found {
			return 0, cmp.Or(err, muc.ErrNoRoom)
		}
	}
	found, err := q.one(ctx, `INSERT INTO rooms (service, local, epoch, created, name, public, settings,
			subject, subject_author, subject_time, subject_id)
		VALUES ($1, $2, $3, $4, '', FALSE, '{}', '', '', 0, '')
		ON CONFLICT (service, local) DO UPDATE SET epoch = excluded.epoch WHERE rooms.epoch <= excluded.epoch
		RETURNING id`, []any{room.Domain(), room.Local(), epoch, micros(created)}, &id)
	if err == nil && !found {
		err = muc.ErrStaleEpoch
	}
	return id, err
}

// changeRoom applies what change says about the room's own row.
func changeRoom(ctx context.Context, q querier, id int64, change *muc.RoomChange) error {
	if d := change.Descriptor; d != nil {
		if _, err := q.exec(ctx, "UPDATE rooms SET name = $2, public = $3 WHERE id = $1", id, d.Name, d.Public); err != nil {
			return err
		}
	}
	if change.Settings != nil {
		settings, err := json.Marshal(change.Settings)
		if err != nil {
			return err
		}
		if _, err := q.exec(ctx, "UPDATE rooms SET settings = $2 WHERE id = $1", id, string(settings)); err != nil {
			return err
		}
	}
	if s := change.Subject; s != nil {
		_, err := q.exec(ctx, `UPDATE rooms SET subject = $2, subject_author = $3, subject_time = $4, subject_id = $5
			WHERE id = $1`, id, s.Text, text(s.Author), micros(s.Time), change.SubjectID)
		return err
	}
	return nil
}

// DeleteRoom removes the room with its affiliations; a room that is not stored
// is no error. Its archive stays, see DeleteArchive.
func (db *DB) DeleteRoom(ctx context.Context, room jid.JID, epoch int64) error {
	err := db.meta.update(ctx, func(ctx context.Context, q querier) error {
		name := []any{room.Domain(), room.Local()}
		n, err := q.exec(ctx, "DELETE FROM rooms WHERE service = $1 AND local = $2 AND epoch <= $3", append(name, epoch)...)
		if err != nil || n > 0 {
			return err
		}
		stale, err := q.one(ctx, "SELECT epoch FROM rooms WHERE service = $1 AND local = $2", name, new(int64))
		if err == nil && stale {
			err = muc.ErrStaleEpoch
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("delete room %s: %w", room, clean(err))
	}
	return nil
}
