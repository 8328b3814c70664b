package muc

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"maps"
	"slices"

	"github.com/muster-im/muster/jid"
	"github.com/muster-im/muster/stanza"
)

const (
	// maxItems bounds a page of the list of rooms.
	maxItems = 500
	// nsUnique is the request for a name that no room has (XEP-0045 §10.1.4).
	nsUnique = "http://jabber.org/protocol/muc#unique"
)

// handleService handles stanzas to the service itself. busy is as in Handle: who
// wants pages of the list of rooms gets one after the other.
func (s *Service) handleService(st stanza.Stanza) (busy <-chan struct{}) {
	switch {
	case isFarewell(&st):
		return nil
	case !st.To.IsBare():
		s.answer(st, stanza.NewError(stanza.Cancel, stanza.ItemNotFound, "The service has no resources."))
	case st.Kind == stanza.Presence && (st.Type == stanza.TypeSubscribe || st.Type == stanza.TypeProbe): // RFC 6121 §3.1.3, §4.3.2.1
		s.opts.Router.Send(st.Reply(stanza.TypeUnsubscribed))
	case st.Kind == stanza.Presence && st.Type == "":
		s.answer(st, noNickname())
	case st.Kind == stanza.Presence:
	case st.Kind == stanza.Message && st.Type != stanza.TypeError:
		s.announcement(st)
	case st.IsRequest():
		return s.handleServiceIQ(st)
	}
	return nil
}

// announcement tells everybody in every room what an administrator of the
// service has to say, with the rooms as senders. Sleeping rooms have nobody who
// would hear it.
func (s *Service) announcement(st stanza.Stanza) {
	body := st.Body()
	switch {
	case !s.isAdmin(st.From):
		s.answer(st, stanza.NewError(stanza.Auth, stanza.Forbidden, "Only administrators of the service may speak to all rooms.").Because(ReasonAccessAdmin))
		return
	case body == "":
		s.answer(st, stanza.NewError(stanza.Modify, stanza.BadRequest, "An announcement needs a body."))
		return
	}
	text := stanza.Stanza{Kind: stanza.Message, Type: stanza.TypeGroupchat}.With(stanza.NewElement(stanza.NSClient, "body").AddText(body))
	s.mu.RLock()
	rooms := slices.Collect(maps.Values(s.rooms))
	s.mu.RUnlock()
	for _, r := range rooms {
		c := &callCommand{fn: func(r *Room) error {
			if r.NumOccupants() == 0 {
				return nil
			}
			return r.Post(text)
		}}
		c.done = func(err error) {
			if err != nil {
				r.logger().LogAttrs(context.Background(), slog.LevelDebug, "announcement not made", slog.Any("err", err))
			}
		}
		r.tellInTurn(&announced{c})
	}
}

// announced is an announcement. A room in which nobody is has heard nothing, and
// goes on being idle.
type announced struct{ cmd command }

func (n *announced) take(r *Room) {
	if len(r.audience) > 0 {
		r.backlog = append(r.backlog, n.cmd)
	}
}

func (s *Service) handleServiceIQ(st stanza.Stanza) (busy <-chan struct{}) {
	query, get := st.Payload(), st.Type == stanza.TypeGet
	switch {
	case get && query.Is(stanza.NSDiscoInfo, "query"):
		s.serviceInfo(st, query)
	case get && query.Is(stanza.NSDiscoItems, "query"):
		return s.listRooms(st, query)
	case get && query.Is(stanza.NSPing, "ping"):
		s.opts.Router.Send(st.Result(nil))
	case get && query.Is(nsUnique, "unique"):
		s.opts.Router.Send(st.Result(stanza.NewElement(nsUnique, "unique").AddText(uniqueName())))
	default:
		return s.featureRequest(st)
	}
	return nil
}

// listRooms answers a request for rooms, which waits for the store.
func (s *Service) listRooms(st stanza.Stanza, query *stanza.Element) (busy <-chan struct{}) {
	if s.io.Len() >= maxLoads {
		s.metrics.loadsRefused.Inc()
		s.answer(st, stanza.NewError(stanza.Wait, stanza.ResourceConstraint, "The service is too busy. Ask again later.").Because(ReasonBusy))
		return nil
	}
	done := make(chan struct{})
	st.Receipt.Hold()
	s.io.Run(func() {
		defer close(done)
		defer st.Receipt.Release()
		s.serviceItems(st, query)
	})
	return done
}

// serviceInfo says what the service is (XEP-0045 §6.1, §6.2).
func (s *Service) serviceInfo(st stanza.Stanza, query *stanza.Element) {
	switch query.Attr("node") {
	case "":
	case nodeReservedNick:
		s.serviceNick(st)
		return
	default:
		s.answerNode(st, query.Attr("node"), false)
		return
	}
	answer := stanza.NewElement(stanza.NSDiscoInfo, "query").
		Add(stanza.NewElement(stanza.NSDiscoInfo, "identity", "category", "conference", "type", "text", "name", s.opts.Name))
	ev := &ServiceDiscoEvent{RealJID: st.From, features: []string{stanza.NSMUC, nsUnique, featureStableID, stanza.NSDiscoInfo, stanza.NSDiscoItems, stanza.NSPing, stanza.NSRSM}}
	if err := s.hooks.ServiceDisco.Run(nil, ev); err != nil {
		s.log.LogAttrs(s.ioCtx, slog.LevelError, "describe the service", slog.Any("err", err))
	}
	for _, f := range ev.features {
		answer.Add(stanza.NewElement(stanza.NSDiscoInfo, "feature", "var", f))
	}
	s.opts.Router.Send(st.Result(answer))
}

