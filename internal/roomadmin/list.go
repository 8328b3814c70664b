package roomadmin

import (
	"cmp"
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/muster-im/muster/internal/store"
	"github.com/muster-im/muster/jid"
	"github.com/muster-im/muster/muc"
)

// Bounds of pages.
const (
	defaultPage  = 100
	maxPage      = 1000
	historyPage  = 50
	historyMost  = 500
	maxHidden    = 10_000 // hidden rooms of one account that a list as he sees it knows
	usePrecision = time.Hour
)

func limit(asked, otherwise, most int) (int, error) {
	switch {
	case asked < 0 || asked > most:
		return 0, invalid("limit", "want a number from 1 to %d, got %d", most, asked)
	case asked == 0:
		return otherwise, nil
	}
	return asked, nil
}

// List returns a page of the rooms of a host, by name. Stored rooms come from the
// database and stay asleep.
func (a *Admin) List(ctx context.Context, q ListQuery) (page RoomPage, err error) {
	defer func() { err = a.finish("list", jid.JID{}, err) }()
	page.Rooms = []Room{}
	s, err := a.service(q.Host)
	if err != nil {
		return page, err
	}
	n, err := limit(q.Limit, defaultPage, maxPage)
	if err != nil {
		return page, err
	}
	shown, err := a.visible(ctx, s, q.As)
	if err != nil {
		return page, err
	}
	search := store.RoomSearch{Service: s.Domain().Domain(), After: q.After, Limit: n + 1, Contains: q.Search, Of: q.Of.Bare()}
	for len(page.Rooms) <= n {
		found, err := a.Store.FindRooms(ctx, search)
		if err != nil {
			return page, err
		}
		before := ""
		if len(found) == search.Limit {
			before = found[len(found)-1].JID.Local()
		}
		page.Rooms = append(page.Rooms, slices.DeleteFunc(merge(s, &search, found, before), func(r Room) bool { return !shown(&r) })...)
		if before == "" {
			break
		}
		search.After = before
	}
	if len(page.Rooms) > n {
		page.Rooms = page.Rooms[:n]
		page.Next = page.Rooms[n-1].JID.Local()
	}
	return page, nil
}

// visible says which rooms somebody sees in a list: all if he is nobody or an
// administrator of the service, else public ones and those he belongs to.
func (a *Admin) visible(ctx context.Context, s *muc.Service, as jid.JID) (func(*Room) bool, error) {
	if as.IsZero() || s.IsAdministrator(as) {
		return func(*Room) bool { return true }, nil
	}
	own, err := a.Store.FindRooms(ctx, store.RoomSearch{Service: s.Domain().Domain(), Limit: maxHidden, Of: as.Bare()})
	if err != nil {
		return nil, err
	}
	belongs := make(map[jid.JID]bool, len(own))
	for i := range own {
		belongs[own[i].JID] = own[i].Affiliation != muc.Outcast.String()
	}
	return func(r *Room) bool { return r.Public || belongs[r.JID] }, nil
}

// merge adds to a page of stored rooms, behind s.After and up to last ("": all),
// the ones that are in memory only, and to each what only memory knows.
func merge(s *muc.Service, q *store.RoomSearch, found []store.FoundRoom, last string) []Room {
	rooms := make([]Room, 0, len(found))
	stored := make(map[jid.JID]bool, len(found))
	for i := range found {
		f := &found[i]
		r := Room{JID: f.JID, Title: f.Name, Public: f.Public, Persistent: true, Created: f.Created, Used: &f.Used, Affiliation: f.Affiliation}
		r.Occupants, r.Awake = s.Inside(f.JID)
		stored[f.JID] = true
		rooms = append(rooms, r)
	}
	if !q.UsedBefore.IsZero() {
		return rooms
	}
	for _, d := range s.Temporary() {
		r := Room{JID: d.JID, Title: d.Name, Public: d.Public}
		r.Occupants, r.Awake = s.Inside(d.JID)
		if local := d.JID.Local(); !r.Awake || stored[d.JID] || local <= q.After || last != "" && local > last ||
			!q.Of.IsZero() || !contains(&r, q.Contains) {
			continue
		}
		rooms = append(rooms, r)
	}
	slices.SortFunc(rooms, func(x, y Room) int { return cmp.Compare(x.JID.Local(), y.JID.Local()) })
	return rooms
}

func contains(r *Room, part string) bool {
	part = strings.ToLower(part)
	return strings.Contains(strings.ToLower(r.JID.Local()), part) || strings.Contains(strings.ToLower(r.Title), part)
}

// look adds what memory knows of a room, if it is there.
func look(ctx context.Context, s *muc.Service, r *Room, of jid.JID) error {
	_, err := s.Awake(ctx, r.JID, func(in *muc.Room) error {
		r.fill(in)
		if e := in.Entry(of); e.Affiliation != muc.None {
			r.Affiliation = e.Affiliation.String()
		}
		for o := range in.Occupants() {
			if o.RealJID() == of {
				r.Nicks = append(r.Nicks, o.Nick())
			}
		}
		slices.Sort(r.Nicks)
		return nil
	})
	if errors.Is(err, muc.ErrNoRoom) {
		return nil
	}
	return err
}

