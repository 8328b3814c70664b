package sqlstore

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	"github.com/muster-im/muster/jid"
	"github.com/muster-im/muster/muc"
)

func readAffiliations(ctx context.Context, q querier, room int64) ([]muc.AffiliationRecord, error) {
	var list []muc.AffiliationRecord
	err := q.each(ctx, "SELECT jid, affiliation, nick, reason, data FROM affiliations WHERE room = $1 ORDER BY jid",
		[]any{room}, func(rows row) error {
			a, err := scanAffiliation(rows)
			list = append(list, a)
			return err
		})
	return list, err
}

// scanAffiliation reads an entry: jid, affiliation, nick, reason, data.
func scanAffiliation(rows row) (muc.AffiliationRecord, error) {
	var a muc.AffiliationRecord
	var word, data string
	err := rows.Scan(address{&a.JID}, &word, &a.Nick, &a.Reason, &data)
	if err != nil {
		return a, err
	}
	if a.Affiliation, err = muc.ParseAffiliation(word); err != nil {
		return a, fmt.Errorf("affiliation of %s: %w", a.JID, err)
	}
	if a.Data, err = decodeData(data); err != nil {
		return a, fmt.Errorf("data of %s: %w", a.JID, err)
	}
	return a, nil
}

// affiliationBatch is how many entries one statement for PostgreSQL writes at
// most.
const affiliationBatch = 10_000

// changeAffiliations writes entries in their order. To PostgreSQL, which may be
// far away, they go many at a time.
func changeAffiliations(ctx context.Context, q querier, room int64, list []muc.AffiliationRecord) error {
	if q.d.dialect == sqlite {
		for i := range list {
			if err := changeAffiliation(ctx, q, room, &list[i]); err != nil {
				return fmt.Errorf("affiliation of %s: %w", list[i].JID, err)
			}
		}
		return nil
	}
	for len(list) > 0 {
		n := distinct(list, affiliationBatch)
		if err := changeManyAffiliations(ctx, q, room, list[:n]); err != nil {
			return fmt.Errorf("affiliations of %s and %d more: %w", list[0].JID, n-1, err)
		}
		list = list[n:]
	}
	return nil
}

// distinct is for how many entries, limit at most, no JID comes twice: one
// statement cannot write a row twice.
func distinct(list []muc.AffiliationRecord, limit int) int {
	n := min(len(list), limit)
	seen := make(map[jid.JID]struct{}, n)
	for i := range list[:n] {
		if _, twice := seen[list[i].JID]; twice {
			return i
		}
		seen[list[i].JID] = struct{}{}
	}
	return n
}

// changeManyAffiliations writes entries of different JIDs with a few statements
// for PostgreSQL, whatever their number.
func changeManyAffiliations(ctx context.Context, q querier, room int64, list []muc.AffiliationRecord) error {
	var gone, nobodies, jids, words, nicks, reasons []string
	changes := make(map[string]map[string]string) // of data, by JID
	for i := range list {
		a := &list[i]
		j := text(a.JID)
		switch {
		case a.Affiliation == muc.None && len(a.Data) == 0:
			gone = append(gone, j)
			continue
		case a.Affiliation == muc.None:
			nobodies = append(nobodies, j)
		}
		jids, words = append(jids, j), append(words, a.Affiliation.String())
		nicks, reasons = append(nicks, a.Nick), append(reasons, a.Reason)
		if len(a.Data) > 0 {
			changes[j] = a.Data
		}
	}
	if len(gone) > 0 {
		if _, err := q.exec(ctx, "DELETE FROM affiliations WHERE room = $1 AND jid = ANY($2::text[])", room, gone); err != nil {
			return err
		}
	}
	if _, err := q.exec(ctx, `INSERT INTO affiliations (room, jid, affiliation, nick, reason, data)
		SELECT $1, a.*, '' FROM unnest($2::text[], $3::text[], $4::text[], $5::text[]) AS a
		ON CONFLICT (room, jid) DO UPDATE SET
			affiliation = excluded.affiliation, nick = excluded.nick, reason = excluded.reason`,
		room, jids, words, nicks, reasons); err != nil || len(changes) == 0 {
		return err
	}
	var changed, data []string
	err := q.each(ctx, "SELECT jid, data FROM affiliations WHERE room = $1 AND jid = ANY($2::text[])",
		[]any{room, slices.Collect(maps.Keys(changes))}, func(rows row) error {
			var j, stored string
			err := rows.Scan(&j, &stored)
			if err != nil {
				return err
			}
			merged, err := mergeData(stored, changes[j])
			changed, data = append(changed, j), append(data, merged)
			return err
		})
	if err != nil {
		return err
	}
	_, err = q.exec(ctx, `UPDATE affiliations AS a SET data = b.data FROM unnest($2::text[], $3::text[]) AS b (jid, data)
		WHERE a.room = $1 AND a.jid = b.jid`, room, changed, data)
	if err != nil || len(nobodies) == 0 {
		return err
	}
	_, err = q.exec(ctx, `DELETE FROM affiliations WHERE room = $1 AND jid = ANY($2::text[]) AND data = '' AND affiliation = 'none'`, room, nobodies)
	return err
}

func changeAffiliation(ctx context.Context, q querier, room int64, a *muc.AffiliationRecord) error {
	j := text(a.JID)
	if a.Affiliation == muc.None && len(a.Data) == 0 {
		_, err := q.exec(ctx, "DELETE FROM affiliations WHERE room = $1 AND jid = $2", room, j)
		return err
	}
	if _, err := q.exec(ctx, `INSERT INTO affiliations (room, jid, affiliation, nick, reason, data)
		VALUES ($1, $2, $3, $4, $5, '') ON CONFLICT (room, jid) DO UPDATE SET
			affiliation = excluded.affiliation, nick = excluded.nick, reason = excluded.reason`,
		room, j, a.Affiliation.String(), a.Nick, a.Reason); err != nil || len(a.Data) == 0 {
		return err
	}
	var stored string
	if _, err := q.one(ctx, "SELECT data FROM affiliations WHERE room = $1 AND jid = $2", []any{room, j}, &stored); err != nil {
		return err
	}
	data, err := mergeData(stored, a.Data)
	if err != nil {
		return err
	}
	if a.Affiliation == muc.None && data == "" {
		_, err := q.exec(ctx, "DELETE FROM affiliations WHERE room = $1 AND jid = $2", room, j)
		return err
	}
	_, err = q.exec(ctx, "UPDATE affiliations SET data = $3 WHERE room = $1 AND jid = $2", room, j, data)
	return err
}

// mergeData writes the keys of changes into stored data.
func mergeData(stored string, changes map[string]string) (string, error) {
	data, err := decodeData(stored)
	if err != nil {
		return "", err
	}
	if data == nil {
		data = make(map[string]string, len(changes))
	}
	maps.Copy(data, changes)
	maps.DeleteFunc(data, func(_, value string) bool { return value == "" })
	if len(data) == 0 {
		return "", nil
	}
	merged, err := json.Marshal(data)
	return string(merged), err
}

func decodeData(stored string) (data map[string]string, err error) {
	if stored != "" {
		err = json.Unmarshal([]byte(stored), &data)
	}
	return data, err
}
