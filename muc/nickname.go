package muc

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"slices"

	"github.com/muster-im/muster/jid"
	"github.com/muster-im/muster/stanza"
)

// NickQuestion asks what features know of reserved nicknames, beyond those that
// a room's own affiliations reserve.
type NickQuestion struct {
	Room    *Room   // nil: the question is about the whole service
	RealJID jid.JID // who asks, bare
	Key     string  // of the nickname, see jid.NickKey; only of NickHolder
}

// checkNick refuses a nickname that is somebody else's or reserved for
// somebody else (XEP-0045 §7.2.8, §7.10).
func (r *Room) checkNick(who jid.JID, nick string) error {
	o := r.Occupant(nick)
	switch {
	case o == nil || o.bare != who.Bare():
		return r.MayReserve(who, nick)
	case !r.svc.core.multiSession.Get(r):
		return stanza.NewError(stanza.Cancel, stanza.Conflict, "You are in the room under this nickname with another client.").Because(ReasonNickConflict)
	}
	return nil
}

// MayReserve refuses a nickname that cannot be reserved for somebody: it is no
// nickname, or it or one that looks the same (see jid.NickIndex) is somebody
// else's or reserved for somebody else, in the room or, if the room knows
// nothing of it, by a feature. It returns a *stanza.Error.
func (r *Room) MayReserve(who jid.JID, nick string) error {
	key, err := jid.NickKey(nick)
	if err != nil {
		return stanza.NewError(stanza.Modify, stanza.JIDMalformed, "This nickname cannot be used.")
	}
	who = who.Bare()
	if o := r.occupants[key]; o != nil && o.bare != who {
		return stanza.NewError(stanza.Cancel, stanza.Conflict, "Somebody else has this nickname.").Because(ReasonNickConflict)
	}
	for _, k := range r.looks.Alike(key, maps.Keys(r.occupants)) {
		if r.occupants[k].bare != who {
			return stanza.NewError(stanza.Cancel, stanza.Conflict, "Somebody else has a nickname that looks the same.").Because(ReasonNickConflict)
		}
	}
	holder := r.reservedBy(who, key)
	if holder.IsZero() {
		q := NickQuestion{Room: r, RealJID: who, Key: key}
		if holder, err = r.svc.hooks.NickHolder.Run(&r.watch, &q, jid.JID{}); err != nil {
			return err
		}
	}
	if !holder.IsZero() && holder != who {
		return stanza.NewError(stanza.Cancel, stanza.Conflict, "This nickname, or one that looks the same, is reserved for somebody else.").Because(ReasonNickReserved)
	}
	return nil
}

// Entry returns somebody's own entry among the affiliations, as it will be after
// the event at hand; None if he has none.
func (r *Room) Entry(j jid.JID) AffiliationRecord { return r.affiliationStaged(j.Bare()) }

// reservedNick is the nickname that is reserved for somebody, "" if none is
// (XEP-0045 §7.12).
func (r *Room) reservedNick(who jid.JID) string {
	if rec, ok := r.affiliations[who.Bare()]; ok && rec.Nick != "" {
		return rec.Nick
	}
	nick, err := r.svc.hooks.ReservedNick.Run(&r.watch, &NickQuestion{Room: r, RealJID: who.Bare()}, "")
	r.notify(err)
	return nick
}

// nodeReservedNick is the node of the own reserved nickname (XEP-0045 §7.12).
const nodeReservedNick = "x-roomuser-item"

// reservedNickInfo is the answer to a question for that node.
func reservedNickInfo(nick string) *stanza.Element {
	answer := stanza.NewElement(stanza.NSDiscoInfo, "query", "node", nodeReservedNick)
	if nick != "" {
		answer.Add(stanza.NewElement(stanza.NSDiscoInfo, "identity", "category", "conference", "type", "text", "name", nick))
	}
	return answer
}

// serviceNick tells somebody the nickname that is reserved for him in all rooms
// of the service.
func (s *Service) serviceNick(st stanza.Stanza) {
	if s.hooks.ReservedNick.Len() == 0 {
		s.answer(st, stanza.NewError(stanza.Cancel, stanza.FeatureNotImplemented, "Nicknames are reserved in rooms."))
		return
	}
	nick, err := s.hooks.ReservedNick.Run(nil, &NickQuestion{RealJID: st.From.Bare()}, "")
	if err != nil {
		s.log.LogAttrs(s.ioCtx, slog.LevelError, "look for a reserved nickname", slog.Any("err", err))
	}
	s.opts.Router.Send(st.Result(reservedNickInfo(nick)))
}

// ReleaseNicks takes away what the rooms in memory have reserved for somebody
// who is gone, and waits until that is done. Of rooms that sleep the store must
// have done so before.
func (s *Service) ReleaseNicks(ctx context.Context, who jid.JID) error {
	s.mu.RLock()
	rooms := slices.Collect(maps.Keys(s.rooms))
	s.mu.RUnlock()
	var errs []error
	for _, room := range rooms {
		h := &Handle{s, room}
		err := h.Do(ctx, func(r *Room) error {
			return r.SetAffiliation(System, who, r.Entry(who).Affiliation, AffiliationOptions{ReleaseNick: true})
		})
		if err != nil && !errors.Is(err, ErrNoRoom) && stanza.AsError(err) == nil { // an error stanza: the room was destroyed
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}
