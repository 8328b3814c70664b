package server

import (
	"log/slog"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/muster-im/muster/groups"
	"github.com/muster-im/muster/muc"
)

// Extension is what an operator's own program adds to the server.
type Extension interface {
	// Name is the extension's name in logs and its table in the configuration,
	// [modules.NAME].
	Name() string
	// Register is called once by New, before anything runs. It reads the
	// settings and adds what the extension brings; an error stops New.
	Register(r *Registrar) error
}

// Registrar is how an extension reaches what the server is made of. It is
// valid during Register only.
type Registrar struct {
	// Logger carries the extension's name.
	Logger *slog.Logger
	// Metrics takes the extension's collectors, which are served at /metrics.
	Metrics prometheus.Registerer

	decode func(v any) (bool, error)
	rooms  []muc.Extension
	groups []func(*groups.Hooks)
}

// Settings decodes the extension's table into v, a pointer to a struct with
// toml tags, as strictly as the rest of the file; what v holds before is the
// default. It reports whether the table is there.
func (r *Registrar) Settings(v any) (present bool, err error) { return r.decode(v) }

// AddRoomExtension adds hooks and settings to the rooms.
func (r *Registrar) AddRoomExtension(e muc.Extension) { r.rooms = append(r.rooms, e) }

// AddGroupHooks adds functions to the events of groups. They are not called
// unless modules.mod_groups_internal is there.
func (r *Registrar) AddGroupHooks(add func(*groups.Hooks)) { r.groups = append(r.groups, add) }
