package server

import (
	"context"

	"github.com/muster-im/muster/internal/archive"
	"github.com/muster-im/muster/internal/store"
	"github.com/muster-im/muster/jid"
	"github.com/muster-im/muster/muc"
)

// roomArchive is the archive as rooms know it.
type roomArchive struct{ *archive.Archive }

// Append queues a message.
func (a roomArchive) Append(m muc.ArchivedMessage, done func(error)) error {
	return a.Archive.Append(store.ArchiveRow(m), done)
}

// Latest returns the newest messages of a room, oldest first.
func (a roomArchive) Latest(ctx context.Context, room jid.JID, limit int) ([]muc.ArchivedMessage, error) {
	if limit <= 0 {
		return nil, nil
	}
	rows, err := a.Page(ctx, store.ArchiveQuery{Room: room, Newest: true, Limit: limit})
	return appendMessages(nil, rows), err
}

// LastSubject returns the newest subject change behind the message with that
// id.
func (a roomArchive) LastSubject(ctx context.Context, room jid.JID, id string) (*muc.ArchivedMessage, error) {
	rows, err := a.Page(ctx, store.ArchiveQuery{Room: room, AfterID: id, Subjects: true, Newest: true, Limit: 1})
	if err != nil || len(rows) == 0 {
		return nil, err
	}
	m := muc.ArchivedMessage(rows[0])
	return &m, nil
}

func appendMessages(list []muc.ArchivedMessage, rows []store.ArchiveRow) []muc.ArchivedMessage {
	for _, r := range rows {
		list = append(list, muc.ArchivedMessage(r))
	}
	return list
}
