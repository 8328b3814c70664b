package server

import (
	"context"
	"errors"
	"time"

	"github.com/muster-im/muster/internal/archive"
	"github.com/muster-im/muster/internal/roomfeatures"
	"github.com/muster-im/muster/internal/store"
	"github.com/muster-im/muster/jid"
	"github.com/muster-im/muster/muc"
)

// roomArchive is the archive as rooms know it.
type roomArchive struct{ archive *archive.Archive }

// Append queues a message.
func (a roomArchive) Append(m muc.ArchivedMessage, done func(error)) error {
	return a.archive.Append(store.ArchiveRow(m), done)
}

// Page returns the messages that q selects.
func (a roomArchive) Page(ctx context.Context, q muc.ArchiveQuery) ([]muc.ArchivedMessage, error) {
	rows, err := a.archive.Page(ctx, store.ArchiveQuery(q))
	return archivedMessages(rows), err
}

// Messages returns those of a room's messages that have one of ids.
func (a roomArchive) Messages(ctx context.Context, room jid.JID, ids []string) ([]muc.ArchivedMessage, error) {
	rows, err := a.archive.Rows(ctx, room, ids)
	return archivedMessages(rows), err
}

// Count returns how many messages q selects, at most most.
func (a roomArchive) Count(ctx context.Context, q muc.ArchiveQuery, most int) (int, error) {
	return a.archive.Count(ctx, store.ArchiveQuery(q), most)
}

// ReplaceArchived replaces the stanza of a message.
func (a roomArchive) ReplaceArchived(ctx context.Context, room jid.JID, id string, stanza []byte) error {
	err := a.archive.ReplaceArchived(ctx, room, id, stanza)
	if errors.Is(err, store.ErrNotFound) {
		return muc.ErrNoMessage
	}
	return err
}

// Delete removes all messages of a room.
func (a roomArchive) Delete(ctx context.Context, room jid.JID) error {
	return a.archive.Delete(ctx, room)
}

// archiveLimits is what a room's archive keeps: what its service does, or less;
// store.ErrNotFound if there is no such room.
func (s *Server) archiveLimits(ctx context.Context, room jid.JID) (store.ArchiveLimits, error) {
	var limits store.ArchiveLimits
	limits.Age, limits.Rows = s.roomsKeep()
	settings, err := s.db.RoomSettings(ctx, room)
	if errors.Is(err, muc.ErrNoRoom) {
		return limits, store.ErrNotFound
	}
	limits.Age, limits.Rows = roomfeatures.Retention(settings, limits.Age, limits.Rows)
	return limits, err
}

// roomsKeep is how long and how many messages all rooms keep; 0 is without end.
func (s *Server) roomsKeep() (age time.Duration, messages int) {
	if mam := s.config.Load().Modules.MAM; mam != nil {
		return time.Duration(mam.MUC.ExpiresAfter), int(mam.MUC.MaxMessages)
	}
	return 0, 0
}

func archivedMessages(rows []store.ArchiveRow) []muc.ArchivedMessage {
	list := make([]muc.ArchivedMessage, len(rows))
	for i := range rows {
		list[i] = muc.ArchivedMessage(rows[i])
	}
	return list
}
