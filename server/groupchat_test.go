package server

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/muster-im/muster/groups"
	"github.com/muster-im/muster/internal/pgtest"
	"github.com/muster-im/muster/internal/roomfeatures"
	"github.com/muster-im/muster/internal/sqlstore"
	"github.com/muster-im/muster/internal/store"
	"github.com/muster-im/muster/internal/userdata"
	"github.com/muster-im/muster/jid"
	"github.com/muster-im/muster/muc"
	"github.com/muster-im/muster/stanza"
)

const chatDomain = "groups.example.org"

// fault is what becomes of a write.
type fault int

const (
	lost     fault = iota // it fails
	unheard               // it is stored, and fails all the same
	theEnd                // the process ends before it
	endAfter              // the process ends after it
)

var errFault = errors.New("injected")

// faultyDB is a database in which one write goes wrong.
type faultyDB struct {
	*sqlstore.DB
	mu    sync.Mutex
	after int // writes until then; negative: none goes wrong
	fault fault
	dead  bool
	count int
}

// write does a write, or what the fault makes of it.
func (f *faultyDB) write(do func() error) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.dead {
		return errFault
	}
	if f.count++; f.count != f.after {
		return do()
	}
	if f.dead = f.fault == theEnd || f.fault == endAfter; f.fault == unheard || f.fault == endAfter {
		if err := do(); err != nil {
			return err
		}
	}
	return errFault
}

func (f *faultyDB) ChangeGroup(ctx context.Context, c *groups.StoredChange) (revision int64, err error) {
	err = f.write(func() (err error) { revision, err = f.DB.ChangeGroup(ctx, c); return err })
	return revision, err
}

func (f *faultyDB) GroupTaskDone(ctx context.Context, t groups.Task, closed []jid.JID) error {
	return f.write(func() error { return f.DB.GroupTaskDone(ctx, t, closed) })
}

func (f *faultyDB) EditBookmarks(ctx context.Context, room jid.JID, people []jid.JID, l store.PrivateLimits, edit func(*store.Bookmarks)) error {
	return f.write(func() error { return f.DB.EditBookmarks(ctx, room, people, l, edit) })
}

func (f *faultyDB) ApplyRoomChange(ctx context.Context, room jid.JID, epoch int64, c muc.RoomChange) error {
	return f.write(func() error { return f.DB.ApplyRoomChange(ctx, room, epoch, c) })
}

func (f *faultyDB) DeleteRoom(ctx context.Context, room jid.JID, epoch int64, t *muc.Tombstone) error {
	return f.write(func() error { return f.DB.DeleteRoom(ctx, room, epoch, t) })
}

// everybody has an account.
type everybody struct{}

func (everybody) IsHost(domain string) bool                     { return domain == "example.org" }
func (everybody) Exists(context.Context, jid.JID) (bool, error) { return true, nil }

// chatWorld is groups with their chats, on a database that may fail.
type chatWorld struct {
	t       *testing.T
	db      *faultyDB
	groups  *groups.Service
	rooms   *muc.Service
	chats   *groupChats
	mu      sync.Mutex
	invited map[string]int // by room and person
	maxName int            // of rooms

	homeless bool // chats have no host

	creating func() // runs before the room of a chat is made; nil: nothing
}

func newChatWorld(t *testing.T, db *sqlstore.DB, after int, f fault) *chatWorld {
	t.Helper()
	w := &chatWorld{t: t, db: &faultyDB{DB: db, after: after, fault: f}, invited: make(map[string]int)}
	w.begin()
	return w
}

// Send implements muc.Router.
func (w *chatWorld) Send(st stanza.Stanza) {
	if st.Child(stanza.NSConference, "x") != nil {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.invited[st.From.Local()+" "+st.To.Local()]++
	}
}

// Target implements muc.Router: nobody enters.
func (w *chatWorld) Target(jid.JID) stanza.Target { return nil }

