package sqlstore

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/muster-im/muster/jid"
	"github.com/muster-im/muster/muc"
)

// Room returns a stored room, or the tombstone of a destroyed one;
// muc.ErrNoRoom if there is neither.
func (db *DB) Room(ctx context.Context, room jid.JID) (*muc.RoomRecord, error) {
	rec := &muc.RoomRecord{JID: room.Bare()}
	var known bool
	_, err := db.meta.one(ctx, `SELECT EXISTS (SELECT 1 FROM rooms WHERE service = $1 AND local = $2)
		OR EXISTS (SELECT 1 FROM room_tombstones WHERE service = $1 AND local = $2)`,
		[]any{rec.JID.Domain(), rec.JID.Local()}, &known)
	if err != nil {
		return nil, fmt.Errorf("look for room %s: %w", room, clean(err))
	}
	if !known { // as somebody finds who creates one; a transaction would cost as much again
		return nil, fmt.Errorf("load room %s: %w", room, muc.ErrNoRoom)
	}
	err = db.meta.view(ctx, func(ctx context.Context, q querier) error {
		id, err := readRoom(ctx, q, rec)
		if errors.Is(err, muc.ErrNoRoom) {
			return readTombstone(ctx, q, rec)
		}
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
	var settings, more []byte
	found, err := q.one(ctx, `SELECT id, created, settings, subject, subject_lang, subject_more, subject_author, subject_real, subject_time, subject_id
		FROM rooms WHERE service = $1 AND local = $2`, []any{rec.JID.Domain(), rec.JID.Local()},
		&id, &created, &settings, &rec.Subject.Text, &rec.Subject.Lang, &more, address{&rec.Subject.Author}, address{&rec.Subject.RealJID}, &subjectTime, &rec.SubjectID)
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
	if len(more) > 0 {
		if err := json.Unmarshal(more, &rec.Subject.More); err != nil {
			return 0, fmt.Errorf("subject: %w", err)
		}
	}
	return id, nil
}

// readTombstone fills rec with what is left of a destroyed room.
func readTombstone(ctx context.Context, q querier, rec *muc.RoomRecord) error {
	t := &muc.Tombstone{}
	var until int64
	var denied string
	found, err := q.one(ctx, `SELECT reason, alternative, until, denied FROM room_tombstones WHERE service = $1 AND local = $2`,
		[]any{rec.JID.Domain(), rec.JID.Local()}, &t.Reason, address{&t.Alternative}, &until, &denied)
	if err == nil && !found {
		err = muc.ErrNoRoom
	}
	for name := range strings.FieldsSeq(denied) {
		j, perr := jid.Parse(name)
		err = errors.Join(err, perr)
		t.Denied = append(t.Denied, j)
	}
	t.Until, rec.Tombstone = stamp(until), t
	return err
}

// roomsWhere is the condition of a query for rooms, with its arguments.
func roomsWhere(q *muc.RoomsQuery) (where string, args []any) {
	where, args = "service = $1 AND local > $2", []any{q.Service, q.After}
	if q.Before != "" {
		where, args = where+" AND local < $3", append(args, q.Before)
	}
	if q.Public {
		where += " AND public"
	}
	return where, args
}

// CountRooms returns how many rooms q describes, its limit aside.
func (db *DB) CountRooms(ctx context.Context, q muc.RoomsQuery) (n int, err error) {
	where, args := roomsWhere(&q)
	err = db.meta.view(ctx, func(ctx context.Context, r querier) error {
		_, err := r.one(ctx, "SELECT COUNT(*) FROM rooms WHERE "+where, args, &n)
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("count rooms of %s: %w", q.Service, clean(err))
	}
	return n, nil
}

// Rooms returns the part of a service's rooms that q asks for, ordered by local
// part in byte order.
func (db *DB) Rooms(ctx context.Context, q muc.RoomsQuery) ([]muc.RoomDescriptor, error) {
	service := q.Service
	where, args := roomsWhere(&q)
	order := " ORDER BY local"
	if q.Last {
		order = " ORDER BY local DESC"
	}
	var page []muc.RoomDescriptor
	err := db.meta.each(ctx, fmt.Sprintf("SELECT local, name, public FROM rooms WHERE %s%s LIMIT $%d", where, order, len(args)+1),
		append(args, q.Limit), func(rows row) error {
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
	if q.Last {
		slices.Reverse(page)
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
		var id int64
		var err error
		if !change.Created.IsZero() && change.Descriptor != nil && change.Settings != nil {
			id, err = createRoom(ctx, q, room, epoch, &change)
		} else if id, err = claimRoom(ctx, q, room, epoch, change.Created); err == nil {
			err = describeRoom(ctx, q, room, id, &change)
		}
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

// createRoom does in one statement what claimRoom and describeRoom do for a room
// of which everything is said, and forgets that one of its name was destroyed.
func createRoom(ctx context.Context, q querier, room jid.JID, epoch int64, change *muc.RoomChange) (id int64, err error) {
	if err := dropTombstone(ctx, q, room); err != nil {
		return 0, err
	}
	settings, err := json.Marshal(change.Settings)
	if err != nil {
		return 0, err
	}
	d := change.Descriptor
	found, err := q.one(ctx, `INSERT INTO rooms (service, local, epoch, created, name, public, settings,
			subject, subject_author, subject_time, subject_id, used)
		VALUES ($1, $2, $3, $4, $5, $6, $7, '', '', 0, '', $4)
		ON CONFLICT (service, local) DO UPDATE SET epoch = excluded.epoch, name = excluded.name, public = excluded.public,
			settings = excluded.settings WHERE rooms.epoch <= excluded.epoch
		RETURNING id`,
		[]any{room.Domain(), room.Local(), epoch, micros(change.Created), d.Name, d.Public, string(settings)}, &id)
	if err == nil && !found {
		err = muc.ErrStaleEpoch
	}
	return id, err
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
			subject, subject_author, subject_time, subject_id, used)
		VALUES ($1, $2, $3, $4, '', FALSE, '{}', '', '', 0, '', $4)
		ON CONFLICT (service, local) DO UPDATE SET epoch = excluded.epoch WHERE rooms.epoch <= excluded.epoch
		RETURNING id`, []any{room.Domain(), room.Local(), epoch, micros(created)}, &id)
	if err == nil && !found {
		err = muc.ErrStaleEpoch
	}
	return id, err
}

// describeRoom applies what change says of a room that may have a row already.
func describeRoom(ctx context.Context, q querier, room jid.JID, id int64, change *muc.RoomChange) error {
	if d := change.Descriptor; d != nil {
		if err := dropTombstone(ctx, q, room); err != nil {
			return err
		}
		if _, err := q.exec(ctx, "UPDATE rooms SET name = $2, public = $3 WHERE id = $1", id, d.Name, d.Public); err != nil {
			return err
		}
	}
	if change.Settings == nil {
		return nil
	}
	settings, err := json.Marshal(change.Settings)
	if err != nil {
		return err
	}
	_, err = q.exec(ctx, "UPDATE rooms SET settings = $2 WHERE id = $1", id, string(settings))
	return err
}

// changeRoom applies what change says about the room's data and subject.
func changeRoom(ctx context.Context, q querier, id int64, change *muc.RoomChange) error {
	for _, key := range slices.Sorted(maps.Keys(change.Data)) {
		if err := changeData(ctx, q, id, key, change.Data[key]); err != nil {
			return err
		}
	}
	if change.Subject == nil {
		return nil
	}
	s, more := change.Subject, []byte(nil)
	if len(s.More) > 0 {
		var err error
		if more, err = json.Marshal(s.More); err != nil {
			return err
		}
	}
	_, err := q.exec(ctx, `UPDATE rooms SET subject = $2, subject_author = $3, subject_time = $4, subject_id = $5,
		subject_real = $6, subject_lang = $7, subject_more = $8 WHERE id = $1`,
		id, s.Text, text(s.Author), micros(s.Time), change.SubjectID, text(s.RealJID), s.Lang, string(more))
	return err
}

func changeData(ctx context.Context, q querier, room int64, key string, data []byte) error {
	if len(data) == 0 {
		_, err := q.exec(ctx, "DELETE FROM room_data WHERE room = $1 AND key = $2", room, key)
		return err
	}
	_, err := q.exec(ctx, `INSERT INTO room_data (room, key, data) VALUES ($1, $2, $3)
		ON CONFLICT (room, key) DO UPDATE SET data = excluded.data`, room, key, data)
	return err
}

// RoomData returns what features keep of a room, by key; nothing if it is not
// stored.
func (db *DB) RoomData(ctx context.Context, room jid.JID) (map[string][]byte, error) {
	all := make(map[string][]byte)
	err := db.meta.each(ctx, `SELECT key, data FROM room_data
		WHERE room = (SELECT id FROM rooms WHERE service = $1 AND local = $2)`, []any{room.Domain(), room.Local()},
		func(rows row) error {
			var key string
			var data []byte
			err := rows.Scan(&key, &data)
			all[key] = data
			return err
		})
	if err != nil {
		return nil, fmt.Errorf("load data of room %s: %w", room, clean(err))
	}
	return all, nil
}

// dropTombstone forgets that a room of that name was destroyed.
func dropTombstone(ctx context.Context, q querier, room jid.JID) error {
	_, err := q.exec(ctx, "DELETE FROM room_tombstones WHERE service = $1 AND local = $2", room.Domain(), room.Local())
	return err
}

// DeleteRoom removes the room with its affiliations and leaves a tombstone in
// its place, if there is to be one; a room that is not stored is no error. Its
// archive stays, see DeleteArchive.
func (db *DB) DeleteRoom(ctx context.Context, room jid.JID, epoch int64, t *muc.Tombstone) error {
	err := db.meta.update(ctx, func(ctx context.Context, q querier) error {
		name := []any{room.Domain(), room.Local()}
		n, err := q.exec(ctx, "DELETE FROM rooms WHERE service = $1 AND local = $2 AND epoch <= $3", append(name, epoch)...)
		if err != nil {
			return err
		}
		if n == 0 {
			stale, err := q.one(ctx, "SELECT epoch FROM rooms WHERE service = $1 AND local = $2", name, new(int64))
			if err != nil || stale {
				return cmp.Or(err, muc.ErrStaleEpoch)
			}
		}
		if t == nil {
			return nil
		}
		return bury(ctx, q, room, t)
	})
	if err != nil {
		return fmt.Errorf("delete room %s: %w", room, clean(err))
	}
	return nil
}

// bury writes a tombstone, and forgets those whose time is over.
func bury(ctx context.Context, q querier, room jid.JID, t *muc.Tombstone) error {
	if _, err := q.exec(ctx, "DELETE FROM room_tombstones WHERE until < $1", micros(time.Now())); err != nil {
		return err
	}
	denied := make([]string, len(t.Denied))
	for i, j := range t.Denied {
		denied[i] = j.String()
	}
	_, err := q.exec(ctx, `INSERT INTO room_tombstones (service, local, reason, alternative, until, denied) VALUES ($1, $2, $3, $4, $5, $6)
		ON CONFLICT (service, local) DO UPDATE SET
			reason = excluded.reason, alternative = excluded.alternative, until = excluded.until, denied = excluded.denied`,
		room.Domain(), room.Local(), t.Reason, text(t.Alternative), micros(t.Until), strings.Join(denied, "\n"))
	return err
}
