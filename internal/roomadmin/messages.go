package roomadmin

import (
	"context"
	"time"

	"github.com/muster-im/muster/jid"
	"github.com/muster-im/muster/muc"
	"github.com/muster-im/muster/stanza"
)

const (
	nsConference = "jabber:x:conference" // XEP-0249
	maxInvites   = 20                    // of one message (XEP-0045 §7.8.2)
)

// Say says something in a room: to everybody or to one occupant, as the room
// itself or as somebody who is inside. What is archived is in the archive then.
func (a *Admin) Say(ctx context.Context, room jid.JID, m Message) (said Said, err error) {
	defer func() { err = a.finish("message", room, err) }()
	st, err := m.stanza(room)
	if err != nil {
		return said, err
	}
	s, err := a.at(room)
	if err != nil {
		return said, err
	}
	h, err := s.Room(ctx, room)
	if err != nil {
		return said, err
	}
	who := actor(m.From)
	err = h.Do(ctx, func(r *muc.Room) error {
		if m.To != "" && r.Occupant(m.To) == nil {
			return fail(NotFound, "nobody in %s has the nickname %q", room, m.To)
		}
		if m.From.IsZero() {
			return nil
		}
		full := inside(r, m.From)
		if r.Session(full) == nil {
			return fail(Conflict, "%s is not in %s: only who is inside speaks there", m.From, room)
		}
		who = muc.By(full)
		return nil
	})
	if err == nil {
		said.ID, err = h.Send(ctx, who, st)
	}
	return said, err
}

// stanza is the message on the wire.
func (m *Message) stanza(room jid.JID) (stanza.Stanza, error) {
	st := stanza.Stanza{Kind: stanza.Message, Type: stanza.TypeGroupchat, To: room}
	switch {
	case m.Subject != nil && (m.Body != "" || m.To != ""):
		return st, invalid("subject", "a new subject is for everybody and comes without a body")
	case m.Subject != nil:
		return st.With(stanza.NewElement(stanza.NSClient, "subject").AddText(*m.Subject)), nil
	case m.Body == "":
		return st, invalid("body", "there is nothing to be said")
	case m.To != "":
		to, err := room.WithResource(m.To)
		if err != nil {
			return st, invalid("to", "%q is no nickname", m.To)
		}
		st.Type, st.To = stanza.TypeChat, to
		if m.From.IsZero() {
			st.Type = "" // the room is no occupant with whom one could chat
		}
	}
	return st.With(stanza.NewElement(stanza.NSClient, "body").AddText(m.Body)), nil
}

// Invite invites people into a room: all or, if one of them cannot be, none. To
// a room for members only they are made members.
func (a *Admin) Invite(ctx context.Context, room jid.JID, v Invitation) (err error) {
	defer func() { err = a.finish("invite", room, err) }()
	switch {
	case len(v.To) == 0:
		return invalid("to", "whom do you want to invite?")
	case len(v.To) > maxInvites:
		return invalid("to", "invite at most %d people at once, got %d", maxInvites, len(v.To))
	case v.Direct && v.From.IsZero():
		return invalid("from", "who invites directly?")
	}
	if err := a.checkReach(ctx, v.To); err != nil {
		return err
	}
	s, err := a.at(room)
	if err != nil {
		return err
	}
	h, err := s.Room(ctx, room)
	if err != nil {
		return err
	}
	if v.Direct {
		return a.inviteDirectly(ctx, h, v)
	}
	who := actor(v.From)
	if !v.From.IsZero() {
		if err := h.Do(ctx, func(r *muc.Room) error { who = muc.By(inside(r, v.From)); return nil }); err != nil {
			return err
		}
	}
	x := stanza.NewElement(stanza.NSMUCUser, "x")
	for _, j := range v.To {
		invite := stanza.NewElement(stanza.NSMUCUser, "invite", "to", j.String())
		if v.Reason != "" {
			invite.AddTextElement("reason", v.Reason)
		}
		x.Add(invite)
	}
	_, err = h.Send(ctx, who, stanza.Stanza{Kind: stanza.Message, To: room}.With(x))
	return err
}

