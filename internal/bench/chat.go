package bench

import (
	"context"
	"errors"
	"io"
	"text/tabwriter"

	"github.com/muster-im/muster/internal/client"
	"github.com/muster-im/muster/jid"
	"github.com/muster-im/muster/stanza"
)

// ChatOptions say how many people talk in pairs. The load is a closed loop:
// everybody has Window messages under way to his partner, and a message is under
// way until the partner has it.
type ChatOptions struct {
	LoadOptions `embed:""`
	Users       int  `help:"People who talk, an even number." default:"50"`
	Bare        bool `help:"Address accounts instead of their sessions."`
	Acks        bool `help:"Use stream management: acknowledge what arrives."`
}

func (o *ChatOptions) check() error {
	if o.Users < 2 || o.Users%2 != 0 {
		return errors.New("users: want an even number of at least 2")
	}
	return o.LoadOptions.check()
}

// Chat lets people talk in pairs and measures.
func Chat(ctx context.Context, o ChatOptions) (*ChatReport, error) {
	if err := o.check(); err != nil {
		return nil, err
	}
	people := make([]*receiver, o.Users)
	l := newLoad(&o.LoadOptions, 1, o.Users, func(sender int, body string) error {
		partner := people[sender^1].client.Load().JID()
		if o.Bare {
			partner = partner.Bare()
		}
		return message(people[sender].client.Load(), stanza.TypeChat, partner, body)
	})
	for i := range people {
		people[i] = &receiver{load: l}
	}
	l.people = people
	defer l.leave()
	o.Progress.say("%d people log in", o.Users)
	err := each(ctx, o.Users, o.Logins, func(ctx context.Context, i int) error {
		p := people[i]
		c, err := o.dial(ctx, o.user(i), "bench", client.Options{RawHandler: p.raw, Handler: p.handle, OnClose: p.closed})
		if err != nil {
			return err
		}
		p.client.Store(c)
		if o.Acks {
			if err := c.Stream().SendRaw([]byte(enable)); err != nil {
				return err
			}
		}
		return c.Send(stanza.Stanza{Kind: stanza.Presence})
	})
	if err != nil {
		return nil, err
	}
	o.Progress.say("they talk in pairs, %s", o.pace())
	m, err := l.run(ctx, &o.LoadOptions)
	if err != nil {
		return nil, err
	}
	return o.report(&m), nil
}

// message sends a body.
func message(c *client.Client, t stanza.Type, to jid.JID, body string) error {
	st := stanza.Stanza{Kind: stanza.Message, Type: t, ID: c.ID(), To: to}
	return c.Send(st.With(stanza.NewElement(stanza.NSClient, "body").AddText(body)))
}

// report sums up.
func (o *ChatOptions) report(m *result) *ChatReport {
	seconds, meter := m.to.at.Sub(m.from.at).Seconds(), m.to.meter-m.from.meter
	r := &ChatReport{
		Address: o.Addr, TLS: o.TLS, Users: o.Users, Window: o.Window, Rate: o.Rate, Body: o.Body, Acks: o.Acks, Seconds: seconds,
		Messages: m.to.messages - m.from.messages, Latency: latencyOf(&m.latency),
		Errors: m.errors, FirstError: m.firstError, MeterCPU: meter.Seconds(),
	}
	r.MessagesPerSecond = float64(r.Messages) / seconds
	r.MeterCPUPerMessage = micros(meter) / float64(max(r.Messages, 1))
	if len(o.PIDs) > 0 {
		cpu := m.to.server.cpu - m.from.server.cpu
		r.Server = &ChatUsage{
			CPU: cpu.Seconds(), CPUPerMessage: micros(cpu) / float64(max(r.Messages, 1)),
			RSSBefore: m.before.server.rss, RSSAfter: m.to.server.rss,
		}
	}
	return r
}

// ChatReport is what Chat has measured.
type ChatReport struct {
	Address string  `json:"address"`
	TLS     string  `json:"tls"`
	Users   int     `json:"users"`
	Window  int     `json:"window"`
	Rate    float64 `json:"rate,omitempty"` // messages a second; 0: the window alone limits
	Body    int     `json:"body_bytes"`
	Acks    bool    `json:"acks"`

	Seconds           float64 `json:"seconds"`
	Messages          int64   `json:"messages"`
	MessagesPerSecond float64 `json:"messages_per_second"`
	Latency
	Errors     int64  `json:"errors"`
	FirstError string `json:"first_error,omitempty"`

	Server             *ChatUsage `json:"server,omitempty"` // nil without process ids
	MeterCPU           float64    `json:"meter_cpu_seconds"`
	MeterCPUPerMessage float64    `json:"meter_cpu_us_per_message"`
}

// ChatUsage is what the server's processes have used for a chat.
type ChatUsage struct {
	CPU           float64 `json:"cpu_seconds"`
	CPUPerMessage float64 `json:"cpu_us_per_message"`
	RSSBefore     int64   `json:"rss_before_bytes"` // with everybody logged in, before anybody spoke
	RSSAfter      int64   `json:"rss_after_bytes"`
}

// WriteTable writes the report for people.
func (r *ChatReport) WriteTable(w io.Writer) error {
	t := table{tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)}
	t.row("server", "%s, TLS: %s", r.Address, r.TLS)
	t.row("load", "%d people in pairs, %s, %d-byte bodies", r.Users, pace(r.Window, r.Rate), r.Body)
	if r.Acks {
		t.row("", "with stream management")
	}
	t.row("measured", "%d messages in %.1f s", r.Messages, r.Seconds)
	t.row("messages", "%.0f/s", r.MessagesPerSecond)
	t.latency(r.Latency)
	if s := r.Server; s != nil {
		t.row("server CPU", "%.2f µs per message (%.1f s)", s.CPUPerMessage, s.CPU)
		t.row("server memory", "%s before, %s after", mebibytes(s.RSSBefore), mebibytes(s.RSSAfter))
	}
	t.row("meter CPU", "%.2f µs per message (%.1f s)", r.MeterCPUPerMessage, r.MeterCPU)
	if s := r.Server; s != nil {
		t.limit(r.MeterCPU, s.CPU, r.Seconds)
	}
	t.errors(r.Errors, r.FirstError)
	return t.Flush()
}
