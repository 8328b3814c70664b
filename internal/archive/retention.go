package archive

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/muster-im/muster/internal/store"
	"github.com/muster-im/muster/jid"
)

// How what is not to be kept any longer is removed: beside everything else, in
// steps that hardly hold up a commit of new messages, and with pauses.
const (
	retainFirst = time.Minute // after the start
	retainEvery = time.Hour
	retainRooms = 100 // that are looked up at once
	retainPause = 4   // times as long as the step before took
)

// retained is the part of a Store that removes what is not kept any longer.
type retained interface {
	// ArchiveRooms returns at most limit rooms that have an archive, in order,
	// behind an address ("" for the first page).
	ArchiveRooms(ctx context.Context, after string, limit int) ([]store.ArchiveRoom, error)
	// DropArchive removes that archive, and none that the room has begun since.
	DropArchive(ctx context.Context, room store.ArchiveRoom) error
	// TrimArchive removes some of the oldest rows of a room that are from before
	// a time or more than keep, and reports whether there may be more.
	TrimArchive(ctx context.Context, room jid.JID, before time.Time, keep int) (removed int, more bool, err error)
}

// retain removes what rooms do not keep any longer, until the archive closes.
func (a *Archive) retain() {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	a.wg.Go(func() { // a step that is under way ends with the archive
		<-a.closing
		cancel()
	})
	for pause := retainFirst; wait(ctx, pause); pause = retainEvery {
		if err := a.sweep(ctx); err != nil && ctx.Err() == nil {
			a.metrics.sweepErrors.Inc()
			a.log.LogAttrs(ctx, slog.LevelError, "remove old messages", slog.Any("err", err))
		}
	}
}

// sweep goes through all rooms once.
func (a *Archive) sweep(ctx context.Context) error {
	for after := ""; ; {
		rooms, err := a.store.ArchiveRooms(ctx, after, retainRooms)
		if err != nil {
			return err
		}
		for _, room := range rooms {
			if err := a.trim(ctx, room); err != nil {
				return err
			}
		}
		if len(rooms) < retainRooms {
			return nil
		}
		after = rooms[len(rooms)-1].JID.String()
	}
}

// trim removes what one room does not keep any longer: everything, if there is
// no such room. A server that died between deleting a room and its archive has
// left that.
func (a *Archive) trim(ctx context.Context, room store.ArchiveRoom) error {
	limits, err := a.limits(ctx, room.JID)
	if errors.Is(err, store.ErrNotFound) {
		a.metrics.orphans.Inc()
		return a.store.DropArchive(ctx, room)
	}
	if err != nil || limits == (store.ArchiveLimits{}) {
		return err
	}
	before := time.Time{}
	if limits.Age > 0 {
		before = time.Now().Add(-limits.Age)
	}
	for {
		start := time.Now()
		removed, more, err := a.store.TrimArchive(ctx, room.JID, before, limits.Rows)
		if err != nil {
			return err
		}
		a.metrics.expired.Add(float64(removed))
		if !more {
			return nil
		}
		if !wait(ctx, retainPause*time.Since(start)) {
			return ctx.Err()
		}
	}
}

// wait waits and reports whether ctx has not ended.
func wait(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
