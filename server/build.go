package server

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/muster-im/muster/config"
	"github.com/muster-im/muster/internal/archive"
	"github.com/muster-im/muster/internal/sqlstore"
)

// What the parts may take to end; together they stay below ShutdownTimeout.
const (
	clientsEnd  = 3 * time.Second
	activityEnd = time.Second / 2
	accountsEnd = time.Second
	routerEnd   = time.Second / 2
	archiveEnd  = time.Second
)

// build makes all parts, from the ground up. Each part that must be ended is
// given to onEnd at once, so that Shutdown ends what there is if a later one
// fails.
func (s *Server) build(cfg *config.Config) error {
	if s.opts.Attach != nil {
		if err := checkAttached(cfg); err != nil {
			return err
		}
	}
	if err := s.openStore(cfg); err != nil {
		return err
	}
	certs, problems := loadCertificates(cfg, selfSignedIn(cfg), s.log)
	err := s.register(cfg)
	more, ok := errors.AsType[config.Problems](err)
	if err != nil && !ok {
		return err
	}
	outgoing, broken := newPools(cfg, s.opts.Dial, s.registry)
	if problems = slices.Concat(problems, more, broken); len(problems) > 0 {
		return problems
	}
	s.pools = outgoing
	s.onEnd("outgoing pools", 0, outgoing.close)
	s.useCertificates(cfg, certs)
	rules, err := newPolicies(cfg)
	if err != nil {
		return err
	}
	s.policies.Store(rules)
	messages := archive.New(archive.Options{
		Store: s.db, Limits: s.archiveLimits, Logger: s.logger("archive"), Registerer: s.registry,
	})
	s.onEnd("archive", archiveEnd, messages.Close)
	if err := s.buildServices(cfg); err != nil {
		return err
	}
	s.buildRoomLogs(cfg)
	if err := s.buildRooms(cfg, roomArchive{messages}); err != nil {
		return err
	}
	s.buildAdmin(cfg)
	return nil
}

// openStore makes the data directory its server's own and opens the database.
func (s *Server) openStore(cfg *config.Config) error {
	dir := cfg.General.DataDir
	if err := errors.Join(prepareDataDir(dir), checkRestoring(dir)); err != nil {
		return err
	}
	if cfg.Storage.Driver != sqlstore.SQLite {
		lock, err := lockDataDir(dir)
		if err != nil {
			return err
		}
		s.onEnd("data directory", 0, func(context.Context) error { return lock.Close() })
	}
	ctx, cancel := context.WithTimeout(s.serving, time.Minute) // migrations
	defer cancel()
	db, err := sqlstore.Open(ctx, sqlstore.Options{
		Driver: cfg.Storage.Driver, Dir: dir, URL: string(cfg.Storage.URL),
		Durability: cfg.Storage.Durability, Logger: s.logger("store"), Registerer: s.registry,
	})
	if err != nil {
		return err
	}
	s.db = db
	s.onEnd("database", 0, func(context.Context) error { return db.Close() })
	return removeLeftovers(dir)
}
