package admin

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/muster-im/muster/internal/api"
	"github.com/muster-im/muster/internal/roomadmin"
	"github.com/muster-im/muster/jid"
)

// Scopes of rooms.
const (
	scopeRoomsRead  api.Scope = "rooms:read"
	scopeRoomsWrite api.Scope = "rooms:write"
)

// Rooms is what the API needs to administrate rooms.
type Rooms struct {
	Admin *roomadmin.Admin
	// Domain is the domain of the rooms of a host, Host the host of a domain of
	// rooms; "" if there is none.
	Domain, Host func(string) string
}

// RoomContents is what a room is to be.
type RoomContents struct {
	Owner        jid.JID                 `json:"owner,omitzero" doc:"An account that is to own the room."`
	Config       roomadmin.Config        `json:"config,omitempty" doc:"Settings; see /room-settings. What is not given stays, or is as in default_room."`
	Subject      string                  `json:"subject,omitempty"`
	Affiliations []roomadmin.Affiliation `json:"affiliations,omitempty" max:"1000"`
}

// AffiliationChange is what somebody is to be.
type AffiliationChange struct {
	Affiliation string  `json:"affiliation" enum:"owner,admin,member,none,outcast"`
	Nick        *string `json:"nick,omitempty" doc:"A nickname to reserve; empty releases it, absent leaves it as it is."`
	Reason      string  `json:"reason,omitempty"`
}

// AffiliationChanges are made together or not at all.
type AffiliationChanges struct {
	Items []roomadmin.Affiliation `json:"items" max:"1000"`
}

// RoleChange is the role that an occupant is to have.
type RoleChange struct {
	Role   string `json:"role" enum:"moderator,participant,visitor,none"`
	Reason string `json:"reason,omitempty"`
}

// Occupants are the people in a room.
type Occupants struct {
	Items []roomadmin.Occupant `json:"items"`
}

// RoomSettings are the settings that rooms have.
type RoomSettings struct {
	Items []roomadmin.Setting `json:"items"`
}

// UserRooms are the rooms of somebody.
type UserRooms struct {
	Items []roomadmin.Room `json:"items"`
}

// UnusedRooms asks for the end of rooms that nobody uses.
type UnusedRooms struct {
	IdleHours int    `json:"idle_hours" min:"1" max:"876000" doc:"For how long nobody has been in them."`
	DryRun    bool   `json:"dry_run,omitempty" doc:"Only say which ones that are."`
	Reason    string `json:"reason,omitempty"`
	After     string `json:"after,omitempty" doc:"next of the answer before; absent for the first ones."`
}

