package admin

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/muster-im/muster/groups"
	"github.com/muster-im/muster/internal/api"
	"github.com/muster-im/muster/jid"
)

// Group is a group of people with its members and chats.
type Group struct {
	GroupInfo

	// Members have the name of the user as their key, or his address if he is not
	// of the host that is asked.
	Members map[string]GroupMember `json:"members,omitzero" doc:"By user name, or by address for those who are of other hosts. Absent in a brief list."`
	Chats   []GroupChat            `json:"chats,omitzero" doc:"Absent in a brief list."`
}

// GroupInfo is what is known of a group besides its members.
type GroupInfo struct {
	ID       groups.ID       `json:"id"`
	Name     string          `json:"name"`
	Contract groups.Contract `json:"contract" enum:"permanent,overlay"`
	MUCJID   jid.JID         `json:"muc_jid,omitzero" doc:"The default chat; absent: there is none."`
	MUCs     []jid.JID       `json:"mucs,omitempty" doc:"All chats."`
	Revision int64           `json:"revision" doc:"Rises with each change; the ETag."`
	Created  time.Time       `json:"created"`
}

// GroupMember is a member of a group.
type GroupMember struct {
	JID     jid.JID   `json:"jid"`
	Role    string    `json:"role" enum:"member,admin,owner"`
	Since   time.Time `json:"since"`
	Delayed bool      `json:"delayed,omitempty" doc:"Nobody's contact through the group until it is synchronised."`
}

// GroupChat is a chat of a group.
type GroupChat struct {
	ID      string  `json:"id"`
	JID     jid.JID `json:"jid"`
	Name    string  `json:"name"`
	Default bool    `json:"default,omitempty" doc:"It is the group's default chat."`
	Deleted bool    `json:"deleted,omitempty" doc:"The room is gone."`
}

// NewGroup asks for a group.
type NewGroup struct {
	ID        string `json:"id,omitempty" max:"128" doc:"Absent: 12 random characters."`
	Name      string `json:"name" max:"1023"`
	Contract  string `json:"contract,omitempty" enum:"permanent,overlay" doc:"Whether contacts stay when a membership ends; permanent if absent."`
	CreateMUC bool   `json:"create_muc,omitempty" doc:"With a group chat."`
}

// GroupUpdate is what a group becomes; what is absent stays.
type GroupUpdate struct {
	Name     *string  `json:"name,omitempty" max:"1023"`
	Contract *string  `json:"contract,omitempty" enum:"permanent,overlay"`
	MUCJID   *jid.JID `json:"muc_jid,omitempty" doc:"The group's chat that becomes the default one, and gets the group's name."`
}

// GroupMembers are all members that a group is to have.
type GroupMembers struct {
	Items []NewGroupMember `json:"items" max:"10000"`
}

// GroupMemberList is who is in a group.
type GroupMemberList struct {
	Items []GroupMember `json:"items"`
}

// NewGroupMember is somebody who is to be a member.
type NewGroupMember struct {
	JID  string `json:"jid" min:"1" max:"3071" doc:"Address, or the name of a user of the host, which must be said if there are several."`
	Role string `json:"role,omitempty" enum:"member,admin,owner" doc:"Absent: what he has, or member."`
}

// GroupMemberChanges are what becomes of some people in a group.
type GroupMemberChanges struct {
	Items []GroupMemberChange `json:"items" max:"10000"`
}

// GroupMemberChange is what becomes of somebody.
type GroupMemberChange struct {
	JID   string `json:"jid" min:"1" max:"3071" doc:"Address, or the name of a user of the host, which must be said if there are several."`
	Role  string `json:"role,omitempty" enum:"member,admin,owner,none" doc:"none ends the membership. Absent: what he has, or member."`
	Delay bool   `json:"delay,omitempty" doc:"Make a newcomer nobody's contact until the group is synchronised."`
}

// Scopes of groups.
const (
	scopeGroupsRead  api.Scope = "groups:read"
	scopeGroupsWrite api.Scope = "groups:write"
)

