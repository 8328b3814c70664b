package server

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/muster-im/muster/config"
	"github.com/muster-im/muster/internal/pgtest"
	"github.com/muster-im/muster/jid"
	"github.com/muster-im/muster/muc"
)

// life runs a server on a directory in virtual time.
func life(t *testing.T, dir, settings string, test func(s *Server, log *strings.Builder)) {
	t.Helper()
	cfg, err := config.Parse("muster.toml", fmt.Appendf(nil, "[general]\nhosts = [\"localhost\", \"localhost.test\"]\ndata_dir = %q\n%s", dir, settings))
	if err != nil {
		t.Fatal(err)
	}
	var log strings.Builder
	s, err := New(cfg, Options{NoListen: true, Logger: slog.New(slog.NewTextHandler(&log, nil))})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Start(t.Context()); err != nil {
		t.Error(err)
	}
	synctest.Wait()
	test(s, &log)
	ctx, cancel := context.WithTimeout(context.Background(), ShutdownTimeout)
	defer cancel()
	if err := s.Shutdown(ctx); err != nil {
		t.Error(err)
	}
}

// onEngines runs a test with settings that say where data is: in SQLite, and in
// PostgreSQL if MUSTER_TEST_POSTGRES is set. Waiting for PostgreSQL takes no
// virtual time.
func onEngines(t *testing.T, test func(t *testing.T, storage string)) {
	t.Helper()
	t.Run("sqlite", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) { test(t, "") })
	})
	t.Run("postgres", func(t *testing.T) {
		t.Parallel()
		dsn := pgtest.SchemaAddress(t)
		synctest.Test(t, func(t *testing.T) { test(t, fmt.Sprintf("[storage]\ndriver = \"postgres\"\nurl = %q\n", dsn)) })
	})
}

// population returns MongooseIM's metrics of a host as they are shown, by name.
func populationOf(t *testing.T, s *Server, host string) map[string]float64 {
	t.Helper()
	synctest.Wait()
	families, err := s.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	got := make(map[string]float64)
	for _, f := range families {
		name, ours := strings.CutPrefix(f.GetName(), "mod_muc_")
		for _, m := range f.GetMetric() {
			if ours && m.GetLabel()[0].GetName() == "host_type" && m.GetLabel()[0].GetValue() == host {
				got[name] = m.GetCounter().GetValue() + m.GetGauge().GetValue()
			}
		}
	}
	return got
}

func createRooms(t *testing.T, s *Server, domain string, n int) {
	t.Helper()
	for i := range n {
		if _, err := s.Rooms(domain).CreateRoom(t.Context(), jid.MustParse(fmt.Sprintf("room%d@%s", i, domain)), nil); err != nil {
			t.Fatal(err)
		}
	}
}

// TestPopulation: when rooms hibernate, are stopped and come back as
// hibernate_timeout, hibernated_room_check_interval and hibernated_room_timeout
// say, the metrics of their host say so: counters at once, gauges at the next
// probe of instrumentation.probe_interval.
func TestPopulation(t *testing.T) {
	t.Parallel()
	onEngines(t, func(t *testing.T, storage string) {
		const settings = `[instrumentation]
probe_interval = 7
[modules.mod_muc]
hibernate_timeout = 10000
hibernated_room_check_interval = "20s"
hibernated_room_timeout = 5000
default_room.persistent = true
`
		life(t, t.TempDir(), storage+settings, func(s *Server, _ *strings.Builder) {
			check := func(when string, hibernations, deep, recreations, online, hibernated float64) {
				t.Helper()
				want := map[string]float64{
					"hibernations_count": hibernations, "deep_hibernations_count": deep, "process_recreations_count": recreations,
					"rooms_online": online, "rooms_hibernated": hibernated,
				}
				if got := populationOf(t, s, "localhost"); !maps.Equal(got, want) {
					t.Errorf("%s: %v, want %v", when, got, want)
				}
				if got := populationOf(t, s, "localhost.test"); len(got) != 5 || got["rooms_online"]+got["hibernations_count"] != 0 {
					t.Errorf("%s: another host has %v", when, got)
				}
			}
			check("at first", 0, 0, 0, 0, 0)
			createRooms(t, s, "conference.localhost", 3)
			check("before the probe", 0, 0, 0, 0, 0)
			time.Sleep(8 * time.Second) // 8
			check("after the probe", 0, 0, 0, 3, 0)
			time.Sleep(4 * time.Second) // 12
			check("hibernated", 3, 0, 0, 3, 0)
			time.Sleep(3 * time.Second) // 15
			check("and counted", 3, 0, 0, 3, 3)
			time.Sleep(6 * time.Second) // 21, the check was at 20
			check("stopped", 3, 3, 0, 0, 0)
			if _, err := s.Rooms("conference.localhost").Room(t.Context(), jid.MustParse("room1@conference.localhost")); err != nil {
				t.Error(err)
			}
			check("back", 3, 3, 1, 0, 0)
			time.Sleep(8 * time.Second) // 29
			check("back and counted", 3, 3, 1, 1, 0)
		})
	})
}

// TestLoadPermanentRoomsAtStartup: with load_permanent_rooms_at_startup all
// stored rooms of every host are in memory soon after the start, hibernating, and
// stay, unless rooms are stopped: then as long as if somebody had been in them;
// without, none is.
func TestLoadPermanentRoomsAtStartup(t *testing.T) {
	t.Parallel()
	onEngines(t, func(t *testing.T, storage string) {
		dir := t.TempDir()
		settings := storage + "[modules.mod_muc]\nhost = \"rooms.@HOST@\"\ndefault_room.persistent = true\n"
		life(t, dir, settings, func(s *Server, _ *strings.Builder) {
			createRooms(t, s, "rooms.localhost", 7)
			createRooms(t, s, "rooms.localhost.test", 2)
		})
		life(t, dir, settings, func(s *Server, _ *strings.Builder) {
			time.Sleep(time.Minute)
			if got := s.Rooms("rooms.localhost").Population(); got != (muc.Population{}) {
				t.Errorf("unasked there are %+v", got)
			}
		})
		life(t, dir, settings+"load_permanent_rooms_at_startup = true\n", func(s *Server, log *strings.Builder) {
			time.Sleep(time.Hour)
			for host, n := range map[string]int{"rooms.localhost": 7, "rooms.localhost.test": 2} {
				want := muc.Population{Online: n, Hibernated: n, Hibernations: uint64(n), Recreations: uint64(n)} //nolint:gosec // few
				if got := s.Rooms(host).Population(); got != want {
					t.Errorf("%s has %+v, want %+v", host, got, want)
				}
			}
			if !strings.Contains(log.String(), "loaded all rooms") {
				t.Errorf("the log does not say so:\n%s", log)
			}
		})
		const stopping = "load_permanent_rooms_at_startup = true\nhibernate_timeout = 60000\nhibernated_room_check_interval = 1000\nhibernated_room_timeout = 1500\n"
		life(t, dir, settings+stopping, func(s *Server, _ *strings.Builder) {
			time.Sleep(58 * time.Second) // nothing is stopped before its time
			if got := s.Rooms("rooms.localhost").Population(); got.Online != 7 || got.Hibernations != 0 {
				t.Errorf("rooms that are to be stopped are %+v", got)
			}
			time.Sleep(8 * time.Second)
			if got := s.Rooms("rooms.localhost").Population(); got.Online != 0 || got.DeepHibernations != 7 {
				t.Errorf("rooms that are to be stopped are %+v later", got)
			}
		})
	})
}
