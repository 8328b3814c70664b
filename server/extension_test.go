package server_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/muster-im/muster/config"
	"github.com/muster-im/muster/jid"
	"github.com/muster-im/muster/muc"
	"github.com/muster-im/muster/server"
)

// plugin is an extension made of a name and a function.
type plugin struct {
	name     string
	register func(r *server.Registrar) error
}

func (p plugin) Name() string { return p.name }

func (p plugin) Register(r *server.Registrar) error {
	if p.register == nil {
		return nil
	}
	return p.register(r)
}

// filterSettings are of all kinds.
type filterSettings struct {
	Words []string        `toml:"words" reload:"yes" doc:"Words that nobody says."`
	Mode  string          `toml:"mode" choice:"hide,refuse" doc:"What happens to them."`
	Wait  config.Duration `toml:"wait" doc:"How long."`
	Rules []struct {
		Word string `toml:"word"`
	} `toml:"rules" doc:"More of them."`
}

func (f *filterSettings) Check(problem func(key, text string)) {
	for i, w := range f.Words {
		if w == "" {
			problem(fmt.Sprintf("words[%d]", i), "want a word")
		}
	}
}

var filterDefaults = filterSettings{Words: []string{"darn"}, Mode: "hide"}

func readsSettings(r *server.Registrar) error {
	_, err := server.ReadSettings(r, filterDefaults)
	return err
}

// withTables is a configuration for extensions.
func withTables(t *testing.T, tables string, names ...string) *config.Config {
	t.Helper()
	text := "[general]\nhosts = [\"localhost\"]\n[[listen.c2s]]\n[modules.mod_muc]\n" + tables
	cfg, err := config.Parse("muster.toml", []byte(text), names...)
	if err != nil {
		t.Fatal(err)
	}
	cfg.General.DataDir = t.TempDir()
	return cfg
}

// TestExtensionProblems wants the same of New, before anything runs, and of
// Check, which changes nothing.
func TestExtensionProblems(t *testing.T) {
	t.Parallel()
	filter := plugin{"filter", readsSettings}
	tests := []struct {
		name, table string
		extensions  []server.Extension
		want        string // every line
	}{
		{"unknown key", "[modules.filter]\nword = 1\n", []server.Extension{filter}, `muster.toml:6:1: modules.filter.word: unknown key (did you mean "words"?)`},
		{"types", "[modules.filter]\nwords = 3\nwait = \"soon\"\n", []server.Extension{filter}, "muster.toml:6:9: modules.filter.words: want an array of strings, got 3\nmuster.toml:7:8: modules.filter.wait: want a duration such as"},
		{"word", "[modules.filter]\nmode = \"shout\"\n", []server.Extension{filter}, `muster.toml:6:8: modules.filter.mode: want "hide" or "refuse", got "shout"`},
		{"nested", "[modules.filter]\n[[modules.filter.rules]]\nwort = \"x\"\n", []server.Extension{filter}, "muster.toml:7:1: modules.filter.rules[0].wort: unknown key"},
		{"own check", "[modules.filter]\nwords = [\"a\", \"\"]\n", []server.Extension{filter}, "muster.toml:6:15: modules.filter.words[1]: want a word"},
		{"table of somebody without settings", "[modules.bare]\nx = 1\n", []server.Extension{plugin{name: "bare"}}, "muster.toml:6:1: modules.bare.x: unknown key"},
		{"error", "", []server.Extension{plugin{"bot", func(*server.Registrar) error { return errors.New("no brain") }}}, "muster.toml: modules.bot: extension bot: no brain"},
		{
			"of two extensions", "[modules.bare]\nx = 1\n[modules.filter]\nword = 1\n",
			[]server.Extension{filter, plugin{name: "bare"}},
			"modules.filter.word: unknown key (did you mean \"words\"?)\nmuster.toml:6:1: modules.bare.x: unknown key",
		},
		{"twice", "", []server.Extension{filter, filter}, "extension filter: there are two of that name"},
		{"name of ours", "", []server.Extension{plugin{name: "mod_muc"}}, "extension mod_muc: the server has a module of that name itself"},
		{"no name", "", []server.Extension{plugin{}}, `extension "": want a name of lower-case letters`},
		{"bad name", "", []server.Extension{plugin{name: "Word Filter"}}, `extension "Word Filter": want a name`},
		{"settings that no file can say", "", []server.Extension{plugin{"odd", func(r *server.Registrar) error {
			_, err := server.ReadSettings(r, struct{ Words []string }{})
			return err
		}}}, "modules.odd: extension odd: settings: struct { Words []string }.Words has no toml tag"},
		{"settings twice", "", []server.Extension{plugin{"odd", func(r *server.Registrar) error { return errors.Join(readsSettings(r), readsSettings(r)) }}}, "extension odd: settings are read once"},
		{"rooms that are not there", "", []server.Extension{plugin{"far", func(r *server.Registrar) error {
			r.AddRoomHooks(func(*muc.Hooks) {}, "rooms.elsewhere")
			return nil
		}}}, `modules.far: extension far: there are no rooms at "rooms.elsewhere": want one of conference.localhost`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			names := make([]string, len(tt.extensions))
			for i, e := range tt.extensions {
				names[i] = e.Name()
			}
			cfg := withTables(t, tt.table, names...)
			_, checked := server.Check(cfg, tt.extensions...)
			_, made := server.New(cfg, server.Options{NoListen: true, Extensions: tt.extensions})
			for _, err := range []error{checked, made} {
				if err == nil {
					t.Errorf("no problem, want %s", tt.want)
					continue
				}
				for line := range strings.SplitSeq(tt.want, "\n") {
					if !strings.Contains(err.Error(), line) {
						t.Errorf("got\n%v\nwant %s", err, line)
					}
				}
			}
		})
	}
}

