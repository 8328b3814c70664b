package server_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/muster-im/muster/internal/admin"
	"github.com/muster-im/muster/jid"
	"github.com/muster-im/muster/stanza"
)

// call is a good call of an operation of the document.
type call struct {
	id     string            // operationId
	path   map[string]string // parameters
	query  string
	body   string
	status int
	before func(*testing.T, *apiWorld) // makes what the call needs; nil: nothing

	headers []string // that it needs
}

// apiCalls has at least one good call of each operation, in an order in which
// they succeed. A new operation needs one here; its bad input is made from the
// document.
func apiCalls() []call {
	user := func(name string) map[string]string { return map[string]string{"user": name} }
	logIn := func(t *testing.T, w *apiWorld) {
		t.Helper()
		c := connect(t, w, "romeo", "secret", "desk")
		t.Cleanup(func() { _ = c.Close() }) // the server ends it
	}
	const address = "küche@conference.localhost"
	room := map[string]string{"room": address}
	in := func(name, value string) map[string]string { return map[string]string{"room": address, name: value} }
	group := map[string]string{"group": "verona"}
	chat := map[string]string{"group": "verona", "chat": "tomb"}
	member := func(user string) map[string]string { return map[string]string{"group": "verona", "user": user} }
	enter := func(t *testing.T, w *apiWorld) {
		t.Helper()
		c := connect(t, w, "juliet", "other", "desk")
		t.Cleanup(func() { _ = c.Close() }) // the server ends it
		if err := c.Send(stanza.Stanza{Kind: stanza.Presence, To: jid.MustParse(address + "/Juliet")}.With(stanza.NewElement(stanza.NSMUC, "x"))); err != nil {
			t.Fatal(err)
		}
		for {
			st, err := c.Receive(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if hasStatus(&st, "110") {
				return
			}
		}
	}
	inviting := map[string]string{"invitation": ""}
	invited := func(t *testing.T, w *apiWorld) {
		t.Helper()
		var v admin.IssuedInvite
		if err := json.Unmarshal(w.do(t, "POST", "/invitations", `{}`).body, &v); err != nil {
			t.Fatal(err)
		}
		inviting["invitation"] = v.ID
	}
	return []call{
		{id: "createUser", body: `{"name":"romeo","password":"secret"}`, status: 201},
		{id: "putUser", path: user("juliet"), body: `{"password":"secret"}`, status: 201},
		{id: "putUser", path: user("juliet"), query: "host=localhost", body: `{"password":"other"}`, status: 200},
		{id: "listUsers", query: "limit=1", status: 200},
		{id: "getUser", path: user("romeo"), status: 200, before: logIn},
		{id: "listSessions", path: user("romeo"), status: 200},
		{id: "endSession", path: map[string]string{"user": "romeo", "resource": "desk"}, status: 204},
		{id: "getUser", path: user("romeo"), status: 200},
		{id: "endSessions", path: user("romeo"), status: 204, before: logIn},
		{id: "setPassword", path: user("romeo"), body: `{"password":"new"}`, status: 204},
		{id: "deleteUser", path: user("romeo"), status: 204},
		{id: "createRoom", body: `{"jid":"kitchen@conference.localhost","config":{"title":"Kitchen"}}`, status: 201},
		{id: "putRoom", path: room, body: `{"owner":"juliet@localhost","config":{"max_users":50}}`, status: 201},
		{id: "putRoom", path: room, body: `{"config":{"max_users":40},"subject":"Brew"}`, status: 200},
		{id: "listRooms", query: "limit=1", status: 200},
		{id: "getRoom", path: room, status: 200},
		{id: "getRoomConfig", path: room, status: 200},
		{id: "changeRoomConfig", path: room, body: `{"title":"Küche","anonymous":false}`, status: 200},
		{id: "putAffiliation", path: in("jid", "romeo@localhost"), body: `{"affiliation":"outcast","reason":"🗡"}`, status: 204},
		{id: "changeAffiliations", path: room, body: `{"items":[{"jid":"romeo@localhost","affiliation":"member"}]}`, status: 204},
		{id: "listAffiliations", path: room, query: "limit=1", status: 200},
		{id: "deleteAffiliation", path: in("jid", "romeo@localhost"), status: 204},
		{id: "sayInRoom", path: room, body: `{"body":"We close at ten."}`, status: 200},
		{id: "listMessages", path: room, status: 200},
		{id: "inviteToRoom", path: room, body: `{"to":["juliet@localhost"],"reason":"come"}`, status: 204},
		{id: "listOccupants", path: room, status: 200, before: enter},
		{id: "putRole", path: in("nick", "Juliet"), body: `{"role":"moderator"}`, status: 204},
		{id: "kickOccupant", path: in("nick", "Juliet"), status: 204},
		{id: "listUserRooms", path: user("juliet"), status: 200},
		{id: "listRoomSettings", status: 200},
		{id: "listUnusedRooms", query: "idle_hours=1", status: 200},
		{id: "destroyUnusedRooms", body: `{"idle_hours":1}`, status: 200},
		{id: "destroyRoom", path: room, status: 204},
		{id: "putUser", path: user("mab"), body: `{"password":"secret"}`, status: 201},
		{id: "createGroup", body: `{"id":"verona","name":"Verona"}`, status: 201},
		{id: "listGroups", query: "limit=1", status: 200},
		{id: "listGroups", query: "brief=true", status: 200},
		{id: "addGroupMember", path: member("juliet"), query: "role=owner&host=localhost", status: 204},
		{id: "getGroupMember", path: member("juliet"), query: "host=localhost", status: 200},
		{id: "listGroupMembers", path: group, status: 200},
		{id: "listGroupChats", path: group, status: 200},
		{id: "changeGroupMembers", path: group, body: `{"items":[{"jid":"juliet@localhost","role":"admin"},{"jid":"mab@localhost","role":"none"}]}`, status: 204},
		{id: "setGroupMembers", path: group, body: `{"items":[{"jid":"juliet@localhost"}]}`, status: 204, headers: []string{"If-Match: *"}},
		{id: "addGroupChat", path: group, body: `{"name":"Balcony","id":"balcony"}`, status: 201},
		{id: "addGroupChat", path: group, body: `{"name":"Street"}`, status: 201},
		{id: "putGroupChat", path: chat, body: `{"name":"Tomb","default":true}`, status: 201},
		{id: "putGroupChat", path: chat, body: `{"name":"Tomb"}`, status: 200},
		{id: "getGroupChat", path: chat, status: 200},
		{id: "syncGroup", path: group, status: 204},
		{id: "setGroup", path: group, body: `{"name":"Verona 🌹"}`, status: 204},
		{id: "getGroup", path: group, status: 200},
		{id: "listUserGroups", path: user("juliet"), status: 200},
		{id: "removeGroupChat", path: chat, status: 204},
		{id: "removeGroupMember", path: member("juliet"), query: "host=localhost", status: 204},
		{id: "deleteGroup", path: group, status: 204},
		{id: "createInvitation", body: `{"username":"nurse","ttl":3600}`, status: 201},
		{id: "createInvitation", body: `{"reusable":true}`, status: 201},
		{id: "listInvitations", query: "limit=1", status: 200},
		{id: "getInvitation", path: inviting, status: 200, before: invited},
		{id: "revokeInvitation", path: inviting, status: 204},
		{id: "getServer", status: 200},
		{id: "getMetrics", status: 200},
		{id: "openapi", status: 200},
	}
}

// tree is a decoded JSON object.
type tree = map[string]any

// apiDoc is the document of a running server.
type apiDoc struct {
	*apiWorld

	doc tree
}

// operation is one operation of the document.
type operation struct {
	id, method, path string
	tree
}

func (d *apiDoc) operations() map[string]operation {
	list := make(map[string]operation)
	for path, item := range d.doc["paths"].(tree) {
		for method, op := range item.(tree) {
			o := op.(tree)
			list[o["operationId"].(string)] = operation{o["operationId"].(string), strings.ToUpper(method), path, o}
		}
	}
	return list
}

func (o operation) params() (list []tree) {
	all, _ := o.tree["parameters"].([]any)
	for _, p := range all {
		list = append(list, p.(tree))
	}
	return list
}

func (o operation) has(in, name string) bool {
	return slices.ContainsFunc(o.params(), func(p tree) bool { return p["in"] == in && p["name"] == name })
}

// body is the schema of the request's body, nil if there is none.
func (o operation) body(d *apiDoc) tree {
	b, ok := o.tree["requestBody"].(tree)
	if !ok {
		return nil
	}
	return d.resolve(b["content"].(tree)["application/json"].(tree)["schema"].(tree))
}

// resolve follows a reference into the document.
func (d *apiDoc) resolve(s tree) tree {
	ref, ok := s["$ref"].(string)
	if !ok {
		return s
	}
	at := d.doc
	for step := range strings.SplitSeq(strings.TrimPrefix(ref, "#/"), "/") {
		at, ok = at[step].(tree)
		if !ok {
			return tree{"not": "there: " + ref}
		}
	}
	return at
}

// conforms lists in what ways a value is not as a schema says. What a schema does
// not mention should not be in an answer.
func (d *apiDoc) conforms(v any, s tree, at string) (problems []string) {
	s = d.resolve(s)
	wrong := func(format string, args ...any) {
		problems = append(problems, at+": "+fmt.Sprintf(format, args...))
	}
	switch want := s["type"]; v := v.(type) {
	case tree:
		if want != nil && want != "object" {
			wrong("is an object, and no %v", want)
		}
		problems = append(problems, d.conformsObject(v, s, at)...)
	case []any:
		if want != nil && want != "array" {
			wrong("is an array, and no %v", want)
			break
		}
		for i, item := range v {
			if items, ok := s["items"].(tree); ok {
				problems = append(problems, d.conforms(item, items, fmt.Sprintf("%s/%d", at, i))...)
			}
		}
	case string:
		if want != nil && want != "string" {
			wrong("is a string, and no %v", want)
		}
		if enum, ok := s["enum"].([]any); ok && !slices.Contains(enum, any(v)) {
			wrong("%q is none of %v", v, enum)
		}
		if _, err := time.Parse(time.RFC3339, v); s["format"] == "date-time" && err != nil {
			wrong("%v", err)
		}
		if p, ok := s["pattern"].(string); ok && !regexp.MustCompile(p).MatchString(v) {
			wrong("%q does not match %s", v, p)
		}
	case float64:
		if want != nil && want != "number" && (want != "integer" || v != math.Trunc(v)) {
			wrong("%v is no %v", v, want)
		}
	case bool:
		if want != nil && want != "boolean" {
			wrong("is a boolean, and no %v", want)
		}
	case nil:
		if want != nil {
			wrong("is null")
		}
	}
	return problems
}

func (d *apiDoc) conformsObject(v, s tree, at string) (problems []string) {
	props, _ := s["properties"].(tree)
	values, _ := s["additionalProperties"].(tree)
	for name, inner := range v {
		switch schema, ok := props[name].(tree); {
		case ok:
			problems = append(problems, d.conforms(inner, schema, at+"/"+name)...)
		case values != nil:
			problems = append(problems, d.conforms(inner, values, at+"/"+name)...)
		case s["type"] != nil:
			problems = append(problems, at+"/"+name+": is not in the document")
		}
	}
	required, _ := s["required"].([]any)
	for _, name := range required {
		if _, ok := v[name.(string)]; !ok {
			problems = append(problems, at+"/"+name.(string)+": is missing")
		}
	}
	return problems
}

// check compares an answer with what the document says of the operation.
func (d *apiDoc) check(t *testing.T, what string, o operation, a answer) {
	t.Helper()
	r, ok := o.tree["responses"].(tree)[fmt.Sprint(a.status)].(tree)
	if !ok {
		t.Errorf("%s: %s: the document does not mention status %d: %s", o.id, what, a.status, a.body)
		return
	}
	r = d.resolve(r)
	for name := range asTree(r["headers"]) {
		if a.header.Get(name) == "" && name != "Retry-After" {
			t.Errorf("%s: %s: %d without %s", o.id, what, a.status, name)
		}
	}
	content := asTree(r["content"])
	media, _, _ := strings.Cut(a.header.Get("Content-Type"), ";")
	if len(content) == 0 {
		if len(a.body) > 0 {
			t.Errorf("%s: %s: %d with a body that the document does not mention: %s", o.id, what, a.status, a.body)
		}
		return
	}
	c, ok := content[media].(tree)
	if !ok {
		t.Errorf("%s: %s: %d has Content-Type %q, the document says %v", o.id, what, a.status, media, slices.Collect(maps.Keys(content)))
		return
	}
	if !strings.HasSuffix(media, "json") {
		return
	}
	var v any
	if err := json.Unmarshal(a.body, &v); err != nil {
		t.Errorf("%s: %s: %v: %s", o.id, what, err, a.body)
		return
	}
	for _, p := range d.conforms(v, c["schema"].(tree), "") {
		t.Errorf("%s: %s: %d: %s", o.id, what, a.status, p)
	}
}

func asTree(v any) tree { m, _ := v.(tree); return m }

// url is the address of a call.
func (c call) url(o operation, more string) string {
	path := o.path
	for name, v := range c.path {
		path = strings.ReplaceAll(path, "{"+name+"}", url.PathEscape(v))
	}
	return path + "?" + strings.Trim(c.query+"&"+more, "&")
}

// bad is a wrong call and its status.
type bad struct {
	name, query, body string
	headers           []string
	status            int
	want              string // in the answer
}

// wrongCalls makes wrong calls of a good one.
func (d *apiDoc) wrongCalls(c call, o operation, poor, foreign string) []bad {
	list := []bad{{"unknown parameter", "frobnicate=1", c.body, nil, 422, `"parameter":"frobnicate"`}}
	if security, _ := o.tree["security"].([]any); len(security) > 0 {
		list = append(
			list,
			bad{"no token", "", c.body, []string{"Authorization:"}, 401, ""},
			bad{"wrong token", "", c.body, []string{"Authorization: Bearer x"}, 401, ""},
			bad{"token without the scope", "", c.body, []string{"Authorization: Bearer " + poor}, 403, fmt.Sprint(o.tree["x-scope"])},
			bad{"token for another host", "", c.body, []string{"Authorization: Bearer " + foreign}, 403, ""})
	}
	if o.has("query", "host") && c.query == "" {
		list = append(list, bad{"unknown host", "host=nowhere.test", c.body, nil, 404, "nowhere.test"})
	}
	if o.has("query", "limit") && c.query == "" {
		list = append(
			list,
			bad{"no limit", "limit=0", c.body, nil, 422, `"parameter":"limit"`},
			bad{"wrong cursor", "after=%21", c.body, nil, 422, `"parameter":"after"`})
	}
	if responses := asTree(o.tree["responses"]); responses["412"] != nil {
		list = append(list, bad{"another revision", "", c.body, []string{`If-Match: "0"`}, 412, "precondition"})
		if responses["428"] != nil {
			list = append(list, bad{"no revision", "", c.body, []string{"If-Match:"}, 428, "If-Match"})
		}
	}
	schema := o.body(d)
	if schema == nil {
		return append(list, bad{"body", "", `{}`, nil, 400, "no body"})
	}
	list = append(
		list,
		bad{"no JSON", "", `{"`, nil, 400, ""},
		bad{"another type", "", c.body, []string{"Content-Type: text/plain"}, 415, ""},
		bad{"too large", "", `{"x":"` + strings.Repeat("x", 1<<20) + `"}`, nil, 413, ""},
		bad{"no object", "", `[]`, nil, 422, `"pointer":"#"`})
	var body tree
	_ = json.Unmarshal([]byte(c.body), &body) // good calls are
	change := func(name, field string, v any) {
		other := maps.Clone(body)
		if other[field] = v; v == nil {
			delete(other, field)
		}
		data, _ := json.Marshal(other) // it came from JSON
		list = append(list, bad{name + " " + field, "", string(data), nil, 422, `"pointer":"#/` + field})
	}
	change("unknown field", "frobnicate", 1)
	for name, s := range asTree(schema["properties"]) {
		if required, _ := schema["required"].([]any); slices.Contains(required, any(name)) {
			change("without", name, nil)
		}
		switch d.resolve(s.(tree))["type"] {
		case nil:
		case "boolean":
			change("wrong type of", name, 5)
		default:
			change("wrong type of", name, true)
		}
	}
	return list
}

// TestAPIDocument calls every operation of the document, well and badly, and
// compares all answers with what it says.
func TestAPIDocument(t *testing.T) {
	t.Parallel()
	w := newAPIWorld(t)
	d := &apiDoc{apiWorld: w}
	if err := json.Unmarshal(w.do(t, "GET", "/openapi.json", "").body, &d.doc); err != nil {
		t.Fatal(err)
	}
	poor := map[bool]string{
		false: w.newToken(t, admin.NewToken{Name: "poor", Scopes: []string{"metrics"}}),
		true:  w.newToken(t, admin.NewToken{Name: "poorer", Scopes: []string{"users:read"}}),
	}
	scopes, err := w.admin.Scopes(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	foreign := w.newToken(t, admin.NewToken{Name: "foreign", Scopes: scopes, Hosts: []string{"b.test"}})
	operations := d.operations()
	called := make(map[string]bool)
	for _, c := range apiCalls() {
		o, ok := operations[c.id]
		if !ok {
			t.Errorf("apiCalls has %s, which the document has not", c.id)
			continue
		}
		if c.before != nil {
			c.before(t, w)
		}
		for _, b := range d.wrongCalls(c, o, poor[o.tree["x-scope"] == "metrics"], foreign) {
			a := w.do(t, o.method, c.url(o, b.query), b.body, slices.Concat(c.headers, b.headers)...)
			if a.status != b.status || !bytes.Contains(a.body, []byte(b.want)) {
				t.Errorf("%s: %s: got %d %s, want %d %s", c.id, b.name, a.status, a.body, b.status, b.want)
			}
			d.check(t, b.name, o, a)
		}
		if !called[c.id] {
			d.nobody(t, c, o)
		}
		a := w.do(t, o.method, c.url(o, ""), c.body, c.headers...)
		if a.status != c.status {
			t.Errorf("%s: got %d %s, want %d", c.id, a.status, a.body, c.status)
		}
		d.check(t, "good", o, a)
		called[c.id] = true
	}
	for id := range operations {
		if !called[id] {
			t.Errorf("nobody calls %s: add a good call to apiCalls", id)
		}
	}
}

// nobody calls an operation for things that are not there.
func (d *apiDoc) nobody(t *testing.T, c call, o operation) {
	t.Helper()
	if len(c.path) == 0 || o.method == "PUT" && c.status == 201 {
		return
	}
	other := c
	other.path = maps.Clone(c.path)
	for name, v := range c.path {
		other.path[name] = "no-" + v
	}
	a := d.do(t, o.method, other.url(o, ""), c.body, c.headers...)
	if a.status != 404 {
		t.Errorf("%s of what is not there: got %d %s, want 404", c.id, a.status, a.body)
	}
	d.check(t, "what is not there", o, a)
}
