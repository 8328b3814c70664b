package muc

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/muster-im/muster/stanza"
)

// metrics of one room service.
type metrics struct {
	rooms, occupants prometheus.Gauge
	messages         prometheus.Counter
	delivered        prometheus.Counter
	panics           prometheus.Counter
	slowHooks        prometheus.Counter
	failedCommits    prometheus.Counter
	unarchived       prometheus.Counter
	loadsRefused     prometheus.Counter
	delayed          prometheus.Counter
	superseded       prometheus.Counter
	refusals, joins  *prometheus.CounterVec
	queued           prometheus.Histogram
	hookTime         prometheus.Histogram
}

// What an entry is, as the counter of entries says.
const (
	joinCreated = "created" // of a room with it
	joinEntered = "entered" // somebody who was not inside
	joinSession = "session" // another client of an occupant
	joinAgain   = "again"   // a client that was inside
)

func newMetrics(reg prometheus.Registerer, domain string) *metrics {
	labels := prometheus.Labels{"service": domain}
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Name: name, Help: help, ConstLabels: labels})
	}
	gauge := func(name, help string) prometheus.Gauge {
		return prometheus.NewGauge(prometheus.GaugeOpts{Name: name, Help: help, ConstLabels: labels})
	}
	m := &metrics{
		rooms:         gauge("muster_muc_live_rooms", "Rooms in memory."),
		occupants:     gauge("muster_muc_occupants", "Occupants of all rooms."),
		messages:      counter("muster_muc_messages_total", "Groupchat messages accepted."),
		delivered:     counter("muster_muc_deliveries_total", "Stanzas handed to occupants' sessions."),
		panics:        counter("muster_muc_panics_total", "Panics caught in rooms and hooks."),
		slowHooks:     counter("muster_muc_slow_hooks_total", "Hook functions that took too long."),
		failedCommits: counter("muster_muc_failed_commits_total", "Changes of rooms that could not be stored."),
		unarchived:    counter("muster_muc_unarchived_total", "Messages refused because the archive failed."),
		loadsRefused:  counter("muster_muc_loads_refused_total", "Rooms not woken because too many waited for the store."),
		delayed:       counter("muster_muc_delayed_total", "Stanzas that have waited for their time in a room."),
		superseded:    counter("muster_muc_superseded_total", "Presence that waited for its time and was replaced by a newer one."),
		refusals: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "muster_muc_refusals_total", Help: "Stanzas answered with an error, by condition and by why.", ConstLabels: labels,
		}, []string{"condition", "reason"}),
		joins: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "muster_muc_joins_total", Help: "Entries into rooms, by what they are: created, entered, session or again.", ConstLabels: labels,
		}, []string{"kind"}),
		queued: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "muster_muc_queued_stanzas", Help: "Stanzas that waited in a room each time it took some up.", ConstLabels: labels,
			Buckets: prometheus.ExponentialBuckets(1, 4, 7), // to 4096
		}),
		hookTime: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "muster_muc_hook_duration_seconds", Help: "Time that functions on hooks of rooms took, of one call in eight.", ConstLabels: labels,
			Buckets: prometheus.ExponentialBuckets(1e-6, 10, 7), // to 1 s
		}),
	}
	if reg != nil {
		reg.MustRegister(m.rooms, m.occupants, m.messages, m.delivered, m.panics, m.slowHooks, m.failedCommits, m.unarchived, m.loadsRefused, m.delayed, m.superseded, m.refusals, m.joins, m.queued, m.hookTime)
	}
	return m
}

func (m *metrics) refused(err *stanza.Error) {
	m.refusals.WithLabelValues(string(err.Condition), reasonOf(err)).Inc()
}

func (m *metrics) joined(kind string) { m.joins.WithLabelValues(kind).Inc() }