// begin starts everything on the database.
func (w *chatWorld) begin() {
	w.t.Helper()
	feature := &roomfeatures.GroupChats{Gone: func(group string) { w.groups.ChatGone(groups.ID(group)) }}
	rooms, err := muc.New(muc.Options{
		Domain: chatDomain, Router: w, Store: w.db, MaxName: w.maxName, Extensions: append(roomfeatures.All(roomfeatures.Options{}), feature),
	})
	if err != nil {
		w.t.Fatal(err)
	}
	w.rooms = rooms
	w.chats = &groupChats{
		domain: chatDomain, rooms: func(string) *muc.Service { return rooms }, stored: w.db.Room, feature: feature,
		bookmarks: userdata.New(userdata.Options{Store: w.db}), send: w.Send, maxName: w.maxName,
	}
	o := groups.Options{Store: w.db, Accounts: everybody{}}
	if !w.homeless {
		o.ChatHost, o.Chats = chatDomain, racingChats{w.chats, w}
	}
	w.groups = groups.New(o)
	if err := w.groups.Start(w.t.Context()); err != nil && !w.db.dead {
		w.t.Fatal(err)
	}
}

// racingChats lets something happen before a room is made.
type racingChats struct {
	*groupChats

	w *chatWorld
}

func (c racingChats) Create(ctx context.Context, chat groups.GroupChat) error {
	if c.w.creating != nil {
		c.w.creating()
	}
	return c.groupChats.Create(ctx, chat)
}

func (w *chatWorld) end() {
	w.groups.Close()
	if err := w.rooms.Shutdown(context.Background()); err != nil && !w.db.dead {
		w.t.Error(err)
	}
}

// restart begins anew on the same data, without faults.
func (w *chatWorld) restart() {
	w.end()
	w.db = &faultyDB{DB: w.db.DB, after: -1}
	w.begin()
}

func person(name string) jid.JID { return jid.MustParse(name + "@example.org") }

// scenario is a life of two groups. What fails is left out: the groups say what
// has become of them.
func (w *chatWorld) scenario() {
	g, ctx, by := w.groups, w.t.Context(), groups.Cause{}
	name := "Команда 🚀"
	add := func(user string, role groups.Role) {
		_, _ = g.AddMember(ctx, "team", groups.Joining{User: person(user), Role: role}, by)
	}
	_, _ = g.Create(ctx, groups.NewGroup{ID: "team", Name: "Team", DefaultChat: true}, by)
	add("anna", groups.RoleOwner)
	add("ben", "")
	add("cem", groups.RoleAdmin)
	_, _ = g.PutGroupChat(ctx, "team", groups.NewChat{ID: "second", Name: "Second"}, by)
	_, _ = g.RemoveMember(ctx, "team", person("ben"), by)
	add("cem", groups.RoleMember)
	_, _ = g.SetInfo(ctx, "team", groups.Update{Name: &name}, by)
	add("ben", "")
	_ = g.RemoveGroupChat(ctx, "team", "second", by)
	_, _ = g.SetMembers(ctx, "team", []groups.Joining{{User: person("cem")}, {User: person("dora"), Role: groups.RoleOwner}}, by)
	_, _ = g.Create(ctx, groups.NewGroup{ID: "other", Name: "Other", DefaultChat: true}, by)
	_, _ = g.AddMember(ctx, "other", groups.Joining{User: person("dora")}, by)
	_ = g.Delete(ctx, "other", by)
	_ = g.AccountDeleted(ctx, person("cem"))
}

// state is what rooms and bookmarks are, as text.
func (w *chatWorld) state() (state []string) {
	w.t.Helper()
	ctx := w.t.Context()
	list, err := w.db.Rooms(ctx, muc.RoomsQuery{Service: chatDomain, Limit: 100})
	if err != nil {
		w.t.Fatal(err)
	}
	for _, d := range list {
		rec, err := w.db.Room(ctx, d.JID)
		if err != nil {
			w.t.Fatal(err)
		}
		if rec.Tombstone != nil {
			continue
		}
		people := make(map[string]string)
		for _, a := range rec.Affiliations {
			if a.Affiliation != muc.None {
				people[a.JID.Local()] = a.Affiliation.String()
			}
		}
		state = append(state, fmt.Sprintf("room %s %q %v", d.JID.Local(), d.Name, sorted(people)))
	}
	for _, user := range []string{"anna", "ben", "cem", "dora"} {
		data, err := w.db.PrivateData(ctx, person(user), store.BookmarksSpace, store.BookmarksName)
		if err != nil {
			w.t.Fatal(err)
		}
		state = append(state, bookmarksOf(w.t, user, data)...)
	}
	slices.Sort(state)
	return state
}