// fill takes over how the room stands.
func (r *Room) fill(in *muc.Room) {
	r.JID, r.Title, r.Public, r.Persistent = in.JID(), in.Name(), in.Public(), in.Persistent()
	r.Awake, r.Occupants, r.Created = true, in.NumOccupants(), in.Created()
	if used := in.LastUsed(); !used.IsZero() && (r.Used == nil || used.After(*r.Used)) {
		r.Used = &used
	}
}

// UserRooms returns the rooms of a host in which an account has an affiliation
// or is inside, by name. Rooms with people in them are asked.
func (a *Admin) UserRooms(ctx context.Context, host string, account jid.JID) (rooms []Room, err error) {
	defer func() { err = a.finish("user rooms", jid.JID{}, err) }()
	s, err := a.service(host)
	if err != nil {
		return []Room{}, err
	}
	account = account.Bare()
	search := store.RoomSearch{Service: s.Domain().Domain(), Limit: maxPage, Of: account}
	belongs := make(map[jid.JID]Room)
	for more := true; more; {
		found, err := a.Store.FindRooms(ctx, search)
		if err != nil {
			return []Room{}, err
		}
		for _, r := range merge(s, &search, found, "") {
			belongs[r.JID] = r
			search.After = r.JID.Local()
		}
		more = len(found) == search.Limit
	}
	for _, j := range s.Occupied() {
		r := belongs[j]
		r.JID = j
		if err := look(ctx, s, &r, account); err != nil {
			return []Room{}, err
		}
		if r.Affiliation != "" || len(r.Nicks) > 0 {
			belongs[j] = r
		}
	}
	rooms = slices.AppendSeq([]Room{}, maps.Values(belongs))
	slices.SortFunc(rooms, func(x, y Room) int { return cmp.Compare(x.JID.Local(), y.JID.Local()) })
	return rooms, nil
}

// Unused returns a page of the stored rooms of a host that nobody has been in
// for a while, by name.
func (a *Admin) Unused(ctx context.Context, q UnusedQuery) (page RoomPage, err error) {
	defer func() { err = a.finish("unused", jid.JID{}, err) }()
	return a.unused(ctx, &q)
}

func (a *Admin) unused(ctx context.Context, q *UnusedQuery) (page RoomPage, err error) {
	page.Rooms = []Room{}
	s, err := a.service(q.Host)
	if err != nil {
		return page, err
	}
	n, err := limit(q.Limit, defaultPage, maxPage)
	switch {
	case err != nil:
		return page, err
	case q.Idle < usePrecision:
		return page, invalid("idle", "want an hour at least, got %v: it is known to the hour when a room was used", q.Idle)
	}
	search := store.RoomSearch{Service: s.Domain().Domain(), After: q.After, Limit: n, UsedBefore: time.Now().Add(-q.Idle)}
	found, err := a.Store.FindRooms(ctx, search)
	if err != nil {
		return page, err
	}
	page.Rooms = merge(s, &search, found, "")
	page.Rooms = slices.DeleteFunc(page.Rooms, func(r Room) bool { return r.Occupants > 0 || !r.Used.Before(search.UsedBefore) })
	if len(found) == n {
		page.Next = found[n-1].JID.Local()
	}
	return page, nil
}

// DestroyUnused destroys the rooms of one page of Unused. Each is asked once
// more: who enters meanwhile keeps his room. What it returns is what was
// destroyed, or would be.
func (a *Admin) DestroyUnused(ctx context.Context, q UnusedQuery) (page RoomPage, err error) {
	defer func() { err = a.finish("destroy unused", jid.JID{}, err) }()
	page, err = a.unused(ctx, &q)
	if err != nil || q.DryRun {
		return page, err
	}
	page.Rooms, err = a.destroyIdle(ctx, page.Rooms, q)
	return page, err
}

// destroyIdle destroys those of rooms that are still unused, and returns them.
func (a *Admin) destroyIdle(ctx context.Context, rooms []Room, q UnusedQuery) ([]Room, error) {
	since := time.Now().Add(-q.Idle)
	gone := make([]Room, 0, len(rooms))
	for _, r := range rooms {
		if stale, err := a.stale(ctx, r.JID, since); err != nil || !stale {
			if err != nil {
				return gone, err
			}
			continue
		}
		err := a.do(ctx, r.JID, func(in *muc.Room) error {
			if in.NumOccupants() > 0 || in.LastUsed().After(since) {
				return errInUse
			}
			return in.Destroy(muc.System, cmp.Or(q.Reason, "Nobody has used the room for a long time."), jid.JID{})
		})
		switch {
		case errors.Is(err, errInUse), errors.Is(err, muc.ErrNoRoom):
			continue
		case err != nil:
			return gone, a.explain(r.JID, err)
		}
		a.note(ctx, "room destroyed", r.JID, jid.JID{})
		gone = append(gone, r)
	}
	return gone, nil
}

// stale reports whether the database knows of no use of a room since a time.
func (a *Admin) stale(ctx context.Context, room jid.JID, since time.Time) (bool, error) {
	rooms, err := a.Store.FindRooms(ctx, store.RoomSearch{Service: room.Domain(), Local: room.Local(), UsedBefore: since, Limit: 1})
	return len(rooms) > 0, err
}

var errInUse = errors.New("the room is in use")