// groupRoutes concern the whole server, since a group may have members at all its
// hosts.
func (a *Admin) groupRoutes() []api.Route {
	if a.opts.Groups == nil {
		return nil
	}
	group := api.Param{Name: "group", Doc: "The group's id."}
	user := api.Param{Name: "user", Doc: "Address, or the name of a user of the host, which must be said if there are several."}
	chat := api.Param{Name: "chat", Doc: "The id of the chat: what stands before the @ in its address."}
	role := api.Param{Name: "role", Query: true, Enum: []string{"member", "admin", "owner"}, Doc: "What he is to be; absent: what he is, or member."}
	delay := api.Param{Name: "delay", Query: true, Kind: "boolean", Doc: "Make a newcomer nobody's contact until the group is synchronised.", Default: false}
	host := api.Param{Name: "host", Query: true, Doc: "The host whose users are named without it. If this is absent it is the server's first one in answers, while requests to a server of several hosts must say it, or name people by address."}
	r := func(method, path, id, summary string, h api.Handler, params ...api.Param) api.Route {
		route := api.Route{
			Method: method, Path: path, ID: id, Summary: summary, Handler: h, Params: append(params, host),
			Tag: "groups", Scope: scopeGroupsWrite, Global: true, Errors: []int{http.StatusNotFound, http.StatusConflict, http.StatusPreconditionFailed},
		}
		if method == http.MethodGet {
			route.Scope, route.Errors = scopeGroupsRead, []int{http.StatusNotFound}
		}
		return route
	}
	brief := api.Param{Name: "brief", Query: true, Kind: "boolean", Doc: "Without members and chats.", Default: false}
	list := r(http.MethodGet, "/groups", "listGroups", "The groups with their members and chats, ordered by id.", api.Do(a.listGroups), brief)
	list.Doc = "A page ends early where it has many members."
	list.Paged = true
	create := r(http.MethodPost, "/groups", "createGroup", "Create a group.", api.Do(a.createGroup))
	create.Status, create.Errors = []int{http.StatusCreated}, []int{http.StatusNotFound, http.StatusConflict}
	set := r(http.MethodPut, "/groups/{group}/members", "setGroupMembers", "Make the members exactly these, all of them or nothing changes.", api.Do(a.setGroupMembers), group)
	set.Doc = "Who is not in the list is a member no longer, so this wants If-Match with the ETag of what has been read, or * for whatever there is."
	set.Errors = append(set.Errors, http.StatusPreconditionRequired)
	open := r(http.MethodPost, "/groups/{group}/chats", "addGroupChat", "Add a chat to a group.", api.Do(a.addGroupChat), group)
	open.Status = []int{http.StatusCreated}
	put := r(http.MethodPut, "/groups/{group}/chats/{chat}", "putGroupChat", "Add a chat with this id to a group. One that is there stays as it is.", api.Do(a.putGroupChat), group, chat)
	put.Status = []int{http.StatusOK, http.StatusCreated}
	remove := r(http.MethodDelete, "/groups/{group}/members/{user}", "removeGroupMember", "End a membership.", api.Do(a.removeGroupMember), group, user)
	remove.Doc = "To do it again, or for somebody who is no member, is no error; it is one for who cannot be a member: a user whom there is not (404), or an address that nobody here has (422)."
	return []api.Route{
		list, create, set, open, put, remove,
		r(http.MethodGet, "/groups/{group}", "getGroup", "A group with its members and chats.", api.Do(a.group), group),
		r(http.MethodPut, "/groups/{group}", "setGroup", "Change a group's name, contract or default chat; what is not given stays.", api.Do(a.setGroup), group),
		r(http.MethodDelete, "/groups/{group}", "deleteGroup", "Delete a group with its chats.", api.Do(a.deleteGroup), group),
		r(http.MethodPatch, "/groups/{group}/members", "changeGroupMembers", "Make people members, or end memberships: all that are given or none.", api.Do(a.changeGroupMembers), group),
		r(http.MethodGet, "/groups/{group}/members", "listGroupMembers", "The members of a group, as PUT takes them.", api.Do(a.groupMembers), group),
		r(http.MethodGet, "/groups/{group}/members/{user}", "getGroupMember", "A member of a group.", api.Do(a.groupMember), group, user),
		r(http.MethodGet, "/groups/{group}/chats", "listGroupChats", "The chats of a group.", api.Do(a.groupChats), group),
		r(http.MethodPut, "/groups/{group}/members/{user}", "addGroupMember", "Make somebody a member.", api.Do(a.addGroupMember), group, user, role, delay),
		r(http.MethodPost, "/groups/{group}/sync", "syncGroup", "Make those who were added with delay contacts.", api.Do(a.syncGroup), group),
		r(http.MethodGet, "/groups/{group}/chats/{chat}", "getGroupChat", "A chat of a group.", api.Do(a.groupChat), group, chat),
		r(http.MethodDelete, "/groups/{group}/chats/{chat}", "removeGroupChat", "Remove a chat with everything that was said in it.", api.Do(a.removeGroupChat), group, chat),
		{
			Method: http.MethodGet, Path: "/users/{user}/groups", ID: "listUserGroups", Tag: "groups", Scope: scopeGroupsRead,
			Summary: "The ids of the groups that a user is in.", Handler: api.Do(a.userGroups), Errors: []int{http.StatusNotFound},
			Params: []api.Param{{Name: "user", Doc: "What stands before the @ in the user's address."}},
		},
	}
}

