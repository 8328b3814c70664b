package app

import (
	"bytes"
	"context"
	"os"
	"strings"
	"testing"
)

func TestDemoOnce(t *testing.T) {
	t.Setenv("TMPDIR", shortDir(t))
	got := execute(t, "", "demo", "--once")
	if got.status != exitOK || got.stderr != "" {
		t.Fatalf("got %+v", got)
	}
	want := []string{
		"Their contact lists: Anna and Ben are in the group Team\n",
		"  ● Ben, on the train    ● Anna, at my desk\n\n",
		"now that an administrator has added Chloe\n",
		"  Anna                     Ben                      Chloe\n",
		"  ● Ben, on the train      ● Anna, at my desk       ● Anna, at my desk\n",
		"  Anna   Morning Ben!",
		"The group's chat team@groups.localhost\n",
		"         * Anna has set the subject: Shipping on Thursday\n",
		"         * Chloe has read the 2 messages from before\n",
		"  Chloe  Fine. Chocolate, then.\n\nAll 11 messages arrived at everybody they were for.\n",
	}
	rest := got.stdout
	for _, w := range want {
		_, after, ok := strings.Cut(rest, w)
		if !ok {
			t.Fatalf("%q is missing or in the wrong place in\n%s", w, got.stdout)
		}
		rest = after
	}
	if rest != "" || strings.Contains(got.stdout, "\x1b") {
		t.Errorf("more than a plain conversation:\n%s", got.stdout)
	}
	if left, err := os.ReadDir(os.Getenv("TMPDIR")); err != nil || len(left) != 0 {
		t.Errorf("left behind: %v %v", left, err)
	}
}

func TestDemoThatDoesNotArrive(t *testing.T) {
	t.Setenv("TMPDIR", shortDir(t))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	var out, errs bytes.Buffer
	e := &env{stdout: &out, stderr: &errs}
	if status := run(ctx, e, []string{"demo", "--once"}); status == exitOK {
		t.Errorf("a conversation that did not happen is a success: %s", out.String())
	}
}
