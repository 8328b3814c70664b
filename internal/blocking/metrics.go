package blocking

import "github.com/prometheus/client_golang/prometheus"

// What became of stanzas from people who are blocked.
const (
	stoppedRefused  = "refused"      // answered with an error
	stoppedAnswer   = "answer"       // an error or a result: dropped
	stoppedPresence = "presence"     // dropped
	stoppedRoom     = "room_message" // of an occupant: dropped
	stoppedStored   = "stored"       // before he was blocked: dropped
	stoppedInvite   = "invitation"   // by somebody, through a room: dropped
)

type metrics struct {
	pushes  prometheus.Counter
	stopped map[string]prometheus.Counter // by reason
}

func newMetrics(reg prometheus.Registerer) *metrics {
	stopped := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "muster_blocking_stopped_total", Help: "Stanzas from people whom their recipient has blocked, by what became of them.",
	}, []string{"reason"})
	m := &metrics{
		pushes: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "muster_blocking_pushes_total", Help: "Changes of block lists told to sessions.",
		}),
		stopped: make(map[string]prometheus.Counter),
	}
	for _, why := range []string{stoppedRefused, stoppedAnswer, stoppedPresence, stoppedRoom, stoppedStored, stoppedInvite} {
		m.stopped[why] = stopped.WithLabelValues(why)
	}
	if reg != nil {
		reg.MustRegister(m.pushes, stopped)
	}
	return m
}
