package muc

import (
	"github.com/muster-im/muster/jid"
	"github.com/muster-im/muster/stanza"
)

// statusGhost marks somebody removed because of technical problems.
const statusGhost = 333

// leave takes one session out (XEP-0045 §7.14). Its occupant stays while he has
// others.
func (r *Room) leave(s *Session, st *stanza.Stanza) {
	r.takeOut(s, &showing{unavailable: true, payload: r.presencePayload(st)}, 0)
}

// dropGhost takes out a session whose stanzas bounce.
func (r *Room) dropGhost(s *Session, st *stanza.Stanza) {
	reason := "Messages could not be delivered."
	if e := st.ParseError(); e != nil {
		reason = "Messages could not be delivered: " + string(e.Condition) + "."
	}
	r.takeOut(s, &showing{unavailable: true, codes: []int{statusGhost}, reason: reason}, statusGhost)
}

func (r *Room) takeOut(s *Session, sh *showing, code int) {
	o := s.occupant
	if r.locked && len(r.sessions) == 1 {
		sh = notConfigured(sh)
	}
	if len(o.sessions) == 1 {
		r.putOut([]exit{{o, sh, code}})
		return
	}
	view := r.presenceOf(o, sh, s.show, true)
	wasPrimary := o.sessions[0] == s
	r.remove(s)
	r.dropRelayed(s)
	r.dropDelayed(s.addr)
	r.sayTo(s, view)
	if wasPrimary {
		r.announce(o, &showing{})
	}
}

// decideNick checks a change of nickname (XEP-0045 §7.6).
func (c *presenceCommand) decideNick(r *Room, s *Session, nick, key string) error {
	o := s.occupant
	ev := &NickEvent{Event: Event{Room: r, req: &c.request}, Stanza: &c.st, Occupant: o, Nick: nick}
	if r.locked {
		return stanza.NewError(stanza.Cancel, stanza.ItemNotFound, "Configure the room first.").Because(ReasonLocked)
	}
	if err := r.svc.hooks.BeforeNickChange.Run(&r.watch, ev); err != nil {
		return err
	}
	renamed := ev.Nick != nick
	if renamed {
		var err error
		if key, err = jid.NickKey(ev.Nick); err != nil {
			return err
		}
	}
	if key != o.key {
		if err := r.checkNick(s.addr, ev.Nick); err != nil {
			return err
		}
	}
	to, err := r.jid.WithResource(ev.Nick)
	if err != nil {
		return err
	}
	c.then = func(r *Room) { r.changeNick(s, ev, to, key, renamed) }
	return nil
}

// changeNick moves a session to another nickname. With further sessions under
// the old one, only this one moves: the others see it leave the old nickname
// only if nobody stays there, and it is shown who does. An occupant may also
// join himself: another of his own nicknames, where several sessions are
// allowed.
func (r *Room) changeNick(s *Session, ev *NickEvent, to jid.JID, key string, renamed bool) {
	o, before, left := s.occupant, s.occupant.nick, s.occupant
	var codes []int
	if renamed {
		codes = append(codes, statusNickChanged)
	}
	goodbye := &showing{unavailable: true, nick: ev.Nick, codes: []int{statusNewNick}}
	target := r.occupants[key]
	alone := len(o.sessions) == 1
	if alone {
		r.announceToOthers(o, goodbye)
	}
	r.announceToSelf(o, []*Session{s}, goodbye)
	s.presence = r.presencePayload(ev.Stanza)
	switch {
	case alone && (target == nil || target == o):
		r.unseat(o)
		o.nick, o.key, o.jid = ev.Nick, key, to
		r.seat(o)
	default:
		wasPrimary := o.sessions[0] == s
		r.remove(s)
		if wasPrimary && !alone { // the others see another session of his now
			r.announce(o, &showing{})
		}
		if target == nil {
			target = &Occupant{nick: ev.Nick, key: key, jid: to, bare: o.bare, role: o.role, viewers: o.viewers}
			r.svc.occupantEntered()
		}
		if alone {
			r.svc.occupantLeft()
		}
		r.enter(target, s)
		o = target
	}
	o.forget()
	r.announceToOthers(o, &showing{})
	r.announceToSelf(o, []*Session{s}, &showing{codes: codes})
	if !alone && left.viewers.include(o.role) { // to the one who has moved, those who stay are somebody else now
		r.outbox = append(r.outbox, outItem{only: s, many: []*stanza.Encoded{r.shownTo(left, s.show)}})
	}
	r.notify(r.svc.hooks.NickChanged.Run(&r.watch, &NickChangedEvent{Room: r, Session: s, From: before}))
}
