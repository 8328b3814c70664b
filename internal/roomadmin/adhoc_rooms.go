package roomadmin

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/muster-im/muster/jid"
	"github.com/muster-im/muster/muc"
	"github.com/muster-im/muster/stanza"
)

// roomCommands are the commands that there are.
func roomCommands() []command {
	one := func(node, name string, form stage, run func(context.Context, *session) (*stanza.Element, error)) command {
		return command{node: nodePrefix + node, name: name, stages: []stage{form}, early: 1, run: run}
	}
	return []command{
		one("list", "List rooms", listForm, runList),
		one("of", "List the rooms of a person", ofForm, runOf),
		{nodePrefix + "create", "Create a room", []stage{createForm, newConfigForm}, 1, runCreate},
		{nodePrefix + "config", "Configure a room", []stage{roomForm("Which room is to be configured?"), configForm}, 2, runConfig},
		one("affiliations", "Show who belongs to a room", affiliationsForm, runAffiliations),
		one("affiliate", "Change affiliations in a room", affiliateForm, runAffiliate),
		one("occupants", "Show who is in a room", roomForm("Who is in which room?"), runOccupants),
		{nodePrefix + "kick", "Put somebody out of a room", []stage{roomForm("Out of which room?"), kickForm}, 2, runKick},
		one("role", "Change somebody's role in a room", roleForm, runRole),
		one("message", "Say something in a room", messageForm, runMessage),
		one("invite", "Invite people into a room", inviteForm, runInvite),
		one("history", "Read what was said in a room", historyForm, runHistory),
		one("destroy", "Destroy a room", destroyForm, runDestroy),
		{nodePrefix + "unused", "Destroy rooms that nobody uses", []stage{unusedForm, unusedChoice}, 2, runUnused},
	}
}

// Fields that several forms have.
func roomField() stanza.Field {
	return stanza.Field{Var: "room", Type: stanza.FieldTextSingle, Label: "Room (its name or its address)", Required: true}
}

func text(variable, label string, required bool) stanza.Field {
	return stanza.Field{Var: variable, Type: stanza.FieldTextSingle, Label: label, Required: required}
}

func choice(variable, label string, words ...string) stanza.Field {
	f := stanza.Field{Var: variable, Type: stanza.FieldListSingle, Label: label, Values: words[:1]}
	for _, w := range words {
		f.Options = append(f.Options, stanza.Option{Label: w, Value: w})
	}
	return f
}

func ask(title string, fields ...stanza.Field) *stanza.Form {
	return &stanza.Form{Type: stanza.FormForm, Title: title, Fields: fields}
}

func asking(title string, fields ...stanza.Field) stage {
	return func(context.Context, *session) (*stanza.Form, error) { return ask(title, fields...), nil }
}

func roomForm(title string) stage { return asking(title, roomField()) }

// value is the answer to a field of a stage, "" if there is none.
func (s *session) value(at int, variable string) string {
	if at >= len(s.answers) {
		return ""
	}
	return strings.TrimSpace(strings.Join(s.values(at, variable), "\n"))
}

func (s *session) values(at int, variable string) []string {
	if at >= len(s.answers) {
		return nil
	}
	if f := s.answers[at].Field(variable); f != nil {
		return f.Values
	}
	return nil
}

