package sqlstore

import "github.com/prometheus/client_golang/prometheus"

// metrics count what the store does by itself; calls are counted by those who
// make them.
type metrics struct {
	failures    *prometheus.CounterVec   // by database
	checkpoints *prometheus.HistogramVec // by database
}

func newMetrics(reg prometheus.Registerer) *metrics {
	m := &metrics{
		failures: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "muster_sqlstore_failures_total",
			Help: "Transactions that failed because of the database.",
		}, []string{"database"}),
		checkpoints: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "muster_sqlstore_checkpoint_seconds",
			Help:    "Time to copy SQLite's write-ahead log into the database.",
			Buckets: prometheus.ExponentialBuckets(0.001, 4, 8),
		}, []string{"database"}),
	}
	if reg != nil {
		reg.MustRegister(m.failures, m.checkpoints)
	}
	return m
}
