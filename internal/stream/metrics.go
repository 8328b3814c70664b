package stream

import "github.com/prometheus/client_golang/prometheus"

// Metrics count what all streams of a server do.
type Metrics struct {
	slowConsumers prometheus.Counter
	written       prometheus.Counter
	read          prometheus.Counter
	errors        *prometheus.CounterVec
}

// NewMetrics makes the metrics and registers them; reg may be nil.
func NewMetrics(reg prometheus.Registerer) *Metrics {
	m := &Metrics{
		slowConsumers: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "muster_stream_slow_consumers_total", Help: "Streams closed because the peer read too slowly.",
		}),
		written: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "muster_stream_written_bytes_total", Help: "Bytes written to streams, before encryption.",
		}),
		read: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "muster_stream_read_bytes_total", Help: "Bytes read from streams, after decryption.",
		}),
		errors: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "muster_stream_errors_total", Help: "Stream errors sent, by condition.",
		}, []string{"condition"}),
	}
	if reg != nil {
		reg.MustRegister(m.slowConsumers, m.written, m.read, m.errors)
	}
	return m
}
