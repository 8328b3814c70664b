package lanes

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

func TestQueue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var q Queue[string, string]
		now, rang := time.Now(), make(chan bool, 10)
		q.Add("b", "second", now.Add(2*time.Second))
		q.Add("a", "first", now.Add(time.Second))
		q.Add("c", "third", now.Add(2*time.Second))
		q.In("a").Behind = append(q.In("a").Behind, "after the first")
		q.Arm(func() { rang <- true })
		if q.Idle() || q.Len() != 3 || q.Due(now) != nil || q.In("d") != nil {
			t.Errorf("%d wait", q.Len())
		}
		<-rang
		q.Rang()
		if took := time.Since(now); took != time.Second {
			t.Errorf("rang after %s", took)
		}
		if got := q.Due(time.Now()).All(); !slices.Equal(got, []string{"first", "after the first"}) || q.In("a") != nil {
			t.Errorf("due: %v", got)
		}
		if e := q.Remove("b"); e == nil || e.Value != "second" || q.Remove("b") != nil {
			t.Errorf("removed %v", e)
		}
		q.Arm(func() { rang <- true })
		if got := q.Clear(); !slices.Equal(got, []string{"third"}) {
			t.Errorf("cleared %v", got)
		}
		q.Arm(nil)
		time.Sleep(time.Minute)
		if len(rang) > 0 || !q.Idle() {
			t.Error("rings though nothing waits")
		}
	})
}
