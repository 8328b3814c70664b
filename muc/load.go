package muc

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/muster-im/muster/jid"
	"github.com/muster-im/muster/stanza"
)

// load looks a room up in the store and lets the room object begin its work.
func (s *Service) load(r *Room) {
	ctx, cancel := context.WithTimeout(s.ioCtx, commitTimeout)
	defer cancel()
	n := &loaded{}
	n.record, n.err = s.opts.Store.Room(ctx, r.jid)
	if errors.Is(n.err, ErrNoRoom) {
		n.err = nil
	}
	if n.err == nil && n.record != nil && n.record.Tombstone == nil && s.opts.Archive != nil {
		n.recent, n.err = s.recent(ctx, r.jid)
		n.recent = slices.DeleteFunc(n.recent, func(m ArchivedMessage) bool { // of a room of that name from before
			return m.Time.Before(n.record.Created.Truncate(time.Millisecond))
		})
		if n.err == nil {
			n.err = s.catchUp(ctx, n.record)
		}
	}
	r.tell(n)
}

// recentPages bounds how far back messages are looked for among subject changes.
const recentPages = 5

// recent returns the newest archived messages, Options.Recent of them besides
// changes of the subject, which are no history.
func (s *Service) recent(ctx context.Context, room jid.JID) ([]ArchivedMessage, error) {
	q := ArchiveQuery{Room: room, Newest: true, Limit: s.opts.Recent}
	var list []ArchivedMessage
	for range recentPages {
		page, err := s.opts.Archive.Page(ctx, q)
		if err != nil {
			return nil, err
		}
		list = append(page, list...)
		if len(page) < q.Limit || !slices.ContainsFunc(page, func(m ArchivedMessage) bool { return m.Subject }) {
			break
		}
		q.BeforeID = page[0].ID
	}
	return list, nil
}

// catchUp brings a record's subject up to the archive: a subject change is
// archived first and written into the record afterwards.
func (s *Service) catchUp(ctx context.Context, rec *RoomRecord) error {
	page, err := s.opts.Archive.Page(ctx, ArchiveQuery{Room: rec.JID, AfterID: rec.SubjectID, Subjects: true, Newest: true, Limit: 1})
	if err != nil || len(page) == 0 || page[0].Time.Before(rec.Created.Truncate(time.Millisecond)) {
		return err
	}
	last := &page[0]
	if !last.Time.After(rec.Subject.Time) && rec.SubjectID == "" {
		return nil // the record's subject was set later, without the archive
	}
	st, err := stanza.Parse(last.Stanza)
	if err != nil {
		return fmt.Errorf("archived subject %s: %w", last.ID, err)
	}
	rec.Subject, rec.SubjectID = subjectOf(&st), last.ID
	rec.Subject.Author, rec.Subject.RealJID, rec.Subject.Time = last.From, last.RealJID, last.Time
	return nil
}

// loaded is the end of a look-up.
type loaded struct {
	record *RoomRecord // nil: the room is not stored
	recent []ArchivedMessage
	err    error
}

func (n *loaded) take(r *Room) {
	r.resume()
	h := &r.svc.opts.Hibernation
	if r.active = r.svc.agenda.Now(); r.unsolicited && !h.stops() { // where rooms are stopped it has its whole time
		r.active -= max(h.After, 0)
	}
	switch {
	case n.err != nil:
		r.logger().LogAttrs(context.Background(), slog.LevelError, "load room", slog.Any("err", n.err))
		r.unloadable(stanza.NewError(stanza.Wait, stanza.InternalServerError, "The room could not be loaded.").Because(ReasonStore))
	case n.record != nil && n.record.Tombstone != nil:
		r.tombstone = n.record.Tombstone
	case n.record != nil:
		if err := r.svc.hooks.BeforeLoad.Run(&r.watch, &BeforeLoadEvent{Record: n.record}); err != nil {
			r.unloadable(err)
			return
		}
		r.restore(n.record)
		if len(n.recent) > 0 {
			r.ids.Resume(n.recent[len(n.recent)-1].ID)
		}
		r.notify(r.svc.hooks.RoomLoaded.Run(&r.watch, &LoadEvent{Room: r, Recent: n.recent}))
		r.svc.counts.recreations.Add(1)
	}
}

