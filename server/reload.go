package server

import (
	"context"
	"errors"
	"log/slog"
	"slices"

	"github.com/muster-im/muster/config"
	"github.com/muster-im/muster/internal/c2s"
	"github.com/muster-im/muster/internal/roomfeatures"
	"github.com/muster-im/muster/jid"
	"github.com/muster-im/muster/muc"
	"github.com/muster-im/muster/stanza"
)

// Reload takes a changed configuration into use: log level, groups from a file, certificates, whose
// files are read anew in any case, access rules, shapers and the settings of
// registration and of extensions. Connections that are there follow: their pace changes within a
// second, and the sessions of those who may not log in any more end. A change
// that needs a restart is refused by name, and then nothing changes.
func (s *Server) Reload(next *config.Config) error {
	if err := mayWait("reload the configuration"); err != nil {
		return err
	}
	var problems config.Problems
	for _, key := range s.config.Load().NeedsRestart(next) {
		problems = append(problems, needsRestart(next, key))
	}
	if len(problems) > 0 {
		return problems
	}
	certs, problems := loadCertificates(next, selfSignedIn(next), s.log)
	if len(problems) > 0 {
		return problems
	}
	rules, err := newPolicies(next)
	if err != nil {
		return err
	}
	use, err := s.reloadExtensions(next)
	if err != nil {
		return err
	}
	if err := s.reloadGroupFile(next); err != nil { // the last that may be refused
		return err
	}
	s.config.Store(next)
	for _, f := range use {
		f()
	}
	s.setLogLevel(next)
	s.useCertificates(next, certs)
	s.policies.Store(rules)
	s.clients.ApplyPolicies(s.serving)
	if s.registration != nil {
		s.registration.SetSettings(registerSettings(next, rules.rules))
	}
	s.log.Info("configuration reloaded", slog.String("file", next.Name()))
	return nil
}

func (s *Server) useCertificates(cfg *config.Config, certs *certificates) {
	for _, p := range certs.uncovered(cfg) {
		s.log.Warn("certificate", slog.String("problem", p.String()))
	}
	s.certs.Store(certs)
}

func (s *Server) setLogLevel(cfg *config.Config) {
	if s.opts.LogLevel != nil {
		s.opts.LogLevel.Set(logLevel(cfg.General.LogLevel))
	}
}

// logLevel is a level by its name in the configuration.
func logLevel(name string) slog.Level {
	switch name {
	case "trace":
		return c2s.LevelTrace
	case "debug":
		return slog.LevelDebug
	case "warning":
		return slog.LevelWarn
	case "error":
		return slog.LevelError
	}
	return slog.LevelInfo
}

// Check says what New and Start would find wrong with a configuration, without
// changing anything: certificates are read, extensions read their settings.
// Warnings are about what works and is likely not meant.
func Check(cfg *config.Config, extensions ...Extension) (warnings config.Problems, err error) {
	s := &Server{opts: Options{Extensions: extensions}, log: slog.New(slog.DiscardHandler), registry: newRegistry()}
	var found config.Problems
	certs, problems := loadCertificates(cfg, nil, s.log)
	if found = append(found, problems...); len(problems) == 0 {
		warnings = certs.uncovered(cfg)
	}
	warnings = slices.Concat(warnings, cfg.Warnings(), cfg.Remarks(), readableAPIs(cfg))
	outgoing, problems := newPools(cfg, nil, nil)
	found = append(found, problems...)
	_ = outgoing.close(context.Background()) // nothing was asked
	if err := s.register(cfg); err != nil {
		more, ok := errors.AsType[config.Problems](err)
		if !ok {
			return warnings, err
		}
		found = append(found, more...)
	}
	doubts, err := checkGroupFile(cfg)
	warnings = append(warnings, doubts...)
	if more, ok := errors.AsType[config.Problems](err); ok {
		found = append(found, more...)
	}
	if err := s.checkRooms(cfg); err != nil {
		found = append(found, cfg.Problem("modules.mod_muc", err.Error()))
	}
	if len(found) > 0 {
		return warnings, found
	}
	return warnings, nil
}

// checkRooms builds the room services and throws them away.
func (s *Server) checkRooms(cfg *config.Config) error {
	for _, at := range cfg.RoomServices() {
		if err := s.checkRoomService(cfg, at); err != nil {
			return err
		}
	}
	return nil
}

func (s *Server) checkRoomService(cfg *config.Config, at config.RoomService) error {
	o, err := roomOptions(&cfg.Modules, at, roomfeatures.Options{OccupantIDKey: []byte("nobody's")}, s.roomExtensions(at.Domain))
	if err != nil {
		return err
	}
	o.Router = nowhere{}
	service, err := muc.New(o)
	if err != nil {
		return err
	}
	return service.Shutdown(context.Background())
}

// nowhere is the router of rooms that nobody enters.
type nowhere struct{}

// Send drops st.
func (nowhere) Send(stanza.Stanza) {}

// Target returns nil: there are no sessions.
func (nowhere) Target(jid.JID) stanza.Target { return nil }
