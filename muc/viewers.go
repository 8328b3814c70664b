package muc

import "github.com/muster-im/muster/stanza"

// Viewers says who is told of an occupant's presence (XEP-0045 §7.2.2,
// muc#roomconfig_presencebroadcast). He himself always is.
type Viewers int8

// Who may be told, from most to fewest.
const (
	ToEverybody Viewers = iota
	ToModerators
	ToNobody
)

// ViewersQuestion asks who is to be told of somebody's presence.
type ViewersQuestion struct {
	Room     *Room
	Occupant *Occupant
}

func (r *Room) askViewers(o *Occupant) Viewers {
	v, err := r.svc.hooks.ShownTo.Run(&r.watch, &ViewersQuestion{r, o}, ToEverybody)
	r.notify(err)
	return v
}

// include reports whether somebody in that role is told.
func (v Viewers) include(role Role) bool {
	return v == ToEverybody || v == ToModerators && role == Moderator
}

// viewersOf returns the sessions that are told of o, maybe with his own.
func (r *Room) viewersOf(o *Occupant) []*Session {
	if o.viewers == ToEverybody {
		return r.audience
	}
	return r.between(ToNobody, o.viewers)
}

// between returns the sessions that are told by wider but not by narrower.
func (r *Room) between(narrower, wider Viewers) []*Session {
	if narrower <= wider {
		return nil
	}
	var list []*Session
	for _, s := range r.audience {
		if role := s.occupant.role; wider.include(role) && !narrower.include(role) {
			list = append(list, s)
		}
	}
	return list
}

// reconsider asks again who is to be told of o. To those who are not any more he
// becomes unavailable; it returns those who are from now on.
func (r *Room) reconsider(o *Occupant) (gained []*Session) {
	before := o.viewers
	o.viewers = r.askViewers(o)
	if lost := r.between(o.viewers, before); len(lost) > 0 {
		r.outbox = append(r.outbox, outItem{enc: r.hidden(o), to: lost, skip: o.sessions})
	}
	return r.between(before, o.viewers)
}

// hidden is the presence of somebody who is still inside, for those who are not
// told of that any more.
func (r *Room) hidden(o *Occupant) [2]*stanza.Encoded {
	sh := &showing{unavailable: true, payload: &payload{}}
	return [2]*stanza.Encoded{stanza.Encode(r.presenceOf(o, sh, false, false)), stanza.Encode(r.presenceOf(o, sh, true, false))}
}

// changeRole gives somebody who stays another role: the others are shown it, and
// he is shown what he may see with it.
func (r *Room) changeRole(o *Occupant, role Role, sh *showing) {
	before := o.role
	o.role = role
	o.forget()
	more := r.refreshSight(o)
	r.reconsider(o)
	r.announce(o, sh)
	if more {
		r.resendOccupants(o)
	}
	if (before == Moderator) == (role == Moderator) {
		return
	}
	for _, other := range r.occupants {
		switch {
		case other == o || other.viewers != ToModerators:
		case role != Moderator:
			r.outbox = append(r.outbox, outItem{enc: r.hidden(other), to: o.sessions})
		case !more: // else he has been shown everybody
			r.outbox = append(r.outbox, outItem{
				enc: [2]*stanza.Encoded{r.shownTo(other, false), r.shownTo(other, true)}, to: o.sessions,
			})
		}
	}
}

// reconsiderAll is reconsider for everybody, after a change of settings.
func (r *Room) reconsiderAll() {
	for _, o := range r.occupants {
		if gained := r.reconsider(o); len(gained) > 0 {
			r.outbox = append(r.outbox, outItem{enc: [2]*stanza.Encoded{r.shownTo(o, false), r.shownTo(o, true)}, to: gained, skip: o.sessions})
		}
	}
}
