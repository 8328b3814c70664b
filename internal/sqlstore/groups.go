package sqlstore

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/muster-im/muster/groups"
	"github.com/muster-im/muster/jid"
)

const groupColumns = "number, id, name, contract, chats, revision, created, deleted"

// Group returns a group by its id, groups.ErrGroupNotFound if there is none.
func (db *DB) Group(ctx context.Context, id groups.ID) (groups.Record, error) {
	return db.oneGroup(ctx, "id = $1 AND NOT deleted", string(id))
}

// GroupNumber returns a group, a deleted one too, by its number.
func (db *DB) GroupNumber(ctx context.Context, number int64) (groups.Record, error) {
	return db.oneGroup(ctx, "number = $1", number)
}

func (db *DB) oneGroup(ctx context.Context, where string, arg any) (groups.Record, error) {
	list, err := db.groupRecords(ctx, "SELECT "+groupColumns+" FROM contact_groups WHERE "+where, arg)
	switch {
	case err != nil:
		return groups.Record{}, err
	case len(list) == 0:
		return groups.Record{}, groups.ErrGroupNotFound
	}
	return list[0], nil
}

// Groups returns a page of the groups behind an id, ordered by id.
func (db *DB) Groups(ctx context.Context, after groups.ID, limit int) ([]groups.Record, error) {
	return db.groupRecords(ctx, "SELECT "+groupColumns+" FROM contact_groups WHERE id > $1 AND NOT deleted ORDER BY id LIMIT $2",
		string(after), limit)
}

// GroupsOf returns the groups in which somebody is, or has been, ordered by
// number; with member only those that he is a member of.
func (db *DB) GroupsOf(ctx context.Context, user jid.JID, member bool) ([]groups.Record, error) {
	and, alive := "", ""
	if member {
		and, alive = " AND departed = 0", " AND NOT deleted"
	}
	return db.groupRecords(ctx, "SELECT "+groupColumns+` FROM contact_groups WHERE number IN
		(SELECT number FROM contact_group_members WHERE member = $1`+and+")"+alive+" ORDER BY number", text(user.Bare()))
}