// checkReach names everybody to whom nothing can be sent from here.
func (a *Admin) checkReach(ctx context.Context, people []jid.JID) error {
	var wrong []*Error
	for i, j := range people {
		var err *Error
		switch ok, e := a.Exists(ctx, j.Bare()); {
		case j.Local() == "":
			err = invalid("to", "want addresses of people, got %q", j)
		case e != nil:
			return e
		case !ok:
			err = invalid("to", "there is no account %s", j.Bare())
		case !a.Reaches(j.Domain()):
			err = invalid("to", "%s cannot be reached: this server is not connected to %s", j.Bare(), j.Domain())
		default:
			continue
		}
		err.Item = i + 1
		wrong = append(wrong, err)
	}
	if len(wrong) == 0 {
		return nil
	}
	wrong[0].More = wrong[1:]
	return wrong[0]
}

// inviteDirectly sends invitations that come from the inviter (XEP-0249). He
// makes members of those who could not enter otherwise.
func (a *Admin) inviteDirectly(ctx context.Context, h *muc.Handle, v Invitation) error {
	secret := ""
	err := h.Do(ctx, func(r *muc.Room) error {
		if err := mayRead(r, v.From); err != nil {
			return err
		}
		values := r.Settings()
		if first(values[roomConfig+"passwordprotectedroom"]) == "1" {
			secret = first(values[roomConfig+"roomsecret"])
		}
		for _, to := range v.To {
			switch rank := r.Affiliation(to); {
			case rank == muc.Outcast:
				return fail(Forbidden, "%s is banned from %s", to.Bare(), r.JID())
			case rank == muc.None && first(values[roomConfig+"membersonly"]) == "1":
				err := r.SetAffiliation(muc.By(v.From), to, muc.Member, muc.AffiliationOptions{Reason: "Invited."})
				if err != nil {
					return err
				}
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	x := stanza.NewElement(nsConference, "x", "jid", h.JID().String())
	if v.Reason != "" {
		x.SetAttr("reason", v.Reason)
	}
	if secret != "" {
		x.SetAttr("password", secret)
	}
	for _, to := range v.To {
		a.Send(stanza.Stanza{Kind: stanza.Message, From: v.From, To: to}.With(x))
	}
	return nil
}

func first(values []string) string {
	if len(values) == 0 {
		return ""
	}
	return values[0]
}

// History returns a page of what was said in a room, from the archive. A sleeping
// room goes on sleeping, unless somebody is named who wants to read it.
func (a *Admin) History(ctx context.Context, room jid.JID, q HistoryQuery) (page HistoryPage, err error) {
	defer func() { err = a.finish("history", room, err) }()
	page.Messages = []Past{}
	s, err := a.at(room)
	if err != nil {
		return page, err
	}
	n, err := limit(q.Limit, historyPage, historyMost)
	if err != nil {
		return page, err
	}
	v, err := s.View(ctx, room)
	if err != nil {
		return page, err
	}
	full := true
	if !q.As.IsZero() {
		err := a.do(ctx, room, func(r *muc.Room) error {
			full = r.MaySeeRealJIDs(inside(r, q.As))
			return mayRead(r, q.As)
		})
		if err != nil {
			return page, err
		}
		if !full && !q.With.IsZero() && q.With.Bare() != room && q.With.Bare() != q.As.Bare() {
			return page, fail(Forbidden, "%s may not know who is who in %s", q.As, room)
		}
	}
	begin := v.Created.Truncate(time.Millisecond) // before that there was another room of the name
	if q.Start.Before(begin) {
		q.Start = begin
	}
	query := muc.ArchiveQuery{
		Room: room, Start: q.Start, End: q.End, With: q.With, AfterID: q.After, BeforeID: q.Before,
		Newest: q.After == "", Limit: n + 1,
	}
	list, err := a.Archive.Page(ctx, query)
	if err != nil {
		return page, err
	}
	more := len(list) > n
	switch {
	case more && query.Newest:
		list = list[1:]
	case more:
		list = list[:n]
	}
	for i := range list {
		page.Messages = append(page.Messages, past(&list[i], full))
	}
	if len(list) > 0 {
		if more && query.Newest || q.After != "" {
			page.Before = list[0].ID
		}
		if more && !query.Newest || q.Before != "" {
			page.After = list[len(list)-1].ID
		}
	}
	return page, nil
}

func past(m *muc.ArchivedMessage, full bool) Past {
	p := Past{ID: m.ID, Time: m.Time, Nick: m.From.Resource(), Stanza: string(m.Stanza)}
	if full {
		p.JID = m.RealJID
	}
	if st, err := stanza.Parse(m.Stanza); err == nil {
		p.Body = st.Body()
		if e := st.Child(stanza.NSClient, "subject"); e != nil {
			text := e.Text()
			p.Subject = &text
		}
	}
	return p
}
