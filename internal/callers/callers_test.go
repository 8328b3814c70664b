package callers_test

import (
	"testing"

	"github.com/muster-im/muster/internal/callers"
)

const outer = "github.com/muster-im/muster/internal/callers_test.deep"

// deep asks from below itself, n calls further down.
func deep(n int) bool {
	if n == 0 {
		return callers.Include(outer)
	}
	return further(n - 1)
}

func further(n int) bool {
	if n == 0 {
		return callers.Include(outer)
	}
	return further(n - 1)
}

func TestInclude(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		got, want bool
	}{
		"at once":             {deep(0), true},
		"far below":           {deep(1000), true},
		"elsewhere":           {further(0), false},
		"far below elsewhere": {further(1000), false},
	} {
		if test.got != test.want {
			t.Errorf("%s: %v, want %v", name, test.got, test.want)
		}
	}
}
