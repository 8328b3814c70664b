package server_test

import (
	"bytes"
	"errors"
	"net/http"
	"path/filepath"
	"testing"

	"github.com/muster-im/muster/internal/admin"
	"github.com/muster-im/muster/internal/api"
	"github.com/muster-im/muster/internal/roomadmin"
	"github.com/muster-im/muster/jid"
	"github.com/muster-im/muster/server"
)

// TestRoomAPI: rooms are made, set up, read and ended by their addresses; what is
// wrong is named and changes nothing.
func TestRoomAPI(t *testing.T) {
	t.Parallel()
	cfg := onNetwork(t)
	cfg.Modules.MUC.MaxRoomName = 8
	s := start(t, cfg, server.Options{})
	defer shutdown(t, s)
	c := admin.NewClient(filepath.Join(cfg.General.DataDir, admin.SocketName))
	if err := s.AddUser(t.Context(), jid.MustParse("romeo@localhost"), "secret"); err != nil {
		t.Fatal(err)
	}
	const address = "hexenküche@conference.localhost"
	room := admin.Path("rooms", address)
	call := func(want int, method, path string, in, out any) {
		t.Helper()
		err := c.Do(t.Context(), method, path, in, out)
		status := 0
		if e, ok := errors.AsType[*admin.Error](err); ok {
			status = e.Status
		} else if err != nil {
			t.Fatal(err)
		}
		if status != want {
			t.Errorf("%s %s: got %d (%v), want %d", method, path, status, err, want)
		}
	}
	type config = roomadmin.Config
	call(404, http.MethodGet, room, nil, nil)
	call(422, http.MethodPut, room, admin.RoomContents{Config: config{"title": "x", "max_users": "many"}}, nil)
	call(404, http.MethodGet, room, nil, nil)
	call(422, http.MethodPut, room, admin.RoomContents{Owner: jid.MustParse("nobody@localhost")}, nil)
	for range 2 { // the same again is no error
		call(0, http.MethodPut, room, admin.RoomContents{
			Owner: jid.MustParse("romeo@localhost"), Config: config{"title": "Küche", "anonymous": false}, Subject: "Brew",
		}, nil)
	}
	call(409, http.MethodPost, "/rooms", roomadmin.NewRoom{JID: jid.MustParse(address)}, nil)
	call(422, http.MethodPatch, room+"/config", config{"title": "gone", "no_such": true}, nil)
	call(422, http.MethodPatch, room+"/config", config{"title": "gone", "public": "yes"}, nil)
	var d roomadmin.Details
	call(0, http.MethodGet, room, nil, &d)
	if d.Config["title"] != "Küche" || d.Config["anonymous"] != false || d.Subject == nil || d.Subject.Text != "Brew" || d.Occupants != 0 {
		t.Errorf("got %+v", d)
	}
	call(0, http.MethodPatch, room+"/config", config{"password": "pst", "moderated": true}, &d.Config)
	if d.Config["password_protected"] != true || d.Config["members_by_default"] != true || d.Config["title"] != "Küche" {
		t.Errorf("got %v", d.Config)
	}
	for range 2 {
		call(0, http.MethodPut, room+"/affiliations/juliet@localhost", admin.AffiliationChange{Affiliation: "outcast", Reason: "🗡"}, nil)
	}
	call(409, http.MethodDelete, room+"/affiliations/romeo@localhost", nil, nil)
	var people api.Page[roomadmin.Affiliation]
	call(0, http.MethodGet, room+"/affiliations?limit=1", nil, &people)
	if len(people.Items) != 1 || people.Items[0].Reason != "🗡" || people.Next == "" {
		t.Errorf("got %+v", people)
	}
	call(403, http.MethodGet, room+"/config?as=juliet@localhost", nil, nil)
	// A title that only the server's administrator may give stays when an owner
	// changes something else.
	call(0, http.MethodPatch, room+"/config", config{"title": "Hexenküche"}, nil)
	call(422, http.MethodPatch, room+"/config?as=romeo@localhost", config{"title": "Hexenkessel"}, nil)
	call(0, http.MethodPatch, room+"/config?as=romeo@localhost", config{"public_list": false}, &d.Config)
	if d.Config["title"] != "Hexenküche" || d.Config["public_list"] != false {
		t.Errorf("got %v", d.Config)
	}
	call(0, http.MethodPatch, room+"/config", config{"title": "Küche"}, nil)
	call(404, http.MethodDelete, room+"/occupants/Nobody", nil, nil)
	call(409, http.MethodPost, room+"/messages", roomadmin.Message{From: jid.MustParse("romeo@localhost"), Body: "x"}, nil)
	var said roomadmin.Said
	call(0, http.MethodPost, room+"/messages", roomadmin.Message{Body: "We close at ten."}, &said)
	var past roomadmin.HistoryPage
	call(0, http.MethodGet, room+"/messages", nil, &past)
	if n := len(past.Messages); n == 0 || past.Messages[n-1].ID != said.ID || past.Messages[n-1].Body != "We close at ten." {
		t.Errorf("got %+v, want the message %s", past, said.ID)
	}
	var list api.Page[roomadmin.Room]
	call(0, http.MethodGet, "/rooms?search=KÜCHE", nil, &list)
	call(0, http.MethodGet, "/rooms", nil, &list)
	if len(list.Items) != 1 || list.Items[0].JID.String() != address || list.Items[0].Title != "Küche" {
		t.Errorf("got %+v", list)
	}
	call(0, http.MethodPost, "/unused-rooms/destroy", admin.UnusedRooms{IdleHours: 1}, &list)
	if len(list.Items) != 0 {
		t.Errorf("a room of today was destroyed: %+v", list)
	}
	for range 2 {
		call(0, http.MethodDelete, room+"?reason=over", nil, nil)
	}
	call(404, http.MethodGet, room, nil, nil)
	call(404, http.MethodDelete, admin.Path("rooms", "never@conference.localhost"), nil, nil)
}

