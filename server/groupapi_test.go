package server_test

import (
	"testing"

	"github.com/muster-im/muster/config"
	"github.com/muster-im/muster/internal/pgtest"
	"github.com/muster-im/muster/internal/sqlstore"
)

// TestAPIGroups: groups over HTTP, as a stranger would use them.
func TestAPIGroups(t *testing.T) {
	t.Parallel()
	t.Run("sqlite", func(t *testing.T) {
		t.Parallel()
		useGroups(t, newAPIWorld(t))
	})
	t.Run("postgres", func(t *testing.T) {
		t.Parallel()
		url := pgtest.SchemaAddress(t)
		useGroups(t, newAPIWorld(t, func(c *config.Config) { c.Storage.Driver, c.Storage.URL = sqlstore.Postgres, config.Secret(url) }))
	})
}

func useGroups(t *testing.T, w *apiWorld) {
	t.Helper()
	const members = "/groups/verona/members"
	w.run(t, []step{
		{"romeo", "PUT", "/users/romeo", `{"password":"x"}`, nil, 201, ``},
		{"juliet", "PUT", "/users/juliet", `{"password":"x"}`, nil, 201, ``},
		{"a namesake", "PUT", "/users/romeo?host=b.test", `{"password":"x"}`, nil, 201, ``},
		{"nothing yet", "GET", "/groups", "", nil, 200, `{"items":[]}`},
		{"no name", "POST", "/groups", `{"name":" "}`, nil, 422, `"pointer":"#/name"`},
		{"id that is none", "POST", "/groups", `{"name":"x","id":"a/b"}`, nil, 422, `an id has at most`},
		{"create", "POST", "/groups", `{"name":"Verona","id":"verona","create_muc":true}`, nil, 201, `"chats":[{"id":"`},
		{"create again", "POST", "/groups", `{"name":"Verona","id":"verona"}`, nil, 409, `there is a group with this id`},
		{"look", "GET", "/groups/verona", "", nil, 200, `"members":{}`},
		{"add", "PUT", members + "/romeo?host=localhost", "", nil, 204, ``},
		{"add again", "PUT", members + "/romeo?host=localhost", "", nil, 204, ``},
		{"add by address", "PUT", members + "/romeo@b.test", "", nil, 204, ``},
		{"namesakes", "PUT", members + "/romeo", "", nil, 422, `\"romeo\": which host? Say romeo@localhost or romeo@b.test, or host=localhost in the query`},
		{"namesakes to be removed", "DELETE", members + "/romeo", "", nil, 422, `"parameter":"user"`},
		{"namesakes to be looked at", "GET", members + "/romeo", "", nil, 422, `which host?`},
		{"namesakes in a list", "PATCH", members, `{"items":[{"jid":"romeo@localhost"},{"jid":"juliet"}]}`, nil, 422, `"pointer":"#/items/1/jid","detail":"\"juliet\": which host?`},
		{"namesakes in all", "PUT", members, `{"items":[{"jid":"romeo"}]}`, []string{"If-Match: *"}, 422, `"pointer":"#/items/0/jid"`},
		{"nobody", "PUT", members + "/ghost?host=localhost", "", nil, 404, `there is no such user`},
		{"remote", "PUT", members + "/romeo@elsewhere.test", "", nil, 422, `no account on this server`},
		{"no name of a person", "PUT", members + "/a%20b?host=localhost", "", nil, 422, `"parameter":"user"`},
		{"group that is not there", "PUT", "/groups/none/members/romeo?host=localhost", "", nil, 404, `there is no such group`},
		{"names of the first host", "GET", "/groups/verona", "", nil, 200, `"members":{"romeo":{"jid":"romeo@localhost"`},
		{"names of another host", "GET", "/groups/verona?host=b.test", "", nil, 200, `"romeo":{"jid":"romeo@b.test"`},
		{"groups of a user", "GET", "/users/romeo/groups?host=b.test", "", nil, 200, `{"items":["verona"]}`},
		{"groups of nobody", "GET", "/users/ghost/groups", "", nil, 404, `there is no account`},
		{"remove with the host", "DELETE", members + "/romeo?host=b.test", "", nil, 204, ``},
		{"remove again", "DELETE", members + "/romeo?host=b.test", "", nil, 204, ``},
		{"remove who never was", "DELETE", members + "/juliet?host=localhost", "", nil, 204, ``},
		{"remove nobody", "DELETE", members + "/ghost?host=localhost", "", nil, 404, `there is no such user: ghost@localhost`},
		{"remove who cannot be", "DELETE", members + "/romeo@elsewhere.test", "", nil, 422, `romeo@elsewhere.test has no account on this server`},
		{"remove a client", "DELETE", members + "/romeo@localhost%2Fphone", "", nil, 422, `not the address of a person`},
		{"bulk removal of nobody", "PATCH", members + "?host=localhost", `{"items":[{"jid":"romeo","role":"none"},{"jid":"ghost","role":"none"}]}`, nil, 422, `"pointer":"#/items/1/jid","detail":"there is no such user: ghost@localhost"`},
		{"no groups any more", "GET", "/users/romeo/groups?host=b.test", "", nil, 200, `{"items":[]}`},
		// One bad item, and nothing happens.
		{
			"bulk with strangers", "PATCH", members + "?host=localhost", `{"items":[{"jid":"juliet"},{"jid":"romeo","role":"none"},{"jid":"romeo@b.test"},{"jid":"ghost"},{"jid":"a b"}]}`, nil,
			422, `"pointer":"#/items/4/jid"`,
		},
		{"bulk with nobody", "PATCH", members + "?host=localhost", `{"items":[{"jid":"juliet"},{"jid":"romeo","role":"none"},{"jid":"romeo@b.test"},{"jid":"ghost"}]}`, nil, 422, `"pointer":"#/items/3/jid","detail":"there is no such user: ghost@localhost"`},
		{"bulk with somebody twice", "PATCH", members + "?host=localhost", `{"items":[{"jid":"juliet"},{"jid":"juliet@localhost","role":"none"}]}`, nil, 422, `"pointer":"#/items/1/jid"`},
		{"bulk with a role that is none", "PATCH", members + "?host=localhost", `{"items":[{"jid":"juliet","role":"king"}]}`, nil, 422, `"pointer":"#/items/0/role"`},
		{"nothing has happened", "GET", "/groups/verona", "", nil, 200, `"members":{"romeo":{`},
		{"all with nobody", "PUT", members + "?host=localhost", `{"items":[{"jid":"juliet"},{"jid":"ghost"}]}`, []string{"If-Match: *"}, 422, `"pointer":"#/items/1/jid"`},
		{"nothing has happened again", "GET", "/groups/verona", "", nil, 200, `"members":{"romeo":{`},
		{"bulk", "PATCH", members + "?host=localhost", `{"items":[{"jid":"juliet","role":"owner"},{"jid":"romeo","role":"none"}]}`, nil, 204, ``},
		{"that is done", "GET", "/groups/verona", "", nil, 200, `"members":{"juliet":{"jid":"juliet@localhost","role":"owner"`},
		{"list", "GET", "/groups", "", nil, 200, `"members":{"juliet":{"jid":"juliet@localhost","role":"owner"`},
		{"list with chats", "GET", "/groups", "", nil, 200, `"chats":[{"id":"`},
		{"brief list", "GET", "/groups?brief=true", "", nil, 200, `Z"}]}`},
		{"members", "GET", members, "", nil, 200, `{"items":[{"jid":"juliet@localhost","role":"owner","since":"`},
		{"member", "GET", members + "/juliet?host=localhost", "", nil, 200, `{"jid":"juliet@localhost","role":"owner"`},
		{"no member", "GET", members + "/romeo?host=localhost", "", nil, 404, `romeo@localhost is no member`},
		{"members of nothing", "GET", "/groups/none/members", "", nil, 404, `there is no such group`},
		{"chats", "GET", "/groups/verona/chats", "", nil, 200, `{"items":[{"id":"`},
		{"chats of nothing", "GET", "/groups/none/chats", "", nil, 404, `there is no such group`},
		{"chat of another group", "POST", "/groups", `{"name":"Padua","id":"padua"}`, nil, 201, ``},
		{"its own", "PUT", "/groups/padua/chats/piazza", `{"name":"Piazza"}`, nil, 201, ``},
		{"taken", "PUT", "/groups/verona/chats/piazza", `{"name":"Piazza"}`, nil, 409, `this chat is somebody else's`},
		{"unnamed chat", "POST", "/groups/verona/chats", `{"name":""}`, nil, 422, `"pointer":"#/name"`},
		{"rooms of groups", "GET", "/rooms?domain=groups.localhost", "", nil, 200, `"jid":"piazza@groups.localhost"`},
		{"of the host alone", "GET", "/rooms", "", nil, 200, `{"items":[]}`},
		{"of a domain without rooms", "GET", "/rooms?domain=far.test", "", nil, 404, `there are no rooms at \"far.test\"`},
		{"of a domain of another host", "GET", "/rooms?domain=groups.localhost&host=b.test", "", nil, 422, `"parameter":"domain"`},
		{"unused rooms of groups", "GET", "/unused-rooms?idle_hours=1&domain=groups.localhost", "", nil, 200, `{"items":[]}`},
		{"default chat without a name", "PUT", "/groups/padua/chats/arena", `{"default":true}`, nil, 201, `"name":"Padua","default":true`},
		{"is shown", "GET", "/groups/padua", "", nil, 200, `"muc_jid":"arena@groups.localhost"`},
		{"and goes", "DELETE", "/groups/padua/chats/arena", "", nil, 204, ``},
		{"chat that is not there", "DELETE", "/groups/verona/chats/none", "", nil, 404, `the group has no such chat`},
		{"default chat of somebody else", "PUT", "/groups/verona", `{"muc_jid":"coven@conference.localhost"}`, nil, 404, `the group has no such chat`},
	})
	// What is shown of a chat changes where the group does not.
	tag := w.do(t, "GET", "/groups/padua", "").header.Get("ETag")
	room := "/rooms/piazza@groups.localhost"
	w.run(t, []step{
		{"not changed", "GET", "/groups/padua", "", []string{"If-None-Match: " + tag}, 304, ``},
		{"renamed in the room", "PUT", room, `{"config":{"title":"Prato"}}`, nil, 200, ``},
		{"shown", "GET", "/groups/padua", "", []string{"If-None-Match: " + tag}, 200, `"name":"Prato"`},
	})
	tag = w.do(t, "GET", "/groups/padua", "").header.Get("ETag")
	w.run(t, []step{
		{"destroyed", "DELETE", room, "", nil, 204, ``},
		{"shown too", "GET", "/groups/padua", "", []string{"If-None-Match: " + tag}, 200, `"deleted":true`},
		{"made again", "PUT", "/groups/padua/chats/piazza", `{"name":"Piazza"}`, nil, 200, `"jid":"piazza@`},
		{"and there", "GET", "/groups/padua/chats/piazza", "", nil, 200, `"name":"Piazza"}`},
		{"the group is what was read", "PUT", "/groups/padua", `{"name":"Padova"}`, []string{"If-Match: " + tag}, 412, ``},
	})
	w.run(t, []step{
		{"by what is there now", "PUT", "/groups/padua", `{"name":"Padova"}`, []string{"If-Match: " + w.do(t, "GET", "/groups/padua", "").header.Get("ETag")}, 204, ``},
		{"enough", "DELETE", "/groups/padua", "", nil, 204, ``},
	})
	// Two administrators at once: the second one notices.
	tag = w.do(t, "GET", "/groups/verona", "").header.Get("ETag")
	w.run(t, []step{
		{"not changed", "GET", "/groups/verona", "", []string{"If-None-Match: " + tag}, 304, ``},
		{"the first one", "PUT", "/groups/verona", `{"name":"Fair Verona"}`, []string{"If-Match: " + tag}, 204, ``},
		{"the second one", "PUT", "/groups/verona", `{"name":"Mantua"}`, []string{"If-Match: " + tag}, 412, `changed meanwhile`},
		{"and his list", "PUT", members, `{"items":[]}`, []string{"If-Match: " + tag}, 412, `changed meanwhile`},
		{"late joiners of what was", "POST", "/groups/verona/sync", "", []string{"If-Match: " + tag}, 412, `changed meanwhile`},
		{"late joiners", "POST", "/groups/verona/sync", "", nil, 204, ``},
		{"blindly", "PUT", members, `{"items":[]}`, nil, 428, `If-Match`},
		{"changed", "GET", "/groups/verona", "", []string{"If-None-Match: " + tag}, 200, `"name":"Fair Verona"`},
		{"chats stay", "GET", "/groups/verona", "", nil, 200, `"muc_jid":"`},
		{"delete what was", "DELETE", "/groups/verona", "", []string{"If-Match: " + tag}, 412, `changed meanwhile`},
		{"delete", "DELETE", "/groups/verona", "", nil, 204, ``},
		{"delete again", "DELETE", "/groups/verona", "", nil, 404, `there is no such group`},
	})
}
