package groups

import (
	"cmp"
	"context"
	"slices"
	"strconv"
	"time"

	"github.com/muster-im/muster/internal/shared"
	"github.com/muster-im/muster/jid"
)

// Store keeps groups. It is safe for concurrent use; every method is one
// transaction. Revisions rise over all groups, in the order of commits.
type Store interface {
	// Group returns a group by its id, ErrGroupNotFound if there is none.
	Group(ctx context.Context, id ID) (Record, error)
	// GroupNumber returns a group, a deleted one too, by its number.
	GroupNumber(ctx context.Context, number int64) (Record, error)
	// Groups returns a page of the groups whose ids are behind one, ordered by id.
	Groups(ctx context.Context, after ID, limit int) ([]Record, error)
	// GroupMembers returns who is, or has been, in a group, ordered by address and
	// revision; only one user if he is given.
	GroupMembers(ctx context.Context, number int64, user jid.JID) ([]MemberRecord, error)
	// GroupSpans returns when people are, or have been, members of a group, in any
	// order. What is not a membership yet is not among it.
	GroupSpans(ctx context.Context, number int64) ([]MemberSpan, error)
	// GroupsOf returns the groups of somebody, ordered by number: those in which he
	// is, or has been, or is a member of only.
	GroupsOf(ctx context.Context, user jid.JID, member bool) ([]Record, error)
	// ChangeGroup stores a change with its task and returns its revision. It fails
	// with ErrConflict, ErrChatConflict, ErrGroupNotFound, ErrUserNotFound or
	// ErrRevision.
	ChangeGroup(ctx context.Context, c *StoredChange) (revision int64, err error)
	// GroupTasks returns the tasks that are not done, the oldest first. It waits
	// for changes that are under way, be it for a server that is no more.
	GroupTasks(ctx context.Context) ([]Task, error)
	// GroupTaskDone removes the task of a change; if t.Data is not nil, that is what
	// is left of it. Rooms that it has closed are anybody's again, unless they have
	// been opened since.
	GroupTaskDone(ctx context.Context, t Task, closed []jid.JID) error
}

// Record is a stored group.
type Record struct {
	Number   int64 // names it for good: the revision at which it was made
	ID       ID
	Name     string
	Contract Contract
	Chats    []ChatRecord
	Revision int64
	Created  time.Time
	Deleted  bool // of a permanent group, contacts are left
}

// ChatRecord is a stored chat of a group.
type ChatRecord struct {
	JID     jid.JID
	Name    string
	Default bool
}

// MemberRecord is a stored membership.
type MemberRecord struct {
	User    jid.JID
	Role    Role
	Entered int64 // names it among those of the user: the revision at which it was stored
	Joined  int64 // the revision at which it began; 0: not yet, see Sync
	Left    int64 // the revision at which it ended; 0: not yet
	Since   time.Time
}

// MemberSpan is what contact lists need of a membership.
type MemberSpan struct {
	User         jid.JID
	Joined, Left int64 // as in MemberRecord
}

// This is the revision of the change itself, in a MemberRecord of it.
const This = -1

// StoredChange is what one transaction does to a group.
type StoredChange struct {
	Group    Record // as it becomes; Number 0: a new one. Number and Revision are the store's to set
	Expected int64  // the revision that it must have
	Put      []MemberRecord
	Drop     []MemberRecord
	// Newcomers have accounts when it is stored, and whoever removes one of them
	// later finds what is stored; otherwise it is an ErrUserNotFound.
	Newcomers []jid.JID
	// EndAll ends all memberships: in a permanent group they become past, in
	// another they go.
	EndAll bool
	// DropPast removes what has ended.
	DropPast bool
	// Open are the rooms that are the group's from now on; one that is another
	// group's is an ErrChatConflict.
	Open []jid.JID
	Task []byte // nil: none
}

// Task is what is to be done after a change.
type Task struct {
	Revision int64 // of the change
	Number   int64 // of the group
	Data     []byte
}

func (r *Record) info() Info {
	i := Info{ID: r.ID, Name: r.Name, Contract: r.Contract, Revision: r.Revision, Created: r.Created}
	for _, c := range r.Chats {
		i.MUCs = append(i.MUCs, c.JID)
		if c.Default {
			i.MUCJID = c.JID
		}
	}
	return i
}

// label is what contact lists show of a group.
func (r *Record) label() string {
	if r.Deleted {
		return ""
	}
	return r.Name
}

// key names a group among all sources.
func (r *Record) key() shared.Key { return shared.Key("g" + strconv.FormatInt(r.Number, 36)) }

// chat returns one of the group's chats, nil if it has none at that address.
func (r *Record) chat(room jid.JID) *ChatRecord {
	if i := slices.IndexFunc(r.Chats, func(c ChatRecord) bool { return c.JID == room }); i >= 0 {
		return &r.Chats[i]
	}
	return nil
}

func (c *ChatRecord) chat() Chat {
	return Chat{ID: c.JID.Local(), JID: c.JID, Name: c.Name, Default: c.Default}
}

func (m *MemberRecord) member() Member {
	return Member{User: m.User, Role: m.Role, Since: m.Since, Delayed: m.Joined == 0}
}

// entries makes what contact lists need of memberships.
func entries(spans []MemberSpan) []shared.Entry {
	inOrder := func(a, b MemberSpan) int {
		return cmp.Or(shared.Compare(a.User, b.User), cmp.Compare(a.Joined, b.Joined))
	}
	if !slices.IsSortedFunc(spans, inOrder) {
		slices.SortFunc(spans, inOrder)
	}
	list := make([]shared.Entry, 0, len(spans))
	for i := range spans {
		m := &spans[i]
		span := shared.Span{Joined: m.Joined, Left: m.Left}
		if last := len(list) - 1; last >= 0 && list[last].JID == m.User {
			list[last].Earlier = append(list[last].Earlier, list[last].Span)
			list[last].Span = span
			continue
		}
		list = append(list, shared.Entry{JID: m.User, Span: span})
	}
	return list
}

// spans are the memberships among rows.
func spans(rows []MemberRecord) (list []MemberSpan) {
	for i := range rows {
		if r := &rows[i]; r.Joined != 0 {
			list = append(list, MemberSpan{User: r.User, Joined: r.Joined, Left: r.Left})
		}
	}
	return list
}

func (r *Record) snapshot(spans []MemberSpan) *shared.Snapshot {
	return shared.NewSnapshot(shared.SnapshotOptions{
		Key: r.key(), Label: r.label(), Contract: r.Contract, Revision: r.Revision, Entries: entries(spans),
	})
}

// resolve puts a change's revision in its place.
func (m *MemberRecord) resolve(revision int64) {
	for _, at := range []*int64{&m.Entered, &m.Joined, &m.Left} {
		if *at == This {
			*at = revision
		}
	}
}

// byUser orders rows as the store does.
func byUser(rows []MemberRecord) map[jid.JID][]MemberRecord {
	m := make(map[jid.JID][]MemberRecord)
	for _, r := range rows {
		m[r.User] = append(m[r.User], r)
	}
	return m
}

// current returns the membership among somebody's rows, nil if there is none.
func current(rows []MemberRecord) *MemberRecord {
	if i := slices.IndexFunc(rows, func(r MemberRecord) bool { return r.Left == 0 }); i >= 0 {
		return &rows[i]
	}
	return nil
}
