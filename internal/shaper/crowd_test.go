package shaper

import "testing"

func TestCrowd(t *testing.T) {
	t.Parallel()
	c := NewCrowd(2, false)
	enter := func(what, addr string, want bool) func() {
		t.Helper()
		leave, ok := c.Enter(address(addr))
		if ok != want {
			t.Errorf("%s: got %v, want %v", what, ok, want)
		}
		return leave
	}
	first := enter("the first", "2001:db8::1", true)
	second := enter("the second, of the same network", "2001:db8::2", true)
	enter("one too many", "2001:db8::3", false)
	enter("another network", "192.0.2.1", true)()
	for range 5 {
		enter("loopback", "127.0.0.1", true)
	}
	first()
	third := enter("one has left", "2001:db8::3", true)
	enter("full again", "2001:db8::3", false)
	second()
	third()
	if len(c.counts) != 0 {
		t.Errorf("%v is remembered of who has left", c.counts)
	}
}
