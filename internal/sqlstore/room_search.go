package sqlstore

import (
	"context"
	"fmt"
	"strings"

	"github.com/muster-im/muster/internal/store"
	"github.com/muster-im/muster/jid"
	"github.com/muster-im/muster/muc"
)

// FindRooms returns the stored rooms that s asks for.
func (db *DB) FindRooms(ctx context.Context, s store.RoomSearch) ([]store.FoundRoom, error) {
	query, args := findRooms(&s)
	var list []store.FoundRoom
	err := db.meta.each(ctx, query, args, func(rows row) error {
		var r store.FoundRoom
		var local string
		var created, used int64
		err := rows.Scan(&local, &r.Name, &r.Public, &created, &used, &r.Affiliation)
		if err != nil {
			return err
		}
		r.Created, r.Used = stamp(created), stamp(used)
		r.JID, err = jid.New(local, s.Service, "")
		list = append(list, r)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("find rooms of %s: %w", s.Service, clean(err))
	}
	return list, nil
}

// findRooms is the query for what s asks for, with its arguments.
func findRooms(s *store.RoomSearch) (query string, args []any) {
	columns, from := "r.local, r.name, r.public, r.created, r.used, ''", "rooms r"
	where := "r.service = $1 AND r.local > $2"
	args = []any{s.Service, s.After}
	arg := func(v any) string {
		args = append(args, v)
		return fmt.Sprintf("$%d", len(args))
	}
	if s.Contains != "" {
		pattern := arg("%" + likePattern(strings.ToLower(s.Contains)) + "%")
		where += fmt.Sprintf(` AND (lower(r.local) LIKE %[1]s ESCAPE '!' OR lower(r.name) LIKE %[1]s ESCAPE '!')`, pattern)
	}
	if !s.UsedBefore.IsZero() {
		where += " AND r.used < " + arg(micros(s.UsedBefore))
	}
	if s.Local != "" {
		where += " AND r.local = " + arg(s.Local)
	}
	if !s.Of.IsZero() {
		// Of a million rooms those in which somebody belongs are few: in SQLite a
		// CROSS JOIN is made in the order in which it is written.
		columns, from = strings.Replace(columns, "''", "a.affiliation", 1), "affiliations a CROSS JOIN rooms r"
		where += " AND r.id = a.room AND a.affiliation <> 'none' AND a.jid = " + arg(text(s.Of))
	}
	query = fmt.Sprintf("SELECT %s FROM %s WHERE %s ORDER BY r.local LIMIT %s", columns, from, where, arg(s.Limit))
	return query, args
}

// likePattern is s as LIKE takes it literally, with ! as the escape.
func likePattern(s string) string {
	return strings.NewReplacer("!", "!!", "%", "!%", "_", "!_").Replace(s)
}

// RoomAffiliations returns the entries of a stored room that s asks for.
func (db *DB) RoomAffiliations(ctx context.Context, room jid.JID, s store.AffiliationSearch) ([]muc.AffiliationRecord, error) {
	where, args := "a.affiliation <> 'none'", []any{room.Domain(), room.Local(), s.After, s.Limit}
	if s.Affiliation != "" {
		where, args = "a.affiliation = $5", append(args, s.Affiliation)
	}
	var list []muc.AffiliationRecord
	err := db.meta.each(ctx, `SELECT a.jid, a.affiliation, a.nick, a.reason, a.data FROM affiliations a
		WHERE a.room = (SELECT id FROM rooms WHERE service = $1 AND local = $2) AND a.jid > $3 AND `+where+`
		ORDER BY a.jid LIMIT $4`, args, func(rows row) error {
		rec, err := scanAffiliation(rows)
		list = append(list, rec)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("affiliations of room %s: %w", room, clean(err))
	}
	return list, nil
}

// NoteUse remembers when rooms were used, if that is later than what is known.
func (db *DB) NoteUse(ctx context.Context, list []muc.RoomUse) error {
	err := db.meta.update(ctx, func(ctx context.Context, q querier) error {
		for _, u := range list {
			if _, err := q.exec(ctx, "UPDATE rooms SET used = $3 WHERE service = $1 AND local = $2 AND used < $3",
				u.Room.Domain(), u.Room.Local(), micros(u.Time)); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("note the use of %d rooms: %w", len(list), clean(err))
	}
	return nil
}
