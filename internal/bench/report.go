package bench

import (
	"fmt"
	"io"
	"runtime"
	"text/tabwriter"
	"time"
)

// Report is what a run has measured. As JSON it is its fields.
type Report interface {
	// WriteTable writes it for people.
	WriteTable(w io.Writer) error
}

// FanoutReport is what Fanout has measured. A delivery is one message that
// reached one occupant.
type FanoutReport struct {
	Address   string  `json:"address"`
	TLS       string  `json:"tls"`
	Rooms     int     `json:"rooms"`
	Occupants int     `json:"occupants"`         // of each room
	Senders   int     `json:"senders"`           // in each
	Stalled   int     `json:"stalled,omitempty"` // in each, who read nothing
	Window    int     `json:"window"`
	Rate      float64 `json:"rate,omitempty"` // messages a second; 0: the window alone limits
	Body      int     `json:"body_bytes"`

	Seconds             float64 `json:"seconds"`
	Messages            int64   `json:"messages"`
	Deliveries          int64   `json:"deliveries"`
	DeliveriesPerSecond float64 `json:"deliveries_per_second"`
	Latency
	Errors     int64  `json:"errors"`
	FirstError string `json:"first_error,omitempty"`

	Server              *ServerUsage `json:"server,omitempty"` // nil without process ids
	MeterCPU            float64      `json:"meter_cpu_seconds"`
	MeterCPUPerDelivery float64      `json:"meter_cpu_us_per_delivery"`
}

// Latency is how long things took, in milliseconds.
type Latency struct {
	LatencyP50 float64 `json:"latency_p50_ms"`
	LatencyP90 float64 `json:"latency_p90_ms"`
	LatencyP99 float64 `json:"latency_p99_ms"`
	LatencyMax float64 `json:"latency_max_ms"`
}

func latencyOf(h *histogram) Latency {
	return Latency{millis(h.quantile(0.5)), millis(h.quantile(0.9)), millis(h.quantile(0.99)), millis(h.max)}
}

// ServerUsage is what the server's processes have used for a fan-out.
type ServerUsage struct {
	CPU            float64 `json:"cpu_seconds"`
	CPUPerDelivery float64 `json:"cpu_us_per_delivery"`
	RSSBefore      int64   `json:"rss_before_bytes"` // with everybody in the room, before anybody spoke
	RSSAfter       int64   `json:"rss_after_bytes"`
}

// IdleReport is what Idle has measured.
type IdleReport struct {
	Address         string  `json:"address"`
	TLS             string  `json:"tls"`
	Sessions        int     `json:"sessions"`
	Users           int     `json:"users"`
	LoginSeconds    float64 `json:"login_seconds"`
	LoginsPerSecond float64 `json:"logins_per_second"`

	Server   *IdleUsage `json:"server,omitempty"` // nil without process ids
	MeterCPU float64    `json:"meter_cpu_seconds"`
}

// IdleUsage is what the server's processes have used for idle sessions.
type IdleUsage struct {
	CPUPerLogin   float64 `json:"cpu_us_per_login"`
	IdleCPU       float64 `json:"idle_cpu_share"` // of one core
	RSSBefore     int64   `json:"rss_before_bytes"`
	RSSAfter      int64   `json:"rss_after_bytes"`
	RSSPerSession float64 `json:"rss_bytes_per_session"`
}

// WriteTable writes the report for people.
func (r *FanoutReport) WriteTable(w io.Writer) error {
	t := table{tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)}
	t.row("server", "%s, TLS: %s", r.Address, r.TLS)
	if r.Rooms > 1 {
		t.row("rooms", "%d, each with:", r.Rooms)
	}
	t.row("load", "%d occupants, %d senders, %s, %d-byte bodies", r.Occupants, r.Senders, pace(r.Window, r.Rate), r.Body)
	if r.Stalled > 0 {
		t.row("stalled", "%d occupants, who are told and do not count", r.Stalled)
	}
	t.row("measured", "%d messages, %d deliveries in %.1f s", r.Messages, r.Deliveries, r.Seconds)
	t.row("deliveries", "%.0f/s", r.DeliveriesPerSecond)
	t.latency(r.Latency)
	if s := r.Server; s != nil {
		t.row("server CPU", "%.2f µs per delivery (%.1f s)", s.CPUPerDelivery, s.CPU)
		t.row("server memory", "%s before, %s after", mebibytes(s.RSSBefore), mebibytes(s.RSSAfter))
	}
	t.row("meter CPU", "%.2f µs per delivery (%.1f s)", r.MeterCPUPerDelivery, r.MeterCPU)
	if s := r.Server; s != nil {
		t.limit(r.MeterCPU, s.CPU, r.Seconds)
	}
	t.errors(r.Errors, r.FirstError)
	return t.Flush()
}

// WriteTable writes the report for people.
func (r *IdleReport) WriteTable(w io.Writer) error {
	t := table{tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)}
	t.row("server", "%s, TLS: %s", r.Address, r.TLS)
	t.row("sessions", "%d of %d accounts", r.Sessions, r.Users)
	t.row("logins", "%.0f/s (%.1f s)", r.LoginsPerSecond, r.LoginSeconds)
	if s := r.Server; s != nil {
		t.row("server CPU", "%.0f µs per login, then %.1f %% of a core", s.CPUPerLogin, 100*s.IdleCPU)
		t.row("server memory", "%s before, %s after: %.1f KiB per session",
			mebibytes(s.RSSBefore), mebibytes(s.RSSAfter), s.RSSPerSession/1024)
	}
	t.row("meter CPU", "%.1f s", r.MeterCPU)
	return t.Flush()
}

// table writes two columns. An error of writing comes out of Flush.
type table struct{ *tabwriter.Writer }

func (t table) row(name, format string, args ...any) {
	_, _ = fmt.Fprintf(t, name+"\t"+format+"\n", args...) // kept for Flush
}

func (t table) latency(l Latency) {
	t.row("latency", "p50 %.2f ms, p90 %.2f ms, p99 %.2f ms, max %.2f ms", l.LatencyP50, l.LatencyP90, l.LatencyP99, l.LatencyMax)
}

// busy is the share of the machine from which on a meter that needs more of it
// than the server is what limits the rate.
const busy = 0.8

// limit warns of figures that are the meter's rather than the server's.
func (t table) limit(meter, server, seconds float64) {
	if meter > server && meter+server > busy*seconds*float64(runtime.NumCPU()) {
		t.row("note", "the meter itself limits the rate and adds to the latency; the server's CPU per unit counts")
	}
}

func (t table) errors(n int64, first string) {
	if n > 0 {
		t.row("errors", "%d, the first: %s", n, first)
	}
}

// pace says how fast a load speaks.
func pace(window int, rate float64) string {
	if rate > 0 {
		return fmt.Sprintf("%g messages a second in all", rate)
	}
	return fmt.Sprintf("%d messages of each under way", window)
}

func mebibytes(n int64) string { return fmt.Sprintf("%.1f MiB", float64(n)/(1<<20)) }

func millis(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

func micros(d time.Duration) float64 { return float64(d) / float64(time.Microsecond) }