func groupID(r *api.Request) groups.ID { return groups.ID(r.Path("group")) }

// cause says who asks, and for what revision.
func cause(r *api.Request) (groups.Cause, error) {
	revision, given, err := r.IfRevision()
	if given && revision <= 0 { // which no group has
		err = stale("it has never had that revision")
	}
	return groups.Cause{Actor: r.Actor(), Revision: revision}, err
}

// stale refuses what is meant for another revision.
func stale(detail string) error {
	return &api.Error{Status: http.StatusPreconditionFailed, Detail: detail}
}

// pathUser is the address of the user in the path.
func (a *Admin) pathUser(r *api.Request) (jid.JID, error) {
	j, err := a.userAddress(r, r.Path("user"))
	if err != nil {
		return j, api.InvalidParam("user", err.Error())
	}
	return j, nil
}

// userAddress is the address of somebody who is named by it, or by his name at
// the host. Which host that is must be said if there are several: groups are of
// people of all of them, and namesakes are easily confused.
func (a *Admin) userAddress(r *api.Request, name string) (jid.JID, error) {
	switch hosts := a.opts.Hosts; {
	case strings.Contains(name, "@"):
	case len(hosts) > 1 && !r.Has("host"):
		return jid.JID{}, fmt.Errorf("%.200q: which host? Say %s, or host=%s in the query", name, name+"@"+strings.Join(hosts, " or "+name+"@"), hosts[0])
	}
	return addressAt(r, name)
}

// addressAt is the address of somebody who is named by it, or by his name at the
// host.
func addressAt(r *api.Request, name string) (jid.JID, error) {
	if strings.Contains(name, "@") {
		return jid.Parse(name)
	}
	return jid.New(name, r.Host(), "")
}

// groupError puts what the service refuses into a status.
func groupError(err error) error {
	if items := groups.ItemErrors(err); len(items) > 0 {
		fields := make([]api.FieldError, len(items))
		for i, e := range items {
			fields[i] = itemError(e.Index, e.Err)
		}
		return api.InvalidFields(fields)
	}
	switch {
	case errors.Is(err, groups.ErrGroupNotFound), errors.Is(err, groups.ErrChatNotFound), errors.Is(err, groups.ErrUserNotFound):
		return api.NotFound(err.Error())
	case errors.Is(err, groups.ErrConflict), errors.Is(err, groups.ErrChatConflict):
		return api.Conflict(err.Error())
	case errors.Is(err, groups.ErrRevision):
		return stale(err.Error())
	case errors.Is(err, groups.ErrNoChatHost):
		return api.Conflict(err.Error() + ": set modules.mod_groups_internal.groups_muc_host")
	case errors.Is(err, groups.ErrNameRequired):
		return api.Invalid("name", err.Error())
	case errors.Is(err, groups.ErrInvalid):
		return &api.Error{Status: http.StatusUnprocessableEntity, Detail: err.Error()}
	}
	return err
}

// itemError says what is wrong with somebody in a list.
func itemError(i int, err error) api.FieldError {
	return api.FieldError{Pointer: fmt.Sprintf("#/items/%d/jid", i), Detail: err.Error()}
}

// listedMembers is how many members the groups of a page have, but for the last
// one's.
const listedMembers = 10000

func (a *Admin) listGroups(ctx context.Context, r *api.Request, _ api.None) (page api.Page[Group], err error) {
	limit, after, err := r.Page()
	if err != nil {
		return page, err
	}
	page.Items = []Group{}
	members := 0
	for info, err := range a.opts.Groups.GroupsAfter(ctx, groups.ID(after)) {
		if err != nil {
			return page, err
		}
		if n := len(page.Items); n == limit || members >= listedMembers {
			page.Next = r.Next(string(page.Items[n-1].ID))
			break
		}
		g := Group{GroupInfo: GroupInfo(info)}
		if !r.Bool("brief", false) {
			if err := a.fillGroup(ctx, r, &g); errors.Is(err, groups.ErrGroupNotFound) {
				continue // deleted meanwhile
			} else if err != nil {
				return page, err
			}
		}
		members += len(g.Members)
		page.Items = append(page.Items, g)
	}
	return page, nil
}