func TestExtensionLifecycle(t *testing.T) {
	t.Parallel()
	var did []string
	stage := func(name string, fails bool) server.Extension {
		do := func(what string) error {
			did = append(did, name+" "+what)
			if fails {
				return errors.New("out of order")
			}
			return nil
		}
		return plugin{name, func(r *server.Registrar) error {
			r.OnStart(func(_ context.Context, s *server.Server) error {
				if s.Rooms("conference.localhost") == nil {
					t.Error("started before there are rooms")
				}
				return do("starts")
			})
			r.OnStop(func(context.Context) error { return do("stops") })
			return nil
		}}
	}
	s := start(t, offNetwork(t), server.Options{NoListen: true, Extensions: []server.Extension{stage("a", false), stage("b", false)}})
	shutdown(t, s)
	if want := []string{"a starts", "b starts", "b stops", "a stops"}; !slices.Equal(did, want) {
		t.Errorf("got %q, want %q", did, want)
	}

	did = nil
	s, err := server.New(offNetwork(t), server.Options{NoListen: true, Extensions: []server.Extension{stage("a", false), stage("b", true), stage("c", false)}})
	if err != nil {
		t.Fatal(err)
	}
	oneLine(t, s.Start(t.Context()), "start extension b: out of order")
	oneLine(t, s.Shutdown(t.Context()), "end extension b: out of order")
	if want := []string{"a starts", "b starts", "b stops", "a stops"}; !slices.Equal(did, want) {
		t.Errorf("got %q, want %q", did, want)
	}

	did = nil
	s, err = server.New(offNetwork(t), server.Options{NoListen: true, Extensions: []server.Extension{stage("a", false)}})
	if err != nil {
		t.Fatal(err)
	}
	shutdown(t, s) // never started
	if len(did) > 0 {
		t.Errorf("got %q of a server that was not started", did)
	}
}

