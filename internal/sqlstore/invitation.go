package sqlstore

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/muster-im/muster/internal/store"
	"github.com/muster-im/muster/jid"
)

const invitationColumns = "id, hash, domain, local, inviter, account, contact, groups, note, creator, uses, used, created, expires"

// keptExpired is how long invitations stay that nobody can show any more: who
// has shown one in time may use it (XEP-0445 §4).
const keptExpired = 24 * time.Hour

// AddInvitation stores a new invitation. It fails with store.ErrConflict if its
// name is an account's or another invitation's, and with store.ErrFull if its
// creator has most of them already that are still good; 0 is without limit.
func (db *DB) AddInvitation(ctx context.Context, v store.Invitation, most int) error {
	groups, err := json.Marshal(v.Groups)
	if err != nil {
		return fmt.Errorf("encode groups: %w", err)
	}
	err = db.meta.update(ctx, func(ctx context.Context, q querier) error {
		if q.d.dialect == postgres { // one at a time, or two could take the same name
			if _, err := q.exec(ctx, "LOCK TABLE invitations IN SHARE ROW EXCLUSIVE MODE"); err != nil {
				return err
			}
		}
		now := v.Created
		if _, err := q.exec(ctx, "DELETE FROM invitations WHERE expires < $1", micros(now.Add(-keptExpired))); err != nil {
			return err
		}
		if err := mayInvite(ctx, q, &v, most); err != nil {
			return err
		}
		_, err := q.exec(ctx, "INSERT INTO invitations ("+invitationColumns+`)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14) ON CONFLICT (id) DO NOTHING`,
			v.ID, v.Hash, v.Host, v.Name, text(v.Inviter), v.Account, v.Contact, string(groups), v.Note, v.Creator, v.Uses, v.Used,
			micros(v.Created), micros(v.Expires))
		return err
	})
	if err != nil {
		return fmt.Errorf("add invitation: %w", clean(err))
	}
	return nil
}

// mayInvite checks what AddInvitation says. A commit whose answer was lost may
// have stored this very invitation.
func mayInvite(ctx context.Context, q querier, v *store.Invitation, most int) error {
	if v.Name != "" {
		taken, err := q.one(ctx, "SELECT 1 FROM accounts WHERE domain = $1 AND local = $2", []any{v.Host, v.Name}, new(int))
		if err != nil || taken {
			return cmp.Or(err, store.ErrConflict)
		}
		if err := checkReserved(ctx, q, v.Host, v.Name, v.ID, v.Created); err != nil {
			return err
		}
	}
	if most == 0 {
		return nil
	}
	var open int
	if _, err := q.one(ctx, "SELECT COUNT(*) FROM invitations WHERE creator = $1 AND expires > $2 AND id <> $3",
		[]any{v.Creator, micros(v.Created), v.ID}, &open); err != nil {
		return err
	}
	if open >= most {
		return store.ErrFull
	}
	return nil
}

// checkReserved refuses a name that is kept for who has another invitation.
func checkReserved(ctx context.Context, q querier, host, name, own string, now time.Time) error {
	kept, err := q.one(ctx, "SELECT 1 FROM invitations WHERE domain = $1 AND local = $2 AND id <> $3 AND expires > $4",
		[]any{host, name, own, micros(now)}, new(int))
	if err == nil && kept {
		err = store.ErrReserved
	}
	return err
}

// useInvitation takes one use of an invitation, and stores what follows for the
// account. Of two who want the last one, one gets it.
func useInvitation(ctx context.Context, q querier, id string, account jid.JID, isNew bool) error {
	var uses int
	var groups string
	a := store.Arrival{Account: account.Bare()}
	found, err := q.one(ctx, `UPDATE invitations SET used = used + 1, uses = CASE WHEN uses > 0 THEN uses - 1 ELSE uses END
		WHERE id = $1 AND uses <> 0 RETURNING uses, groups, inviter`, []any{id}, &uses, &groups, address{&a.Inviter})
	if err != nil || !found {
		return cmp.Or(err, store.ErrInvitation)
	}
	if uses == 0 {
		if _, err := q.exec(ctx, "DELETE FROM invitations WHERE id = $1", id); err != nil {
			return err
		}
	}
	if !isNew {
		groups = "null"
	}
	if groups == "null" && a.Inviter.IsZero() {
		return nil
	}
	_, err = q.exec(ctx, "INSERT INTO arrivals (invitation, account, inviter, groups) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING",
		id, text(a.Account), text(a.Inviter), groups)
	return err
}

