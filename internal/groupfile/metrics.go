package groupfile

import "github.com/prometheus/client_golang/prometheus"

// Results of reading a file.
const (
	resultUsed    = "used"
	resultRefused = "refused"
)

type metrics struct {
	reads *prometheus.CounterVec
}

func newMetrics(r prometheus.Registerer, s *Source) *metrics {
	m := &metrics{reads: prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "muster_groupfile_reads_total", Help: "Files of groups that were read, by what became of them.",
	}, []string{"result"})}
	for _, result := range []string{resultUsed, resultRefused} {
		m.reads.WithLabelValues(result)
	}
	if r == nil {
		return m
	}
	gauge := func(name, help string, value func() float64) prometheus.Collector {
		return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, value)
	}
	r.MustRegister(m.reads,
		gauge("muster_groupfile_groups", "Groups from the file.", func() float64 { return float64(len(s.groups.Load().groups)) }),
		gauge("muster_groupfile_entries", "Members of groups from the file.", func() float64 { return float64(s.groups.Load().entries) }),
		gauge("muster_groupfile_left_out_entries", "Entries of the file that are left out, because they are nobody's address here.", func() float64 { return float64(s.groups.Load().leftOut) }),
		gauge("muster_groupfile_outdated", "1 while the file has something wrong and older groups are in use.", func() float64 {
			if s.wrong.Load() != nil {
				return 1
			}
			return 0
		}),
	)
	return m
}