// answerNode lets features say what a node of the service is, or has.
func (s *Service) answerNode(st stanza.Stanza, node string, items bool) {
	answer, err := s.hooks.ServiceNode.Run(nil, &NodeQuestion{RealJID: st.From, Node: node, Items: items}, nil)
	if err != nil {
		s.log.LogAttrs(s.ioCtx, slog.LevelError, "describe a node of the service", slog.String("node", node), slog.Any("err", err))
	}
	if answer == nil {
		s.answer(st, stanza.NewError(stanza.Cancel, stanza.ItemNotFound, "The service has no such node."))
		return
	}
	s.opts.Router.Send(st.Result(answer))
}

// serviceItems lists the public rooms (XEP-0045 §6.3) by pages (XEP-0059). Who
// asks for no page gets the first, and how many there are if that is not all.
// Sleeping rooms are listed from the store and stay asleep.
func (s *Service) serviceItems(st stanza.Stanza, query *stanza.Element) {
	page, err := stanza.ParsePage(query)
	if err != nil {
		s.answer(st, stanza.NewError(stanza.Modify, stanza.BadRequest, err.Error()))
		return
	}
	if node := query.Attr("node"); node != "" {
		s.answerNode(st, node, true)
		return
	}
	asked := page != nil
	if !asked {
		page = &stanza.Page{Max: -1, Index: -1}
	}
	ctx, cancel := context.WithTimeout(s.ioCtx, commitTimeout)
	defer cancel()
	rooms, result, err := s.publicRooms(ctx, page)
	if err != nil {
		if stanza.AsError(err) == nil {
			s.log.LogAttrs(ctx, slog.LevelError, "list rooms", slog.Any("err", err))
			err = stanza.NewError(stanza.Wait, stanza.InternalServerError, "")
		}
		s.answer(st, stanza.AsError(err))
		return
	}
	answer := stanza.NewElement(stanza.NSDiscoItems, "query")
	for _, d := range rooms {
		answer.Add(stanza.NewElement(stanza.NSDiscoItems, "item", "jid", d.JID.String(), "name", cmp.Or(d.Name, d.JID.Local())))
	}
	if asked || len(rooms) < result.Count {
		answer.Add(result.Element())
	}
	s.opts.Router.Send(st.Result(answer))
}

// publicRooms returns the page of public rooms that was asked for, stored ones
// and those that are not, by local part.
func (s *Service) publicRooms(ctx context.Context, p *stanza.Page) ([]RoomDescriptor, stanza.PageResult, error) {
	q := RoomsQuery{Service: s.domain.String(), Public: true, Limit: maxItems, Last: p.Last || p.Before != ""}
	if p.Max >= 0 {
		q.Limit = min(p.Max, maxItems)
	}
	result := stanza.PageResult{Index: -1}
	if p.Index >= 0 { // XEP-0059 §2.6
		return nil, result, stanza.NewError(stanza.Cancel, stanza.FeatureNotImplemented, "Ask for pages by address, not by index.")
	}
	for _, bound := range []struct {
		address string
		local   *string
	}{{p.After, &q.After}, {p.Before, &q.Before}} {
		if bound.address == "" {
			continue
		}
		j, err := jid.Parse(bound.address)
		if err != nil || j.Local() == "" || j.DomainOnly() != s.domain {
			return nil, result, stanza.NewError(stanza.Cancel, stanza.ItemNotFound, "There is no such page.") // XEP-0059 §2.2
		}
		*bound.local = j.Local()
	}
	rooms, err := s.roomsBetween(ctx, q)
	if err != nil {
		return nil, result, err
	}
	all := RoomsQuery{Service: q.Service, Public: true}
	if result.Count, err = s.countRooms(ctx, all); err != nil || len(rooms) == 0 {
		return nil, result, err
	}
	all.Before = rooms[0].JID.Local()
	if result.Index, err = s.countRooms(ctx, all); err != nil {
		return nil, result, err
	}
	result.First, result.Last = rooms[0].JID.String(), rooms[len(rooms)-1].JID.String()
	return rooms, result, nil
}

// roomsBetween merges stored rooms with live ones that are not stored.
func (s *Service) roomsBetween(ctx context.Context, q RoomsQuery) ([]RoomDescriptor, error) {
	rooms := s.listedBetween(&q)
	if s.opts.Store != nil && q.Limit > 0 {
		stored, err := s.opts.Store.Rooms(ctx, q)
		if err != nil {
			return nil, fmt.Errorf("rooms of %s: %w", s.domain, err)
		}
		rooms = append(rooms, stored...)
	}
	slices.SortFunc(rooms, func(a, b RoomDescriptor) int { return cmp.Compare(a.JID.Local(), b.JID.Local()) })
	rooms = slices.CompactFunc(rooms, func(a, b RoomDescriptor) bool { return a.JID == b.JID })
	if over := len(rooms) - q.Limit; over > 0 {
		if q.Last {
			return rooms[over:], nil
		}
		return rooms[:q.Limit], nil
	}
	return rooms, nil
}

func (s *Service) countRooms(ctx context.Context, q RoomsQuery) (int, error) {
	n := len(s.listedBetween(&q))
	if s.opts.Store == nil {
		return n, nil
	}
	stored, err := s.opts.Store.CountRooms(ctx, q)
	if err != nil {
		return 0, fmt.Errorf("rooms of %s: %w", s.domain, err)
	}
	return n + stored, nil
}

// listedBetween returns the live public rooms that are not stored.
func (s *Service) listedBetween(q *RoomsQuery) []RoomDescriptor {
	s.mu.RLock()
	defer s.mu.RUnlock()
	var rooms []RoomDescriptor
	for _, d := range s.listed {
		if local := d.JID.Local(); d.Public && local > q.After && (q.Before == "" || local < q.Before) {
			rooms = append(rooms, d)
		}
	}
	return rooms
}