// UseInvitation takes one use of an invitation for somebody who has an account,
// store.ErrInvitation if there is none left.
func (db *DB) UseInvitation(ctx context.Context, id string, account jid.JID) error {
	err := db.meta.update(ctx, func(ctx context.Context, q querier) error {
		// A commit whose answer was lost may have done it.
		done, err := q.one(ctx, "SELECT 1 FROM arrivals WHERE account = $1 AND invitation = $2", []any{text(account.Bare()), id}, new(int))
		if err != nil || done {
			return err
		}
		return useInvitation(ctx, q, id, account, false)
	})
	if err != nil {
		return fmt.Errorf("use invitation %s: %w", id, clean(err))
	}
	return nil
}

// Invitation returns an invitation, store.ErrNotFound if there is none.
func (db *DB) Invitation(ctx context.Context, id string) (store.Invitation, error) {
	list, err := db.invitations(ctx, "id = $1", id)
	if err == nil && len(list) == 0 {
		err = store.ErrNotFound
	}
	if err != nil {
		return store.Invitation{}, fmt.Errorf("load invitation: %w", clean(err))
	}
	return list[0], nil
}

// Invitations returns at most limit invitations of a host behind an id, ordered
// by id, that have not expired.
func (db *DB) Invitations(ctx context.Context, host, after string, limit int) ([]store.Invitation, error) {
	list, err := db.invitations(ctx, "domain = $1 AND id > $2 AND expires > $3 ORDER BY id LIMIT $4", host, after, time.Now().UnixMicro(), limit)
	if err != nil {
		return nil, fmt.Errorf("list invitations: %w", clean(err))
	}
	return list, nil
}

func (db *DB) invitations(ctx context.Context, where string, args ...any) (list []store.Invitation, err error) {
	err = db.meta.each(ctx, "SELECT "+invitationColumns+" FROM invitations WHERE "+where, args, func(rows row) error {
		var v store.Invitation
		var groups []byte
		var created, expires int64
		if err := rows.Scan(&v.ID, &v.Hash, &v.Host, &v.Name, address{&v.Inviter}, &v.Account, &v.Contact, &groups, &v.Note, &v.Creator,
			&v.Uses, &v.Used, &created, &expires); err != nil {
			return err
		}
		v.Created, v.Expires = stamp(created), stamp(expires)
		list = append(list, v)
		return json.Unmarshal(groups, &list[len(list)-1].Groups)
	})
	return list, err
}

// DeleteInvitation removes an invitation of a host, store.ErrNotFound if there is
// none.
func (db *DB) DeleteInvitation(ctx context.Context, host, id string) error {
	err := db.meta.update(ctx, func(ctx context.Context, q querier) error {
		n, err := q.exec(ctx, "DELETE FROM invitations WHERE domain = $1 AND id = $2", host, id)
		if err == nil && n == 0 {
			err = store.ErrNotFound
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("delete invitation: %w", clean(err))
	}
	return nil
}

// Arrivals returns what is still to be done for those who have used invitations.
func (db *DB) Arrivals(ctx context.Context) ([]store.Arrival, error) {
	var list []store.Arrival
	err := db.meta.each(ctx, "SELECT invitation, account, inviter, groups FROM arrivals ORDER BY account, invitation", nil, func(rows row) error {
		var a store.Arrival
		var groups []byte
		if err := rows.Scan(&a.Invitation, address{&a.Account}, address{&a.Inviter}, &groups); err != nil {
			return err
		}
		list = append(list, a)
		return json.Unmarshal(groups, &list[len(list)-1].Groups)
	})
	if err != nil {
		return nil, fmt.Errorf("load arrivals: %w", clean(err))
	}
	return list, nil
}

// ArrivalDone says that all is done for somebody.
func (db *DB) ArrivalDone(ctx context.Context, a store.Arrival) error {
	err := db.meta.update(ctx, func(ctx context.Context, q querier) error {
		_, err := q.exec(ctx, "DELETE FROM arrivals WHERE account = $1 AND invitation = $2", text(a.Account), a.Invitation)
		return err
	})
	if err != nil {
		return fmt.Errorf("remove arrival: %w", clean(err))
	}
	return nil
}