func TestExtensionReload(t *testing.T) {
	t.Parallel()
	var settings *server.Settings[filterSettings]
	var used []string
	refuse := false
	filter := plugin{"filter", func(r *server.Registrar) (err error) {
		settings, err = server.ReadSettings(r, filterDefaults)
		if err != nil {
			return err
		}
		settings.OnReload(func(next filterSettings) (func(), error) {
			if refuse {
				return nil, errors.New("not now")
			}
			return func() { used = append(used, strings.Join(next.Words, "+")) }, nil
		})
		return nil
	}}
	table := func(text string) *config.Config { return withTables(t, text, "filter", "bare") }
	first := table("[modules.filter]\nwords = [\"a\"]\n")
	s := start(t, first, server.Options{NoListen: true, Extensions: []server.Extension{plugin{name: "bare"}, filter}})
	defer shutdown(t, s)
	if got := settings.Load(); !slices.Equal(got.Words, []string{"a"}) || got.Mode != "hide" {
		t.Errorf("got %+v", got)
	}
	reload := func(text string) error {
		next := table(text)
		next.General.DataDir = first.General.DataDir
		return s.Reload(next)
	}
	tests := []struct{ name, table, want string }{
		{"what may change", "[modules.filter]\nwords = [\"b\", \"c\"]\n", ""},
		{"what may not", "[modules.filter]\nwords = [\"d\"]\nmode = \"refuse\"\n", "muster.toml:7:8: modules.filter.mode: this has changed and takes effect only when the server starts"},
		{"what is wrong", "[modules.filter]\nwords = [\"\"]\n", "muster.toml:6:10: modules.filter.words[0]: want a word"},
		{"no mode any more", "[modules.filter]\nwait = \"1s\"\n", "muster.toml:6:8: modules.filter.wait: this has changed"},
		{"a table for the other", "[modules.bare]\nx = 1\n", "muster.toml:6:1: modules.bare.x: unknown key"},
	}
	for _, tt := range tests {
		err := reload(tt.table)
		if got := fmt.Sprint(err); tt.want == "" && err != nil || tt.want != "" && !strings.Contains(got, tt.want) {
			t.Errorf("%s: got %v, want %q", tt.name, err, tt.want)
		}
	}
	refuse = true
	oneLine(t, reload("[modules.filter]\nwords = [\"e\"]\n"), "extension filter: reload: not now")
	if got := settings.Load().Words; !slices.Equal(got, []string{"b", "c"}) || !slices.Equal(used, []string{"b+c"}) {
		t.Errorf("settings are %q, used %q: want those of the reload that nobody refused", got, used)
	}
}

func TestExtensionIsPartOfTheServer(t *testing.T) {
	t.Parallel()
	cfg := onNetwork(t)
	log := new(logged)
	var store *server.Store
	ext := plugin{"counter", func(r *server.Registrar) error {
		c := prometheus.NewCounter(prometheus.CounterOpts{Name: "words_total", Help: "Words."})
		store = r.Store
		if _, err := store.Get(context.Background(), "count"); !errors.Is(err, server.ErrNoStore) && err != nil {
			t.Errorf("the store in Register: %v", err)
		}
		r.OnStart(func(ctx context.Context, _ *server.Server) error {
			r.Logger.Info("counting")
			return store.Update(ctx, "starts", func(old []byte) ([]byte, error) { return append(old, 'x'), nil })
		})
		return r.Metrics.Register(c)
	}}
	o := server.Options{Extensions: []server.Extension{ext}, Logger: slog.New(slog.NewTextHandler(log, nil))}
	if _, err := server.Check(cfg, ext); err != nil {
		t.Error(err)
	}
	for range 2 {
		s := start(t, cfg, o)
		info := s.Info()
		if _, got := get(t, "http://"+info.Listeners[len(info.Listeners)-1].Address+"/metrics"); !strings.Contains(got, "\nmuster_counter_words_total 0\n") {
			t.Error("its metrics are not served under its name")
		}
		shutdown(t, s)
	}
	if !strings.Contains(log.String(), "msg=counting extension=counter") || !strings.Contains(log.String(), "extensions=[counter]") {
		t.Errorf("log is\n%s", log)
	}
	s := start(t, cfg, o)
	defer shutdown(t, s)
	if got, err := store.Get(t.Context(), "starts"); err != nil || string(got) != "xxx" {
		t.Errorf("kept %q, %v; want three starts", got, err)
	}
}

func TestExtensionStoreLimits(t *testing.T) {
	t.Parallel()
	var store *server.Store
	ext := plugin{"hoard", func(r *server.Registrar) error { store = r.Store; return nil }}
	s := start(t, offNetwork(t), server.Options{NoListen: true, Extensions: []server.Extension{ext}})
	defer shutdown(t, s)
	ctx := t.Context()
	tests := []struct {
		name, key string
		size      int
		want      error
	}{
		{"largest", strings.Repeat("k", server.MaxKey), server.MaxKeyValue, nil},
		{"no key", "", 1, server.ErrKey},
		{"long key", strings.Repeat("k", server.MaxKey+1), 1, server.ErrKey},
		{"key that is no text", "\xff", 1, server.ErrKey},
		{"key with NUL", "a\x00", 1, server.ErrKey},
		{"large value", "k", server.MaxKeyValue + 1, server.ErrValue},
		{"emoji", "🦄/👩‍🚀", 1, nil},
	}
	for _, tt := range tests {
		if err := store.Set(ctx, tt.key, make([]byte, tt.size)); !errors.Is(err, tt.want) {
			t.Errorf("%s: got %v, want %v", tt.name, err, tt.want)
		}
	}
	if keys, err := store.Keys(ctx, "🦄"); err != nil || !slices.Equal(keys, []string{"🦄/👩‍🚀"}) {
		t.Errorf("keys %q, %v", keys, err)
	}
	room, err := s.Rooms("conference.localhost").CreateRoom(ctx, jid.MustParse("vault@conference.localhost"), nil)
	if err != nil {
		t.Fatal(err)
	}
	err = room.Do(ctx, func(*muc.Room) error { return store.Set(ctx, "k", nil) })
	if !errors.Is(err, muc.ErrInRoom) {
		t.Errorf("inside a room: got %v, want ErrInRoom", err)
	}
}

