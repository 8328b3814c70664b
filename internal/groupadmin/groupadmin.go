// Package groupadmin is the administration of groups with a client: ad-hoc
// commands (XEP-0050) that do what package groups does. It keeps nothing.
package groupadmin

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/muster-im/muster/groups"
	"github.com/muster-im/muster/internal/adhoc"
	"github.com/muster-im/muster/jid"
	"github.com/muster-im/muster/stanza"
)

// nodePrefix begins the nodes of the commands and the types of their forms.
const nodePrefix = "urn:muster:groups:"

// Pages of the list.
const (
	defaultPage = 100
	maxPage     = 1000
)

// Commands are the commands for those who are allowed to use them.
func Commands(service *groups.Service, allowed func(who, at jid.JID) bool) []adhoc.Command {
	a := &admin{service}
	command := func(node, name string, run func(context.Context, *adhoc.Session) (*stanza.Element, error), title string, fields ...stanza.Field) adhoc.Command {
		return adhoc.Command{
			Node: nodePrefix + node, Name: name, Allowed: allowed, Early: 1,
			Stages: []adhoc.Stage{func(context.Context, *adhoc.Session) (*stanza.Form, error) {
				return adhoc.Ask(title, slices.Clone(fields)...), nil
			}},
			Run: func(ctx context.Context, s *adhoc.Session) (*stanza.Element, error) {
				answer, err := run(ctx, s)
				return answer, inWords(err)
			},
		}
	}
	group := adhoc.Text("group", "Group (its id)", true)
	people := stanza.Field{Var: "jids", Type: stanza.FieldJIDMulti, Label: "Who?", Required: true}
	return []adhoc.Command{
		command("list", "List groups", a.list, "List groups",
			adhoc.Text("after", "Only groups behind this id", false), adhoc.Text("max", "How many at most (100)", false)),
		command("members", "Show who is in a group", a.members, "Who is in which group?", group),
		command("create", "Create a group", a.create, "Create a group",
			adhoc.Text("name", "Name", true), adhoc.Text("id", "Id (none: one is made)", false),
			adhoc.Choice("contract", "Contacts stay when a membership ends (permanent), or do not (overlay)", string(groups.Permanent), string(groups.Overlay)),
			stanza.Field{Var: "chat", Type: stanza.FieldBoolean, Label: "With a chat", Values: []string{"0"}}),
		command("rename", "Rename a group", a.rename, "Rename a group", group, adhoc.Text("name", "New name", true)),
		command("add", "Add members to a group", a.add, "Add members to a group", group, people,
			adhoc.Choice("role", "As what? Who is a member already is that from now on", string(groups.RoleMember), string(groups.RoleAdmin), string(groups.RoleOwner))),
		command("remove", "Remove members from a group", a.remove, "Remove members from a group", group, people),
		command("chats", "Show the chats of a group", a.chats, "Which chats has which group?", group),
		command("add-chat", "Add a chat to a group", a.addChat, "Add a chat to a group", group, adhoc.Text("name", "Name of the chat", true),
			adhoc.Text("id", "What stands before the @ in its address (none: one is made)", false)),
		command("remove-chat", "Remove a chat of a group", a.removeChat, "Remove a chat for good", group, adhoc.Text("chat", "Chat (what stands before the @ in its address)", true),
			stanza.Field{Var: "sure", Type: stanza.FieldBoolean, Label: "Yes, with all that was said there", Required: true, Values: []string{"0"}}),
		command("delete", "Delete a group", a.delete, "Delete a group for good", group,
			stanza.Field{Var: "sure", Type: stanza.FieldBoolean, Label: "Yes, with its chats and all that was said there", Required: true, Values: []string{"0"}}),
	}
}

// admin runs the commands.
type admin struct{ groups *groups.Service }

// inWords is an error as commands tell it. Every refusal of groups can be helped
// with another answer, but for a host that is missing.
func inWords(err error) error {
	for _, known := range []error{
		groups.ErrGroupNotFound, groups.ErrChatNotFound, groups.ErrUserNotFound, groups.ErrConflict, groups.ErrChatConflict, groups.ErrNameRequired, groups.ErrInvalid, groups.ErrRevision, groups.ErrNoChatHost,
	} {
		if errors.Is(err, known) {
			return &adhoc.Error{Text: sentence(err.Error()), Final: errors.Is(err, groups.ErrNoChatHost)}
		}
	}
	return err
}