func (a *Admin) roomRoutes() []api.Route {
	room := api.Param{Name: "room", Doc: "The full address of the room."}
	as := api.Param{Name: "as", Query: true, Doc: "An account with whose rights this is done; absent: with all."}
	reason := api.Param{Name: "reason", Query: true, Doc: "What people are told."}
	who := api.Param{Name: "jid", Doc: "The address of a person, or a domain."}
	nick := api.Param{Name: "nick", Doc: "The nickname of an occupant."}
	read := func(path, id, summary string, h api.Handler, params ...api.Param) api.Route {
		return api.Route{Method: http.MethodGet, Path: path, ID: id, Scope: scopeRoomsRead, Summary: summary, Handler: h, Params: params}
	}
	write := func(method, path, id, summary string, h api.Handler, params ...api.Param) api.Route {
		return api.Route{Method: method, Path: path, ID: id, Scope: scopeRoomsWrite, Summary: summary, Handler: h, Params: params}
	}
	list := []api.Route{
		read("/rooms", "listRooms", "The rooms of a host, by name. Sleeping rooms are listed, too, and stay asleep.", api.Do(a.listRooms),
			api.Param{Name: "search", Query: true, Doc: "Only rooms with this in their name or title."}, as),
		read("/rooms/{room}/affiliations", "listAffiliations", "Who belongs to a room, by address.", api.Do(a.affiliations), room, as,
			api.Param{Name: "affiliation", Query: true, Enum: []string{"owner", "admin", "member", "outcast", "none"}, Doc: "Only these."}),
		read("/unused-rooms", "listUnusedRooms", "Stored rooms that nobody has been in for a while.", api.Do(a.unusedRooms),
			api.Param{Name: "idle_hours", Query: true, Required: true, Kind: "integer", Min: 1, Max: 876000, Doc: "For how long."}),
	}
	for i := range list {
		list[i].Paged = true
	}
	list = append(
		list,
		read("/room-settings", "listRoomSettings", "What can be set in the rooms of a host.", api.Do(a.roomSettings)),
		read("/users/{user}/rooms", "listUserRooms", "The rooms to which a user belongs, or in which he is.", api.Do(a.userRooms),
			api.Param{Name: "user", Doc: "What stands before the @ in the user's address."}),
		write(http.MethodPost, "/rooms", "createRoom", "Create a room, as it is to be before anybody can enter.", api.Do(a.createRoom)),
		write(http.MethodPost, "/unused-rooms/destroy", "destroyUnusedRooms", "Destroy a page of the rooms that nobody uses.", api.Do(a.destroyUnused)),
		read("/rooms/{room}", "getRoom", "A room with its settings. The password is left out without the scope rooms:write.", api.Do(a.room), room, as),
		write(http.MethodPut, "/rooms/{room}", "putRoom", "Create a room or, if it is there, change what is given.", api.Do(a.putRoom), room),
		write(http.MethodDelete, "/rooms/{room}", "destroyRoom", "Destroy a room for good. To do it again is no error.", api.Do(a.destroyRoom), room, as, reason,
			api.Param{Name: "alternative", Query: true, Doc: "The room to which people are to go instead."}),
		read("/rooms/{room}/config", "getRoomConfig", "The settings of a room. The password is left out without the scope rooms:write.", api.Do(a.roomConfig), room, as),
		write(http.MethodPatch, "/rooms/{room}/config", "changeRoomConfig", "Change settings: all that are given or none.", api.Do(a.configureRoom), room, as),
		write(http.MethodPatch, "/rooms/{room}/affiliations", "changeAffiliations", "Change affiliations: all that are given or none.", api.Do(a.affiliate), room, as),
		write(http.MethodPut, "/rooms/{room}/affiliations/{jid}", "putAffiliation", "Change somebody's affiliation.", api.Do(a.putAffiliation), room, who, as),
		write(http.MethodDelete, "/rooms/{room}/affiliations/{jid}", "deleteAffiliation", "Take somebody's affiliation away.", api.Do(a.deleteAffiliation), room, who, as, reason),
		read("/rooms/{room}/occupants", "listOccupants", "Who is in a room.", api.Do(a.occupants), room, as),
		write(http.MethodDelete, "/rooms/{room}/occupants/{nick}", "kickOccupant", "Put somebody out of a room.", api.Do(a.kick), room, nick, as, reason),
		write(http.MethodPut, "/rooms/{room}/occupants/{nick}/role", "putRole", "Change the role of somebody in a room.", api.Do(a.putRole), room, nick, as),
		write(http.MethodPost, "/rooms/{room}/messages", "sayInRoom", "Say something in a room.", api.Do(a.say), room),
		read("/rooms/{room}/messages", "listMessages", "What was said in a room, from its archive; without after the newest page.", api.Do(a.history), room, as,
			api.Param{Name: "limit", Query: true, Kind: "integer", Min: 1, Max: 500, Default: 50, Doc: "The largest number of messages in the answer."},
			api.Param{Name: "before", Query: true, Doc: "Only messages before the one with this id."},
			api.Param{Name: "after", Query: true, Doc: "Only messages behind the one with this id."},
			api.Param{Name: "start", Query: true, Doc: "Only messages since this time (RFC 3339)."},
			api.Param{Name: "end", Query: true, Doc: "Only messages until this time (RFC 3339)."},
			api.Param{Name: "with", Query: true, Doc: "Only messages of this account or occupant."}),
		write(http.MethodPost, "/rooms/{room}/invitations", "inviteToRoom", "Invite people: all or none.", api.Do(a.invite), room),
	)
	for i := range list {
		r := &list[i]
		r.Tag = "rooms"
		a.atDomain(r)
		r.Errors = []int{http.StatusNotFound, http.StatusConflict}
		if len(r.Params) > 0 && r.Params[0].Name == "room" {
			r.Domain = a.hostOfRoom
		}
		if r.ID == "createRoom" {
			r.Status = []int{http.StatusCreated}
		}
		if r.ID == "putRoom" {
			r.Status = []int{http.StatusOK, http.StatusCreated}
		}
	}
	return list
}

