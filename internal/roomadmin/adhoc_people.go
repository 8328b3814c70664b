package roomadmin

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/muster-im/muster/internal/adhoc"
	"github.com/muster-im/muster/jid"
	"github.com/muster-im/muster/muc"
	"github.com/muster-im/muster/stanza"
)

func affiliationsForm(context.Context, *session) (*stanza.Form, error) {
	return adhoc.Ask("Who belongs to a room?", roomField(),
		adhoc.Choice("affiliation", "Which of them", "all", "owner", "admin", "member", "outcast")), nil
}

func runAffiliations(ctx context.Context, s *session) (*stanza.Element, error) {
	room, err := s.room()
	if err != nil {
		return nil, err
	}
	q := AffiliationQuery{Limit: maxPage, Affiliation: s.Value(0, "affiliation")}
	if q.Affiliation == "all" {
		q.Affiliation = ""
	}
	page, err := s.admin.Affiliations(ctx, room, q)
	if err != nil {
		return nil, err
	}
	t := &adhoc.Table{Columns: []stanza.Field{
		{Var: "jid", Label: "Address", Type: stanza.FieldJIDSingle},
		{Var: "affiliation", Label: "Affiliation"},
		{Var: "nick", Label: "Nickname"},
		{Var: "reason", Label: "Reason"},
	}}
	for _, e := range page.Affiliations {
		nick := ""
		if e.Nick != nil {
			nick = *e.Nick
		}
		t.Rows = append(t.Rows, []string{e.JID.String(), e.Affiliation, nick, e.Reason})
	}
	title := "People of " + room.String()
	if page.Next != "" {
		title += fmt.Sprintf(" (the first %d)", maxPage)
	}
	return t.Element(title), nil
}

func affiliateForm(context.Context, *session) (*stanza.Form, error) {
	return adhoc.Ask("Change affiliations", roomField(),
		stanza.Field{Var: "jids", Type: stanza.FieldJIDMulti, Label: "Whose?", Required: true},
		adhoc.Choice("affiliation", "What are they to be?", "member", "admin", "owner", "none", "outcast"),
		adhoc.Text("reason", "Reason", false)), nil
}

func runAffiliate(ctx context.Context, s *session) (*stanza.Element, error) {
	room, err := s.room()
	if err != nil {
		return nil, err
	}
	people, err := s.people("jids")
	if err == nil && len(people) == 0 {
		err = invalid("jids", "whose affiliation?")
	}
	if err != nil {
		return nil, err
	}
	list := make([]Affiliation, len(people))
	for i, j := range people {
		list[i] = Affiliation{JID: j, Affiliation: s.Value(0, "affiliation"), Reason: s.Value(0, "reason")}
	}
	if err := s.admin.Affiliate(ctx, room, jid.JID{}, list); err != nil {
		return nil, err
	}
	return adhoc.Note(adhoc.NoteInfo, "The affiliations are changed."), nil
}

func runOccupants(ctx context.Context, s *session) (*stanza.Element, error) {
	room, err := s.room()
	if err != nil {
		return nil, err
	}
	list, err := s.admin.Occupants(ctx, room, jid.JID{})
	if err != nil {
		return nil, err
	}
	t := &adhoc.Table{Columns: []stanza.Field{
		{Var: "nick", Label: "Nickname"},
		{Var: "jid", Label: "Address", Type: stanza.FieldJIDSingle},
		{Var: "role", Label: "Role"},
		{Var: "affiliation", Label: "Affiliation"},
		{Var: "sessions", Label: "Clients"},
	}}
	for i := range list {
		o := &list[i]
		t.Rows = append(t.Rows, []string{o.Nick, o.JID.String(), o.Role, o.Affiliation, strconv.Itoa(len(o.Sessions))})
	}
	return t.Element(fmt.Sprintf("%d people are in %s", len(list), room)), nil
}

// kickForm shows who is inside.
func kickForm(ctx context.Context, s *session) (*stanza.Form, error) {
	room, err := s.room()
	if err != nil {
		return nil, err
	}
	list, err := s.admin.Occupants(ctx, room, jid.JID{})
	if err == nil && len(list) == 0 {
		err = fail(NotFound, "nobody is in %s", room)
	}
	if err != nil {
		return nil, err
	}
	nicks := stanza.Field{Var: "nicks", Type: stanza.FieldListMulti, Label: "Who is to go?", Required: true}
	for i := range list {
		nicks.Options = append(nicks.Options, stanza.Option{Label: list[i].Nick + " (" + list[i].JID.String() + ")", Value: list[i].Nick})
	}
	return adhoc.Ask("Out of "+room.String(), nicks, adhoc.Text("reason", "Reason", false)), nil
}