// room is the room that the first stage names.
func (s *session) room() (jid.JID, error) {
	name := s.value(0, "room")
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
	for _, v := range s.values(0, variable) {
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
	v := s.value(0, variable)
	if v == "" {
		return otherwise, nil
	}
	n, err := strconv.Atoi(v)
	if err != nil || n < 1 {
		return 0, invalid(variable, "want a positive number, got %q", v)
	}
	return n, nil
}

// table is a result with rows (XEP-0004 §3.4).
type table struct {
	columns []stanza.Field
	rows    [][]string
}

func (t *table) element(title string) *stanza.Element {
	x := stanza.NewElement(stanza.NSData, "x", "type", "result").AddTextElement("title", title)
	reported := stanza.NewElement(stanza.NSData, "reported")
	for _, c := range t.columns {
		e := stanza.NewElement(stanza.NSData, "field", "var", c.Var, "label", c.Label)
		if c.Type != "" {
			e.SetAttr("type", string(c.Type))
		}
		reported.Add(e)
	}
	x.Add(reported)
	for _, row := range t.rows {
		item := stanza.NewElement(stanza.NSData, "item")
		for i, v := range row {
			item.Add(stanza.NewElement(stanza.NSData, "field", "var", t.columns[i].Var).AddTextElement("value", v))
		}
		x.Add(item)
	}
	return x
}

func roomTable(rooms []Room) *table {
	t := &table{columns: []stanza.Field{
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
		t.rows = append(t.rows, []string{
			r.JID.String(), r.Title, strconv.Itoa(r.Occupants), strconv.FormatBool(r.Public),
			strconv.FormatBool(r.Persistent), used, r.Affiliation,
		})
	}
	return t
}

func listForm(context.Context, *session) (*stanza.Form, error) {
	return ask("List rooms", text("search", "Only rooms with this in their name or title", false),
		text("after", "Only rooms behind this name", false), text("max", "How many at most (100)", false)), nil
}

func runList(ctx context.Context, s *session) (*stanza.Element, error) {
	n, err := s.number("max", defaultPage)
	if err != nil {
		return nil, err
	}
	page, err := s.admin.List(ctx, ListQuery{
		Host: s.service.Domain().Domain(), Search: s.value(0, "search"), After: s.value(0, "after"), Limit: n,
	})
	if err != nil {
		return nil, err
	}
	title := fmt.Sprintf("%d rooms", len(page.Rooms))
	if page.Next != "" {
		title += ", and more behind " + page.Next
	}
	return roomTable(page.Rooms).element(title), nil
}

func ofForm(context.Context, *session) (*stanza.Form, error) {
	return ask("Rooms of a person", stanza.Field{Var: "jid", Type: stanza.FieldJIDSingle, Label: "Whose rooms?", Required: true}), nil
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
	return roomTable(rooms).element("Rooms of " + people[0].String()), nil
}

func createForm(context.Context, *session) (*stanza.Form, error) {
	return ask("Create a room", roomField(),
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
	f := ask(title)
	for _, m := range service.Settings() {
		f.Add(stanza.Field{Var: m.Var, Type: m.Type, Label: m.Label, Options: m.Choices, Values: values[m.Var]})
	}
	return f
}

// answered is a form of settings that was filled in, by their names.
func (s *session) answered(at int) Config {
	c := Config{}
	if at >= len(s.answers) {
		return c
	}
	list := settings(s.service)
	for i := range list {
		if f := s.answers[at].Field(list[i].variable); f != nil {
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
	return note("info", "The room "+room.String()+" is there."), nil
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
	return note("info", "The settings of "+room.String()+" are changed."), nil
}

func destroyForm(context.Context, *session) (*stanza.Form, error) {
	return ask("Destroy a room for good", roomField(), text("reason", "Reason", false),
		stanza.Field{Var: "alternative", Type: stanza.FieldJIDSingle, Label: "Room to which people are to go instead"},
		stanza.Field{Var: "sure", Type: stanza.FieldBoolean, Label: "Yes, with everything in it", Required: true, Values: []string{"0"}}), nil
}

func runDestroy(ctx context.Context, s *session) (*stanza.Element, error) {
	room, err := s.room()
	if err != nil {
		return nil, err
	}
	if v := s.value(0, "sure"); v != "1" && v != "true" {
		return nil, invalid("sure", "say yes, or cancel")
	}
	d := Destruction{Reason: s.value(0, "reason")}
	if to, err := s.people("alternative"); err != nil {
		return nil, err
	} else if len(to) > 0 {
		d.Alternative = to[0]
	}
	if err := s.admin.Destroy(ctx, room, jid.JID{}, d); err != nil {
		return nil, err
	}
	return note("info", "The room "+room.String()+" is destroyed."), nil
}

func unusedForm(context.Context, *session) (*stanza.Form, error) {
	return ask("Rooms that nobody uses", text("days", "Not used for how many days?", true)), nil
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
	f := ask("Destroy for good", rooms, text("reason", "Reason", false))
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
	for _, v := range s.values(1, "rooms") {
		j, err := jid.Parse(v)
		if err != nil || j.DomainOnly() != s.service.Domain() {
			return nil, invalid("rooms", "%q is no room of this service", v)
		}
		rooms = append(rooms, Room{JID: j})
	}
	if len(rooms) == 0 {
		return nil, invalid("rooms", "which rooms?")
	}
	gone, err := s.admin.destroyIdle(ctx, rooms, UnusedQuery{Idle: idle, Reason: s.value(1, "reason")})
	if err != nil {
		return nil, err
	}
	return note("info", fmt.Sprintf("%d rooms are destroyed.", len(gone))), nil
}
