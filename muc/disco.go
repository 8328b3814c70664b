package muc

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/muster-im/muster/jid"
	"github.com/muster-im/muster/stanza"
)

// Features of rooms and services in discovery (XEP-0045 §15.3, §6).
const (
	featureStableID  = "http://jabber.org/protocol/muc#stable_id"
	featureSelfPing  = "http://jabber.org/protocol/muc#self-ping-optimization"
	roomInfoFormType = "http://jabber.org/protocol/muc#roominfo"
)

// infoCommand is a question about the room: what it is (XEP-0045 §6.4), who is
// in it (§6.5), whether it answers.
type infoCommand struct {
	request
	answer *stanza.Element
}

func (c *infoCommand) decide(r *Room) error {
	who := c.st.From
	if r.locked && r.Affiliation(who) < Owner { // nobody is to see it yet (XEP-0045 §10.1)
		return stanza.NewError(stanza.Cancel, stanza.ItemNotFound, "There is no such room.")
	}
	if !r.Public() && r.Affiliation(who) == Outcast { // a hidden room is nobody's business who is banned
		return stanza.NewError(stanza.Cancel, stanza.ItemNotFound, "There is no such room.")
	}
	query := c.st.Payload()
	switch {
	case query.Is(stanza.NSDiscoInfo, "query"):
		return c.info(r, query)
	case query.Is(stanza.NSDiscoItems, "query"):
		return c.items(r, query)
	}
	return nil // a ping
}

func (c *infoCommand) apply(r *Room) { r.reply(c.st.Result(c.answer)) }

func (c *infoCommand) info(r *Room, query *stanza.Element) error {
	node := query.Attr("node")
	c.answer = stanza.NewElement(stanza.NSDiscoInfo, "query")
	if node == "x-roomuser-item" { // XEP-0045 §7.12
		c.answer.SetAttr("node", node)
		if rec, ok := r.affiliations[c.st.From.Bare()]; ok && rec.Nick != "" {
			c.answer.Add(stanza.NewElement(stanza.NSDiscoInfo, "identity", "category", "conference", "type", "text", "name", rec.Nick))
		}
		return nil
	}
	if node != "" {
		return stanza.NewError(stanza.Cancel, stanza.ItemNotFound, "The room has no such node.")
	}
	name := r.Name()
	if name == "" {
		name = r.jid.Local()
	}
	c.answer.Add(stanza.NewElement(stanza.NSDiscoInfo, "identity", "category", "conference", "type", "text", "name", name))
	ev := &DiscoEvent{Room: r}
	r.describe(ev)
	r.notify(r.svc.hooks.Disco.Run(&r.watch, ev))
	slices.Sort(ev.features)
	for _, f := range slices.Compact(ev.features) {
		c.answer.Add(stanza.NewElement(stanza.NSDiscoInfo, "feature", "var", f))
	}
	form := stanza.NewForm(stanza.FormResult, roomInfoFormType)
	c.answer.Add(form.Add(ev.fields...).Element())
	return nil
}

// describe says what this package knows of the room.
func (r *Room) describe(ev *DiscoEvent) {
	for _, f := range []string{stanza.NSMUC, stanza.NSDiscoInfo, stanza.NSDiscoItems, stanza.NSPing, featureStableID, featureSelfPing} {
		ev.Feature(f)
	}
	for _, pair := range []struct {
		is      bool
		yes, no string
	}{
		{r.Public(), "muc_public", "muc_hidden"},
		{r.Persistent(), "muc_persistent", "muc_temporary"},
		{r.NonAnonymous(), "muc_nonanonymous", "muc_semianonymous"},
	} {
		if pair.is {
			ev.Feature(pair.yes)
		} else {
			ev.Feature(pair.no)
		}
	}
	ev.Field("muc#roominfo_description", r.svc.core.description.Get(r))
	ev.Field("muc#roominfo_occupants", strconv.Itoa(len(r.occupants)))
	if lang := r.svc.core.language.Get(r); lang != "" {
		ev.Field("muc#roominfo_lang", lang)
	}
}

