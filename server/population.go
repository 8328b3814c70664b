package server

import (
	"context"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/muster-im/muster/config"
	"github.com/muster-im/muster/muc"
)

// population are MongooseIM's metrics of rooms in memory, under its names, for
// the dashboards that people have. What happens is counted when it does; how
// many rooms there are, from time to time.
type population struct {
	hibernations, deepHibernations, recreations, online, hibernated *prometheus.Desc

	hosts []populated // set while the server is built

	mu sync.Mutex
	// Guarded by mu.
	probed []muc.Population // by host, as they were last; nil before the first time
}

type populated struct {
	host  string
	rooms *muc.Service
}

func newPopulation(reg prometheus.Registerer) *population {
	desc := func(name, help string) *prometheus.Desc {
		return prometheus.NewDesc("mod_muc_"+name, help, []string{"host_type"}, nil)
	}
	p := &population{
		hibernations:     desc("hibernations_count", "Times that a room has begun to hibernate."),
		deepHibernations: desc("deep_hibernations_count", "Rooms stopped because they had hibernated for long."),
		recreations:      desc("process_recreations_count", "Rooms loaded from the store."),
		online:           desc("rooms_online", "Rooms in memory, hibernated ones among them, when they were last counted."),
		hibernated:       desc("rooms_hibernated", "Hibernated rooms in memory, when they were last counted."),
	}
	reg.MustRegister(p)
	return p
}

// add adds the rooms of a host, before anything is asked. Those of groups are
// counted under their own domain.
func (p *population) add(at config.RoomService, rooms *muc.Service) {
	host := at.Host
	if at.Groups {
		host = at.Domain
	}
	p.hosts = append(p.hosts, populated{host, rooms})
}

// probe counts rooms until ctx ends.
func (p *population) probe(ctx context.Context, every time.Duration) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		p.count()
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

func (p *population) count() {
	now := make([]muc.Population, len(p.hosts))
	for i, h := range p.hosts {
		now[i] = h.rooms.Population()
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.probed = now
}

// Describe is for Prometheus.
func (p *population) Describe(to chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{p.hibernations, p.deepHibernations, p.recreations, p.online, p.hibernated} {
		to <- d
	}
}

// Collect is for Prometheus.
func (p *population) Collect(to chan<- prometheus.Metric) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i, h := range p.hosts {
		send := func(d *prometheus.Desc, kind prometheus.ValueType, n float64) {
			to <- prometheus.MustNewConstMetric(d, kind, n, h.host)
		}
		now := h.rooms.Population()
		send(p.hibernations, prometheus.CounterValue, float64(now.Hibernations))
		send(p.deepHibernations, prometheus.CounterValue, float64(now.DeepHibernations))
		send(p.recreations, prometheus.CounterValue, float64(now.Recreations))
		if p.probed != nil {
			send(p.online, prometheus.GaugeValue, float64(p.probed[i].Online))
			send(p.hibernated, prometheus.GaugeValue, float64(p.probed[i].Hibernated))
		}
	}
}
