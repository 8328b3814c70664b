package sqlstore

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/muster-im/muster/internal/store"
	"github.com/muster-im/muster/jid"
)

// archiveColumns are what scanRow takes.
const archiveColumns = "SELECT id, time, nick, real_jid, resource, subject, stanza FROM archive "

// lastID sorts behind every ID.
const lastID = "\U0010FFFF"

// selection is the condition of q with its arguments. There are few texts, so
// that each is prepared once.
func selection(q *store.ArchiveQuery) (where string, args []any) {
	before := q.BeforeID
	if before == "" {
		before = lastID
	}
	room := q.Room.Bare()
	var b strings.Builder
	and := func(condition string, values ...any) {
		for range values {
			condition = strings.Replace(condition, "?", fmt.Sprintf("$%d", len(args)+1), 1)
			args = append(args, values[0])
			values = values[1:]
		}
		b.WriteString(condition)
	}
	and("WHERE room = (SELECT id FROM archive_rooms WHERE room = ?) AND id > ? AND id < ?", text(room), q.AfterID, before)
	if !q.Start.IsZero() || !q.End.IsZero() {
		start, end := int64(math.MinInt64), int64(math.MaxInt64)
		if !q.Start.IsZero() {
			start = micros(q.Start)
		}
		if !q.End.IsZero() {
			end = micros(q.End)
		}
		and(" AND time >= ? AND time <= ?", start, end)
	}
	switch with := q.With; {
	case with.IsZero():
	case with.Bare() == room:
		and(" AND nick = ?", with.Resource())
	case with.IsBare():
		and(" AND real_jid = ?", text(with))
	default:
		and(" AND real_jid = ? AND resource = ?", text(with.Bare()), with.Resource())
	}
	if q.Subjects { // they have an index of their own
		and(" AND subject")
	}
	return b.String(), args
}

// order is the end of a query for at most n rows of q's selection.
func order(q *store.ArchiveQuery, n int, args []any) (string, []any) {
	direction := " ORDER BY id"
	if q.Newest {
		direction = " ORDER BY id DESC"
	}
	text := fmt.Sprintf("%s LIMIT $%d", direction, len(args)+1)
	args = append(args, n)
	if q.Skip > 0 {
		text += fmt.Sprintf(" OFFSET $%d", len(args)+1)
		args = append(args, q.Skip)
	}
	return text, args
}

// ArchivePage returns the rows that q selects, in rising order of ID.
func (db *DB) ArchivePage(ctx context.Context, q store.ArchiveQuery) ([]store.ArchiveRow, error) {
	if q.Limit <= 0 {
		return nil, fmt.Errorf("query archive of %s: limit is %d", q.Room, q.Limit)
	}
	where, args := selection(&q)
	end, args := order(&q, q.Limit, args)
	page, err := db.archiveRows(ctx, q.Room.Bare(), archiveColumns+where+end, args)
	if q.Newest {
		slices.Reverse(page)
	}
	return page, err
}

// ArchivedRows returns those rows of a room that have one of ids, in rising
// order of ID.
func (db *DB) ArchivedRows(ctx context.Context, room jid.JID, ids []string) ([]store.ArchiveRow, error) {
	if len(ids) == 0 {
		return nil, nil
	}
	room = room.Bare()
	args := []any{text(room)}
	places := make([]string, len(ids))
	for i, id := range ids {
		args = append(args, id)
		places[i] = fmt.Sprintf("$%d", len(args))
	}
	return db.archiveRows(ctx, room, archiveColumns+`WHERE room = (SELECT id FROM archive_rooms WHERE room = $1)
		AND id IN (`+strings.Join(places, ", ")+") ORDER BY id", args)
}

// archiveRows returns the rows of a query for archiveColumns.
func (db *DB) archiveRows(ctx context.Context, room jid.JID, query string, args []any) ([]store.ArchiveRow, error) {
	var list []store.ArchiveRow
	err := db.archive.each(ctx, query, args, func(rows row) error {
		r, err := scanRow(rows, room)
		list = append(list, r)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("query archive of %s: %w", room, clean(err))
	}
	return list, nil
}

func scanRow(rows row, room jid.JID) (store.ArchiveRow, error) {
	r := store.ArchiveRow{Room: room, From: room}
	var at int64
	var nick string
	err := rows.Scan(&r.ID, &at, &nick, address{&r.RealJID}, &r.Resource, &r.Subject, &r.Stanza)
	if err == nil && nick != "" {
		r.From, err = jid.New(room.Local(), room.Domain(), nick)
	}
	r.Time = stamp(at)
	return r, err
}

// CountArchive returns how many rows q selects, or most if there are more; its
// Limit does not count.
func (db *DB) CountArchive(ctx context.Context, q store.ArchiveQuery, most int) (int, error) {
	where, args := selection(&q)
	args = append(args, most)
	n := 0
	err := db.archive.each(ctx, fmt.Sprintf("SELECT count(*) FROM (SELECT 1 FROM archive %s LIMIT $%d) AS selected", where, len(args)), args,
		func(r row) error { return r.Scan(&n) })
	if err != nil {
		return 0, fmt.Errorf("count archive of %s: %w", q.Room.Bare(), clean(err))
	}
	return n, nil
}