// atDomain lets an operation on the rooms of a host be one on those of another
// domain of rooms: on the chats of groups.
func (a *Admin) atDomain(r *api.Route) {
	domain := api.Param{Name: "domain", Query: true, Doc: "The domain of the rooms, where it is not the one that the host has: that of the chats of groups."}
	switch r.ID {
	case "listUserRooms": // the host is the user's
	case "listRooms", "listUnusedRooms", "destroyUnusedRooms", "listRoomSettings":
		domain = api.Param{Name: "domain", Query: true, Doc: "The domain of the rooms, instead of a host: that of the chats of groups, for instance."}
		r.Params = append(r.Params, api.Param{Name: "host", Query: true, Doc: "Which of the server's hosts is meant; its first one if this and domain are absent."})
		r.Domain = a.hostOfDomain
	default:
		return
	}
	r.Params = append(r.Params, domain)
}

// hostOfDomain is the host that is asked for, or that to which the rooms of a
// domain belong.
func (a *Admin) hostOfDomain(r *api.Request) (string, error) {
	host, domain := r.Query("host"), r.Query("domain")
	if !r.Has("domain") {
		if !r.Has("host") {
			host = a.opts.Hosts[0]
		}
		return host, nil
	}
	of := a.opts.Rooms.Host(domain)
	switch {
	case of == "":
		return "", noRoomsAt(domain)
	case r.Has("host") && host != of:
		return "", api.InvalidParam("domain", fmt.Sprintf("the rooms at %s are those of %s, not of %.200q", domain, of, host))
	}
	return of, nil
}

func noRoomsAt(domain string) error {
	return api.NotFound(fmt.Sprintf("there are no rooms at %.200q", domain))
}

// roomError is what a client is told; under is where the settings are in the
// body.
func roomError(err error, under string) error { return roomListError(err, under, "") }

// roomListError is roomError for a body with a list of affiliations.
func roomListError(err error, under, list string) error {
	e, ok := errors.AsType[*roomadmin.Error](err)
	if !ok {
		return err
	}
	switch e.Kind {
	case roomadmin.NotFound:
		return api.NotFound(e.Text)
	case roomadmin.Conflict:
		return api.Conflict(e.Text)
	case roomadmin.Malformed:
		return api.InvalidParam("room", e.Text)
	case roomadmin.Forbidden:
		return &api.Error{Status: http.StatusForbidden, Detail: e.Text}
	case roomadmin.Busy:
		return &api.Error{Status: http.StatusServiceUnavailable, Detail: e.Text}
	}
	var fields []api.FieldError
	for _, wrong := range append([]*roomadmin.Error{e}, e.More...) {
		fields = append(fields, api.Field(roomField(wrong, under, list), wrong.Text))
	}
	return api.InvalidFields(fields)
}

// roomField is where in the body that is what is wrong.
func roomField(e *roomadmin.Error, under, list string) string {
	switch item := strconv.Itoa(e.Item - 1); {
	case e.Item > 0 && list == e.Field:
		return list + "/" + item
	case e.Item > 0 && list != "":
		return list + "/" + item + "/" + e.Field
	}
	switch e.Field {
	case "jid", "owner", "to", "from", "body", "subject", "nick", "affiliation", "role":
		return e.Field
	}
	return under + e.Field
}

// hostOfRoom is the host to which the room in the path belongs.
func (a *Admin) hostOfRoom(r *api.Request) (string, error) {
	j, err := roomOf(r)
	if err != nil {
		return "", err
	}
	host := a.opts.Rooms.Host(j.Domain())
	if host == "" {
		return "", api.NotFound("there are no rooms at " + j.Domain())
	}
	return host, nil
}

