package config

import (
	"errors"
	"fmt"
	"log/slog"
	"math"
	"os"
	"strconv"
	"strings"
	"time"
)

// valuer is a setting with words or units of its own. set takes what the file
// says, as string, int64, float64, bool or map[string]any.
type valuer interface {
	set(v any) error
	form() string // what is accepted, for the reference
	text() string // the value as it stands in a file
}

// Duration is a length of time, "90s" in a file, or "30d".
type Duration time.Duration

const day = 24 * time.Hour

func (d *Duration) set(v any) error {
	s, ok := v.(string)
	parsed, err := time.ParseDuration(s)
	if days, found := strings.CutSuffix(s, "d"); found {
		var n int64
		n, err = parseInt(days)
		parsed = time.Duration(n) * day
		ok = ok && n < 1<<16
	}
	if !ok || err != nil || parsed < 0 {
		return fmt.Errorf("want %s", d.form())
	}
	*d = Duration(parsed)
	return nil
}

func (d *Duration) form() string { return `a duration such as "90s", "10m" or "30d"` }

func (d *Duration) text() string {
	if t := time.Duration(*d); t > 0 && t%day == 0 {
		return fmt.Sprintf("\"%dd\"", t/day)
	}
	return fmt.Sprintf("%q", time.Duration(*d))
}

// Size is a number of bytes: a whole number, or a string such as "64KiB".
type Size int

