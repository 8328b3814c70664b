// Command gotest runs go test over the module and ends with a list of what was
// skipped and why, so that an optional part which is absent is noticed. What it
// prints above that is what go test prints.
package main

import (
	"bufio"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
)

// event is a line of go test -json.
type event struct {
	Action, Package, Test, Output string
}

// outcome collects what the tests said.
type outcome struct {
	passed, failed, skipped int
	reasons                 map[string][]string // of skips: the tests
	output                  map[string][]string // of running tests, shown if they fail
}

func main() {
	race := flag.Bool("race", false, "with the race detector, which needs gcc")
	shuffle := flag.String("shuffle", "off", "as in go test")
	run := flag.String("run", "", "as in go test")
	strict := flag.Bool("fail-on-skip", false, "fail if any test was skipped")
	flag.Parse()

	args := []string{"test", "-json", "-timeout=45m", "-shuffle=" + *shuffle, "-run=" + *run}
	if *race {
		args = append(args, "-race")
	}
	packages := flag.Args()
	if len(packages) == 0 {
		packages = []string{"./..."}
	}
	o, err := test(append(args, packages...))
	o.summary()
	if err != nil {
		fmt.Println("FAIL:", err)
		os.Exit(1)
	}
	if *strict && o.skipped > 0 {
		fmt.Println("FAIL: tests were skipped, and none may be")
		os.Exit(1)
	}
}

func test(args []string) (*outcome, error) {
	o := &outcome{reasons: make(map[string][]string), output: make(map[string][]string)}
	cmd := exec.Command("go", args...)
	cmd.Stderr = os.Stderr
	if slices.Contains(args, "-race") {
		cmd.Env = append(os.Environ(), "CGO_ENABLED=1")
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return o, err
	}
	if err := cmd.Start(); err != nil {
		return o, err
	}
	readErr := o.read(out)
	if err := cmd.Wait(); err != nil {
		return o, err
	}
	return o, readErr
}

func (o *outcome) read(r io.Reader) error {
	lines := bufio.NewReader(r)
	for {
		line, err := lines.ReadString('\n')
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		var e event
		if json.Unmarshal([]byte(line), &e) != nil {
			fmt.Print(line) // go test's own words
			continue
		}
		o.take(e)
	}
}

func (o *outcome) take(e event) {
	key := e.Package + " " + e.Test
	switch e.Action {
	case "build-output":
		fmt.Print(e.Output)
	case "output":
		if e.Test == "" {
			o.closing(e.Output)
			return
		}
		o.output[key] = append(o.output[key], e.Output)
	case "pass":
		if e.Test != "" {
			o.passed++
		}
		delete(o.output, key)
	case "fail":
		if e.Test != "" {
			o.failed++
		}
		fmt.Print(strings.Join(o.output[key], ""))
		delete(o.output, key)
	case "skip":
		if e.Test != "" {
			o.skipped++
			reason := reasonOf(o.output[key])
			o.reasons[reason] = append(o.reasons[reason], strings.TrimPrefix(e.Package, module)+" "+e.Test)
		}
		delete(o.output, key)
	}
}

const module = "github.com/muster-im/muster/"

// closing prints what a package says: its verdict, and what its TestMain or a
// panic prints, but not the bare PASS and not packages without tests.
func (o *outcome) closing(line string) {
	if line == "PASS\n" || strings.Contains(line, "[no test files]") {
		return
	}
	fmt.Print(line)
}

// reasonOf finds the message of t.Skip, which follows "file.go:12: ".
func reasonOf(output []string) string {
	for _, line := range output {
		line = strings.TrimSpace(line)
		if place, text, ok := strings.Cut(line, ": "); ok && strings.Contains(place, ".go:") {
			return text
		}
	}
	return "no reason given"
}

func (o *outcome) summary() {
	fmt.Printf("\n%d passed, %d failed, %d skipped\n", o.passed, o.failed, o.skipped)
	if o.skipped == 0 {
		return
	}
	reasons := make([]string, 0, len(o.reasons))
	for r := range o.reasons {
		reasons = append(reasons, r)
	}
	slices.Sort(reasons)
	fmt.Println("\nSkipped, for these reasons:")
	for _, r := range reasons {
		tests := o.reasons[r]
		fmt.Printf("- %s (%d tests, such as %s)\n", r, len(tests), tests[0])
	}
}
