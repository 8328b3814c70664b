package app

import (
	"crypto/tls"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/muster-im/muster/internal/admin"
	"github.com/muster-im/muster/internal/client"
	"github.com/muster-im/muster/internal/pgtest"
	"github.com/muster-im/muster/internal/roomadmin"
	"github.com/muster-im/muster/stanza"
)

// onStorages runs a test with the lines of a configuration that say where data is:
// in SQLite, and in PostgreSQL if there is one.
func onStorages(t *testing.T, test func(t *testing.T, storage string)) {
	t.Helper()
	t.Run("sqlite", func(t *testing.T) {
		t.Parallel()
		test(t, "")
	})
	t.Run("postgres", func(t *testing.T) {
		t.Parallel()
		test(t, fmt.Sprintf("[storage]\ndriver = \"postgres\"\nurl = %q\n", pgtest.SchemaAddress(t)))
	})
}

// killing is a server that is killed while groups are changed.
type killing struct {
	t      *testing.T
	file   string
	admin  *admin.Client
	people []string
}

// start starts the server. end kills it and waits for that.
func (k *killing) start() (end func()) {
	k.t.Helper()
	p := start(k.t, "serve", "--config", k.file)
	p.await(k.t, `msg="server started"`)
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		_ = p.wait() // killed
	}()
	return func() {
		p.signal(k.t, os.Kill)
		<-gone
	}
}

// change lets several administrators add and remove people until it is over, and
// kill when so many changes have been answered.
func (k *killing) change(r *rand.Rand, most int64, kill func()) {
	k.t.Helper()
	var answered atomic.Int64
	var once sync.Once
	over := make(chan struct{})
	var wg sync.WaitGroup
	for range 3 {
		dice := rand.New(rand.NewPCG(r.Uint64(), 1)) //nolint:gosec // a test
		wg.Go(func() {
			for {
				select {
				case <-over:
					return
				default:
				}
				in := admin.GroupMemberChanges{Items: []admin.GroupMemberChange{{JID: k.people[dice.IntN(len(k.people))]}}}
				if dice.IntN(3) == 0 {
					in.Items[0].Role = "none"
				}
				if err := k.admin.Do(k.t.Context(), http.MethodPatch, "/groups/team/members", in, nil); err != nil {
					once.Do(func() { close(over) })
					return // killed
				}
				if answered.Add(1) >= most {
					once.Do(func() { close(over) })
				}
			}
		})
	}
	<-over
	kill() // others are on their way
	wg.Wait()
}

// roster logs somebody in and asks for what he has: his contacts and his
// bookmarks.
func (k *killing) roster(name string) (contacts, bookmarks string) {
	k.t.Helper()
	ctx := k.t.Context()
	info, err := k.admin.Info(ctx)
	if err != nil {
		k.t.Fatal(err)
	}
	c, err := client.Dial(ctx, client.Options{
		Addr: info.Listeners[0].Address, Domain: "localhost", Username: name, Password: "secret",
		TLSConfig: &tls.Config{InsecureSkipVerify: true}, //nolint:gosec // its own certificate
	})
	if err != nil {
		k.t.Fatal(err)
	}
	defer c.Close() //nolint:errcheck // it has said what it has
	ask := func(payload *stanza.Element) *stanza.Element {
		answer, err := c.IQ(ctx, stanza.Stanza{Type: stanza.TypeGet}.With(payload))
		if err != nil {
			k.t.Fatal(err)
		}
		return answer.Payload()
	}
	var list []string
	for item := range ask(stanza.NewElement(stanza.NSRoster, "query")).Elements() {
		text := item.Attr("jid") + " " + item.Attr("subscription")
		for g := range item.Elements() {
			text += " " + g.Text()
		}
		list = append(list, text)
	}
	slices.Sort(list)
	private := stanza.NewElement("jabber:iq:private", "query")
	var rooms []string
	if storage := ask(private.Add(stanza.NewElement("storage:bookmarks", "storage"))).Child("storage:bookmarks", "storage"); storage != nil {
		for b := range storage.Elements() {
			rooms = append(rooms, b.Attr("jid"))
		}
	}
	return strings.Join(list, ", "), strings.Join(rooms, ", ")
}

// group reads the group.
func (k *killing) group() (g admin.Group) {
	k.t.Helper()
	if err := k.admin.Do(k.t.Context(), http.MethodGet, "/groups/team", nil, &g); err != nil {
		k.t.Fatal(err)
	}
	return g
}

// check compares what people have with what the group says. It reports whether
// the group was the same all the time: otherwise that says nothing.
func (k *killing) check(round int) bool {
	k.t.Helper()
	g := k.group()
	room := g.MUCJID.String()
	has, want := []string{}, []string{}
	for a, err := range admin.List[roomadmin.Affiliation](k.t.Context(), k.admin, admin.Path("rooms", room, "affiliations"), nil) {
		if err != nil {
			k.t.Fatal(err)
		}
		has = append(has, a.JID.Local()+" belongs to the room as "+a.Affiliation)
	}
	for _, name := range k.people {
		var list []string
		where := ""
		if _, ok := g.Members[name]; ok {
			want = append(want, name+" belongs to the room as member")
			where = room
			for other := range g.Members {
				if other != name {
					list = append(list, other+"@localhost both Team 🎉")
				}
			}
		}
		slices.Sort(list)
		want = append(want, fmt.Sprintf("%s has %q and the bookmarks %q", name, strings.Join(list, ", "), where))
		contacts, bookmarks := k.roster(name)
		has = append(has, fmt.Sprintf("%s has %q and the bookmarks %q", name, contacts, bookmarks))
	}
	if k.group().Revision != g.Revision {
		return false
	}
	slices.Sort(has)
	slices.Sort(want)
	if !slices.Equal(has, want) {
		k.t.Errorf("round %d:\n%s\nwant\n%s", round, strings.Join(has, "\n"), strings.Join(want, "\n"))
	}
	return true
}

// TestGroupsAfterKill: however a server ends while administrators change a group,
// contact lists, chats and bookmarks are what the group says when it is there
// again, on each engine; what a database has still had to finish is done by then.
func TestGroupsAfterKill(t *testing.T) {
	t.Parallel()
	onStorages(t, func(t *testing.T, storage string) {
		file, dataDir := configFile(t, "[modules.mod_groups_internal]\ngroups_muc_host = \"groups.localhost\"\n"+storage)
		k := &killing{t: t, file: file, admin: admin.NewClient(filepath.Join(dataDir, admin.SocketName))}
		kill := k.start()
		for i := range 6 {
			name := fmt.Sprint("user", i)
			k.people = append(k.people, name)
			if err := k.admin.Do(t.Context(), http.MethodPost, "/users", map[string]string{"name": name, "password": "secret"}, nil); err != nil {
				t.Fatal(err)
			}
		}
		in := admin.NewGroup{ID: "team", Name: "Team 🎉", Contract: "overlay", CreateMUC: true}
		if err := k.admin.Do(t.Context(), http.MethodPost, "/groups", in, nil); err != nil {
			t.Fatal(err)
		}
		r := rand.New(rand.NewPCG(1, 2)) //nolint:gosec // a test
		for round := range 4 {
			k.change(r, 5+r.Int64N(40), kill)
			kill = k.start()
			if !k.check(round) {
				t.Errorf("round %d: the group changes although nobody asks for that", round)
			}
		}
		kill()
	})
}