// TestRoomAPINamesMistakes: everything that is wrong with a body is named, where it
// is, and nothing has changed.
func TestRoomAPINamesMistakes(t *testing.T) {
	t.Parallel()
	w := newAPIWorld(t)
	room := "/rooms/kitchen@conference.localhost"
	w.run(t, []step{
		{method: "PUT", path: room, body: `{"config":{"title":"Kitchen","password":"sesame"}}`, status: 201, want: `"password":"sesame"`},
		{method: "PATCH", path: room + "/config", body: `{"titel":"x","max_users":"many","moderated":"yes"}`, status: 422, want: `{"pointer":"#/max_users","detail":"want a whole number, got \"many\""},{"pointer":"#/moderated","detail":"want true or false, got \"yes\""},{"pointer":"#/titel","detail":"rooms have no such setting (did you mean \"title\"?)"}`},
		{method: "PATCH", path: room + "/config", body: `{"max_users":100000}`, status: 422, want: `{"pointer":"#/max_users","detail":"at most 1000, got 100000"}`},
		{method: "PATCH", path: room + "/config", body: `{"title":"two\nlines","description":"x"}`, status: 422, want: `{"pointer":"#/title","detail":"want one line of text"}`},
		{method: "PATCH", path: room + "/affiliations", body: `{"items":[{"jid":"a@localhost","affiliation":"member"},{"jid":"b@localhost","affiliation":"king"}]}`, status: 422, want: `"pointer":"#/items/1/affiliation"`},
		{method: "PATCH", path: room + "/affiliations", body: `{"items":[{"jid":"a@localhost","affiliation":"member"},{"jid":"localhost","affiliation":"owner"}]}`, status: 422, want: `"pointer":"#/items/1/jid"`},
		{method: "POST", path: "/rooms", body: `{"jid":"new@conference.localhost","affiliations":[{"jid":"a@localhost","affiliation":"member","nick":"A"},{"jid":"b@localhost","affiliation":"outcast","nick":"B"}]}`, status: 422, want: `"pointer":"#/affiliations/1/nick"`},
		{method: "POST", path: "/rooms", body: `{"jid":"new@conference.localhost/x"}`, status: 422, want: `{"pointer":"#/jid","detail":"want the address of a room`},
		{method: "POST", path: "/rooms", body: `{"jid":"ne w@conference.localhost"}`, status: 422, want: `malformed address: the localpart has ' ' (U+0020), which does not belong there`},
		{method: "GET", path: "/rooms/new@conference.localhost", body: "", status: 404, want: ""},
		{method: "GET", path: room + "/affiliations", body: "", status: 200, want: `"items":[]`},
		{method: "GET", path: room + "/config", body: "", status: 200, want: `"title":"Kitchen"`},
	})
	w.run(t, []step{
		{
			method: "POST", path: room + "/invitations", body: `{"to":["a@far.test","nobody@localhost","b.test"]}`, status: 422,
			want: `{"pointer":"#/to/0","detail":"a@far.test cannot be reached: this server is not connected to far.test"},` +
				`{"pointer":"#/to/1","detail":"there is no account nobody@localhost"},{"pointer":"#/to/2","detail":"want addresses of people, got \"b.test\""}`,
		},
	})
	reader := w.newToken(t, admin.NewToken{Name: "monitoring", Scopes: []string{"rooms:read"}})
	for _, path := range []string{room, room + "/config"} {
		a := w.do(t, "GET", path, "", "Authorization: Bearer "+reader)
		if a.status != 200 || bytes.Contains(a.body, []byte("sesame")) || !bytes.Contains(a.body, []byte(`"password_protected":true`)) {
			t.Errorf("GET %s with rooms:read: %d %s", path, a.status, a.body)
		}
	}
}