func sentence(s string) string { return strings.TrimSuffix(s, ".") + "." }

func wrong(format string, args ...any) error {
	return &adhoc.Error{Text: sentence(fmt.Sprintf(format, args...))}
}

func done(format string, args ...any) (*stanza.Element, error) {
	return adhoc.Note(adhoc.NoteInfo, sentence(fmt.Sprintf(format, args...))), nil
}

// cause says who has sent the command.
func cause(s *adhoc.Session) groups.Cause { return groups.Cause{Actor: s.Who.Bare().String()} }

func groupID(s *adhoc.Session) groups.ID { return groups.ID(s.Value(0, "group")) }

// people reads addresses, one a value.
func people(s *adhoc.Session) ([]jid.JID, error) {
	var list []jid.JID
	for _, v := range s.Values(0, "jids") {
		if v = strings.TrimSpace(v); v == "" {
			continue
		}
		j, err := jid.Parse(v)
		if err != nil {
			return nil, wrong("jids: %v", err)
		}
		list = append(list, j)
	}
	if len(list) == 0 {
		return nil, wrong("jids: who?")
	}
	return list, nil
}

// yes reads a boolean.
func yes(s *adhoc.Session, variable string) bool {
	v := s.Value(0, variable)
	return v == "1" || v == "true"
}

func (a *admin) list(ctx context.Context, s *adhoc.Session) (*stanza.Element, error) {
	limit := defaultPage
	if v := s.Value(0, "max"); v != "" {
		n, err := strconv.Atoi(v)
		if err != nil || n < 1 || n > maxPage {
			return nil, wrong("max: want a number from 1 to %d, got %q", maxPage, v)
		}
		limit = n
	}
	t := &adhoc.Table{Columns: []stanza.Field{
		{Var: "id", Label: "Id"},
		{Var: "name", Label: "Name"},
		{Var: "contract", Label: "Contract"},
		{Var: "chat", Label: "Chat", Type: stanza.FieldJIDSingle},
		{Var: "created", Label: "Created"},
	}}
	more := ""
	for info, err := range a.groups.GroupsAfter(ctx, groups.ID(s.Value(0, "after"))) {
		if err != nil {
			return nil, err
		}
		if len(t.Rows) == limit {
			more = ", and more behind " + t.Rows[limit-1][0]
			break
		}
		chat := ""
		if !info.MUCJID.IsZero() {
			chat = info.MUCJID.String()
		}
		t.Rows = append(t.Rows, []string{string(info.ID), info.Name, string(info.Contract), chat, stanza.FormatTime(info.Created)})
	}
	return t.Element(fmt.Sprintf("%d groups%s", len(t.Rows), more)), nil
}

func (a *admin) members(ctx context.Context, s *adhoc.Session) (*stanza.Element, error) {
	info, err := a.groups.Info(ctx, groupID(s))
	if err != nil {
		return nil, err
	}
	list, err := a.groups.Members(ctx, info.ID)
	if err != nil {
		return nil, err
	}
	t := &adhoc.Table{Columns: []stanza.Field{
		{Var: "jid", Label: "Address", Type: stanza.FieldJIDSingle},
		{Var: "role", Label: "Role"},
		{Var: "since", Label: "Since"},
	}}
	for i := range list[:min(len(list), maxPage)] {
		m := &list[i]
		t.Rows = append(t.Rows, []string{m.User.String(), string(m.Role), stanza.FormatTime(m.Since)})
	}
	title := fmt.Sprintf("%s: %d members", info.Name, len(list))
	if len(list) > maxPage {
		title += fmt.Sprintf(" (the first %d)", maxPage)
	}
	return t.Element(title), nil
}

func (a *admin) create(ctx context.Context, s *adhoc.Session) (*stanza.Element, error) {
	info, err := a.groups.Create(ctx, groups.NewGroup{
		ID: groups.ID(s.Value(0, "id")), Name: s.Value(0, "name"), Contract: groups.Contract(s.Value(0, "contract")), DefaultChat: yes(s, "chat"),
	}, cause(s))
	if err != nil {
		return nil, err
	}
	return done("The group %s is there. Its id is %s", info.Name, info.ID)
}

