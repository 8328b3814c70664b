package config

import (
	"strings"
	"testing"
	"time"
)

// TestHibernationSettings: milliseconds, durations and "infinity", and what is
// wrong with them.
func TestHibernationSettings(t *testing.T) {
	t.Parallel()
	const file = "[general]\nhosts = [\"a.test\"]\n[modules.mod_muc]\n"
	for _, tt := range []struct {
		name, text string
		want       [3]Timeout
		problem    string
	}{
		{"defaults", "", [3]Timeout{Timeout(90 * time.Second), Never, Never}, ""},
		{"milliseconds", "hibernate_timeout = 60000\nhibernated_room_check_interval = 120000\nhibernated_room_timeout = 1", [3]Timeout{Timeout(time.Minute), Timeout(2 * time.Minute), Timeout(time.Millisecond)}, ""},
		{"words", "hibernate_timeout = \"infinity\"\nhibernated_room_check_interval = \"90s\"\nhibernated_room_timeout = \"2d\"", [3]Timeout{Never, Timeout(90 * time.Second), Timeout(48 * time.Hour)}, ""},
		{"at once", "hibernate_timeout = 0\nhibernated_room_timeout = 0", [3]Timeout{0, Never, 0}, ""},
		{"check without end", "hibernated_room_check_interval = 0", [3]Timeout{}, `4:34: modules.mod_muc.hibernated_room_check_interval: want "infinity" or more than 0`},
		{"negative", "hibernate_timeout = -1", [3]Timeout{}, "4:21: modules.mod_muc.hibernate_timeout: want a number of milliseconds"},
		{"decimals", "hibernate_timeout = 1.5", [3]Timeout{}, "want a number of milliseconds"},
		{"another word", "hibernated_room_timeout = \"never\"", [3]Timeout{}, `or "infinity", got "never"`},
		{"too long", "hibernate_timeout = 9223372036854775807", [3]Timeout{}, "want a number of milliseconds"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			c, err := Parse("muster.toml", []byte(file+tt.text+"\n"))
			if tt.problem != "" {
				if err == nil || !strings.Contains(err.Error(), tt.problem) {
					t.Errorf("got %v, want %q", err, tt.problem)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			m := c.Modules.MUC
			if got := [3]Timeout{m.HibernateTimeout, m.HibernatedCheck, m.HibernatedTimeout}; got != tt.want {
				t.Errorf("got %v, want %v", got, tt.want)
			}
		})
	}
}

// TestForeignInternals: tables about the inside of another server are accepted,
// and it is said what they have become.
func TestForeignInternals(t *testing.T) {
	t.Parallel()
	c, err := Parse("muster.toml", []byte(`[general]
hosts = ["a.test"]
[instrumentation]
probe_interval = 30
[instrumentation.exometer]
all_metrics_are_global = true
[instrumentation.exometer.report.graphite.main]
host = "graphite.a.test"
[instrumentation.prometheus]
[internal_databases.mnesia]
[internal_databases.cets]
cluster_name = "chat"
[modules.mod_muc]
hibernated_room_timeout = 1000
max_users = 10
default_room.max_users = 50
`))
	if err != nil {
		t.Fatal(err)
	}
	if c.Instrumentation.ProbeInterval != 30 {
		t.Errorf("probe_interval is %d", c.Instrumentation.ProbeInterval)
	}
	got := c.Remarks().Error()
	for _, want := range []string{
		"muster.toml:5:18: instrumentation.exometer: not needed", "muster.toml:9:18: instrumentation.prometheus: not needed",
		"muster.toml:10:21: internal_databases.mnesia: not needed", "muster.toml:11:21: internal_databases.cets: not needed",
		"muster.toml:16:26: modules.mod_muc.default_room.max_users: rooms have 10 seats at most, because max_users says so",
		"muster.toml:14:27: modules.mod_muc.hibernated_room_timeout: does nothing unless hibernated_room_check_interval is set, too",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("%q is missing in\n%s", want, got)
		}
	}
	for text, want := range map[string]string{
		"[instrumentation]\nprobe_interval = 0\n":  "instrumentation.probe_interval: want a positive integer",
		"[instrumentation]\nexometer = true\n":     "instrumentation.exometer: want a table",
		"[instrumentation]\nprobe_intervall = 1\n": `did you mean "probe_interval"?`,
		"[internal_databases.redis]\n":             "internal_databases.redis: unknown key",
	} {
		if _, err := Parse("muster.toml", []byte("[general]\nhosts = [\"a.test\"]\n"+text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v, want %q", text, err, want)
		}
	}
}
