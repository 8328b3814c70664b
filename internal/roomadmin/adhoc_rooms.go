package roomadmin

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/muster-im/muster/internal/adhoc"
	"github.com/muster-im/muster/jid"
	"github.com/muster-im/muster/muc"
	"github.com/muster-im/muster/stanza"
)

// all are the commands that there are.
func (c *commands) all() []adhoc.Command {
	return []adhoc.Command{
		c.command("list", "List rooms", 1, runList, listForm),
		c.command("of", "List the rooms of a person", 1, runOf, ofForm),
		c.command("create", "Create a room", 1, runCreate, createForm, newConfigForm),
		c.command("config", "Configure a room", 2, runConfig, roomForm("Which room is to be configured?"), configForm),
		c.command("affiliations", "Show who belongs to a room", 1, runAffiliations, affiliationsForm),
		c.command("affiliate", "Change affiliations in a room", 1, runAffiliate, affiliateForm),
		c.command("occupants", "Show who is in a room", 1, runOccupants, roomForm("Who is in which room?")),
		c.command("kick", "Put somebody out of a room", 2, runKick, roomForm("Out of which room?"), kickForm),
		c.command("role", "Change somebody's role in a room", 1, runRole, roleForm),
		c.command("message", "Say something in a room", 1, runMessage, messageForm),
		c.command("invite", "Invite people into a room", 1, runInvite, inviteForm),
		c.command("history", "Read what was said in a room", 1, runHistory, historyForm),
		c.command("destroy", "Destroy a room", 1, runDestroy, destroyForm),
		c.command("unused", "Destroy rooms that nobody uses", 2, runUnused, unusedForm, unusedChoice),
	}
}

// Fields that several forms have.
func roomField() stanza.Field {
	return stanza.Field{Var: "room", Type: stanza.FieldTextSingle, Label: "Room (its name or its address)", Required: true}
}

func asking(title string, fields ...stanza.Field) stage {
	return func(context.Context, *session) (*stanza.Form, error) { return adhoc.Ask(title, fields...), nil }
}

func roomForm(title string) stage { return asking(title, roomField()) }

// room is the room that the first stage names.
func (s *session) room() (jid.JID, error) {
	name := s.Value(0, "room")
	if name == "" {
		return jid.JID{}, invalid("room", "which room?")
	}
	if !strings.Contains(name, "@") {
		name += "@" + s.service.Domain().Domain()
	}
	j, err := jid.Parse(name)
	switch {
	case err != nil:
		return j, invalid("room", "%v", err)
	case j.DomainOnly() != s.service.Domain():
		return j, invalid("room", "this service is %s", s.service.Domain())
	}
	return j.Bare(), nil
}

// people reads addresses, one a value.
func (s *session) people(variable string) ([]jid.JID, error) {
	var list []jid.JID
	for _, v := range s.Values(0, variable) {
		if v = strings.TrimSpace(v); v == "" {
			continue
		}
		j, err := jid.Parse(v)
		if err != nil {
			return nil, invalid(variable, "%v", err)
		}
		list = append(list, j)
	}
	return list, nil
}

// number reads a number that may be left out.
func (s *session) number(variable string, otherwise int) (int, error) {
	v := s.Value(0, variable)
	if v == "" {
		return otherwise, nil
	}
	n, err := strconv.Atoi(v)
	if err != nil || n < 1 {
		return 0, invalid(variable, "want a positive number, got %q", v)
	}
	return n, nil
}

func roomTable(rooms []Room) *adhoc.Table {
	t := &adhoc.Table{Columns: []stanza.Field{
		{Var: "jid", Label: "Address", Type: stanza.FieldJIDSingle},
		{Var: "title", Label: "Title"},
		{Var: "occupants", Label: "Inside"},
		{Var: "public", Label: "Public"},
		{Var: "persistent", Label: "Persistent"},
		{Var: "used", Label: "Last used"},
		{Var: "affiliation", Label: "Affiliation"},
	}}
	for i := range rooms {
		r := &rooms[i]
		used := ""
		if r.Used != nil {
			used = stanza.FormatTime(*r.Used)
		}
		t.Rows = append(t.Rows, []string{
			r.JID.String(), r.Title, strconv.Itoa(r.Occupants), strconv.FormatBool(r.Public),
			strconv.FormatBool(r.Persistent), used, r.Affiliation,
		})
	}
	return t
}