const wantRoom = "want the address of a room, like team@conference.example.org"

func isRoom(j jid.JID) bool { return j.Local() != "" && j.IsBare() }

func roomOf(r *api.Request) (jid.JID, error) {
	j, err := jid.Parse(r.Path("room"))
	if err == nil && !isRoom(j) {
		err = errors.New(wantRoom)
	}
	if err != nil {
		return j, api.InvalidParam("room", err.Error())
	}
	return j, nil
}

// address is a parameter of the query that names somebody; zero if it is absent.
func address(r *api.Request, name string) (jid.JID, error) {
	if !r.Has(name) {
		return jid.JID{}, nil
	}
	j, err := jid.Parse(r.Query(name))
	if err != nil {
		return j, api.InvalidParam(name, err.Error())
	}
	return j, nil
}

// roomAs are the room in the path and as whom it is asked for.
func roomAs(r *api.Request) (room, as jid.JID, err error) {
	if room, err = roomOf(r); err == nil {
		as, err = address(r, "as")
	}
	return room, as, err
}

func (a *Admin) rooms() *roomadmin.Admin { return a.opts.Rooms.Admin }

// roomDomain is the domain of the rooms that are asked for.
func (a *Admin) roomDomain(r *api.Request) (string, error) {
	if r.Has("domain") {
		if domain := r.Query("domain"); a.opts.Rooms.Host(domain) != "" {
			return domain, nil
		}
		return "", noRoomsAt(r.Query("domain"))
	}
	if domain := a.opts.Rooms.Domain(r.Host()); domain != "" {
		return domain, nil
	}
	return "", api.NotFound("the host " + r.Host() + " has no rooms: [modules.mod_muc] in the configuration switches them on")
}

func (a *Admin) listRooms(ctx context.Context, r *api.Request, _ api.None) (page api.Page[roomadmin.Room], err error) {
	q := roomadmin.ListQuery{Search: r.Query("search")}
	if q.Limit, q.After, err = r.Page(); err != nil {
		return page, err
	}
	if q.As, err = address(r, "as"); err != nil {
		return page, err
	}
	if q.Host, err = a.roomDomain(r); err != nil {
		return page, err
	}
	list, err := a.rooms().List(ctx, q)
	return roomPage(r, list, err)
}

func roomPage(r *api.Request, list roomadmin.RoomPage, err error) (page api.Page[roomadmin.Room], _ error) {
	page.Items = list.Rooms
	if list.Next != "" {
		page.Next = r.Next(list.Next)
	}
	return page, roomError(err, "")
}

func (a *Admin) unusedRooms(ctx context.Context, r *api.Request, _ api.None) (page api.Page[roomadmin.Room], err error) {
	q := roomadmin.UnusedQuery{Idle: time.Duration(r.Int("idle_hours", 0)) * time.Hour}
	if q.Limit, q.After, err = r.Page(); err != nil {
		return page, err
	}
	if q.Host, err = a.roomDomain(r); err != nil {
		return page, err
	}
	list, err := a.rooms().Unused(ctx, q)
	return roomPage(r, list, err)
}

func (a *Admin) destroyUnused(ctx context.Context, r *api.Request, in UnusedRooms) (page api.Page[roomadmin.Room], err error) {
	q := roomadmin.UnusedQuery{Idle: time.Duration(in.IdleHours) * time.Hour, DryRun: in.DryRun, Reason: in.Reason, After: in.After}
	if q.Host, err = a.roomDomain(r); err != nil {
		return page, err
	}
	list, err := a.rooms().DestroyUnused(ctx, q)
	return api.Page[roomadmin.Room]{Items: list.Rooms, Next: list.Next}, roomError(err, "")
}

func (a *Admin) roomSettings(_ context.Context, r *api.Request, _ api.None) (RoomSettings, error) {
	domain, err := a.roomDomain(r)
	if err != nil {
		return RoomSettings{}, err
	}
	list, err := a.rooms().Settings(domain)
	return RoomSettings{list}, roomError(err, "")
}

