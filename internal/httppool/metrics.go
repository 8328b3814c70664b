package httppool

import "github.com/prometheus/client_golang/prometheus"

// answered is the outcome of a request that was answered, whatever the answer.
const answered = "answered"

type metrics struct {
	requests *prometheus.CounterVec
	seconds  prometheus.Histogram
}

func newMetrics(reg prometheus.Registerer, pool string) *metrics {
	labels := prometheus.Labels{"pool": pool}
	m := &metrics{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "muster_httppool_requests_total", Help: "Requests to HTTP services of others, by outcome.", ConstLabels: labels,
		}, []string{"outcome"}),
		seconds: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "muster_httppool_request_duration_seconds", Help: "Time for requests to HTTP services of others.", ConstLabels: labels,
			Buckets: []float64{.001, .005, .025, .1, .25, .5, 1, 2, 5},
		}),
	}
	if reg != nil {
		reg.MustRegister(m.requests, m.seconds)
	}
	return m
}

// failed counts an error and returns it.
func (m *metrics) failed(err *Error) error {
	m.requests.WithLabelValues(string(err.Reason)).Inc()
	return err
}
