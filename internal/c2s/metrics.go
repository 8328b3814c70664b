package c2s

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/muster-im/muster/internal/sasl"
	"github.com/muster-im/muster/stanza"
)

// reason says why a connection has ended.
type reason string

const (
	reasonClosed        reason = "closed"        // by the client, in good order
	reasonLost          reason = "lost"          // the socket broke or was closed without the stream
	reasonPeerError     reason = "peer_error"    // the client sent a stream error
	reasonProtocol      reason = "protocol"      // the client broke a rule: see the stream's errors
	reasonTimeout       reason = "timeout"       // no resource bound in time
	reasonTLS           reason = "tls"           // the handshake failed
	reasonReplaced      reason = "replaced"      // another connection has bound the resource
	reasonAccount       reason = "account"       // the account is gone
	reasonAdministrator reason = "administrator" // wants it
	reasonAccess        reason = "access"        // the listener's rule has changed
	reasonSlow          reason = "slow_consumer" // the client took less than it was sent
	reasonResumed       reason = "resumed"       // another connection carries the session on
	reasonExpired       reason = "expired"       // not resumed in time
	reasonUnacked       reason = "unacked"       // too much was not acknowledged
	reasonShutdown      reason = "shutdown"
	reasonPanic         reason = "panic"      // our fault
	reasonStore         reason = "block_list" // could not be loaded: our fault, too
)

// lingers reports whether the client may not know yet that we have closed.
func (r reason) lingers() bool {
	return r != reasonClosed && r != reasonLost && r != reasonTLS && r != reasonSlow
}

// resumable reports whether a session may be resumed whose connection has ended
// so: not in good order, and nobody's decision (XEP-0198 §7).
func (r reason) resumable() bool {
	return r == reasonLost || r == reasonTimeout || r == reasonSlow || r == reasonResumed
}

// What becomes of attempts to resume a session.
const (
	resumeDone    = "resumed"
	resumeUnknown = "unknown" // no such session, or not any more
	resumeFailed  = "failed"
)

// What is refused to a client that stays connected.
const (
	refusedAddress  = "jid_malformed"
	refusedRequest  = "bad_request"
	refusedResource = "resource_constraint"
	refusedLogins   = "login_rate"
	refusedAccess   = "access"
	refusedRegister = "registration"
	refusedUnacked  = "unacked"
	refusedBlocked  = "blocked_by_sender"
	refusedStranger = "connections" // of one address, without a resource
)

type metrics struct {
	connections prometheus.Gauge
	sessions    prometheus.Gauge
	stanzas     [stanza.IQ + 1]prometheus.Counter
	panics      prometheus.Counter
	paced       prometheus.Counter
	missed      prometheus.Counter
	redelivered prometheus.Counter
	detached    prometheus.Gauge
	resumptions *prometheus.CounterVec
	refused     *prometheus.CounterVec
	ends        *prometheus.CounterVec
	logins      *prometheus.CounterVec
	failures    *prometheus.CounterVec
}

func newMetrics(reg prometheus.Registerer) *metrics {
	gauge := func(name, help string) prometheus.Gauge {
		return prometheus.NewGauge(prometheus.GaugeOpts{Name: "muster_c2s_" + name, Help: help})
	}
	vec := func(name, help, label string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: "muster_c2s_" + name, Help: help}, []string{label})
	}
	m := &metrics{
		connections: gauge("connections", "Client connections, authenticated or not."),
		sessions:    gauge("sessions", "Bound sessions."),
		panics: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "muster_c2s_panics_total", Help: "Stanzas and streams given up because handling them panicked.",
		}),
		paced: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "muster_c2s_paced_seconds_total", Help: "Time that shapers have kept readers waiting.",
		}),
		missed: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "muster_c2s_missed_total", Help: "Stanzas that came to sessions which were over, and went another way if there was one.",
		}),
		redelivered: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "muster_c2s_redelivered_total", Help: "Stanzas handed back because a session ended without acknowledging them.",
		}),
		detached:    gauge("sessions_detached", "Sessions without a connection that wait to be resumed."),
		resumptions: vec("resumptions_total", "Attempts to resume a session, by result.", "result"),
		refused:     vec("refused_total", "Stanzas and attempts refused, by reason.", "reason"),
		ends:        vec("connections_ended_total", "Connections ended, by reason.", "reason"),
		logins:      vec("logins_total", "Successful authentications, by mechanism.", "mechanism"),
		failures:    vec("auth_failures_total", "Failed authentications, by condition.", "condition"),
	}
	stanzas := vec("stanzas_total", "Stanzas received from bound sessions, by kind.", "kind")
	for _, k := range []stanza.Kind{stanza.Message, stanza.Presence, stanza.IQ} {
		m.stanzas[k] = stanzas.WithLabelValues(k.String())
	}
	if reg != nil {
		reg.MustRegister(m.connections, m.sessions, m.panics, m.paced, m.refused, m.ends, m.logins, m.failures, stanzas,
			m.missed, m.redelivered, m.detached, m.resumptions)
	}
	return m
}

func (m *metrics) closed(why reason)          { m.ends.WithLabelValues(string(why)).Inc() }
func (m *metrics) resumed(result string)      { m.resumptions.WithLabelValues(result).Inc() }
func (m *metrics) refuse(why string)          { m.refused.WithLabelValues(why).Inc() }
func (m *metrics) login(mech sasl.Mechanism)  { m.logins.WithLabelValues(string(mech)).Inc() }
func (m *metrics) failed(cond sasl.Condition) { m.failures.WithLabelValues(string(cond)).Inc() }