func (a *Admin) userRooms(ctx context.Context, r *api.Request, _ api.None) (UserRooms, error) {
	acc, err := a.pathAccount(ctx, r)
	if err != nil {
		return UserRooms{}, err
	}
	domain, err := a.roomDomain(r)
	if err != nil {
		return UserRooms{}, err
	}
	list, err := a.rooms().UserRooms(ctx, domain, acc.JID)
	return UserRooms{list}, roomError(err, "")
}

func (a *Admin) room(ctx context.Context, r *api.Request, _ api.None) (roomadmin.Details, error) {
	room, as, err := roomAs(r)
	if err != nil {
		return roomadmin.Details{}, err
	}
	d, err := a.rooms().Show(ctx, room, as)
	a.hideSecrets(r, room, d.Config)
	return d, roomError(err, "")
}

// hideSecrets takes what lets people into a room out of its settings, unless who
// asks may change them.
func (a *Admin) hideSecrets(r *api.Request, room jid.JID, c roomadmin.Config) {
	if r.May(scopeRoomsWrite) {
		return
	}
	for _, name := range a.rooms().Secrets(room) {
		delete(c, name)
	}
}

func (a *Admin) createRoom(ctx context.Context, r *api.Request, in roomadmin.NewRoom) (d roomadmin.Details, err error) {
	if host := a.opts.Rooms.Host(in.JID.Domain()); host == "" || !r.MayHost(host) {
		return d, api.Invalid("jid", "this is no address of a room that you may administrate")
	}
	if !isRoom(in.JID) {
		return d, api.Invalid("jid", wantRoom)
	}
	if err := a.rooms().Create(ctx, in); err != nil {
		return d, roomListError(err, "config/", "affiliations")
	}
	r.Created("rooms", in.JID.String())
	d, err = a.rooms().Show(ctx, in.JID, jid.JID{})
	return d, roomError(err, "")
}

func (a *Admin) putRoom(ctx context.Context, r *api.Request, in RoomContents) (d roomadmin.Details, err error) {
	room, err := roomOf(r)
	if err != nil {
		return d, err
	}
	created, err := a.rooms().Ensure(ctx, roomadmin.NewRoom{
		JID: room, Owner: in.Owner, Config: in.Config, Subject: in.Subject, Affiliations: in.Affiliations,
	})
	if err != nil {
		return d, roomListError(err, "config/", "affiliations")
	}
	if created {
		r.Created("rooms", room.String())
	}
	d, err = a.rooms().Show(ctx, room, jid.JID{})
	return d, roomError(err, "")
}

func (a *Admin) destroyRoom(ctx context.Context, r *api.Request, _ api.None) (none api.None, err error) {
	room, as, err := roomAs(r)
	if err != nil {
		return none, err
	}
	d := roomadmin.Destruction{Reason: r.Query("reason")}
	if d.Alternative, err = address(r, "alternative"); err != nil {
		return none, err
	}
	return none, roomError(a.rooms().Destroy(ctx, room, as, d), "")
}

func (a *Admin) roomConfig(ctx context.Context, r *api.Request, _ api.None) (roomadmin.Config, error) {
	room, as, err := roomAs(r)
	if err != nil {
		return nil, err
	}
	c, err := a.rooms().Config(ctx, room, as)
	a.hideSecrets(r, room, c)
	return c, roomError(err, "")
}

func (a *Admin) configureRoom(ctx context.Context, r *api.Request, in roomadmin.Config) (roomadmin.Config, error) {
	room, as, err := roomAs(r)
	if err != nil {
		return nil, err
	}
	c, err := a.rooms().Configure(ctx, room, as, in)
	return c, roomError(err, "")
}

func (a *Admin) affiliations(ctx context.Context, r *api.Request, _ api.None) (page api.Page[roomadmin.Affiliation], err error) {
	q := roomadmin.AffiliationQuery{Affiliation: r.Query("affiliation")}
	room, as, err := roomAs(r)
	if err != nil {
		return page, err
	}
	q.As = as
	if q.Limit, q.After, err = r.Page(); err != nil {
		return page, err
	}
	list, err := a.rooms().Affiliations(ctx, room, q)
	page.Items = list.Affiliations
	if list.Next != "" {
		page.Next = r.Next(list.Next)
	}
	return page, roomError(err, "")
}