func sorted(m map[string]string) (list []string) {
	for _, k := range slices.Sorted(maps.Keys(m)) {
		list = append(list, k+" "+m[k])
	}
	return list
}

func bookmarksOf(t *testing.T, user string, data []byte) (list []string) {
	t.Helper()
	if len(data) == 0 {
		return nil
	}
	e, err := stanza.ParseDocument(data)
	if err != nil {
		t.Fatal(err)
	}
	for c := range e.Elements() {
		list = append(list, fmt.Sprintf("bookmark of %s: %s %q", user, jid.MustParse(c.Attr("jid")).Local(), c.Attr("name")))
	}
	return list
}

// wanted is what rooms and bookmarks should be, by what the groups say.
func (w *chatWorld) wanted() (state []string) {
	w.t.Helper()
	ctx := w.t.Context()
	for info, err := range w.groups.Groups(ctx) {
		if err != nil {
			w.t.Fatal(err)
		}
		members, err := w.groups.Members(ctx, info.ID)
		if err != nil {
			w.t.Fatal(err)
		}
		chats, err := w.groups.GroupChats(ctx, info.ID)
		if err != nil {
			w.t.Fatal(err)
		}
		for _, c := range chats {
			if c.Deleted {
				w.t.Errorf("the chat %s of %s is gone", c.ID, info.ID)
			}
			name := c.Name
			if c.JID == info.MUCJID {
				name = info.Name
			}
			people := make(map[string]string)
			for _, m := range members {
				people[m.User.Local()] = chatAffiliation(m.Role).String()
				state = append(state, fmt.Sprintf("bookmark of %s: %s %q", m.User.Local(), c.ID, name))
			}
			state = append(state, fmt.Sprintf("room %s %q %v", c.ID, name, sorted(people)))
		}
	}
	slices.Sort(state)
	return state
}