func runKick(ctx context.Context, s *session) (*stanza.Element, error) {
	room, err := s.room()
	if err != nil {
		return nil, err
	}
	nicks := s.Values(1, "nicks")
	if len(nicks) == 0 {
		return nil, invalid("nicks", "who is to go?")
	}
	for _, nick := range nicks {
		if err := s.admin.SetRole(ctx, room, jid.JID{}, nick, muc.RoleNone.String(), s.Value(1, "reason")); err != nil {
			return nil, err
		}
	}
	return adhoc.Note(adhoc.NoteInfo, fmt.Sprintf("Put out: %s.", strings.Join(nicks, ", "))), nil
}

func roleForm(context.Context, *session) (*stanza.Form, error) {
	return adhoc.Ask("Change a role", roomField(), adhoc.Text("nick", "Nickname", true),
		adhoc.Choice("role", "What is he to be?", "participant", "visitor", "moderator", "none"), adhoc.Text("reason", "Reason", false)), nil
}

func runRole(ctx context.Context, s *session) (*stanza.Element, error) {
	room, err := s.room()
	if err != nil {
		return nil, err
	}
	if err := s.admin.SetRole(ctx, room, jid.JID{}, s.Value(0, "nick"), s.Value(0, "role"), s.Value(0, "reason")); err != nil {
		return nil, err
	}
	return adhoc.Note(adhoc.NoteInfo, "The role is changed."), nil
}

func messageForm(context.Context, *session) (*stanza.Form, error) {
	return adhoc.Ask("Say something as the room itself", roomField(), adhoc.Text("nick", "To this occupant only", false),
		stanza.Field{Var: "body", Type: stanza.FieldTextMulti, Label: "What?", Required: true}), nil
}

func runMessage(ctx context.Context, s *session) (*stanza.Element, error) {
	room, err := s.room()
	if err != nil {
		return nil, err
	}
	if _, err := s.admin.Say(ctx, room, Message{To: s.Value(0, "nick"), Body: s.Value(0, "body")}); err != nil {
		return nil, err
	}
	return adhoc.Note(adhoc.NoteInfo, "The room has said it."), nil
}

func inviteForm(context.Context, *session) (*stanza.Form, error) {
	return adhoc.Ask("Invite people", roomField(),
		stanza.Field{Var: "jids", Type: stanza.FieldJIDMulti, Label: "Whom?", Required: true}, adhoc.Text("reason", "Reason", false)), nil
}

func runInvite(ctx context.Context, s *session) (*stanza.Element, error) {
	room, err := s.room()
	if err != nil {
		return nil, err
	}
	people, err := s.people("jids")
	if err != nil {
		return nil, err
	}
	err = s.admin.Invite(ctx, room, Invitation{To: people, Reason: s.Value(0, "reason")})
	if e, ok := errors.AsType[*Error](err); ok && e.Field == "to" {
		e.Field = "jids" // as the form has it
	}
	if err != nil {
		return nil, err
	}
	return adhoc.Note(adhoc.NoteInfo, "They are invited."), nil
}

func historyForm(context.Context, *session) (*stanza.Form, error) {
	return adhoc.Ask("Read what was said", roomField(), adhoc.Text("max", "How many messages at most (50)", false),
		adhoc.Text("before", "Only messages before this one (its id)", false)), nil
}

func runHistory(ctx context.Context, s *session) (*stanza.Element, error) {
	room, err := s.room()
	if err != nil {
		return nil, err
	}
	n, err := s.number("max", historyPage)
	if err != nil {
		return nil, err
	}
	page, err := s.admin.History(ctx, room, HistoryQuery{Limit: n, Before: s.Value(0, "before")})
	if err != nil {
		return nil, err
	}
	t := &adhoc.Table{Columns: []stanza.Field{
		{Var: "time", Label: "Time"}, {Var: "nick", Label: "Nickname"}, {Var: "body", Label: "Message"}, {Var: "id", Label: "Id"},
	}}
	for i := range page.Messages {
		m := &page.Messages[i]
		said := m.Body
		if m.Subject != nil {
			said = "Subject: " + *m.Subject
		}
		t.Rows = append(t.Rows, []string{stanza.FormatTime(m.Time), m.Nick, said, m.ID})
	}
	return t.Element("Messages of " + room.String()), nil
}
