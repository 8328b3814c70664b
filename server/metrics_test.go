package server

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/muster-im/muster/config"
)

var update = flag.Bool("update", false, "write docs/metrics.md")

// metric is one metric as it is registered.
type metric struct {
	name, help, labels string
}

var descPattern = regexp.MustCompile(`^Desc\{fqName: "(.*)", help: "(.*?)", (?:unit: ".*?", )?constLabels: \{(.*)\}, variableLabels: \{(.*)\}\}$`)

// everything returns a server with all that can be switched on, and all metrics
// of ours, those included that nothing has happened to yet.
func everything(t *testing.T) (*Server, []metric) {
	t.Helper()
	cfg := config.Development()
	cfg.General.DataDir = t.TempDir()
	cfg.Modules.Register = &config.Register{Access: "all"}
	cfg.Modules.MUCLog = &config.MUCLog{}
	cfg.Modules.Groups = &config.Groups{}
	cfg.OutgoingPools.HTTP = map[string]config.HTTPPool{"auth": {Connection: config.HTTPConnection{Host: "http://localhost"}}}
	cfg.Modules.MUC.HTTPAuthPool = "auth"
	s, err := New(cfg, Options{NoListen: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), ShutdownTimeout)
		defer cancel()
		if err := s.Shutdown(ctx); err != nil {
			t.Error(err)
		}
	})
	descs := make(chan *prometheus.Desc)
	go func() { s.registry.Describe(descs); close(descs) }()
	var list []metric
	for d := range descs {
		m := descPattern.FindStringSubmatch(d.String())
		if m == nil {
			t.Errorf("%s is not understood", d)
			continue
		}
		if !strings.HasPrefix(m[1], "muster_") && !strings.HasPrefix(m[1], "mod_") {
			continue
		}
		var labels []string
		for l := range strings.SplitSeq(m[3]+","+m[4], ",") {
			if l, _, _ = strings.Cut(l, "="); l != "" {
				labels = append(labels, l)
			}
		}
		list = append(list, metric{m[1], m[2], strings.Join(labels, ", ")})
	}
	slices.SortFunc(list, func(a, b metric) int { return cmp.Compare(a.name, b.name) })
	return s, slices.CompactFunc(list, func(a, b metric) bool { return a.name == b.name })
}

// docs/metrics.md is what the program says about itself.
func TestMetricsReference(t *testing.T) {
	t.Parallel()
	const file = "../docs/metrics.md"
	_, list := everything(t)
	var b bytes.Buffer
	b.WriteString(`# Metrics

<!-- Made by ` + "`go generate ./server`" + ` from what the server registers. Do not edit. -->

` + "`/metrics`" + ` of every ` + "`[[listen.http]]`" + `, in Prometheus' format. Besides these there are ` + "`go_…`" + ` of the Go runtime and
` + "`process_…`" + ` of the process. Everything that is dropped, refused or ended is counted with its reason.

| metric | labels | meaning |
|---|---|---|
`)
	name := regexp.MustCompile(`^muster_[a-z0-9]+(_[a-z0-9]+)+$`)
	for _, m := range list {
		if !name.MatchString(m.name) && m.labels != "host_type" || m.help == "" || !strings.HasSuffix(m.help, ".") {
			t.Errorf("%s: want muster_<package>_<what>_<unit> and a sentence, got %q", m.name, m.help)
		}
		if strings.Contains(m.labels, "jid") {
			t.Errorf("%s has a label per person: %s", m.name, m.labels)
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s |\n", m.name, m.labels, m.help)
	}
	if *update {
		if err := os.WriteFile(file, b.Bytes(), 0o644); err != nil { //nolint:gosec // a document
			t.Fatal(err)
		}
	}
	have, err := os.ReadFile(file)
	if err != nil || !bytes.Equal(have, b.Bytes()) {
		t.Errorf("%s is stale (%v): run go generate ./server", file, err)
	}
}

func TestMetricsPage(t *testing.T) {
	t.Parallel()
	s, _ := everything(t)
	w := httptest.NewRecorder()
	s.observation().ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/metrics", nil))
	page, err := io.ReadAll(w.Result().Body)
	if err != nil || w.Code != http.StatusOK || !strings.HasPrefix(w.Header().Get("Content-Type"), "text/plain") {
		t.Fatalf("%d %v %v", w.Code, w.Header(), err)
	}
	for _, want := range []string{
		"\n# HELP muster_c2s_sessions Bound sessions.\n# TYPE muster_c2s_sessions gauge\nmuster_c2s_sessions 0\n",
		"\nmuster_server_build_info{goversion=\"go1.", "\ngo_goroutines ", "\nprocess_resident_memory_bytes ", "\nprocess_open_fds ",
		"\nmuster_archive_commit_seconds_count 0\n", "\nmod_muc_hibernations_count{host_type=\"localhost\"} 0\n",
		"\nmod_muc_deep_hibernations_count{host_type=\"localhost\"} 0\n", "\nmod_muc_process_recreations_count{host_type=\"localhost\"} 0\n",
	} {
		if !strings.Contains(string(page), want) {
			t.Errorf("%q is not on the page", want)
		}
	}
}

// A dashboard that asks for what is not there shows nothing, and nobody knows
// why.
func TestDashboardNamesOnlyWhatIsThere(t *testing.T) {
	t.Parallel()
	s, list := everything(t)
	known := make(map[string]bool)
	for _, m := range list {
		known[m.name] = true
	}
	families, err := s.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		known[f.GetName()] = true
		if f.GetType().String() == "HISTOGRAM" {
			for _, suffix := range []string{"_bucket", "_sum", "_count"} {
				known[f.GetName()+suffix] = true
			}
		}
	}
	data, err := os.ReadFile("../deploy/grafana-muster.json")
	if err != nil {
		t.Fatal(err)
	}
	var dashboard struct {
		Panels []struct {
			ID      int    `json:"id"`
			Title   string `json:"title"`
			Targets []struct {
				Expr string `json:"expr"`
			} `json:"targets"`
		} `json:"panels"`
	}
	if err := json.Unmarshal(data, &dashboard); err != nil {
		t.Fatal(err)
	}
	name := regexp.MustCompile(`\b(muster|go|process)_\w+`)
	ids := make(map[int]bool)
	for _, p := range dashboard.Panels {
		if ids[p.ID] || p.Title == "" || len(p.Targets) == 0 {
			t.Errorf("panel %d %q: want an id of its own, a title and something to show", p.ID, p.Title)
		}
		ids[p.ID] = true
		for _, target := range p.Targets {
			found := name.FindAllString(target.Expr, -1)
			if len(found) == 0 {
				t.Errorf("%s: no metric in %q", p.Title, target.Expr)
			}
			for _, metric := range found {
				if !known[metric] {
					t.Errorf("%s: there is no %s", p.Title, metric)
				}
			}
		}
	}
	if len(ids) < 10 {
		t.Errorf("%d panels", len(ids))
	}
}
