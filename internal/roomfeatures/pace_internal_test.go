package roomfeatures

import (
	"strconv"
	"testing"
	"time"

	"github.com/muster-im/muster/internal/shaper"
	"github.com/muster-im/muster/jid"
)

// TestPaceForgets: sessions that may do again what they like are not remembered.
func TestPaceForgets(t *testing.T) {
	t.Parallel()
	limits, now := Pace{MessageInterval: time.Second, PresenceRate: 10}, time.Unix(0, 0)
	p := &paced{}
	for i := range 10_000 {
		now = now.Add(100 * time.Millisecond)
		s := p.session(jid.MustParse("u"+strconv.Itoa(i)+"@test/r"), now, &limits)
		s.messages.last = now
		s.presence.bucket = shaper.NewBucket(10, now)
		s.presence.bucket.Take(20, now) // two seconds
	}
	if n := len(p.sessions); n < 10 || n > 100 {
		t.Errorf("%d sessions are remembered, and 20 have something to make good", n)
	}
}