func (a *Admin) affiliate(ctx context.Context, r *api.Request, in AffiliationChanges) (none api.None, err error) {
	room, as, err := roomAs(r)
	if err != nil {
		return none, err
	}
	return none, roomListError(a.rooms().Affiliate(ctx, room, as, in.Items), "", "items")
}

func (a *Admin) putAffiliation(ctx context.Context, r *api.Request, in AffiliationChange) (none api.None, err error) {
	return none, a.affiliateOne(ctx, r, in)
}

func (a *Admin) deleteAffiliation(ctx context.Context, r *api.Request, _ api.None) (none api.None, err error) {
	return none, a.affiliateOne(ctx, r, AffiliationChange{Affiliation: "none", Reason: r.Query("reason")})
}

func (a *Admin) affiliateOne(ctx context.Context, r *api.Request, in AffiliationChange) error {
	room, as, err := roomAs(r)
	if err != nil {
		return err
	}
	who, err := jid.Parse(r.Path("jid"))
	if err != nil {
		return api.InvalidParam("jid", err.Error())
	}
	change := roomadmin.Affiliation{JID: who, Affiliation: in.Affiliation, Nick: in.Nick, Reason: in.Reason}
	return roomError(a.rooms().Affiliate(ctx, room, as, []roomadmin.Affiliation{change}), "")
}

func (a *Admin) occupants(ctx context.Context, r *api.Request, _ api.None) (Occupants, error) {
	room, as, err := roomAs(r)
	if err != nil {
		return Occupants{}, err
	}
	list, err := a.rooms().Occupants(ctx, room, as)
	return Occupants{list}, roomError(err, "")
}

func (a *Admin) kick(ctx context.Context, r *api.Request, _ api.None) (none api.None, err error) {
	return none, a.setRole(ctx, r, RoleChange{Role: "none", Reason: r.Query("reason")})
}

func (a *Admin) putRole(ctx context.Context, r *api.Request, in RoleChange) (none api.None, err error) {
	return none, a.setRole(ctx, r, in)
}

func (a *Admin) setRole(ctx context.Context, r *api.Request, in RoleChange) error {
	room, as, err := roomAs(r)
	if err != nil {
		return err
	}
	return roomError(a.rooms().SetRole(ctx, room, as, r.Path("nick"), in.Role, in.Reason), "")
}

func (a *Admin) say(ctx context.Context, r *api.Request, in roomadmin.Message) (roomadmin.Said, error) {
	room, err := roomOf(r)
	if err != nil {
		return roomadmin.Said{}, err
	}
	said, err := a.rooms().Say(ctx, room, in)
	return said, roomError(err, "")
}

func (a *Admin) history(ctx context.Context, r *api.Request, _ api.None) (page roomadmin.HistoryPage, err error) {
	q := roomadmin.HistoryQuery{Limit: r.Int("limit", 0), Before: r.Query("before"), After: r.Query("after")}
	room, as, err := roomAs(r)
	if err != nil {
		return page, err
	}
	q.As = as
	if q.With, err = address(r, "with"); err != nil {
		return page, err
	}
	for name, id := range map[string]string{"before": q.Before, "after": q.After} {
		if r.Has(name) && strings.Trim(id, "0123456789abcdefghjkmnpqrstvwxyz") != "" || r.Has(name) && len(id) < 13 {
			return page, api.InvalidParam(name, "this is not the id of a message")
		}
	}
	for name, into := range map[string]*time.Time{"start": &q.Start, "end": &q.End} {
		if !r.Has(name) {
			continue
		}
		if *into, err = time.Parse(time.RFC3339, r.Query(name)); err != nil {
			return page, api.InvalidParam(name, "want a time like 2026-01-31T12:00:00Z")
		}
	}
	page, err = a.rooms().History(ctx, room, q)
	return page, roomError(err, "")
}

func (a *Admin) invite(ctx context.Context, r *api.Request, in roomadmin.Invitation) (none api.None, err error) {
	room, err := roomOf(r)
	if err != nil {
		return none, err
	}
	return none, roomListError(a.rooms().Invite(ctx, room, in), "", "to")
}