func TestExtensionOfOneService(t *testing.T) {
	t.Parallel()
	cfg := offNetwork(t)
	cfg.General.Hosts = []string{"localhost", "b.test"}
	cfg.Listen.C2S = cfg.Listen.C2S[:1]
	var all, one int
	ext := plugin{"somewhere", func(r *server.Registrar) error {
		r.AddRoomHooks(func(*muc.Hooks) { all++ })
		r.AddRoomHooks(func(*muc.Hooks) { one++ }, "conference.b.test")
		return nil
	}}
	s := start(t, cfg, server.Options{NoListen: true, Extensions: []server.Extension{ext}})
	defer shutdown(t, s)
	if all != len(s.RoomHosts()) || one != 1 {
		t.Errorf("registered %d and %d times in %q", all, one, s.RoomHosts())
	}
}

// TestExtensionOfHosts: a host may have a table of its own, which is checked like
// that for all, and follows the file.
func TestExtensionOfHosts(t *testing.T) {
	t.Parallel()
	var settings *server.Settings[filterSettings]
	filter := plugin{"filter", func(r *server.Registrar) (err error) {
		settings, err = server.ReadSettings(r, filterDefaults)
		return err
	}}
	dir := t.TempDir()
	table := func(text string) *config.Config {
		cfg, err := config.Parse("muster.toml", []byte("[general]\nhosts = [\"a.test\", \"b.test\"]\n[[listen.c2s]]\nport = 0\n[modules.mod_muc]\n"+text), "filter", "bare")
		if err != nil {
			t.Fatal(err)
		}
		cfg.General.DataDir = dir
		return cfg
	}
	const all, own = "[modules.filter]\nmode = \"refuse\"\nwords = [\"a\"]\n", "[[host_config]]\nhost = \"b.test\"\n[host_config.modules.filter]\n"
	extensions := []server.Extension{filter, plugin{name: "bare"}}
	for text, want := range map[string]string{
		own + "wrods = 1\n":        `muster.toml:9:1: host_config[0].modules.filter.wrods: unknown key (did you mean "words"?)`,
		own + "words = [\"\"]\n":   `muster.toml:9:10: host_config[0].modules.filter.words[0]: want a word`,
		own + "mode = \"shout\"\n": `muster.toml:9:8: host_config[0].modules.filter.mode: want "hide" or "refuse"`,
		"[[host_config]]\nhost = \"b.test\"\n[host_config.modules.bare]\nx = 1\n": `muster.toml:9:1: host_config[0].modules.bare.x: unknown key`,
	} {
		if _, err := server.Check(table(text), extensions...); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %s", text, err, want)
		}
	}
	s := start(t, table(all+own+"words = [\"b\"]\n"), server.Options{NoListen: true, Extensions: extensions})
	defer shutdown(t, s)
	words := func(want map[string]string) {
		t.Helper()
		for domain, w := range want {
			if got := settings.Of(domain); got.Mode+" "+strings.Join(got.Words, "+") != w {
				t.Errorf("%s has %+v, want %s", domain, got, w)
			}
		}
	}
	words(map[string]string{"a.test": "refuse a", "conference.a.test": "refuse a", "b.test": "hide b", "conference.b.test": "hide b"})
	if err := s.Reload(table(all + own + "words = [\"c\"]\n")); err != nil {
		t.Fatal(err)
	}
	words(map[string]string{"a.test": "refuse a", "conference.b.test": "hide c"})
	for text, want := range map[string]string{
		all + own + "words = [\"d\"]\nmode = \"refuse\"\n": "muster.toml:13:8: host_config[0].modules.filter.mode: this has changed",
		all + "[[host_config]]\nhost = \"b.test\"\n":       "muster.toml:7:8: modules.filter.mode: this has changed", // for b.test
	} {
		oneLine(t, s.Reload(table(text)), want)
	}
	words(map[string]string{"conference.b.test": "hide c"})
}