func (w *chatWorld) check() {
	w.t.Helper()
	synctest.Wait() // somebody else may do what a change leaves to be done
	got, want := strings.Join(w.state(), "\n"), strings.Join(w.wanted(), "\n")
	if got != want {
		w.t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, s := range w.wanted() {
		var user, room, name string
		if n, _ := fmt.Sscanf(s, "bookmark of %s %s %q", &user, &room, &name); n == 3 {
			if key := room + " " + strings.TrimSuffix(user, ":"); w.invited[key] == 0 {
				w.t.Errorf("%s was not invited", key)
			}
		}
	}
}

// TestGroupChatsAfterFaults lets each write of a life of groups go wrong, in each
// way, and compares rooms and bookmarks with the groups once there was time to
// try again, or another start.
func TestGroupChatsAfterFaults(t *testing.T) {
	t.Parallel()
	t.Run("sqlite", func(t *testing.T) {
		t.Parallel()
		step := 1
		if testing.Short() {
			step = 9
		}
		afterFaults(t, step, func(t *testing.T) sqlstore.Options {
			t.Helper()
			return sqlstore.Options{Driver: sqlstore.SQLite, Dir: t.TempDir()}
		})
	})
	t.Run("postgres", func(t *testing.T) {
		t.Parallel()
		step := 5
		if testing.Short() {
			step = 17
		}
		afterFaults(t, step, func(t *testing.T) sqlstore.Options { // each one is a schema with all its tables
			t.Helper()
			dsn, schema := pgtest.Schema(t)
			return sqlstore.Options{Driver: sqlstore.Postgres, URL: dsn, Schema: schema, MaxConns: 4}
		})
	})
}

// afterFaults lets every step-th write go wrong.
func afterFaults(t *testing.T, step int, storage func(t *testing.T) sqlstore.Options) {
	t.Helper()
	writes := 0
	inChats(t, storage(t), -1, lost, func(w *chatWorld) {
		w.scenario()
		w.check()
		writes = w.db.count
		if state := w.state(); len(state) != 2 {
			w.t.Errorf("at the end there is\n%s", strings.Join(state, "\n"))
		}
	})
	if writes < 30 {
		t.Errorf("%d writes, which is no life", writes)
	}
	for n := 1; n <= writes; n += step {
		for f, name := range map[fault]string{lost: "lost", unheard: "unheard", theEnd: "the end", endAfter: "the end after"} {
			t.Run(fmt.Sprintf("%s %d", name, n), func(t *testing.T) {
				t.Parallel()
				inChats(t, storage(t), n, f, func(w *chatWorld) {
					w.scenario()
					if f == theEnd || f == endAfter {
						w.restart()
					}
					<-time.After(10 * time.Minute) // what fails is tried again
					synctest.Wait()
					w.check()
				})
			})
		}
	}
}

// TestDestroyedRoom: a chat whose room an administrator destroys is in nobody's
// bookmarks any more, and the group shows it as gone; asked for, it is made again.
func TestDestroyedRoom(t *testing.T) {
	t.Parallel()
	inChatWorld(t, -1, lost, func(w *chatWorld) {
		ctx, by := w.t.Context(), groups.Cause{}
		put := func() {
			w.t.Helper()
			if _, err := w.groups.PutGroupChat(ctx, "team", groups.NewChat{ID: "hall", Name: "Hall"}, by); err != nil {
				w.t.Fatal(err)
			}
		}
		if _, err := w.groups.Create(ctx, groups.NewGroup{ID: "team", Name: "Team"}, by); err != nil {
			w.t.Fatal(err)
		}
		if _, err := w.groups.AddMember(ctx, "team", groups.Joining{User: person("anna")}, by); err != nil {
			w.t.Fatal(err)
		}
		put()
		h, err := w.rooms.Room(ctx, jid.MustParse("hall@"+chatDomain))
		if err != nil {
			w.t.Fatal(err)
		}
		if err := h.Do(ctx, func(r *muc.Room) error { return r.Destroy(muc.System, "", jid.JID{}) }); err != nil {
			w.t.Fatal(err)
		}
		synctest.Wait()
		if state := w.state(); len(state) != 0 {
			w.t.Errorf("there is\n%s", strings.Join(state, "\n"))
		}
		chats, err := w.groups.GroupChats(ctx, "team")
		if err != nil || len(chats) != 1 || !chats[0].Deleted {
			w.t.Errorf("the group's chats are %+v (%v)", chats, err)
		}
		put()
		w.check()
	})
}

// TestRoomOfPeople: a room that people own becomes no group's, not even one that
// they make while the group's chat is being made.
func TestRoomOfPeople(t *testing.T) {
	t.Parallel()
	inChatWorld(t, -1, lost, func(w *chatWorld) {
		ctx, by, room := w.t.Context(), groups.Cause{}, jid.MustParse("lounge@"+chatDomain)
		own := func() {
			w.t.Helper()
			_, err := w.rooms.CreateRoom(ctx, room, func(r *muc.Room) error {
				if _, err := r.Configure(muc.System, map[string][]string{muc.FieldPersistent: {"1"}}); err != nil {
					return err
				}
				return r.SetAffiliation(muc.System, person("dora"), muc.Owner, muc.AffiliationOptions{})
			})
			if err != nil {
				w.t.Fatal(err)
			}
		}
		still := func(when string) {
			w.t.Helper()
			rec, err := w.db.Room(ctx, room)
			if err != nil || len(rec.Affiliations) != 1 || rec.Affiliations[0].JID != person("dora") || rec.Affiliations[0].Affiliation != muc.Owner {
				w.t.Errorf("%s the room is %+v (%v)", when, rec, err)
			}
		}
		if _, err := w.groups.Create(ctx, groups.NewGroup{ID: "team", Name: "Team"}, by); err != nil {
			w.t.Fatal(err)
		}
		put := func() error {
			_, err := w.groups.PutGroupChat(ctx, "team", groups.NewChat{ID: "lounge", Name: "Lounge"}, by)
			return err
		}
		own()
		if err := put(); !errors.Is(err, groups.ErrChatConflict) {
			w.t.Errorf("got %v, want %v", err, groups.ErrChatConflict)
		}
		still("after that")

		// The same a moment later: the room is not there when it is asked for.
		h, err := w.rooms.Room(ctx, room)
		if err != nil {
			w.t.Fatal(err)
		}
		if err := h.Do(ctx, func(r *muc.Room) error { return r.Destroy(muc.System, "", jid.JID{}) }); err != nil {
			w.t.Fatal(err)
		}
		w.creating = func() { w.creating = nil; own() }
		if err := put(); err != nil {
			w.t.Fatal(err)
		}
		if _, err := w.groups.AddMember(ctx, "team", groups.Joining{User: person("ben")}, by); err != nil {
			w.t.Fatal(err)
		}
		still("after a race")
		chats, err := w.groups.GroupChats(ctx, "team")
		if err != nil || len(chats) != 1 || !chats[0].Deleted {
			w.t.Errorf("the group's chats are %+v (%v)", chats, err)
		}
		w.restart()
		<-time.After(time.Minute)
		synctest.Wait()
		still("after a start")
		if err := w.groups.Delete(ctx, "team", by); err != nil {
			w.t.Fatal(err)
		}
		still("after the group")
		if state := w.state(); len(state) != 1 {
			w.t.Errorf("there is\n%s", strings.Join(state, "\n"))
		}
	})
}

// TestGroupChatWithLongName: a room that must have a short name has the beginning
// of its group's, and nothing is tried again and again.
func TestGroupChatWithLongName(t *testing.T) {
	t.Parallel()
	for most, want := range map[int][2]string{0: {"Red team 🚀", "Команда 🚀"}, 10: {"Red team", "Коман"}, 11: {"Red team", "Коман"}, -1: {"", ""}} {
		inChatWorld(t, -1, lost, func(w *chatWorld) {
			w.maxName = most
			w.restart()
			ctx, by, name := w.t.Context(), groups.Cause{}, "Команда 🚀"
			info, err := w.groups.Create(ctx, groups.NewGroup{ID: "team", Name: "Red team 🚀", DefaultChat: true}, by)
			if err != nil {
				w.t.Fatal(err)
			}
			check := func(want string) {
				if v, err := w.rooms.View(ctx, info.MUCJID); err != nil || v.Name != want {
					w.t.Errorf("with %d bytes at most the room is %q, want %q (%v)", most, v.Name, want, err)
				}
				if tasks, err := w.db.GroupTasks(ctx); err != nil || len(tasks) > 0 {
					w.t.Errorf("with %d bytes at most %d tasks are left (%v)", most, len(tasks), err)
				}
			}
			check(want[0])
			if _, err := w.groups.SetInfo(ctx, "team", groups.Update{Name: &name}, by); err != nil {
				w.t.Fatal(err)
			}
			check(want[1])
		})
	}
}

// inChatWorld runs fn in a bubble with accounts and no groups.
func inChatWorld(t *testing.T, after int, f fault, fn func(w *chatWorld)) {
	t.Helper()
	inChats(t, sqlstore.Options{Driver: sqlstore.SQLite, Dir: t.TempDir()}, after, f, fn)
}

// inChats is inChatWorld on the storage that is given.
func inChats(t *testing.T, o sqlstore.Options, after int, f fault, fn func(w *chatWorld)) {
	t.Helper()
	o.Durability = sqlstore.DurabilityProcess
	synctest.Test(t, func(t *testing.T) {
		db, err := sqlstore.Open(t.Context(), o)
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{"anna", "ben", "cem", "dora"} {
			if err := db.CreateAccount(t.Context(), store.Account{JID: person(name)}); err != nil {
				t.Fatal(err)
			}
		}
		w := newChatWorld(t, db, after, f)
		fn(w)
		w.end()
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
}
