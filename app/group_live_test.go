package app

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/muster-im/muster/internal/admin"
	"github.com/muster-im/muster/stanza"
)

// company is an office whose groups several administrators change at the same time,
// while its people come and go.
type company struct {
	*office
	names  []string
	people map[string]*worker
	shown  map[string]string // what people show; "gone": they are not available
}

// teams are groups of a company: in the last one contacts stay.
func teams() []string { return []string{"red", "blue", "kept"} }

// administrate changes groups. What is not there any more is no error.
func (c *company) administrate(r *rand.Rand) error {
	for range 6 {
		i := r.IntN(len(c.names))
		team, name, next := teams()[r.IntN(3)], c.names[i], c.names[(i+1)%len(c.names)]
		path := "/groups/" + team
		do := func(method, path string, in any) error {
			err := c.admin.Do(c.t.Context(), method, path, in, nil)
			if e, ok := errors.AsType[*admin.Error](err); ok && (e.Status == http.StatusNotFound || e.Status == http.StatusConflict) {
				return nil
			}
			return err
		}
		var err error
		switch r.IntN(12) {
		case 0:
			title := fmt.Sprintf("%s 🐝 %d", team, r.IntN(1000))
			err = do(http.MethodPut, path, admin.GroupUpdate{Name: &title})
		case 1:
			if err = do(http.MethodDelete, path, nil); err == nil {
				err = do(http.MethodPost, "/groups", newTeam(team))
			}
		case 2:
			err = do(http.MethodPatch, path+"/members", admin.GroupMemberChanges{Items: []admin.GroupMemberChange{
				{JID: name}, {JID: next, Role: "none"},
			}})
		case 3, 4, 5, 6:
			err = do(http.MethodDelete, path+"/members/"+name, nil)
		default:
			err = do(http.MethodPut, path+"/members/"+name, nil)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func newTeam(id string) admin.NewGroup {
	g := admin.NewGroup{ID: id, Name: "Team " + id, Contract: "overlay"}
	if id == "kept" {
		g.Contract = "permanent"
	}
	return g
}

// show lets somebody show something, or go.
func (w *worker) show(show string) error {
	st := stanza.Stanza{Kind: stanza.Presence}
	switch show {
	case "gone":
		st.Type = stanza.TypeUnavailable
	case "":
	default:
		st = st.With(stanza.NewElement(stanza.NSClient, "show").AddText(show))
	}
	return w.client.Send(st)
}

// settle reads what everybody has been told, once all that they have said has been
// heard.
func (c *company) settle() {
	c.t.Helper()
	for range 2 {
		for _, name := range c.names {
			c.people[name].catchUp()
		}
	}
}

// check compares what everybody's client shows with what the groups are.
func (c *company) check(round int) {
	c.t.Helper()
	members := make(map[string]map[string]bool) // by label
	for _, team := range teams() {
		var g admin.Group
		if err := c.admin.Do(c.t.Context(), http.MethodGet, "/groups/"+team, nil, &g); err != nil {
			c.t.Fatal(err)
		}
		members[g.Name] = make(map[string]bool)
		for name := range g.Members {
			members[g.Name][name] = true
		}
	}
	for _, name := range c.names {
		w := c.people[name]
		for _, other := range c.names {
			if other == name {
				continue
			}
			var labels []string
			for _, label := range slices.Sorted(maps.Keys(members)) {
				if members[label][name] && members[label][other] {
					labels = append(labels, label)
				}
			}
			c.compare(round, w, other, labels)
		}
		// Who has been told of all changes has what he would be told now, and its
		// version is that.
		if q := w.ask(stanza.NewElement(stanza.NSRoster, "query", "ver", w.ver)); q != nil {
			c.t.Errorf("round %d: %s has %v in version %q, and is sent %s", round, name, w.contacts, w.ver, q)
		}
		fresh := &worker{contacts: make(map[string]string)}
		fresh.list(w.ask(stanza.NewElement(stanza.NSRoster, "query")))
		if !maps.Equal(fresh.contacts, w.contacts) {
			c.t.Errorf("round %d: %s has been told %v, and there is %v", round, name, w.contacts, fresh.contacts)
		}
	}
}

// compare compares what somebody's client shows of another with the labels of the
// groups that both are in.
func (c *company) compare(round int, w *worker, other string, labels []string) {
	c.t.Helper()
	has, contact := w.contacts[other]
	subscription, rest, _ := strings.Cut(has, " ")
	got := rest
	for _, label := range labels { // in any order
		got = strings.TrimSpace(strings.Replace(got, label, "", 1))
	}
	if got = strings.Join(strings.Fields(got), " "); got != "" || contact && subscription != "both" || !contact && len(labels) > 0 {
		c.t.Errorf("round %d: %s has %s as %q, and they share %q", round, w.name, other, has, labels)
	}
	if len(strings.Join(labels, " ")) != len(rest) {
		c.t.Errorf("round %d: %s has %s as %q, and they share %q", round, w.name, other, has, labels)
	}
	show := c.shown[other]
	sees := contact && show != "gone" && c.shown[w.name] != "gone"
	want := []string(nil)
	if sees {
		want = []string{show}
	}
	if got := slices.Collect(maps.Values(w.presence[other])); !slices.Equal(got, want) {
		c.t.Errorf("round %d: %s, who shows %q and has %s as %q, sees him as %q; he shows %q", round, w.name, c.shown[w.name], other, has, got, show)
	}
}

// TestPeopleSeeWhatGroupsSay: while several administrators change groups at the same
// time and people come, go, and show this and that, everybody's client has in the
// end what the groups say: contacts with their labels from pushes alone, a version
// that is theirs, and the presence of each contact as it is, of others none.
func TestPeopleSeeWhatGroupsSay(t *testing.T) {
	t.Parallel()
	rounds := 40
	if testing.Short() {
		rounds = 8
	}
	onStorages(t, func(t *testing.T, storage string) {
		c := &company{office: newOffice(t, storage), people: make(map[string]*worker), shown: make(map[string]string)}
		serving(t, c.file)
		for i := range 6 {
			name := fmt.Sprint("w", i)
			c.names = append(c.names, name)
			c.people[name], c.shown[name] = c.person(name), ""
		}
		for _, team := range teams() {
			c.do(http.MethodPost, "/groups", newTeam(team))
		}
		r := rand.New(rand.NewPCG(3, 9)) //nolint:gosec // a test
		for round := range rounds {
			errs := make(chan error, 64)
			var wg sync.WaitGroup
			for range 3 {
				dice := rand.New(rand.NewPCG(r.Uint64(), 1)) //nolint:gosec // a test
				wg.Go(func() { errs <- c.administrate(dice) })
			}
			for _, name := range c.names {
				w := c.people[name]
				switch n := r.IntN(8); {
				case n == 0: // he comes with another client
					if err := w.show("gone"); err != nil {
						t.Fatal(err)
					}
					w.catchUp()
					_ = w.client.Close() // whatever it says, he has gone
					c.people[name], c.shown[name] = c.login(name), ""
				case n < 5:
					shows := []string{"away", "dnd", "", "xa", "chat"}
					r.Shuffle(len(shows), func(i, k int) { shows[i], shows[k] = shows[k], shows[i] })
					if n == 1 {
						shows[2] = "gone"
					}
					c.shown[name] = shows[2]
					wg.Go(func() {
						for _, show := range shows[:3] {
							errs <- w.show(show)
						}
					})
				}
			}
			wg.Wait()
			close(errs)
			for err := range errs {
				if err != nil {
					t.Fatal(err)
				}
			}
			c.settle()
			for name, show := range c.shown {
				if show == "gone" {
					clear(c.people[name].presence) // he is told of nobody until he is back
				}
			}
			c.check(round)
			if t.Failed() {
				return
			}
		}
	})
}