// unloadable answers everything that waits; the next stanza tries again.
func (r *Room) unloadable(why error) {
	for _, c := range r.mailbox.Shut() {
		r.refuse(c.base(), why)
	}
	r.waiting = true
	r.flush()
	r.svc.forget(r)
}

// restore makes the room what its record says. A setting that no feature of
// today accepts is kept as it is, and the default used.
func (r *Room) restore(rec *RoomRecord) {
	r.begin(rec.Created)
	r.stored, r.created = true, rec.Created
	r.values, r.shared = slices.Clone(r.svc.defaults), false
	r.unknown = r.svc.schema.Load(r.values, rec.Settings, func(setting string, err error) {
		r.logger().LogAttrs(context.Background(), slog.LevelWarn, "stored setting not usable",
			slog.String("setting", setting), slog.Any("err", err))
	})
	r.setRecords(rec.Affiliations)
	r.subject, r.subjectID = rec.Subject, rec.SubjectID
}

// storeSubject writes the subject into the room's record, which may happen late:
// the archive has it. There is one write of a room at a time, so that an old
// subject never comes behind a newer one, or behind the end of the room.
func (r *Room) storeSubject() {
	if r.unstored = true; r.storing {
		return
	}
	r.storing, r.unstored = true, false
	subject, id := r.subject, r.subjectID
	r.svc.io.Run(func() {
		ctx, cancel := context.WithTimeout(r.svc.ioCtx, commitTimeout)
		defer cancel()
		err := r.svc.opts.Store.ApplyRoomChange(ctx, r.jid, r.svc.opts.Epoch, RoomChange{Subject: &subject, SubjectID: id})
		if err != nil {
			r.logger().LogAttrs(ctx, slog.LevelWarn, "store subject", slog.Any("err", err))
		}
		r.tell(subjectStored{})
	})
}

// subjectStored is the end of such a write.
type subjectStored struct{}

func (subjectStored) take(r *Room) {
	r.storing = false
	switch {
	case r.postponed != nil:
		write := r.postponed
		r.postponed = nil
		r.svc.io.Run(write)
	default:
		r.catchUp()
	}
}

// catchUp stores a subject whose turn has not come yet.
func (r *Room) catchUp() {
	if r.unstored && r.exists && r.stored && r.subjectID != "" {
		r.storeSubject()
	}
}

// descriptor is what listings show of a room with these settings.
func (s *Service) descriptor(room jid.JID, values []any) *RoomDescriptor {
	return &RoomDescriptor{
		JID:    room,
		Name:   values[s.core.name.core.index].(string),  //nolint:errcheck,forcetypeassert // see Field.Get
		Public: values[s.core.public.core.index] == true, // likewise
	}
}

// relist brings the list of live rooms that are not stored up to date. A room that
// begins is not listed before it is unlocked, and one that was loaded never is: at
// that time nobody knows its settings.
func (s *Service) relist(r *Room) {
	d := s.descriptor(r.jid, r.values)
	s.mu.Lock()
	defer s.mu.Unlock()
	if !r.stored && r.exists && !r.locked {
		s.listed[r.jid] = *d
	} else {
		delete(s.listed, r.jid)
	}
}

func (s *Service) roomStarted(r *Room) {
	s.metrics.rooms.Inc()
	s.counts.online.Add(1)
	r.scheduleCheck()
}

func (s *Service) roomEnded(r *Room) {
	s.metrics.rooms.Dec()
	s.counts.online.Add(-1)
	if r.dormant > 0 {
		r.dormant = 0
		s.counts.hibernated.Add(-1)
	}
	s.mu.Lock()
	delete(s.listed, r.jid)
	s.mu.Unlock()
}

func (s *Service) occupantEntered() { s.metrics.occupants.Inc() }
func (s *Service) occupantLeft()    { s.metrics.occupants.Dec() }
