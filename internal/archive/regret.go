package archive

import (
	"context"
	"log/slog"
	"time"

	"github.com/muster-im/muster/internal/store"
)

// How often taking back is tried again.
const (
	regretFirst = time.Second
	regretLast  = 30 * time.Second
)

// takeBack removes rows from the archive that may have got there although
// their senders were told otherwise. A store that is away is waited for, until
// the archive is closed.
func (a *Archive) takeBack(rows []store.ArchiveRow) {
	size := 0
	for i := range rows {
		size += rowBytes + len(rows[i].Stanza)
	}
	if !a.regret(size) {
		a.giveUp(rows, errTooManyInDoubt)
		return
	}
	defer a.regret(-size)
	delay := time.NewTimer(0)
	defer delay.Stop()
	for wait := regretFirst; ; wait = min(2*wait, regretLast) {
		err := a.remove(rows)
		if err == nil {
			return
		}
		delay.Reset(wait)
		select {
		case <-delay.C:
		case <-a.closing:
			a.giveUp(rows, err)
			return
		}
	}
}

// regret counts the bytes of rows that are to be taken back, and reports
// whether there was room for them.
func (a *Archive) regret(size int) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if size > 0 && a.regretted+size > a.maxBytes {
		return false
	}
	a.regretted += size
	return true
}

func (a *Archive) remove(rows []store.ArchiveRow) error {
	ctx, cancel := context.WithTimeout(context.Background(), a.timeout)
	defer cancel()
	return a.store.DeleteArchiveRows(ctx, rows)
}

func (a *Archive) giveUp(rows []store.ArchiveRow, err error) {
	a.metrics.inDoubt.Add(float64(len(rows)))
	a.log.LogAttrs(context.Background(), slog.LevelError, "messages may be archived that were refused",
		slog.Int("rows", len(rows)), slog.Any("err", err))
}