func (db *DB) groupRecords(ctx context.Context, query string, args ...any) ([]groups.Record, error) {
	var list []groups.Record
	err := db.meta.each(ctx, query, args, func(rows row) error {
		var r groups.Record
		var chats []byte
		var created int64
		if err := rows.Scan(&r.Number, &r.ID, &r.Name, &r.Contract, &chats, &r.Revision, &created, &r.Deleted); err != nil {
			return err
		}
		r.Created = stamp(created)
		if err := json.Unmarshal(chats, &r.Chats); err != nil {
			return fmt.Errorf("chats of group %s: %w", r.ID, err)
		}
		list = append(list, r)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("load groups: %w", clean(err))
	}
	return list, nil
}

// GroupMembers returns who is, or has been, in a group, ordered by address and
// revision; only one user if he is given.
func (db *DB) GroupMembers(ctx context.Context, number int64, user jid.JID) ([]groups.MemberRecord, error) {
	var list []groups.MemberRecord
	where, args := "number = $1", []any{number}
	if !user.IsZero() {
		where, args = where+" AND member = $2", append(args, text(user.Bare()))
	}
	// In one column: SQLite's driver takes a lock several times for each value.
	err := db.meta.each(ctx, "SELECT entered || ' ' || joined || ' ' || departed || ' ' || since || ' ' || role || ' ' || member"+
		" FROM contact_group_members WHERE "+where+" ORDER BY member, entered", args, func(rows row) error {
		var line string
		if err := rows.Scan(&line); err != nil {
			return err
		}
		r, err := parseMember(line)
		list = append(list, r)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("load members of group: %w", clean(err))
	}
	return list, nil
}

// parseMember reads what GroupMembers asks for.
func parseMember(line string) (r groups.MemberRecord, err error) {
	var since int64
	for _, n := range []*int64{&r.Entered, &r.Joined, &r.Left, &since} {
		var word string
		word, line, _ = strings.Cut(line, " ")
		if *n, err = strconv.ParseInt(word, 10, 64); err != nil {
			return r, err
		}
	}
	role, user, _ := strings.Cut(line, " ")
	r.Since, r.Role = stamp(since), groups.Role(role)
	r.User, err = jid.Parse(user)
	return r, err
}

// GroupSpans implements groups.Store. All is one value, because what a driver does for
// each is several times of what it takes to find it.
func (db *DB) GroupSpans(ctx context.Context, number int64) ([]groups.MemberSpan, error) {
	var lines string
	_, err := db.meta.one(ctx, "SELECT COALESCE(string_agg(joined || CASE departed WHEN 0 THEN ' ' ELSE '-' || departed || ' ' END || member, $1), '')"+
		" FROM contact_group_members WHERE number = $2 AND joined > 0", []any{"\n", number}, &lines)
	if err != nil {
		return nil, fmt.Errorf("load who is in a group: %w", clean(err))
	}
	list := make([]groups.MemberSpan, 0, strings.Count(lines, "\n")+1)
	for line := range strings.Lines(lines) {
		m, err := parseSpan(strings.TrimSuffix(line, "\n"))
		if err != nil {
			return nil, fmt.Errorf("load who is in a group: %w", err)
		}
		list = append(list, m)
	}
	return list, nil
}

// parseSpan reads a line of what GroupSpans asks for.
func parseSpan(line string) (m groups.MemberSpan, err error) {
	when, user, _ := strings.Cut(line, " ")
	joined, left, past := strings.Cut(when, "-")
	if m.Joined, err = strconv.ParseInt(joined, 10, 64); err != nil {
		return m, err
	}
	if past {
		if m.Left, err = strconv.ParseInt(left, 10, 64); err != nil {
			return m, err
		}
	}
	m.User, err = jid.Parse(user)
	return m, err
}

// ChangeGroup stores a change with its task and returns its revision.
func (db *DB) ChangeGroup(ctx context.Context, c *groups.StoredChange) (revision int64, err error) {
	before := int64(0) // at which it may be stored already: the answer to a commit was lost
	err = db.meta.update(ctx, func(ctx context.Context, q querier) (err error) {
		// Whoever has asked for a commit holds the clock until it is there.
		if _, err = q.one(ctx, "UPDATE contact_group_clock SET revision = revision + 1 WHERE id = 1 RETURNING revision", nil, &revision); err != nil {
			return err
		}
		if before != 0 {
			if stored, err := isStored(ctx, q, c, before); err != nil || stored {
				revision = before
				return err
			}
		}
		before = revision
		number := c.Group.Number
		if number == 0 {
			number = revision
		}
		if err := putGroup(ctx, q, c, number, revision); err != nil {
			return err
		}
		if err := openChats(ctx, q, c.Open, number, revision); err != nil {
			return err
		}
		if err := holdNewcomers(ctx, q, c.Newcomers); err != nil {
			return err
		}
		if err := changeMembers(ctx, q, c, number, revision); err != nil || c.Task == nil {
			return err
		}
		_, err = q.exec(ctx, "INSERT INTO contact_group_tasks (revision, number, data) VALUES ($1, $2, $3)", revision, number, c.Task)
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("store group %s: %w", c.Group.ID, clean(err))
	}
	return revision, nil
}

// isStored reports whether a change has been stored at a revision. Of an overlay
// group that has been deleted nothing is left.
func isStored(ctx context.Context, q querier, c *groups.StoredChange, revision int64) (bool, error) {
	if c.Group.Number == 0 {
		return q.one(ctx, "SELECT 1 FROM contact_groups WHERE number = $1 AND id = $2 AND created = $3",
			[]any{revision, string(c.Group.ID), micros(c.Group.Created)}, new(int64))
	}
	at := int64(0)
	found, err := q.one(ctx, "SELECT revision FROM contact_groups WHERE number = $1", []any{c.Group.Number}, &at)
	return found && at == revision || !found && c.EndAll && c.Group.Contract == groups.Overlay, err
}

// putGroup stores what a group is, if it is at the revision that is expected.
func putGroup(ctx context.Context, q querier, c *groups.StoredChange, number, revision int64) error {
	chats, err := json.Marshal(c.Group.Chats)
	if err != nil {
		return fmt.Errorf("encode chats: %w", err)
	}
	if c.Group.Number == 0 {
		n, err := q.exec(ctx, `INSERT INTO contact_groups (`+groupColumns+`) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
			ON CONFLICT DO NOTHING`, number, string(c.Group.ID), c.Group.Name, string(c.Group.Contract), string(chats), revision,
			micros(c.Group.Created), c.Group.Deleted)
		if err == nil && n == 0 {
			err = groups.ErrConflict
		}
		return err
	}
	n, err := q.exec(ctx, `UPDATE contact_groups SET name = $2, contract = $3, chats = $4, revision = $5, deleted = $6
		WHERE number = $1 AND revision = $7`, number, c.Group.Name, string(c.Group.Contract), string(chats), revision,
		c.Group.Deleted, c.Expected)
	if err == nil && n == 0 {
		err = groups.ErrRevision
	}
	return err
}

// openChats makes rooms a group's.
func openChats(ctx context.Context, q querier, rooms []jid.JID, number, revision int64) error {
	for _, room := range rooms {
		n, err := q.exec(ctx, `INSERT INTO contact_group_chats (room, number, revision) VALUES ($1, $2, $3)
			ON CONFLICT (room) DO UPDATE SET revision = excluded.revision WHERE contact_group_chats.number = excluded.number`,
			text(room), number, revision)
		if err == nil && n == 0 {
			err = groups.ErrChatConflict
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// holdNewcomers keeps accounts from being removed until the transaction ends;
// groups.ErrUserNotFound says that one is not there. Nobody who holds an account
// otherwise is waited for, or waits.
func holdNewcomers(ctx context.Context, q querier, people []jid.JID) error {
	for list := range slices.Chunk(people, fewMembers) {
		found := 0
		count := func(r row) error {
			found++
			return r.Scan(new(int64))
		}
		var err error
		if q.d.dialect == postgres {
			var domains, names []string
			for _, j := range list {
				domains, names = append(domains, j.Domain()), append(names, j.Local())
			}
			err = q.each(ctx, `SELECT 1 FROM accounts AS a JOIN unnest($1::text[], $2::text[]) AS n (domain, local)
				ON a.domain = n.domain AND a.local = n.local FOR KEY SHARE OF a`, []any{domains, names}, count)
		} else {
			for i := 0; i < len(list) && err == nil; i++ {
				err = q.each(ctx, "SELECT 1 FROM accounts WHERE domain = $1 AND local = $2", []any{list[i].Domain(), list[i].Local()}, count)
			}
		}
		switch {
		case err != nil:
			return err
		case found < len(list):
			return groups.ErrUserNotFound
		}
	}
	return nil
}

// changeMembers stores the rows that a change is about.
func changeMembers(ctx context.Context, q querier, c *groups.StoredChange, number, revision int64) error {
	for rows := range slices.Chunk(c.Drop, fewMembers) {
		if err := dropMembers(ctx, q, rows, number); err != nil {
			return err
		}
	}
	for rows := range slices.Chunk(c.Put, fewMembers) {
		if err := putMembers(ctx, q, rows, number, revision); err != nil {
			return err
		}
	}
	for _, step := range []struct {
		wanted bool
		query  string
		args   []any
	}{
		{c.DropPast, "DELETE FROM contact_group_members WHERE number = $1 AND departed <> 0", []any{number}},
		{c.EndAll, "DELETE FROM contact_group_members WHERE number = $1 AND joined = 0", []any{number}},
		{
			c.EndAll && c.Group.Contract == groups.Permanent,
			"UPDATE contact_group_members SET departed = $2 WHERE number = $1 AND departed = 0",
			[]any{number, revision},
		},
		{c.EndAll && c.Group.Contract == groups.Overlay, "DELETE FROM contact_groups WHERE number = $1", []any{number}},
	} {
		if !step.wanted {
			continue
		}
		if _, err := q.exec(ctx, step.query, step.args...); err != nil {
			return err
		}
	}
	return nil
}

// fewMembers are written at a time.
const fewMembers = 1000

// dropMembers removes rows: with one statement for PostgreSQL, to which each
// would take a journey.
func dropMembers(ctx context.Context, q querier, rows []groups.MemberRecord, number int64) error {
	if q.d.dialect == postgres {
		var members []string
		var entered []int64
		for i := range rows {
			members, entered = append(members, text(rows[i].User)), append(entered, rows[i].Entered)
		}
		_, err := q.exec(ctx, `DELETE FROM contact_group_members AS m USING unnest($2::text[], $3::bigint[]) AS d (member, entered)
			WHERE m.number = $1 AND m.member = d.member AND m.entered = d.entered`, number, members, entered)
		return err
	}
	for i := range rows {
		if _, err := q.exec(ctx, "DELETE FROM contact_group_members WHERE number = $1 AND member = $2 AND entered = $3",
			number, text(rows[i].User), rows[i].Entered); err != nil {
			return err
		}
	}
	return nil
}

// putMembers writes rows, none of them twice; for PostgreSQL with one statement.
func putMembers(ctx context.Context, q querier, rows []groups.MemberRecord, number, revision int64) error {
	const (
		into   = "INSERT INTO contact_group_members (number, member, entered, role, joined, departed, since) "
		update = ` ON CONFLICT (number, member, entered) DO UPDATE SET
			role = excluded.role, joined = excluded.joined, departed = excluded.departed`
	)
	at := func(r int64) int64 {
		if r == groups.This {
			return revision
		}
		return r
	}
	if q.d.dialect == postgres {
		var members, roles []string
		var entered, joined, departed, since []int64
		for i := range rows {
			r := &rows[i]
			members, roles = append(members, text(r.User)), append(roles, string(r.Role))
			entered, joined = append(entered, at(r.Entered)), append(joined, at(r.Joined))
			departed, since = append(departed, at(r.Left)), append(since, micros(r.Since))
		}
		_, err := q.exec(ctx, into+"SELECT $1, a.* FROM unnest($2::text[], $3::bigint[], $4::text[], $5::bigint[], $6::bigint[], $7::bigint[]) AS a"+update,
			number, members, entered, roles, joined, departed, since)
		return err
	}
	for i := range rows {
		r := &rows[i]
		if _, err := q.exec(ctx, into+"VALUES ($1, $2, $3, $4, $5, $6, $7)"+update,
			number, text(r.User), at(r.Entered), string(r.Role), at(r.Joined), at(r.Left), micros(r.Since)); err != nil {
			return err
		}
	}
	return nil
}

// GroupTasks returns the tasks that are not done, the oldest first. Changes that
// are under way are waited for: PostgreSQL may be about to commit one for a server
// that is no more.
func (db *DB) GroupTasks(ctx context.Context) (list []groups.Task, err error) {
	transaction := db.meta.look
	if db.meta.dialect == postgres {
		transaction = db.meta.update
	}
	err = transaction(ctx, func(ctx context.Context, q querier) error {
		if q.d.dialect == postgres {
			if _, err := q.exec(ctx, "SELECT FROM contact_group_clock WHERE id = 1 FOR SHARE"); err != nil {
				return err
			}
		}
		list = nil
		return q.each(ctx, "SELECT revision, number, data FROM contact_group_tasks ORDER BY revision", nil, func(rows row) error {
			var t groups.Task
			err := rows.Scan(&t.Revision, &t.Number, &t.Data)
			list = append(list, t)
			return err
		})
	})
	if err != nil {
		return nil, fmt.Errorf("load tasks of groups: %w", clean(err))
	}
	return list, nil
}

// GroupTaskDone removes a task, or what is done of it, and lets go of rooms that
// nobody has opened since.
func (db *DB) GroupTaskDone(ctx context.Context, t groups.Task, closed []jid.JID) error {
	err := db.meta.update(ctx, func(ctx context.Context, q querier) error {
		for _, room := range closed {
			if _, err := q.exec(ctx, "DELETE FROM contact_group_chats WHERE room = $1 AND revision < $2", text(room), t.Revision); err != nil {
				return err
			}
		}
		if t.Data != nil {
			_, err := q.exec(ctx, "UPDATE contact_group_tasks SET data = $2 WHERE revision = $1", t.Revision, t.Data)
			return err
		}
		_, err := q.exec(ctx, "DELETE FROM contact_group_tasks WHERE revision = $1", t.Revision)
		return err
	})
	if err != nil {
		return fmt.Errorf("remove task of a group: %w", clean(err))
	}
	return nil
}
