package sqlstore

import (
	"strings"
	"testing"

	"github.com/muster-im/muster/internal/store"
	"github.com/muster-im/muster/jid"
)

// TestRoomsOfSomebodyAreFoundByHisEntries: not by looking at every room that
// there is.
func TestRoomsOfSomebodyAreFoundByHisEntries(t *testing.T) {
	t.Parallel()
	db := opener(t, Options{Driver: SQLite, Dir: t.TempDir()})()
	query, args := findRooms(&store.RoomSearch{Service: "conf.test", Limit: 100, Of: jid.MustParse("romeo@localhost")})
	var plan []string
	err := db.meta.each(t.Context(), "EXPLAIN QUERY PLAN "+query, args, func(rows row) error {
		var id, parent, unused int
		var step string
		err := rows.Scan(&id, &parent, &unused, &step)
		plan = append(plan, step)
		return err
	})
	if err != nil || len(plan) == 0 || !strings.Contains(plan[0], "affiliations_of") {
		t.Errorf("the plan is %q, %v", plan, err)
	}
}
