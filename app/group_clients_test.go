package app

import (
	"context"
	"crypto/tls"
	"maps"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/muster-im/muster/internal/admin"
	"github.com/muster-im/muster/internal/client"
	"github.com/muster-im/muster/stanza"
)

// enoughTime bounds how long people wait for what they must be told.
const enoughTime = 2 * time.Minute

// office is a server with groups, its administrator, and people with clients.
type office struct {
	t     *testing.T
	file  string
	admin *admin.Client
}

// newOffice is an office whose chats are at groups.localhost; its server has not
// started.
func newOffice(t *testing.T, storage string) *office {
	t.Helper()
	file, dataDir := configFile(t, "[modules.mod_groups_internal]\ngroups_muc_host = \"groups.localhost\"\n"+storage)
	return &office{t: t, file: file, admin: admin.NewClient(filepath.Join(dataDir, admin.SocketName))}
}

// do asks the server for something, which it must not refuse.
func (o *office) do(method, path string, in any) {
	o.t.Helper()
	if err := o.admin.Do(o.t.Context(), method, path, in, nil); err != nil {
		o.t.Fatalf("%s %s: %v", method, path, err)
	}
}

// muster runs a command that must succeed.
func (o *office) muster(args ...string) string {
	o.t.Helper()
	got := execute(o.t, "", append(args, "--config", o.file)...)
	if got.status != exitOK {
		o.t.Fatalf("%v: %+v", args, got)
	}
	return got.stdout
}

// person makes an account, with a client that is available and has asked for its
// contacts.
func (o *office) person(name string) *worker {
	o.t.Helper()
	o.do(http.MethodPost, "/users", map[string]string{"name": name, "password": "secret"})
	return o.login(name)
}

func (o *office) login(name string) *worker {
	o.t.Helper()
	ctx := o.t.Context()
	info, err := o.admin.Info(ctx)
	if err != nil {
		o.t.Fatal(err)
	}
	c, err := client.Dial(ctx, client.Options{
		Addr: info.Listeners[0].Address, Domain: "localhost", Username: name, Password: "secret",
		TLSConfig: &tls.Config{InsecureSkipVerify: true}, //nolint:gosec // its own certificate
	})
	if err != nil {
		o.t.Fatal(err)
	}
	o.t.Cleanup(func() { _ = c.Close() }) // the server may have ended it
	w := &worker{t: o.t, client: c, name: name, contacts: make(map[string]string), presence: make(map[string]map[string]string)}
	w.list(w.ask(stanza.NewElement(stanza.NSRoster, "query", "ver", "")))
	w.pushes = 0
	if err := c.Send(stanza.Stanza{Kind: stanza.Presence}); err != nil {
		o.t.Fatal(err)
	}
	w.until("his own presence", func() bool { return w.sees(name) })
	return w
}

// worker is somebody with a client, and what it shows him.
type worker struct {
	t      *testing.T
	client *client.Client
	name   string

	contacts map[string]string            // subscription and groups, by name
	ver      string                       // of the contacts
	presence map[string]map[string]string // what people show, by name and resource
	pushes   int
	heard    []string // invitations and presence in rooms
}

// ask sends a request and returns what is in the answer.
func (w *worker) ask(payload *stanza.Element) *stanza.Element {
	w.t.Helper()
	answer, err := w.client.IQ(w.t.Context(), stanza.Stanza{Type: stanza.TypeGet}.With(payload))
	if err != nil {
		w.t.Fatalf("%s asks: %v", w.name, err)
	}
	return answer.Payload()
}

// until reads until something has happened.
func (w *worker) until(what string, happened func() bool) {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.t.Context(), enoughTime)
	defer cancel()
	for !happened() {
		st, err := w.client.Receive(ctx)
		if err != nil {
			w.t.Fatalf("%s waits for %s: %v", w.name, what, err)
		}
		w.note(&st)
	}
}

// catchUp reads all that the server has sent until now.
func (w *worker) catchUp() {
	w.t.Helper()
	w.ask(stanza.NewElement("jabber:iq:private", "query").Add(stanza.NewElement("storage:bookmarks", "storage")))
	gone, cancel := context.WithCancel(w.t.Context())
	cancel()
	for {
		st, err := w.client.Receive(gone)
		if err != nil {
			return
		}
		w.note(&st)
	}
}

func (w *worker) note(st *stanza.Stanza) {
	room := st.From.Domain() != "localhost"
	switch q := st.Child(stanza.NSRoster, "query"); {
	case q != nil:
		w.pushes++
		w.list(q)
	case st.Kind == stanza.Presence && !room:
		w.look(st)
	case st.Child(stanza.NSConference, "x") != nil:
		w.heard = append(w.heard, "invited to "+st.From.String())
	case st.Kind == stanza.Presence:
		w.heard = append(w.heard, string(st.Type)+" presence of "+st.From.String())
	}
}

// look notes what somebody shows.
func (w *worker) look(st *stanza.Stanza) {
	name := st.From.Local()
	if w.presence[name] == nil {
		w.presence[name] = make(map[string]string)
	}
	show := ""
	if e := st.Child(stanza.NSClient, "show"); e != nil {
		show = e.Text()
	}
	switch {
	case st.Type == "":
		w.presence[name][st.From.Resource()] = show
	case st.From.IsBare(): // RFC 6121 §4.3.2: nobody is there
		delete(w.presence, name)
	default:
		delete(w.presence[name], st.From.Resource())
	}
}

// sees reports whether he sees somebody.
func (w *worker) sees(name string) bool { return len(w.presence[name]) > 0 }

// list notes contacts, all of them or a new one, and their version.
func (w *worker) list(q *stanza.Element) {
	w.ver = q.Attr("ver")
	for item := range q.Elements() {
		w.item(item)
	}
}

// item notes a contact that is new or another.
func (w *worker) item(item *stanza.Element) {
	name, _, _ := strings.Cut(item.Attr("jid"), "@")
	if item.Attr("subscription") == "remove" {
		delete(w.contacts, name)
		delete(w.presence, name) // there is no place to show it
		return
	}
	text := item.Attr("subscription")
	for g := range item.Elements() {
		text += " " + g.Text()
	}
	w.contacts[name] = text
}

// bookmarks are the rooms that are among the bookmarks, in their order.
func (w *worker) bookmarks() (rooms []string) {
	w.t.Helper()
	answer := w.ask(stanza.NewElement("jabber:iq:private", "query").Add(stanza.NewElement("storage:bookmarks", "storage")))
	for b := range answer.Child("storage:bookmarks", "storage").Elements() {
		rooms = append(rooms, b.Attr("jid"))
	}
	return rooms
}

// expect compares the contacts: pairs of a name, and subscription with groups.
func (w *worker) expect(when string, want map[string]string) {
	w.t.Helper()
	if !maps.Equal(w.contacts, want) {
		w.t.Errorf("%s: %s has %v, want %v", when, w.name, w.contacts, want)
	}
}