func listForm(context.Context, *session) (*stanza.Form, error) {
	return adhoc.Ask("List rooms", adhoc.Text("search", "Only rooms with this in their name or title", false),
		adhoc.Text("after", "Only rooms behind this name", false), adhoc.Text("max", "How many at most (100)", false)), nil
}

func runList(ctx context.Context, s *session) (*stanza.Element, error) {
	n, err := s.number("max", defaultPage)
	if err != nil {
		return nil, err
	}
	page, err := s.admin.List(ctx, ListQuery{
		Host: s.service.Domain().Domain(), Search: s.Value(0, "search"), After: s.Value(0, "after"), Limit: n,
	})
	if err != nil {
		return nil, err
	}
	title := fmt.Sprintf("%d rooms", len(page.Rooms))
	if page.Next != "" {
		title += ", and more behind " + page.Next
	}
	return roomTable(page.Rooms).Element(title), nil
}

func ofForm(context.Context, *session) (*stanza.Form, error) {
	return adhoc.Ask("Rooms of a person", stanza.Field{Var: "jid", Type: stanza.FieldJIDSingle, Label: "Whose rooms?", Required: true}), nil
}

func runOf(ctx context.Context, s *session) (*stanza.Element, error) {
	people, err := s.people("jid")
	if err == nil && len(people) != 1 {
		err = invalid("jid", "whose rooms?")
	}
	if err != nil {
		return nil, err
	}
	rooms, err := s.admin.UserRooms(ctx, s.service.Domain().Domain(), people[0])
	if err != nil {
		return nil, err
	}
	return roomTable(rooms).Element("Rooms of " + people[0].String()), nil
}

func createForm(context.Context, *session) (*stanza.Form, error) {
	return adhoc.Ask("Create a room", roomField(),
		stanza.Field{Var: "owner", Type: stanza.FieldJIDSingle, Label: "Owner (an account)"}), nil
}

// newConfigForm shows what is set in new rooms.
func newConfigForm(_ context.Context, s *session) (*stanza.Form, error) {
	room, err := s.room()
	if err != nil {
		return nil, err
	}
	values := s.service.Defaults()
	values[muc.FieldPersistent] = []string{"1"}
	return settingsForm(s.service, "Settings of "+room.String(), values), nil
}

// settingsForm is the configuration form of rooms without lists.
func settingsForm(service *muc.Service, title string, values map[string][]string) *stanza.Form {
	f := adhoc.Ask(title)
	for _, m := range service.Settings() {
		f.Add(stanza.Field{Var: m.Var, Type: m.Type, Label: m.Label, Options: m.Choices, Values: values[m.Var]})
	}
	return f
}

// answered is a form of settings that was filled in, by their names.
func (s *session) answered(at int) Config {
	c := Config{}
	form := s.Answer(at)
	if form == nil {
		return c
	}
	list := settings(s.service)
	for i := range list {
		if f := form.Field(list[i].variable); f != nil {
			c[list[i].Name] = raw(f.Values)
		}
	}
	return c
}

// raw are values as the form has them.
type raw []string

func runCreate(ctx context.Context, s *session) (*stanza.Element, error) {
	room, err := s.room()
	if err != nil {
		return nil, err
	}
	n := NewRoom{JID: room, Config: s.answered(1)}
	if owner, err := s.people("owner"); err != nil {
		return nil, err
	} else if len(owner) > 0 {
		n.Owner = owner[0]
	}
	if err := s.admin.Create(ctx, n); err != nil {
		return nil, err
	}
	return adhoc.Note(adhoc.NoteInfo, "The room "+room.String()+" is there."), nil
}

func configForm(ctx context.Context, s *session) (*stanza.Form, error) {
	room, err := s.room()
	if err != nil {
		return nil, err
	}
	v, err := s.service.View(ctx, room)
	if err != nil {
		return nil, s.admin.explain(room, err)
	}
	return settingsForm(s.service, "Settings of "+room.String(), v.Settings), nil
}

