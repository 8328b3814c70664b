package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"strings"
	"time"

	"github.com/muster-im/muster/internal/peers"
)

// The table stands between these two lines of the document.
const (
	begin = "<!-- begin of what bench/compare.sh writes -->\n"
	end   = "<!-- end of what bench/compare.sh writes -->\n"
)

// replace writes the table into a document.
func (b *bench) replace(doc string) error {
	data, err := os.ReadFile(doc)
	if err != nil {
		return err
	}
	before, rest, ok := bytes.Cut(data, []byte(begin))
	_, after, ok2 := bytes.Cut(rest, []byte(end))
	if !ok || !ok2 {
		return errors.New(doc + ": the place for the table is not marked")
	}
	var out bytes.Buffer
	out.Write(before)
	out.WriteString(begin)
	if err := b.write(&out); err != nil {
		return err
	}
	out.WriteString(end)
	out.Write(after)
	return os.WriteFile(doc, out.Bytes(), 0o644) //nolint:gosec // a document
}

// write writes what was measured, and on what.
func (b *bench) write(w io.Writer) error {
	var out bytes.Buffer
	fmt.Fprintf(&out, "\n%s, on %s, %d CPUs, Linux %s, %s.", time.Now().UTC().Format("2 January 2006"), model(), runtime.NumCPU(), release(), runtime.Version())
	fmt.Fprintf(&out, " Medians of %d rounds of %s each, the servers in turn; what takes over %s is measured once", b.rounds, b.duration, slow)
	out.WriteString("; in parentheses how many times Muster's cost that is.\n")
	for _, k := range b.kinds {
		if k.Name != "muster" {
			fmt.Fprintf(&out, "%s is version %s. ", k.Title, k.Describe(context.Background(), b.setting))
		}
	}
	out.WriteString("\n\n| load | unit |")
	for _, k := range b.kinds {
		out.WriteString(" " + k.Title + " |")
	}
	out.WriteString("\n|---|---|" + strings.Repeat("---|", len(b.kinds)) + "\n")
	for _, r := range b.results {
		out.WriteString("| " + r.Row + " | " + r.Unit + " |")
		for _, k := range b.kinds {
			out.WriteString(" " + r.cell(k) + " |")
		}
		out.WriteString("\n")
	}
	out.WriteString("\nMessages took, from being sent or due until the last one had them, in ms (p50, p99): ")
	out.WriteString(strings.Join(b.latencies(), "; ") + ".\n\n")
	for _, r := range b.results {
		for _, k := range b.kinds {
			if f := r.Figures[k.Name]; f != nil && (f.Failed != "" || f.Errors > 0) {
				fmt.Fprintf(&out, "- %s, %s: %s\n", r.Row, k.Title, f.trouble())
			}
		}
	}
	_, err := w.Write(out.Bytes())
	return err
}

// latencies are the times that messages took, row by row.
func (b *bench) latencies() (list []string) {
	for _, r := range b.results {
		if r.Unit != perDelivery && r.Unit != perMessage && r.Unit != p99 {
			continue
		}
		var each []string
		for _, k := range b.kinds {
			if f := r.Figures[k.Name]; f != nil && len(f.Latency) > 0 {
				p50, p99 := make([]float64, len(f.Latency)), make([]float64, len(f.Latency))
				for i, l := range f.Latency {
					p50[i], p99[i] = l.P50, l.P99
				}
				each = append(each, fmt.Sprintf("%s %s, %s", k.Title, number(median(p50)), number(median(p99))))
			}
		}
		if len(each) > 0 {
			list = append(list, strings.Trim(r.Row, "*")+": "+strings.Join(each, ", "))
		}
	}
	return list
}

// cell is one figure, with its ratio to ours.
func (r *result) cell(k *peers.Kind) string {
	f := r.Figures[k.Name]
	cost, ok := f.cost()
	if !ok {
		return ""
	}
	text := number(cost)
	if ours, ok := r.Figures["muster"].cost(); ok && k.Name != "muster" && ours > 0 {
		text += fmt.Sprintf(" (%s×)", number(cost/ours))
	}
	return text
}

func (f *figure) trouble() string {
	if f.Failed != "" {
		return f.Failed
	}
	return fmt.Sprintf("%d refusals, the first: %s", f.Errors, f.First)
}

// number has three digits that count.
func number(v float64) string {
	switch {
	case v >= 100:
		return fmt.Sprintf("%.0f", v)
	case v >= 10:
		return fmt.Sprintf("%.1f", v)
	}
	return fmt.Sprintf("%.2f", v)
}

// model is the processor's name.
func model() string {
	data, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return "an unknown processor"
	}
	for line := range strings.Lines(string(data)) {
		if name, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return runtime.GOARCH
}

func release() string {
	data, err := os.ReadFile("/proc/sys/kernel/osrelease")
	if err != nil {
		return "?"
	}
	return strings.TrimSpace(string(data))
}
