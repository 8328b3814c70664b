package server_test

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/muster-im/muster/config"
	"github.com/muster-im/muster/jid"
	"github.com/muster-im/muster/muc"
	"github.com/muster-im/muster/server"
)

// welcome greets whoever enters.
type welcome struct {
	settings *server.Settings[welcomeSettings]
}

type welcomeSettings struct {
	Words string `toml:"words" reload:"yes" doc:"What newcomers are told."`
	Times int    `toml:"times" doc:"How often."`
}

// Check is asked once types and keys are right.
func (s *welcomeSettings) Check(problem func(key, text string)) {
	if s.Times < 1 {
		problem("times", "want a number above 0")
	}
}

func (*welcome) Name() string { return "welcome" }
func (*welcome) Doc() string  { return "Greets whoever enters." }

func (w *welcome) Register(r *server.Registrar) (err error) {
	w.settings, err = server.ReadSettings(r, welcomeSettings{Words: "Hello", Times: 1})
	return err
}

// configured is a configuration with a table of an extension.
func configured(dir, table string) *config.Config {
	cfg, err := config.Parse("muster.toml", fmt.Appendf(nil, `[general]
hosts = ["localhost"]
data_dir = %q
[[listen.c2s]]
port = 0
[modules.mod_muc]
%s`, dir, table), "welcome", "founder")
	if err != nil {
		panic(err)
	}
	return cfg
}

// serving runs a server without a network, and returns what ends it.
func serving(table string, extensions ...server.Extension) (s *server.Server, dir string, done func()) {
	dir, err := os.MkdirTemp("", "muster")
	if err == nil {
		s, err = server.New(configured(dir, table), server.Options{NoListen: true, Extensions: extensions})
	}
	if err == nil {
		err = s.Start(context.Background())
	}
	if err != nil {
		panic(err)
	}
	return s, dir, func() {
		if err := errors.Join(s.Shutdown(context.Background()), os.RemoveAll(dir)); err != nil {
			panic(err)
		}
	}
}

// Settings are a struct. They are checked with the rest of the file, and follow
// it when the server reloads.
func ExampleReadSettings() {
	w := new(welcome)
	s, dir, done := serving("[modules.welcome]\nwords = \"Good evening\"\n", w)
	defer done()
	fmt.Println(w.settings.Load().Words, w.settings.Load().Times)
	fmt.Println(s.Reload(configured(dir, "[modules.welcome]\nwords = \"Good night\"\n")), w.settings.Load().Words)
	fmt.Println(s.Reload(configured(dir, "[modules.welcome]\ntimes = 2\n")))
	fmt.Println(s.Reload(configured(dir, "[modules.welcome]\nword = 1\ntimes = \"often\"\n")))
	fmt.Println(s.Reload(configured(dir, "[modules.welcome]\ntimes = 0\n")))
	// Output:
	// Good evening 1
	// <nil> Good night
	// muster.toml:8:9: modules.welcome.times: this has changed and takes effect only when the server starts: restart it, or take the change back
	// muster.toml:8:1: modules.welcome.word: unknown key (did you mean "words"?)
	// muster.toml:9:9: modules.welcome.times: want an integer, got "often"
	// muster.toml:8:9: modules.welcome.times: want a number above 0
}

// founder makes a room when the server starts, and counts its starts.
type founder struct{ store *server.Store }

func (*founder) Name() string { return "founder" }

func (f *founder) Register(r *server.Registrar) error {
	f.store = r.Store
	r.OnStart(func(ctx context.Context, s *server.Server) error {
		_, err := s.Rooms("conference.localhost").CreateRoom(ctx, jid.MustParse("lobby@conference.localhost"), func(room *muc.Room) error {
			_, err := room.Configure(muc.System, map[string][]string{muc.FieldPersistent: {"1"}, muc.FieldName: {"The lobby"}})
			return err
		})
		return err
	})
	r.OnStop(func(context.Context) error {
		fmt.Println("the founder stops")
		return nil
	})
	return nil
}

// An extension has a life, and reaches the rooms of the server that it is in.
func ExampleRegistrar_OnStart() {
	s, _, done := serving("", new(founder))
	defer done()
	for room, err := range s.Rooms("conference.localhost").Rooms(context.Background()) {
		fmt.Println(room.JID, room.Name, err)
	}
	// Output:
	// lobby@conference.localhost The lobby <nil>
	// the founder stops
}

// A small store for what belongs to no room.
func ExampleStore() {
	f := new(founder)
	_, _, done := serving("", f)
	defer done()
	ctx := context.Background()
	fmt.Println(f.store.Set(ctx, "anna", []byte("tea")), f.store.Set(ctx, "ben", []byte("cake")))
	fmt.Println(f.store.Update(ctx, "anna", func(old []byte) ([]byte, error) { return append(old, " with milk"...), nil }))
	value, err := f.store.Get(ctx, "anna")
	fmt.Println(string(value), err)
	fmt.Println(f.store.Keys(ctx, ""))
	fmt.Println(errors.Is(f.store.Set(ctx, "", nil), server.ErrKey))
	// Output:
	// <nil> <nil>
	// <nil>
	// tea with milk <nil>
	// [anna ben] <nil>
	// true
	// the founder stops
}
