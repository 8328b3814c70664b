package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"regexp"
	"slices"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/muster-im/muster/config"
	"github.com/muster-im/muster/groups"
	"github.com/muster-im/muster/muc"
)

// Extension is what an operator's own program adds to the server. It is a value
// given to app.Main, or to New in Options; one value is of one server.
type Extension interface {
	// Name is the extension's name in logs, metrics and its table in the
	// configuration, [modules.NAME]: lower case, digits and underscores, not that
	// of a module of the server or of another extension.
	Name() string
	// Register reads the settings and adds what the extension brings; an error
	// stops New. It is called once by New, before anything runs, and by what only
	// looks at the extension, such as muster check: what has effects belongs in
	// Registrar.OnStart.
	Register(r *Registrar) error
}

// Documented is an Extension that says in a sentence what it is for; muster
// --help and muster init show it.
type Documented interface {
	Extension
	Doc() string
}

// Registrar is how an extension reaches what the server is made of. Its methods
// are for Register alone; what its fields hold may be kept.
type Registrar struct {
	// Logger carries the extension's name.
	Logger *slog.Logger
	// Metrics takes the extension's collectors, which are served at /metrics with
	// muster_NAME_ before their names.
	Metrics prometheus.Registerer
	// Store keeps what the extension wants to find again after a restart. It can
	// be used from OnStart on. What belongs to a room is kept in muc.Notes.
	Store *Store

	name   string
	config *config.Config
	rooms  []roomExtension
	groups []func(*groups.Hooks)
	start  []func(ctx context.Context, s *Server) error
	stop   []func(ctx context.Context) error
	table  table // nil until the settings have been read
}

// roomExtension is what an extension adds to rooms, and where.
type roomExtension struct {
	muc.Extension
	domains []string // none: everywhere
}

// AddRoomExtension adds hooks and settings to the rooms: to those of all
// services, or of those with the given domains. Register of e is called once for
// each service, and with it begins what is of that service, such as its fields.
func (r *Registrar) AddRoomExtension(e muc.Extension, domains ...string) {
	r.rooms = append(r.rooms, roomExtension{e, domains})
}

// AddRoomHooks is AddRoomExtension of a function.
func (r *Registrar) AddRoomHooks(register func(*muc.Hooks), domains ...string) {
	r.AddRoomExtension(hooksFunc(register), domains...)
}

// hooksFunc is a function as an extension of rooms.
type hooksFunc func(*muc.Hooks)

func (f hooksFunc) Register(h *muc.Hooks) { f(h) }

// AddGroupHooks adds functions to the events of groups. They are not called
// unless modules.mod_groups_internal is there.
func (r *Registrar) AddGroupHooks(add func(*groups.Hooks)) { r.groups = append(r.groups, add) }

// OnStart adds what is done when the server starts: rooms can be reached, but no
// client can connect yet. An error stops the start. ctx is of the start; what
// goes on after it must be ended by OnStop.
func (r *Registrar) OnStart(f func(ctx context.Context, s *Server) error) {
	r.start = append(r.start, f)
}

// OnStop adds what is done when the server ends, if it has been started:
// nobody can connect any more, rooms and clients are still there. Extensions
// stop in reverse order, and functions of one too; each extension has a second.
func (r *Registrar) OnStop(f func(ctx context.Context) error) { r.stop = append(r.stop, f) }

// extensionName is what an extension may be called.
var extensionName = regexp.MustCompile(`^[a-z][a-z0-9_]{0,62}$`) //nolint:gochecknoglobals // a constant

// checkNames returns what is wrong with the names of extensions.
func checkNames(extensions []Extension) error {
	seen := make(map[string]bool, len(extensions))
	for _, e := range extensions {
		name := e.Name()
		switch {
		case !extensionName.MatchString(name):
			return fmt.Errorf("extension %q: want a name of lower-case letters, digits and underscores", name)
		case config.IsModule(name):
			return fmt.Errorf("extension %s: the server has a module of that name itself: choose another", name)
		case seen[name]:
			return fmt.Errorf("extension %s: there are two of that name: give one of them another, or leave one out", name)
		}
		seen[name] = true
	}
	return nil
}

// newRegistrar returns what an extension gets to register with.
func newRegistrar(e Extension, cfg *config.Config, log *slog.Logger, metrics prometheus.Registerer) *Registrar {
	name := e.Name()
	return &Registrar{
		Logger: log.With(slog.String("extension", name)), Metrics: prometheus.WrapRegistererWithPrefix("muster_"+name+"_", metrics),
		Store: &Store{name: name}, name: name, config: cfg,
	}
}

// register lets an extension register, and returns what is wrong with it or its
// table.
func (r *Registrar) register(e Extension) (problems config.Problems) {
	err := e.Register(r)
	if err == nil && r.table == nil {
		err = noSettings(r.config, r.name)
	}
	return r.problems(err)
}

// noSettings checks the tables of an extension without settings, which are empty.
func noSettings(cfg *config.Config, name string) error {
	err := cfg.DecodeModule(name, &struct{}{})
	for _, h := range cfg.HostTables(name) {
		if err == nil {
			err = cfg.DecodeHostTable(h, &struct{}{})
		}
	}
	return err
}

// problems are what an error of the extension means for the configuration.
func (r *Registrar) problems(err error) config.Problems {
	if err == nil {
		return nil
	}
	if list, ok := errors.AsType[config.Problems](err); ok {
		return list
	}
	return config.Problems{r.config.Problem("modules."+r.name, "extension "+r.name+": "+err.Error())}
}

// checkDomains returns what is wrong with where an extension wants to be.
func (r *Registrar) checkDomains(known []string) (problems config.Problems) {
	for _, e := range r.rooms {
		for _, d := range e.domains {
			if !slices.Contains(known, d) {
				problems = append(problems, r.problems(fmt.Errorf("there are no rooms at %q: want %s", d, oneOf(known)))...)
			}
		}
	}
	return problems
}

// CheckTables says what is wrong with the tables of extensions in a configuration
// that may have other problems, in which case Check cannot be asked. It changes
// nothing.
func CheckTables(cfg *config.Config, extensions ...Extension) (problems config.Problems) {
	for _, e := range extensions {
		r := newRegistrar(e, cfg, slog.New(slog.DiscardHandler), prometheus.NewRegistry())
		problems = append(problems, r.register(e)...)
	}
	return problems
}

// Modules returns the tables of extensions, for the documentation of the
// configuration.
func Modules(extensions ...Extension) []config.Module {
	list := make([]config.Module, len(extensions))
	for i, e := range extensions {
		list[i].Name = e.Name()
		if d, ok := e.(Documented); ok {
			list[i].Doc = d.Doc()
		}
		r := newRegistrar(e, config.Default(), slog.New(slog.DiscardHandler), prometheus.NewRegistry())
		_ = e.Register(r) // what is wrong is said by what uses the extension
		if r.table != nil {
			list[i].Settings = r.table.defaults()
		}
	}
	return list
}
