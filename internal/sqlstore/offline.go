package sqlstore

import (
	"context"
	"fmt"

	"github.com/muster-im/muster/internal/store"
	"github.com/muster-im/muster/jid"
)

// AddOffline stores a message, store.ErrFull if more would wait for its
// recipient than the limits allow. The message's ID is ignored.
func (db *DB) AddOffline(ctx context.Context, m store.OfflineMessage, limits store.OfflineLimits) error {
	to, from := text(m.To.Bare()), text(m.From.Bare())
	tries := 0
	err := db.meta.update(ctx, func(ctx context.Context, q querier) error {
		tries++
		if q.d.dialect == postgres {
			// One at a time per recipient: then IDs rise in order of commit, and
			// DeleteOffline cannot remove a message that Offline did not show.
			if _, err := q.exec(ctx, "SELECT pg_advisory_xact_lock(hashtextextended($1, 0))", to); err != nil {
				return err
			}
		}
		if tries > 1 { // the answer to a commit was lost
			stored, err := q.one(ctx, "SELECT id FROM offline_messages WHERE recipient = $1 AND time = $2 AND stanza = $3",
				[]any{to, micros(m.Time), m.Stanza}, new(int64))
			if err != nil || stored {
				return err
			}
		}
		var all, one store.OfflineQuota
		if _, err := q.one(ctx, `SELECT count(*), COALESCE(sum(size), 0),
			count(*) FILTER (WHERE sender = $2), COALESCE(sum(size) FILTER (WHERE sender = $2), 0)
			FROM offline_messages WHERE recipient = $1`, []any{to, from},
			&all.Messages, &all.Bytes, &one.Messages, &one.Bytes); err != nil {
			return err
		}
		if exceeds(all, limits.All, m.Stanza) || exceeds(one, limits.Sender, m.Stanza) {
			return store.ErrFull
		}
		_, err := q.exec(ctx, "INSERT INTO offline_messages (recipient, sender, time, stanza, size) VALUES ($1, $2, $3, $4, $5)",
			to, from, micros(m.Time), m.Stanza, len(m.Stanza))
		return err
	})
	if err != nil {
		return fmt.Errorf("store message for %s: %w", m.To, clean(err))
	}
	return nil
}

// exceeds reports whether another message is too much beside those that wait.
func exceeds(waiting, limit store.OfflineQuota, message []byte) bool {
	return waiting.Messages >= limit.Messages || waiting.Bytes+int64(len(message)) > limit.Bytes
}

// Offline returns the limit oldest messages that wait for a recipient, oldest
// first.
func (db *DB) Offline(ctx context.Context, to jid.JID, limit int) ([]store.OfflineMessage, error) {
	var messages []store.OfflineMessage
	err := db.meta.each(ctx, `SELECT id, time, stanza FROM offline_messages WHERE recipient = $1
		ORDER BY id LIMIT $2`, []any{text(to.Bare()), limit}, func(rows row) error {
		m := store.OfflineMessage{To: to.Bare()}
		var at int64
		err := rows.Scan(&m.ID, &at, &m.Stanza)
		m.Time = stamp(at)
		messages = append(messages, m)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("load messages for %s: %w", to, clean(err))
	}
	return messages, nil
}

// DeleteOffline removes the messages that wait for a recipient up to the ID
// upTo.
func (db *DB) DeleteOffline(ctx context.Context, to jid.JID, upTo int64) error {
	err := db.meta.update(ctx, func(ctx context.Context, q querier) error {
		_, err := q.exec(ctx, "DELETE FROM offline_messages WHERE recipient = $1 AND id <= $2", text(to.Bare()), upTo)
		return err
	})
	if err != nil {
		return fmt.Errorf("delete messages for %s: %w", to, clean(err))
	}
	return nil
}
