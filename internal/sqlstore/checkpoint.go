package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"log/slog"
	"os"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// How SQLite's write-ahead log is kept short. A checkpoint in somebody's
// commit would make messages wait for tens of milliseconds.
const (
	checkpointTick   = 250 * time.Millisecond // how often a log that grew is looked at
	checkpointTicks  = 4                      // checkpoint at least so many ticks apart while others write
	walSoft          = 4 << 20                // and only from this size of the file on
	walHard          = 8 << 20                // hold up the writer for the rest from this much content on
	walStep          = 1 << 20                // but copy beside the writer until so little is left
	checkpointRounds = 8                      // or until this often
	walKeep          = 16 << 20               // what stays of the file of an empty log: to overwrite is cheaper than to append
	pageSize         = 4096                   // SQLite's default
)

// checkpointer copies a SQLite file's write-ahead log into the file: when
// nothing was written for a tick, or when the log has grown. It does so beside
// the writer; only if that never gets to the end, because there is always more,
// it takes the writer's turn for the little that is left. Its timer runs only
// after writes.
type checkpointer struct {
	// Set at construction.
	d       *database
	log     *slog.Logger
	seconds prometheus.Observer
	wake    chan struct{}

	writes atomic.Uint64
}

func newCheckpointer(d *database, log *slog.Logger, m *metrics) *checkpointer {
	return &checkpointer{
		d: d, log: log, wake: make(chan struct{}, 1),
		seconds: m.checkpoints.WithLabelValues(d.name),
	}
}

// written notes a commit. It never waits.
func (c *checkpointer) written() {
	c.writes.Add(1)
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

// run checkpoints until ctx ends.
func (c *checkpointer) run(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-c.wake:
		}
		c.watch(ctx)
	}
}

// watch looks at the log once per tick until all of it is in the file.
func (c *checkpointer) watch(ctx context.Context) {
	tick := time.NewTicker(checkpointTick)
	defer tick.Stop()
	seen := c.writes.Load()
	for n := 1; ; n++ {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		writes := c.writes.Load()
		idle := writes == seen
		seen = writes
		if !idle && (n < checkpointTicks || c.walSize() < walSoft) {
			continue
		}
		n = 0
		done, err := c.checkpoint(ctx)
		if err != nil && ctx.Err() == nil {
			c.log.LogAttrs(ctx, slog.LevelError, "checkpoint", slog.String("database", c.d.name), slog.Any("err", err))
			return // the next commit wakes us again
		}
		if done && c.writes.Load() == writes {
			return
		}
	}
}

// checkpoint copies what it can and reports whether that was all.
func (c *checkpointer) checkpoint(ctx context.Context) (done bool, err error) {
	start := time.Now()
	defer func() { c.seconds.Observe(time.Since(start).Seconds()) }()
	var size, before int64
	for range checkpointRounds {
		if size, done, err = passiveCheckpoint(ctx, c.d.reader); err != nil || size < walHard {
			return done, err
		}
		if size-before < walStep {
			break
		}
		before = size
	}
	// A log that is copied whole is written from its start again; while others
	// write it never is. Nobody writes while we have this connection.
	_, done, err = passiveCheckpoint(ctx, c.d.writer)
	return done, err
}

// passiveCheckpoint runs one checkpoint that waits for no reader or writer and
// returns how much was in the log and whether all of that is in the file now.
func passiveCheckpoint(ctx context.Context, pool *sql.DB) (size int64, done bool, err error) {
	var busy, frames, copied int64
	row := pool.QueryRowContext(ctx, "PRAGMA wal_checkpoint(PASSIVE)")
	if err := row.Scan(&busy, &frames, &copied); err != nil {
		return 0, false, err
	}
	return frames * pageSize, busy == 0 && frames == copied, nil
}

// walSize is the size of the log's file, 0 if there is none.
func (c *checkpointer) walSize() int64 {
	info, err := os.Stat(c.d.path + "-wal")
	if errors.Is(err, os.ErrNotExist) {
		return 0
	}
	if err != nil {
		return walHard // then rather checkpoint once more
	}
	return info.Size()
}