var sizeUnits = []struct { //nolint:gochecknoglobals // a table
	name  string
	bytes int
}{{"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10}, {"B", 1}}

func (s *Size) set(v any) error {
	n, ok := v.(int64)
	if text, isText := v.(string); isText {
		for _, u := range sizeUnits {
			digits, found := strings.CutSuffix(text, u.name)
			if !found {
				continue
			}
			var err error
			n, err = parseInt(strings.TrimSpace(digits))
			n, ok = n*int64(u.bytes), err == nil && n < 1<<30
			break
		}
	}
	if !ok || n < 0 {
		return fmt.Errorf("want %s", s.form())
	}
	*s = Size(n)
	return nil
}

func (s *Size) form() string { return `a size such as 65536 or "64KiB"` }

func (s *Size) text() string {
	for _, u := range sizeUnits {
		if n := int(*s); n != 0 && n%u.bytes == 0 && u.bytes > 1 {
			return fmt.Sprintf("\"%d%s\"", n/u.bytes, u.name)
		}
	}
	return fmt.Sprint(int(*s))
}

// most is the greatest number of anything.
const most = 1 << 31

// whole returns a whole number from least on.
func whole(v any, least int64, form string) (int64, error) {
	switch n, ok := v.(int64); {
	case !ok || n < least:
		return 0, fmt.Errorf("want %s", form)
	case n > most:
		return 0, fmt.Errorf("want at most %d", most)
	default:
		return n, nil
	}
}

// Limit is a number of something, or "infinity" (0 in memory, and not allowed
// in a file).
type Limit int

func (l *Limit) set(v any) error {
	if v == "infinity" {
		*l = 0
		return nil
	}
	n, err := whole(v, 1, l.form())
	if err != nil {
		return err
	}
	*l = Limit(n)
	return nil
}

func (l *Limit) form() string { return `a positive integer or "infinity"` }

func (l *Limit) text() string {
	if *l == 0 {
		return `"infinity"`
	}
	return fmt.Sprint(int(*l))
}

// Bound is a number of something from 0 on, or "infinity", Unbounded in memory.
type Bound int

// Unbounded is the Bound that bounds nothing.
const Unbounded Bound = -1

func (b *Bound) set(v any) error {
	if v == "infinity" {
		*b = Unbounded
		return nil
	}
	n, err := whole(v, 0, b.form())
	if err != nil {
		return err
	}
	*b = Bound(n)
	return nil
}

func (b *Bound) form() string { return `an integer from 0 on, or "infinity"` }

func (b *Bound) text() string {
	if *b == Unbounded {
		return `"infinity"`
	}
	return fmt.Sprint(int(*b))
}

// Positive is a whole number from 1 on.
type Positive int

func (p *Positive) set(v any) error {
	n, err := whole(v, 1, p.form())
	if err != nil {
		return err
	}
	*p = Positive(n)
	return nil
}

func (p *Positive) form() string { return "a positive integer" }
func (p *Positive) text() string { return fmt.Sprint(int(*p)) }

// Count is a whole number from 0 on.
type Count int

func (c *Count) set(v any) error {
	n, err := whole(v, 0, c.form())
	if err != nil {
		return err
	}
	*c = Count(n)
	return nil
}

func (c *Count) form() string { return "an integer from 0 on" }
func (c *Count) text() string { return fmt.Sprint(int(*c)) }

// Seconds is a length of time as a number of seconds, with decimals or without.
type Seconds time.Duration

func (s *Seconds) set(v any) error {
	n, ok := v.(float64)
	if whole, isWhole := v.(int64); isWhole {
		n, ok = float64(whole), true
	}
	if !ok || !(n >= 0 && n <= 86_400) { // nor NaN
		return fmt.Errorf("want %s", s.form())
	}
	*s = Seconds(math.Round(n * float64(time.Second)))
	return nil
}

func (s *Seconds) form() string { return "a number of seconds such as 2 or 0.4, at most 86400" }
func (s *Seconds) text() string {
	return strconv.FormatFloat(time.Duration(*s).Seconds(), 'f', -1, 64)
}

// Timeout is a length of time: a whole number of milliseconds, a duration such as
// "90s", or "infinity" (Never in memory).
type Timeout time.Duration

// Never is the Timeout that does not come.
const Never Timeout = -1

// maxTimeout is the longest Timeout.
const maxTimeout = 10 * 365 * day

func (t *Timeout) set(v any) error {
	switch v := v.(type) {
	case int64:
		if v >= 0 && v <= maxTimeout.Milliseconds() {
			*t = Timeout(time.Duration(v) * time.Millisecond)
			return nil
		}
	case string:
		if v == "infinity" {
			*t = Never
			return nil
		}
		var d Duration
		if d.set(v) == nil && time.Duration(d) <= maxTimeout {
			*t = Timeout(d)
			return nil
		}
	}
	return fmt.Errorf("want %s", t.form())
}

func (t *Timeout) form() string {
	return `a number of milliseconds, a duration such as "90s", or "infinity"`
}

func (t *Timeout) text() string {
	switch d := time.Duration(*t); {
	case *t == Never:
		return `"infinity"`
	case d%time.Millisecond != 0:
		return fmt.Sprintf("%q", d)
	default:
		return strconv.FormatInt(d.Milliseconds(), 10)
	}
}

// Ignored is a table of another system that means nothing here.
type Ignored struct{}

func (*Ignored) set(v any) error {
	if _, ok := v.(map[string]any); !ok {
		return errors.New("want a table")
	}
	return nil
}

func (*Ignored) form() string { return "a table" }
func (*Ignored) text() string { return "{}" }

// Port is a TCP port; 0 lets the system choose.
type Port int

func (p *Port) set(v any) error {
	n, ok := v.(int64)
	if !ok || n < 0 || n > 65535 {
		return fmt.Errorf("want %s", p.form())
	}
	*p = Port(n)
	return nil
}

func (p *Port) form() string { return "a port number from 0 to 65535" }
func (p *Port) text() string { return fmt.Sprint(int(*p)) }

// Secret is a text that is printed nowhere. In a file it may be
// { file = "PATH" }, whose first line counts.
type Secret string

func (s *Secret) set(v any) error {
	switch v := v.(type) {
	case string:
		*s = Secret(v)
		return nil
	case map[string]any:
		path, ok := v["file"].(string)
		if !ok || len(v) != 1 {
			break
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return fmt.Errorf("read the secret: %w", err)
		}
		line, _, _ := strings.Cut(string(data), "\n")
		*s = Secret(strings.TrimRight(line, "\r"))
		return nil
	}
	return fmt.Errorf("want %s", s.form())
}

func (s *Secret) form() string { return `a string, or { file = "PATH" }` }

func (s *Secret) text() string {
	if *s == "" {
		return `""`
	}
	return `"***"`
}

// String hides the secret.
func (s Secret) String() string { return "***" }

// LogValue hides the secret.
func (s Secret) LogValue() slog.Value { return slog.StringValue("***") }

// MarshalText hides the secret.
func (s Secret) MarshalText() ([]byte, error) { return []byte("***"), nil }