func (a *admin) rename(ctx context.Context, s *adhoc.Session) (*stanza.Element, error) {
	name := s.Value(0, "name")
	info, err := a.groups.SetInfo(ctx, groupID(s), groups.Update{Name: &name}, cause(s))
	if err != nil {
		return nil, err
	}
	return done("The group is called %s", info.Name)
}

func (a *admin) add(ctx context.Context, s *adhoc.Session) (*stanza.Element, error) {
	list, err := people(s)
	if err != nil {
		return nil, err
	}
	return a.change(ctx, s, list, func(j jid.JID) groups.MemberChange {
		return groups.MemberChange{Joining: groups.Joining{User: j, Role: groups.Role(s.Value(0, "role"))}}
	})
}

// remove ends memberships of people who have one: who is misspelt is no member.
func (a *admin) remove(ctx context.Context, s *adhoc.Session) (*stanza.Element, error) {
	list, err := people(s)
	if err != nil {
		return nil, err
	}
	members, err := a.groups.Members(ctx, groupID(s))
	if err != nil {
		return nil, err
	}
	in := make(map[jid.JID]bool, len(members))
	for i := range members {
		in[members[i].User] = true
	}
	var strangers []string
	for _, j := range list {
		if !in[j] {
			strangers = append(strangers, j.String())
		}
	}
	if len(strangers) > 0 {
		return nil, wrong("jids: no member of %s: %s", groupID(s), strings.Join(strangers, ", "))
	}
	return a.change(ctx, s, list, func(j jid.JID) groups.MemberChange {
		return groups.MemberChange{Joining: groups.Joining{User: j}, Remove: true}
	})
}

// change changes what all who are named are in a group, or nothing.
func (a *admin) change(ctx context.Context, s *adhoc.Session, list []jid.JID, of func(jid.JID) groups.MemberChange) (*stanza.Element, error) {
	changes := make([]groups.MemberChange, len(list))
	for i, j := range list {
		changes[i] = of(j)
	}
	if _, err := a.groups.ChangeMembers(ctx, groupID(s), changes, cause(s)); err != nil {
		return nil, err
	}
	return done("The members of %s are changed", groupID(s))
}

func (a *admin) chats(ctx context.Context, s *adhoc.Session) (*stanza.Element, error) {
	list, err := a.groups.GroupChats(ctx, groupID(s))
	if err != nil {
		return nil, err
	}
	t := &adhoc.Table{Columns: []stanza.Field{
		{Var: "jid", Label: "Address", Type: stanza.FieldJIDSingle},
		{Var: "name", Label: "Name"},
		{Var: "gone", Label: "Its room is gone", Type: stanza.FieldBoolean},
	}}
	for _, c := range list {
		gone := "0"
		if c.Deleted {
			gone = "1"
		}
		t.Rows = append(t.Rows, []string{c.JID.String(), c.Name, gone})
	}
	return t.Element(fmt.Sprintf("%d chats", len(list))), nil
}

func (a *admin) addChat(ctx context.Context, s *adhoc.Session) (*stanza.Element, error) {
	var chat groups.Chat
	var err error
	if id := s.Value(0, "id"); id != "" {
		chat, err = a.groups.PutGroupChat(ctx, groupID(s), groups.NewChat{ID: id, Name: s.Value(0, "name")}, cause(s))
	} else {
		chat, err = a.groups.AddGroupChat(ctx, groupID(s), s.Value(0, "name"), cause(s))
	}
	if err != nil {
		return nil, err
	}
	return done("The chat %s is at %s", chat.Name, chat.JID)
}

func (a *admin) removeChat(ctx context.Context, s *adhoc.Session) (*stanza.Element, error) {
	if !yes(s, "sure") {
		return nil, wrong("sure: say yes, or cancel")
	}
	if err := a.groups.RemoveGroupChat(ctx, groupID(s), s.Value(0, "chat"), cause(s)); err != nil {
		return nil, err
	}
	return done("The chat %s is removed", s.Value(0, "chat"))
}

func (a *admin) delete(ctx context.Context, s *adhoc.Session) (*stanza.Element, error) {
	if !yes(s, "sure") {
		return nil, wrong("sure: say yes, or cancel")
	}
	if err := a.groups.Delete(ctx, groupID(s), cause(s)); err != nil {
		return nil, err
	}
	return done("The group %s is deleted", groupID(s))
}