func runConfig(ctx context.Context, s *session) (*stanza.Element, error) {
	room, err := s.room()
	if err != nil {
		return nil, err
	}
	if _, err := s.admin.Configure(ctx, room, jid.JID{}, s.answered(1)); err != nil {
		return nil, err
	}
	return adhoc.Note(adhoc.NoteInfo, "The settings of "+room.String()+" are changed."), nil
}

func destroyForm(context.Context, *session) (*stanza.Form, error) {
	return adhoc.Ask("Destroy a room for good", roomField(), adhoc.Text("reason", "Reason", false),
		stanza.Field{Var: "alternative", Type: stanza.FieldJIDSingle, Label: "Room to which people are to go instead"},
		stanza.Field{Var: "sure", Type: stanza.FieldBoolean, Label: "Yes, with everything in it", Required: true, Values: []string{"0"}}), nil
}

func runDestroy(ctx context.Context, s *session) (*stanza.Element, error) {
	room, err := s.room()
	if err != nil {
		return nil, err
	}
	if v := s.Value(0, "sure"); v != "1" && v != "true" {
		return nil, invalid("sure", "say yes, or cancel")
	}
	d := Destruction{Reason: s.Value(0, "reason")}
	if to, err := s.people("alternative"); err != nil {
		return nil, err
	} else if len(to) > 0 {
		d.Alternative = to[0]
	}
	if err := s.admin.Destroy(ctx, room, jid.JID{}, d); err != nil {
		return nil, err
	}
	return adhoc.Note(adhoc.NoteInfo, "The room "+room.String()+" is destroyed."), nil
}

func unusedForm(context.Context, *session) (*stanza.Form, error) {
	return adhoc.Ask("Rooms that nobody uses", adhoc.Text("days", "Not used for how many days?", true)), nil
}

func (s *session) idle() (time.Duration, error) {
	n, err := s.number("days", 0)
	if err == nil && (n == 0 || n > 36500) {
		err = invalid("days", "for how many days?")
	}
	return time.Duration(n) * 24 * time.Hour, err
}

// unusedChoice shows the rooms that would go, for a choice.
func unusedChoice(ctx context.Context, s *session) (*stanza.Form, error) {
	idle, err := s.idle()
	if err != nil {
		return nil, err
	}
	page, err := s.admin.Unused(ctx, UnusedQuery{Host: s.service.Domain().Domain(), Idle: idle})
	if err == nil && len(page.Rooms) == 0 {
		err = fail(NotFound, "all rooms have been used since then")
	}
	if err != nil {
		return nil, err
	}
	rooms := stanza.Field{Var: "rooms", Type: stanza.FieldListMulti, Label: "Rooms to destroy", Required: true}
	for i := range page.Rooms {
		r := &page.Rooms[i]
		rooms.Options = append(rooms.Options, stanza.Option{
			Label: fmt.Sprintf("%s (%s), last used %s", r.JID, r.Title, r.Used.UTC().Format(time.DateOnly)), Value: r.JID.String(),
		})
	}
	f := adhoc.Ask("Destroy for good", rooms, adhoc.Text("reason", "Reason", false))
	if page.Next != "" {
		f.Instructions = []string{"These are the first; do it again for more."}
	}
	return f, nil
}

func runUnused(ctx context.Context, s *session) (*stanza.Element, error) {
	idle, err := s.idle()
	if err != nil {
		return nil, err
	}
	var rooms []Room
	for _, v := range s.Values(1, "rooms") {
		j, err := jid.Parse(v)
		if err != nil || j.DomainOnly() != s.service.Domain() {
			return nil, invalid("rooms", "%q is no room of this service", v)
		}
		rooms = append(rooms, Room{JID: j})
	}
	if len(rooms) == 0 {
		return nil, invalid("rooms", "which rooms?")
	}
	gone, err := s.admin.destroyIdle(ctx, rooms, UnusedQuery{Idle: idle, Reason: s.Value(1, "reason")})
	if err != nil {
		return nil, err
	}
	return adhoc.Note(adhoc.NoteInfo, fmt.Sprintf("%d rooms are destroyed.", len(gone))), nil
}
