package router

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/muster-im/muster/stanza"
)

// Reasons for stanzas that go nowhere and are not answered.
const (
	dropError     = "error_without_session"
	dropAnswer    = "answer_without_session"
	dropHeadline  = "headline_without_session"
	dropGroupchat = "groupchat_of_ended_session"
	dropPresence  = "presence_without_session"
	dropBusy      = "queue_full"
)

type metrics struct {
	sessions prometheus.Gauge
	panics   prometheus.Counter
	carbons  prometheus.Counter
	returned prometheus.Counter
	refusals *prometheus.CounterVec // by condition

	strayError, strayAnswer, headline, groupchat, presence, queueFull prometheus.Counter
}

func newMetrics(reg prometheus.Registerer) *metrics {
	dropped := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "muster_router_dropped_total", Help: "Stanzas that went nowhere, by reason.",
	}, []string{"reason"})
	m := &metrics{
		sessions: prometheus.NewGauge(prometheus.GaugeOpts{Name: "muster_router_sessions", Help: "Bound client sessions."}),
		panics:   prometheus.NewCounter(prometheus.CounterOpts{Name: "muster_router_panics_total", Help: "Panics caught while routing."}),
		carbons:  prometheus.NewCounter(prometheus.CounterOpts{Name: "muster_router_carbons_total", Help: "Copies of messages delivered to an account's other sessions."}),
		returned: prometheus.NewCounter(prometheus.CounterOpts{Name: "muster_router_redelivered_total", Help: "Stanzas that ended sessions have not acknowledged, routed again."}),
		refusals: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "muster_router_refusals_total", Help: "Stanzas answered with an error, by condition.",
		}, []string{"condition"}),
		strayError:  dropped.WithLabelValues(dropError),
		strayAnswer: dropped.WithLabelValues(dropAnswer),
		headline:    dropped.WithLabelValues(dropHeadline),
		groupchat:   dropped.WithLabelValues(dropGroupchat),
		presence:    dropped.WithLabelValues(dropPresence),
		queueFull:   dropped.WithLabelValues(dropBusy),
	}
	if reg != nil {
		reg.MustRegister(m.sessions, m.panics, m.carbons, m.returned, dropped, m.refusals)
	}
	return m
}

func (m *metrics) refused(c stanza.Condition) { m.refusals.WithLabelValues(string(c)).Inc() }
