// Package sqlstore keeps what the server's services store, in SQLite or in
// PostgreSQL. A DB satisfies the store interface of every service.
//
// One method is one transaction, or a part of one that is taken back alone: what
// waits for SQLite's writer is committed together. Errors of drivers never leave the package as
// values; callers test for the sentinels of packages store and muc and for
// those of package context.
//
// SQLite has two files, one for the messages of rooms and one for everything
// else, each with one connection that writes and a few that read. A DB owns
// one goroutine per SQLite file for checkpoints and one that removes dropped
// archives; all of them end in Close.
package sqlstore

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// The storage engines.
const (
	SQLite   = "sqlite"
	Postgres = "postgres"
)

// The durabilities of Options.
const (
	// DurabilityFull keeps every commit through a power cut.
	DurabilityFull = "full"
	// DurabilityProcess keeps every commit through the death of the process;
	// a power cut may undo the last ones.
	DurabilityProcess = "process"
)

// Options say where and how to store.
type Options struct {
	Driver     string        // SQLite or Postgres
	Dir        string        // SQLite: the data directory, made if it is missing
	URL        string        // Postgres: URL or keyword=value string
	Schema     string        // Postgres: schema to use, made if it is missing; "" for the connection's own
	Durability string        // DurabilityFull if empty
	MaxConns   int           // Postgres: connections at most; 16 if 0
	Timeout    time.Duration // Postgres: of one call; 10 s if 0

	Logger     *slog.Logger
	Registerer prometheus.Registerer
}

// DB is an open store. Its methods are safe for concurrent use.
type DB struct {
	// Set at construction.
	log     *slog.Logger
	lock    *os.File // SQLite: the lock on the data directory
	meta    *database
	archive *database
	rooms   *roomIDs      // SQLite
	purge   chan struct{} // asks for the removal of dropped archives
	stop    context.CancelFunc
	wg      sync.WaitGroup
	closing sync.Once
	closed  error // what Close returned, guarded by closing
}

// Open opens the store that o describes, creates it if it is new and brings
// its schema up to date.
func Open(ctx context.Context, o Options) (*DB, error) {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	switch o.Durability {
	case "":
		o.Durability = DurabilityFull
	case DurabilityFull, DurabilityProcess:
	default:
		return nil, fmt.Errorf("open store: unknown durability %q", o.Durability)
	}
	db := &DB{log: o.Logger, rooms: newRoomIDs(), purge: make(chan struct{}, 1)}
	var err error
	switch o.Driver {
	case SQLite:
		err = db.openSQLite(o)
	case Postgres:
		err = db.openPostgres(ctx, o)
	default:
		return nil, fmt.Errorf("open store: unknown driver %q", o.Driver)
	}
	if err == nil {
		err = db.migrate(ctx)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open store: %w", clean(err)), db.closeFiles())
	}
	db.start(newMetrics(o.Registerer))
	return db, nil
}

// start starts the goroutines of db.
func (db *DB) start(m *metrics) {
	ctx, stop := context.WithCancel(context.Background())
	db.stop = stop
	for _, d := range []*database{db.meta, db.archive} {
		d.failures = m.failures.WithLabelValues(d.name)
		if d.dialect == sqlite {
			c := newCheckpointer(d, db.log, m)
			d.written = c.written
			db.wg.Go(func() { c.run(ctx) })
		}
	}
	db.wg.Go(func() { db.purgeArchives(ctx) })
	db.purge <- struct{}{} // what was left behind when the server stopped
}

// Close ends db's goroutines and closes its files and connections. Calls that
// are under way fail or succeed, whole. Closing again does nothing.
func (db *DB) Close() error {
	db.closing.Do(func() { db.closed = db.end() })
	return db.closed
}

func (db *DB) end() error {
	db.stop()
	db.wg.Wait()
	if err := db.closeFiles(); err != nil {
		return fmt.Errorf("close store: %w", clean(err))
	}
	return nil
}

func (db *DB) closeFiles() error {
	var errs []error
	for _, d := range []*database{db.meta, db.archive} {
		if d != nil {
			errs = append(errs, d.close())
		}
	}
	if db.lock != nil {
		errs = append(errs, db.lock.Close())
	}
	return errors.Join(errs...)
}

// Ping reports whether the store answers.
func (db *DB) Ping(ctx context.Context) error {
	for _, d := range []*database{db.meta, db.archive} {
		if _, err := d.one(ctx, "SELECT 1", nil, new(int64)); err != nil {
			if d.dialect == postgres && known(err) == nil {
				err = d.explain(err) // one line, with a remedy
			}
			return fmt.Errorf("ping store: %w", clean(err))
		}
	}
	return nil
}
