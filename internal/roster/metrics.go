package roster

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/muster-im/muster/stanza"
)

// Reasons for presence that goes nowhere.
const (
	dropNoAccount = "no_such_account"
	dropWaiting   = "too_many_requests"
	dropType      = "unknown_type"
	dropProbe     = "probe_failed"
	dropBlocked   = "sender_is_blocked"
)

type metrics struct {
	pushes     prometheus.Counter
	kept       prometheus.Gauge
	unkept     prometheus.Counter
	repaired   prometheus.Counter
	noAccount  prometheus.Counter
	waiting    prometheus.Counter
	badType    prometheus.Counter
	probeError prometheus.Counter
	blocked    prometheus.Counter
	refusals   *prometheus.CounterVec
}

func newMetrics(reg prometheus.Registerer) *metrics {
	drops := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "muster_roster_dropped_total", Help: "Presence that went nowhere, by reason.",
	}, []string{"reason"})
	m := &metrics{
		pushes: prometheus.NewCounter(prometheus.CounterOpts{Name: "muster_roster_pushes_total", Help: "Roster pushes sent."}),
		kept: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "muster_roster_kept_contacts", Help: "Contacts of people with sessions that are kept in memory.",
		}),
		unkept: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "muster_roster_unkept_total", Help: "Rosters that had to be read again because there was no room to keep them.",
		}),
		repaired: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "muster_roster_repaired_total", Help: "Subscriptions ended because the contact did not know of them.",
		}),
		noAccount:  drops.WithLabelValues(dropNoAccount),
		waiting:    drops.WithLabelValues(dropWaiting),
		badType:    drops.WithLabelValues(dropType),
		probeError: drops.WithLabelValues(dropProbe),
		blocked:    drops.WithLabelValues(dropBlocked),
		refusals: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "muster_roster_refusals_total", Help: "Presence of clients answered with an error, by condition.",
		}, []string{"condition"}),
	}
	if reg != nil {
		reg.MustRegister(m.pushes, m.kept, m.unkept, m.repaired, drops, m.refusals)
	}
	return m
}

func (m *metrics) refused(c stanza.Condition) { m.refusals.WithLabelValues(string(c)).Inc() }
