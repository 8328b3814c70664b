package app

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/muster-im/muster/groups"
	"github.com/muster-im/muster/internal/admin"
	"github.com/muster-im/muster/internal/api"
	"github.com/muster-im/muster/jid"
	"github.com/muster-im/muster/server"
	"github.com/muster-im/muster/stanza"
)

// chronicle is an extension that notes the events of groups.
type chronicle struct {
	mu     sync.Mutex
	events []string
}

func (*chronicle) Name() string { return "chronicle" }

func (c *chronicle) Register(r *server.Registrar) error {
	r.AddGroupHooks(func(h *groups.Hooks) {
		h.Created.Add("chronicle", 0, func(ev *groups.GroupEvent) { c.note("created %s %s", ev.Group, ev.Info.Name) })
		h.Renamed.Add("chronicle", 0, func(ev *groups.RenameEvent) { c.note("renamed %s %s to %s", ev.Group, ev.Old, ev.Info.Name) })
		h.Deleted.Add("chronicle", 0, func(ev *groups.GroupEvent) { c.note("deleted %s %s", ev.Group, ev.Info.Name) })
		h.MemberAdded.Add("chronicle", 0, func(ev *groups.MemberEvent) { c.note("added %s to %s as %s", ev.User, ev.Group, ev.Role) })
		h.MemberRemoved.Add("chronicle", 0, func(ev *groups.MemberEvent) { c.note("removed %s from %s", ev.User, ev.Info.Name) })
		h.ChatAdded.Add("chronicle", 0, func(ev *groups.ChatEvent) { c.note("chat %s %s of %s", ev.Chat.JID, ev.Chat.Name, ev.Group) })
		h.ChatRemoved.Add("chronicle", 0, func(ev *groups.ChatEvent) { c.note("no chat %s of %s", ev.Chat.ID, ev.Group) })
	})
	return nil
}

func (c *chronicle) note(format string, args ...any) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.events = append(c.events, fmt.Sprintf(format, args...))
}

func (c *chronicle) take() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	events := c.events
	c.events = nil
	return events
}

// TestGroupEvents: an extension hears of all that happens to groups, in order and
// when it is so: also of everybody whose membership a deletion ends.
func TestGroupEvents(t *testing.T) {
	t.Parallel()
	onStorages(t, func(t *testing.T, storage string) {
		o, c := newOffice(t, storage), &chronicle{}
		serving(t, o.file, c)
		romeo, juliet := o.person("romeo"), o.person("juliet")
		name := "Mantua 🚀"
		const room = "hall@groups.localhost"
		for _, step := range []struct {
			method, path string
			in           any
			want         []string
		}{
			{http.MethodPost, "/groups", admin.NewGroup{ID: "verona", Name: "Verona"}, []string{"created verona Verona"}},
			{http.MethodPut, "/groups/verona/members/romeo?role=owner", nil, []string{"added romeo@localhost to verona as owner"}},
			{http.MethodPut, "/groups/verona/members/romeo", nil, nil},
			{http.MethodPut, "/groups/verona/chats/hall", map[string]string{"name": "Hall"}, []string{"chat " + room + " Hall of verona"}},
			{http.MethodPut, "/groups/verona/members/juliet", nil, []string{"added juliet@localhost to verona as member"}},
			{http.MethodPut, "/groups/verona", admin.GroupUpdate{Name: &name}, []string{"renamed verona Verona to Mantua 🚀"}},
			{http.MethodDelete, "/groups/verona/members/juliet", nil, []string{"removed juliet@localhost from Mantua 🚀"}},
			{http.MethodPut, "/groups/verona/members/juliet", nil, []string{"added juliet@localhost to verona as member"}},
			{
				http.MethodDelete, "/groups/verona", nil,
				[]string{"removed juliet@localhost from Mantua 🚀", "removed romeo@localhost from Mantua 🚀", "no chat hall of verona", "deleted verona Mantua 🚀"},
			},
		} {
			o.do(step.method, step.path, step.in)
			if got := c.take(); !slices.Equal(got, step.want) {
				t.Errorf("%s %s: got %q, want %q", step.method, step.path, got, step.want)
			}
		}
		for _, w := range []*worker{romeo, juliet} {
			if w.catchUp(); len(w.contacts) != 1 || len(w.bookmarks()) != 0 {
				t.Errorf("%s has %v and the bookmarks %q", w.name, w.contacts, w.bookmarks())
			}
		}
	})
}

