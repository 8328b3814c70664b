package groups

import "testing"

// TestGeneratedIDs: no command line takes an id that was made here for a flag.
func TestGeneratedIDs(t *testing.T) {
	t.Parallel()
	for range 5000 {
		if id := newID(); len(id) != 12 || id[0] == '-' || checkID(id) != nil {
			t.Fatalf("made %q", id)
		}
	}
}
