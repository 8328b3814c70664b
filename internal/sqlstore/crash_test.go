package sqlstore

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/muster-im/muster/internal/store"
	"github.com/muster-im/muster/muc"
)

// crashDir names the environment variable that makes the test binary a process
// to be killed.
const crashDir = "MUSTER_TEST_CRASH_DIR"

// writeUntilKilled writes and says what it has written, until it is killed.
func writeUntilKilled(dir string) int {
	ctx := context.Background()
	db, err := Open(ctx, Options{Driver: SQLite, Dir: dir, Durability: DurabilityProcess})
	for i := 0; err == nil; i += 3 {
		if err = db.AppendArchive(ctx, archiveRows(coven, i, i+3)); err == nil {
			fmt.Println("archived", i+3)
		}
		if _, putErr := db.PutRosterItem(ctx, romeo, store.RosterItem{Contact: juliet, Name: fmt.Sprint(i), Subscription: store.SubNone}); putErr == nil {
			fmt.Println("contact", i)
		}
		if roomErr := db.ApplyRoomChange(ctx, coven, 0, wordChange(fmt.Sprint(i))); roomErr == nil {
			fmt.Println("room", i)
		}
	}
	fmt.Fprintln(os.Stderr, err)
	return 1
}

// wordChange is a change of two parts of a room, which have to stay together.
func wordChange(words ...string) muc.RoomChange {
	word := strings.Join(words, " ")
	return muc.RoomChange{
		Created:  noon,
		Settings: map[string][]string{"word": {word}},
		Subject:  &muc.Subject{Text: word},
	}
}

// What was acknowledged is there after kill -9, in whole batches.
func TestKill(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	seen := map[string]int{}
	for round := range 3 {
		killWriter(t, t.TempDir(), 5, map[string]int{}) // at once, in the first commits
		roundDir := fmt.Sprint(dir, "/", round)
		clear(seen)
		killWriter(t, roundDir, 300, seen)
		db := opener(t, Options{Driver: SQLite, Dir: roundDir})()
		checkAfterKill(t, db, seen)
		must(t, db.Close())
	}
}

// killWriter runs a writer, kills it after so many lines, and notes the last
// number of each kind of line.
func killWriter(t *testing.T, dir string, lines int, seen map[string]int) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), crashDir+"="+dir)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	must(t, err)
	must(t, cmd.Start())
	in := bufio.NewScanner(out)
	note := func() {
		var kind string
		var n int
		if _, err := fmt.Sscan(in.Text(), &kind, &n); err == nil {
			seen[kind] = n
		}
	}
	for range lines {
		if !in.Scan() {
			t.Fatal("the writer has ended by itself")
		}
		note()
	}
	must(t, cmd.Process.Kill())
	for in.Scan() { // what it said before it died counts too
		note()
	}
	_, _ = io.Copy(io.Discard, out)
	_ = cmd.Wait() // says that it was killed
}

func checkAfterKill(t *testing.T, db *DB, seen map[string]int) {
	t.Helper()
	ctx := t.Context()
	page, err := db.ArchivePage(ctx, store.ArchiveQuery{Room: coven, Limit: 1_000_000})
	must(t, err)
	if len(page) < seen["archived"] || len(page)%3 != 0 {
		t.Errorf("%d messages are there, %d were acknowledged, in batches of 3", len(page), seen["archived"])
	}
	for i := range page {
		if page[i].ID != fmt.Sprintf("%016d", i) {
			t.Fatalf("message %d has ID %s", i, page[i].ID)
		}
	}
	item, err := db.RosterItem(ctx, romeo, juliet)
	must(t, err)
	if got := number(t, item.Name); got < seen["contact"] {
		t.Errorf("contact is %d, %d was acknowledged", got, seen["contact"])
	}
	room, err := db.Room(ctx, coven)
	must(t, err)
	if got := number(t, room.Subject.Text); got < seen["room"] || room.Settings["word"][0] != room.Subject.Text {
		t.Errorf("room has subject %s and word %s, %d was acknowledged", room.Subject.Text, room.Settings["word"], seen["room"])
	}
	for _, d := range []*database{db.meta, db.archive} {
		var verdict string
		if _, err := d.one(ctx, "PRAGMA integrity_check", nil, &verdict); err != nil || verdict != "ok" {
			t.Errorf("%s database: %s, %v", d.name, verdict, err)
		}
	}
}

func number(t *testing.T, s string) (n int) {
	t.Helper()
	_, err := fmt.Sscan(s, &n)
	must(t, err)
	return n
}