func (a *Admin) createGroup(ctx context.Context, r *api.Request, in NewGroup) (Group, error) {
	info, err := a.opts.Groups.Create(ctx, groups.NewGroup{
		ID: groups.ID(in.ID), Name: in.Name, Contract: groups.Contract(in.Contract), DefaultChat: in.CreateMUC,
	}, groups.Cause{Actor: r.Actor()})
	if err != nil {
		return Group{}, groupError(err)
	}
	a.logGroup(ctx, r, "created", info.ID)
	r.Created("groups", string(info.ID))
	return a.readGroup(ctx, r, info.ID)
}

func (a *Admin) logGroup(ctx context.Context, r *api.Request, done string, id groups.ID) {
	a.log.LogAttrs(ctx, slog.LevelInfo, "group changed", slog.String("done", done), slog.String("group", string(id)), slog.String("actor", r.Actor()))
}

func (a *Admin) group(ctx context.Context, r *api.Request, _ api.None) (Group, error) {
	return a.readGroup(ctx, r, groupID(r))
}

func (a *Admin) readGroup(ctx context.Context, r *api.Request, id groups.ID) (g Group, err error) {
	info, err := a.opts.Groups.Info(ctx, id)
	if err != nil {
		return g, groupError(err)
	}
	g.GroupInfo = GroupInfo(info)
	if err := a.fillGroup(ctx, r, &g); err != nil {
		return g, groupError(err)
	}
	r.SetRevision(g.Revision, chatsTag(g.Chats))
	return g, nil
}

// fillGroup adds a group's members and chats.
func (a *Admin) fillGroup(ctx context.Context, r *api.Request, g *Group) error {
	members, err := a.opts.Groups.Members(ctx, g.ID)
	if err != nil {
		return err
	}
	chats, err := a.opts.Groups.GroupChats(ctx, g.ID)
	if err != nil {
		return err
	}
	g.Members, g.Chats = make(map[string]GroupMember, len(members)), shownChats(chats)
	for i := range members {
		name := members[i].User.String()
		if members[i].User.Domain() == r.Host() {
			name = members[i].User.Local()
		}
		g.Members[name] = shownMember(&members[i])
	}
	return nil
}

func shownMember(m *groups.Member) GroupMember {
	return GroupMember{JID: m.User, Role: string(m.Role), Since: m.Since, Delayed: m.Delayed}
}

func (a *Admin) groupMembers(ctx context.Context, r *api.Request, _ api.None) (list GroupMemberList, err error) {
	info, err := a.opts.Groups.Info(ctx, groupID(r))
	if err != nil {
		return list, groupError(err)
	}
	members, err := a.opts.Groups.Members(ctx, groupID(r))
	if err != nil {
		return list, groupError(err)
	}
	list.Items = make([]GroupMember, len(members))
	for i := range members {
		list.Items[i] = shownMember(&members[i])
	}
	r.SetRevision(info.Revision, "")
	return list, nil
}

func (a *Admin) groupMember(ctx context.Context, r *api.Request, _ api.None) (GroupMember, error) {
	j, err := a.pathUser(r)
	if err != nil {
		return GroupMember{}, err
	}
	members, err := a.opts.Groups.Members(ctx, groupID(r))
	if err != nil {
		return GroupMember{}, groupError(err)
	}
	i := slices.IndexFunc(members, func(m groups.Member) bool { return m.User == j.Bare() })
	if i < 0 {
		return GroupMember{}, api.NotFound(j.Bare().String() + " is no member of the group")
	}
	return shownMember(&members[i]), nil
}

// changed answers what has changed a group.
func (a *Admin) changed(ctx context.Context, r *api.Request, done string, info groups.Info, err error) (none api.None, _ error) {
	if err != nil {
		return none, groupError(err)
	}
	a.logGroup(ctx, r, done, groupID(r))
	if info.Revision != 0 {
		r.SetRevision(info.Revision, "")
	}
	return none, nil
}

func (a *Admin) setGroup(ctx context.Context, r *api.Request, in GroupUpdate) (none api.None, err error) {
	by, err := cause(r)
	if err != nil {
		return none, err
	}
	u := groups.Update{Name: in.Name, MUCJID: in.MUCJID}
	if in.Contract != nil {
		c := groups.Contract(*in.Contract)
		u.Contract = &c
	}
	info, err := a.opts.Groups.SetInfo(ctx, groupID(r), u, by)
	return a.changed(ctx, r, "changed", info, err)
}

