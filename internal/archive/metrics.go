package archive

import "github.com/prometheus/client_golang/prometheus"

// Reasons why a row was not stored.
const (
	reasonBusy    = "busy"    // too much was waiting
	reasonClosed  = "closed"  // the archive was closed
	reasonError   = "error"   // the store refused it
	reasonTimeout = "timeout" // the store took too long

	// Rows that may be stored although it was said that they are not.
	reasonInDoubt = "in_doubt"
)

type metrics struct {
	rows    prometheus.Histogram // per commit
	seconds prometheus.Histogram // per commit

	// Rows that were not stored, by reason.
	busy, closed, failed, timeout, inDoubt prometheus.Counter

	expired, orphans, sweepErrors prometheus.Counter
}

func newMetrics(reg prometheus.Registerer, queuedBytes func() float64) *metrics {
	failures := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "muster_archive_failures_total",
		Help: "Room messages that were not archived, by reason.",
	}, []string{"reason"})
	m := &metrics{
		rows: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name:    "muster_archive_batch_rows",
			Help:    "Room messages per commit.",
			Buckets: prometheus.ExponentialBuckets(1, 2, 9),
		}),
		seconds: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name:    "muster_archive_commit_seconds",
			Help:    "Time of a commit.",
			Buckets: prometheus.ExponentialBuckets(0.00003, 3, 12),
		}),
		expired: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "muster_archive_expired_total",
			Help: "Room messages that were removed because they were too old or too many.",
		}),
		orphans: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "muster_archive_orphans_total",
			Help: "Archives that were removed because there is no such room.",
		}),
		sweepErrors: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "muster_archive_expiry_errors_total",
			Help: "Attempts to remove old room messages that failed.",
		}),
		busy:    failures.WithLabelValues(reasonBusy),
		closed:  failures.WithLabelValues(reasonClosed),
		failed:  failures.WithLabelValues(reasonError),
		timeout: failures.WithLabelValues(reasonTimeout),
		inDoubt: failures.WithLabelValues(reasonInDoubt),
	}
	if reg != nil {
		reg.MustRegister(failures, m.rows, m.seconds, m.expired, m.orphans, m.sweepErrors, prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "muster_archive_queued_bytes",
			Help: "Size of the room messages that wait to be archived.",
		}, queuedBytes))
	}
	return m
}