// items lists the occupants to those who may know of them: everybody in a
// public room, else those inside and those with an affiliation.
func (c *infoCommand) items(r *Room, query *stanza.Element) error {
	c.answer = stanza.NewElement(stanza.NSDiscoItems, "query")
	if node := query.Attr("node"); node != "" {
		c.answer.SetAttr("node", node)
		return nil
	}
	if r.sessions[c.st.From] == nil && !r.Public() && r.Affiliation(c.st.From) < Member {
		return nil
	}
	for _, o := range sortedOccupants(r.occupants) {
		c.answer.Add(stanza.NewElement(stanza.NSDiscoItems, "item", "jid", o.jid.String(), "name", o.nick))
	}
	return nil
}

// occupantIQCommand is an IQ to an occupant. The room answers a ping to
// oneself (XEP-0410 §3); it carries no other requests between occupants.
type occupantIQCommand struct {
	request
	ping bool
}

func (c *occupantIQCommand) decide(r *Room) error {
	s := r.sessions[c.st.From]
	if s == nil {
		return stanza.NewError(stanza.Cancel, stanza.NotAcceptable, "You are not in the room.")
	}
	o := r.Occupant(c.st.To.Resource())
	switch {
	case o == nil:
		return stanza.NewError(stanza.Cancel, stanza.ItemNotFound, "Nobody in the room has this nickname.")
	case c.ping && o == s.occupant:
		return nil
	}
	return stanza.NewError(stanza.Cancel, stanza.ServiceUnavailable, "Requests to other occupants are not passed on.")
}

func (c *occupantIQCommand) apply(r *Room) { r.reply(c.st.Result(nil)) }

// handleService handles stanzas to the service itself.
func (s *Service) handleService(st stanza.Stanza) {
	if !st.To.IsBare() {
		s.answer(st, stanza.NewError(stanza.Cancel, stanza.ItemNotFound, "The service has no resources."))
		return
	}
	switch {
	case st.Kind == stanza.Presence:
	case st.Kind == stanza.Message:
		s.answer(st, stanza.NewError(stanza.Cancel, stanza.ServiceUnavailable, "The service takes no messages."))
	case st.IsRequest():
		st.Receipt.Hold()
		s.io.run(func() {
			defer st.Receipt.Release()
			s.handleServiceIQ(st)
		})
	}
}

func (s *Service) handleServiceIQ(st stanza.Stanza) {
	query := st.Payload()
	if st.Type == stanza.TypeGet {
		switch {
		case query.Is(stanza.NSDiscoInfo, "query"):
			s.serviceInfo(st, query)
			return
		case query.Is(stanza.NSDiscoItems, "query"):
			s.serviceItems(st, query)
			return
		case query.Is(stanza.NSPing, "ping"):
			s.opts.Router.Send(st.Result(nil))
			return
		}
	}
	s.answer(st, stanza.NewError(stanza.Cancel, stanza.ServiceUnavailable, "The service does not know this request."))
}

// serviceInfo says what the service is (XEP-0045 §6.1, §6.2).
func (s *Service) serviceInfo(st stanza.Stanza, query *stanza.Element) {
	if query.Attr("node") != "" {
		s.answer(st, stanza.NewError(stanza.Cancel, stanza.ItemNotFound, "The service has no such node."))
		return
	}
	answer := stanza.NewElement(stanza.NSDiscoInfo, "query").
		Add(stanza.NewElement(stanza.NSDiscoInfo, "identity", "category", "conference", "type", "text", "name", s.opts.Name))
	for _, f := range []string{stanza.NSMUC, stanza.NSDiscoInfo, stanza.NSDiscoItems, stanza.NSPing, stanza.NSRSM} {
		answer.Add(stanza.NewElement(stanza.NSDiscoInfo, "feature", "var", f))
	}
	s.opts.Router.Send(st.Result(answer))
}