func (a *Admin) deleteGroup(ctx context.Context, r *api.Request, _ api.None) (none api.None, err error) {
	by, err := cause(r)
	if err != nil {
		return none, err
	}
	return a.changed(ctx, r, "deleted", groups.Info{}, a.opts.Groups.Delete(ctx, groupID(r), by))
}

func (a *Admin) setGroupMembers(ctx context.Context, r *api.Request, in GroupMembers) (none api.None, err error) {
	if r.HTTP.Header.Get("If-Match") == "" {
		return none, &api.Error{
			Status: http.StatusPreconditionRequired,
			Detail: "this may end memberships that somebody else has just made: say with If-Match which revision is meant, or * for any",
		}
	}
	by, err := cause(r)
	if err != nil {
		return none, err
	}
	list := make([]groups.Joining, len(in.Items))
	users, err := a.addressesOf(r, len(list), func(i int) string { return in.Items[i].JID })
	if err != nil {
		return none, err
	}
	for i, m := range in.Items {
		list[i] = groups.Joining{User: users[i], Role: groups.Role(m.Role)}
	}
	info, err := a.opts.Groups.SetMembers(ctx, groupID(r), list, by)
	return a.changed(ctx, r, "members set", info, err)
}

func (a *Admin) changeGroupMembers(ctx context.Context, r *api.Request, in GroupMemberChanges) (none api.None, err error) {
	by, err := cause(r)
	if err != nil {
		return none, err
	}
	list := make([]groups.MemberChange, len(in.Items))
	users, err := a.addressesOf(r, len(list), func(i int) string { return in.Items[i].JID })
	if err != nil {
		return none, err
	}
	for i, m := range in.Items {
		if list[i].User = users[i]; m.Role == "none" {
			list[i].Remove = true
			continue
		}
		list[i].Role, list[i].Delayed = groups.Role(m.Role), m.Delay
	}
	info, err := a.opts.Groups.ChangeMembers(ctx, groupID(r), list, by)
	return a.changed(ctx, r, "members changed", info, err)
}

// addressesOf are the addresses of the people of a list, or all that is wrong
// with them.
func (a *Admin) addressesOf(r *api.Request, n int, name func(int) string) ([]jid.JID, error) {
	users := make([]jid.JID, n)
	var wrong []api.FieldError
	for i := range users {
		var err error
		if users[i], err = a.userAddress(r, name(i)); err != nil {
			wrong = append(wrong, itemError(i, err))
		}
	}
	if len(wrong) > 0 {
		return nil, api.InvalidFields(wrong)
	}
	return users, nil
}

func (a *Admin) addGroupMember(ctx context.Context, r *api.Request, _ api.None) (none api.None, err error) {
	by, err := cause(r)
	if err != nil {
		return none, err
	}
	j, err := a.pathUser(r)
	if err != nil {
		return none, err
	}
	info, err := a.opts.Groups.AddMember(ctx, groupID(r), groups.Joining{User: j, Role: groups.Role(r.Query("role")), Delayed: r.Bool("delay", false)}, by)
	return a.changed(ctx, r, "member added", info, err)
}

func (a *Admin) removeGroupMember(ctx context.Context, r *api.Request, _ api.None) (none api.None, err error) {
	by, err := cause(r)
	if err != nil {
		return none, err
	}
	j, err := a.pathUser(r)
	if err != nil {
		return none, err
	}
	info, err := a.opts.Groups.RemoveMember(ctx, groupID(r), j, by)
	return a.changed(ctx, r, "member removed", info, err)
}

func (a *Admin) syncGroup(ctx context.Context, r *api.Request, _ api.None) (none api.None, err error) {
	by, err := cause(r)
	if err != nil {
		return none, err
	}
	info, err := a.opts.Groups.Sync(ctx, groupID(r), by)
	return a.changed(ctx, r, "synchronised", info, err)
}

// UserGroups are the ids of somebody's groups.
type UserGroups struct {
	Items []string `json:"items"`
}

func (a *Admin) userGroups(ctx context.Context, r *api.Request, _ api.None) (list UserGroups, err error) {
	acc, err := a.pathAccount(ctx, r)
	if err != nil {
		return list, err
	}
	ids, err := a.opts.Groups.UserGroups(ctx, acc.JID)
	list.Items = make([]string, len(ids))
	for i, id := range ids {
		list.Items[i] = string(id)
	}
	return list, err
}
