package s2s

import "github.com/prometheus/client_golang/prometheus"

// Reasons for which stanzas go nowhere.
const (
	dropLinkDown     = "link_down"
	dropMisaddressed = "misaddressed"
	dropForged       = "forged_sender"
	dropNoStanza     = "no_stanza"
	dropSlow         = "slow_peer"
	dropAway         = "component_away"
	dropAccess       = "access"
)

// Reasons for which people of another server are taken out of rooms.
const (
	ghostLinkDown   = "link_down"
	ghostUnanswered = "unanswered"
	ghostGone       = "gone"
)

// Reasons for which a component is not let in.
const (
	refusedSecret   = "secret"
	refusedHost     = "host_unknown"
	refusedConflict = "conflict"
	refusedProtocol = "protocol"
	refusedShutdown = "shutdown"
)

// Metrics count what happens on streams to servers and components.
type Metrics struct {
	links      prometheus.Gauge
	attempts   prometheus.Counter
	components prometheus.Gauge
	dropped    *prometheus.CounterVec
	ghosts     *prometheus.CounterVec
	refused    *prometheus.CounterVec
	panics     prometheus.Counter
}

// NewMetrics makes the metrics and registers them; reg may be nil.
func NewMetrics(reg prometheus.Registerer) *Metrics {
	m := &Metrics{
		links:      prometheus.NewGauge(prometheus.GaugeOpts{Name: "muster_s2s_links", Help: "Streams on which this server is attached to others."}),
		attempts:   prometheus.NewCounter(prometheus.CounterOpts{Name: "muster_s2s_link_attempts_total", Help: "Tries to attach to another server."}),
		components: prometheus.NewGauge(prometheus.GaugeOpts{Name: "muster_s2s_components", Help: "External components that are attached to this server."}),
		dropped: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "muster_s2s_dropped_total", Help: "Stanzas of servers and components that were not passed on, by reason.",
		}, []string{"reason"}),
		ghosts: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "muster_s2s_ghosts_total", Help: "Sessions taken out of rooms because the link to their server was down, by reason.",
		}, []string{"reason"}),
		refused: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "muster_s2s_components_refused_total", Help: "External components that were not let in, by reason.",
		}, []string{"reason"}),
		panics: prometheus.NewCounter(prometheus.CounterOpts{Name: "muster_s2s_panics_total", Help: "Panics caught while stanzas of servers and components were handled."}),
	}
	if reg != nil {
		reg.MustRegister(m.links, m.attempts, m.components, m.dropped, m.ghosts, m.refused, m.panics)
	}
	return m
}

func (m *Metrics) drop(reason string) { m.dropped.WithLabelValues(reason).Inc() }