// maxItems bounds a page of the list of rooms, and a list that no page was
// asked of.
const maxItems = 500

// serviceItems lists the public rooms (XEP-0045 §6.3), by pages if asked
// (XEP-0059). Sleeping rooms are listed from the store and stay asleep.
func (s *Service) serviceItems(st stanza.Stanza, query *stanza.Element) {
	page, err := stanza.ParsePage(query)
	if err != nil {
		s.answer(st, stanza.NewError(stanza.Modify, stanza.BadRequest, err.Error()))
		return
	}
	if page == nil {
		page = &stanza.Page{Max: maxItems}
	}
	ctx, cancel := context.WithTimeout(s.ioCtx, commitTimeout)
	defer cancel()
	rooms, err := s.publicRooms(ctx)
	if err != nil {
		s.log.LogAttrs(ctx, slog.LevelError, "list rooms", slog.Any("err", err))
		s.answer(st, stanza.NewError(stanza.Wait, stanza.InternalServerError, ""))
		return
	}
	answer := stanza.NewElement(stanza.NSDiscoItems, "query")
	if node := query.Attr("node"); node != "" {
		answer.SetAttr("node", node)
		rooms = nil
	}
	part, result := cut(rooms, page)
	for _, d := range part {
		item := stanza.NewElement(stanza.NSDiscoItems, "item", "jid", d.JID.String())
		if d.Name != "" {
			item.SetAttr("name", d.Name)
		} else {
			item.SetAttr("name", d.JID.Local())
		}
		answer.Add(item)
	}
	if query.Child(stanza.NSRSM, "set") != nil {
		answer.Add(result.Element())
	}
	s.opts.Router.Send(st.Result(answer))
}

// publicRooms returns the public rooms, stored or not, ordered by local part.
func (s *Service) publicRooms(ctx context.Context) ([]RoomDescriptor, error) {
	s.mu.RLock()
	rooms := slices.Collect(maps.Values(s.listed))
	s.mu.RUnlock()
	for after := ""; s.opts.Store != nil; {
		part, err := s.opts.Store.Rooms(ctx, s.domain.String(), after, maxItems)
		if err != nil {
			return nil, fmt.Errorf("rooms of %s: %w", s.domain, err)
		}
		for _, d := range part {
			if d.Public {
				rooms = append(rooms, d)
			}
		}
		if len(part) < maxItems {
			break
		}
		after = part[len(part)-1].JID.Local()
	}
	slices.SortFunc(rooms, func(a, b RoomDescriptor) int { return strings.Compare(a.JID.Local(), b.JID.Local()) })
	return slices.CompactFunc(rooms, func(a, b RoomDescriptor) bool { return a.JID == b.JID }), nil
}

// cut returns the page of rooms that was asked for.
func cut(rooms []RoomDescriptor, p *stanza.Page) ([]RoomDescriptor, stanza.PageResult) {
	result := stanza.PageResult{Index: -1, Count: len(rooms)}
	most := maxItems
	if p.Max >= 0 {
		most = min(p.Max, maxItems)
	}
	from, to := 0, len(rooms)
	at := func(address string) int { // where the room with that address stands or would stand
		j, err := jid.Parse(address)
		if err != nil {
			return len(rooms)
		}
		i, _ := slices.BinarySearchFunc(rooms, j.Local(), func(d RoomDescriptor, l string) int { return strings.Compare(d.JID.Local(), l) })
		return i
	}
	if p.After != "" {
		if from = at(p.After); from < len(rooms) && rooms[from].JID.String() == p.After {
			from++
		}
	}
	if p.Before != "" {
		to = at(p.Before)
	}
	from = min(from, to)
	if p.Last || p.Before != "" {
		from = max(from, to-most)
	} else {
		to = min(to, from+most)
	}
	part := rooms[from:to]
	if len(part) > 0 {
		result.First, result.Last, result.Index = part[0].JID.String(), part[len(part)-1].JID.String(), from
	}
	return part, result
}