// revision does something to a group, as one of several administrators, and
// returns at which revision it has left the group.
func (o *office) revision(method, path string) (int64, error) {
	var d net.Dialer
	h := http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return d.DialContext(ctx, "unix", o.admin.Socket())
	}}}
	req, err := http.NewRequestWithContext(o.t.Context(), method, "http://muster"+api.Prefix+path, http.NoBody)
	if err != nil {
		return 0, err
	}
	resp, err := h.Do(req)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close() //nolint:errcheck // nothing is in it
	if resp.StatusCode != http.StatusNoContent {
		return 0, fmt.Errorf("%s %s: %s", method, path, resp.Status)
	}
	return strconv.ParseInt(strings.Trim(resp.Header.Get("ETag"), `"`), 10, 64)
}

// TestAddAndRemoveAtOnce: of two administrators, one of whom adds whom the other
// removes, the one with the later revision has his way: in the group, in the
// contact lists and the presence that people see, in the chat, among bookmarks.
func TestAddAndRemoveAtOnce(t *testing.T) {
	t.Parallel()
	onStorages(t, func(t *testing.T, storage string) {
		o := newOffice(t, storage)
		serving(t, o.file)
		romeo, juliet := o.person("romeo"), o.person("juliet")
		o.do(http.MethodPost, "/groups", admin.NewGroup{ID: "verona", Name: "Verona", Contract: "overlay"})
		o.do(http.MethodPut, "/groups/verona/chats/hall", map[string]string{"name": "Hall"})
		o.do(http.MethodPut, "/groups/verona/members/romeo", nil)
		wins := map[bool]int{}
		for round := range 30 {
			var added, removed int64
			var errs [2]error
			both := []func(){
				func() { added, errs[0] = o.revision(http.MethodPut, "/groups/verona/members/juliet") },
				func() { removed, errs[1] = o.revision(http.MethodDelete, "/groups/verona/members/juliet") },
			}
			var wg sync.WaitGroup
			wg.Go(both[round%2]) // no one of them is always a moment earlier
			wg.Go(both[1-round%2])
			wg.Wait()
			if errs[0] != nil || errs[1] != nil || added == removed {
				t.Fatalf("round %d: added at %d (%v), removed at %d (%v)", round, added, errs[0], removed, errs[1])
			}
			member := added > removed
			wins[member]++
			var g admin.Group
			if err := o.admin.Do(t.Context(), http.MethodGet, "/groups/verona", nil, &g); err != nil {
				t.Fatal(err)
			}
			if _, is := g.Members["juliet"]; is != member || g.Revision != max(added, removed) {
				t.Fatalf("round %d: added at %d, removed at %d, and at %d she is a member: %v", round, added, removed, g.Revision, is)
			}
			wanted, rooms := map[string]string{}, []string(nil)
			if member {
				wanted, rooms = map[string]string{"juliet": "both Verona"}, []string{"hall@groups.localhost"}
			}
			romeo.catchUp()
			romeo.expect(fmt.Sprint("round ", round), wanted)
			if romeo.sees("juliet") != member {
				t.Fatalf("round %d: Romeo sees Juliet: %v, want %v", round, romeo.sees("juliet"), member)
			}
			juliet.catchUp()
			if got := juliet.bookmarks(); !slices.Equal(got, rooms) || (juliet.contacts["romeo"] != "") != member || juliet.sees("romeo") != member {
				t.Fatalf("round %d: Juliet has %v, %v and the bookmarks %q; she is a member: %v", round, juliet.contacts, juliet.presence, got, member)
			}
			if got := juliet.enter("hall@groups.localhost"); got != member {
				t.Fatalf("round %d: Juliet gets in: %v, want %v", round, got, member)
			}
		}
		t.Log("those who add and those who remove win", wins[true], "and", wins[false], "times")
	})
}

// enter enters a room, leaves it, and reports whether that could be.
func (w *worker) enter(room string) (inside bool) {
	w.t.Helper()
	w.heard = nil
	me := room + "/" + w.name
	if err := w.client.Send(stanza.Stanza{Kind: stanza.Presence, To: jid.MustParse(me)}.With(stanza.NewElement(stanza.NSMUC, "x"))); err != nil {
		w.t.Fatal(err)
	}
	w.until("an answer of "+room, func() bool {
		inside = slices.Contains(w.heard, " presence of "+me)
		return inside || slices.Contains(w.heard, "error presence of "+me)
	})
	if inside {
		if err := w.client.Send(stanza.Stanza{Kind: stanza.Presence, Type: stanza.TypeUnavailable, To: jid.MustParse(me)}); err != nil {
			w.t.Fatal(err)
		}
		w.until("the end in "+room, func() bool { return slices.Contains(w.heard, "unavailable presence of "+me) })
	}
	return inside
}
