package groups

import "github.com/prometheus/client_golang/prometheus"

type metrics struct {
	changes  prometheus.Counter
	failures prometheus.Counter
	refused  prometheus.Counter
	panics   prometheus.Counter
}

func newMetrics(reg prometheus.Registerer, kept func() float64) *metrics {
	m := &metrics{
		changes:  prometheus.NewCounter(prometheus.CounterOpts{Name: "muster_groups_changes_total", Help: "Changes of groups that were stored."}),
		failures: prometheus.NewCounter(prometheus.CounterOpts{Name: "muster_groups_task_failures_total", Help: "What follows from a change and has to be tried again."}),
		refused:  prometheus.NewCounter(prometheus.CounterOpts{Name: "muster_groups_refused_chats_total", Help: "What follows for a chat and its host refuses for good."}),
		panics:   prometheus.NewCounter(prometheus.CounterOpts{Name: "muster_groups_hook_panics_total", Help: "Events of groups on which a function panicked."}),
	}
	if reg != nil {
		reg.MustRegister(m.changes, m.failures, m.refused, m.panics, prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "muster_groups_kept_memberships", Help: "Memberships that are kept in memory, because somebody of the group has a session.",
		}, kept))
	}
	return m
}
