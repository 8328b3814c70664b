package muc

import (
	"maps"
	"slices"

	"github.com/muster-im/muster/jid"
)

// maxPacked is how many affiliations or sessions a room may have to be packed.
// In larger ones they are nearly all there is, and finding them again would be
// noticed.
const maxPacked = 256

// packed is what a dormant room keeps between two drains: as little as says all.
type packed struct {
	values       []setting // those that differ from the service's defaults
	unknown      map[string][]string
	affiliations []AffiliationRecord
	subject      *Subject // nil: never set
	subjectID    string
	data         map[string][]byte
	audience     []*Session
	slots        []any
	relayed      map[string]*relayed
}

// setting is one value.
type setting struct {
	index int
	value any
}

// unpack makes the room ready for work.
func (r *Room) unpack() {
	if r.open != nil {
		return
	}
	r.open = &open{values: r.svc.defaults, shared: true}
	r.watch.room = r
	p := r.packed
	if p == nil { // it is new
		return
	}
	r.packed = nil
	if len(p.values) > 0 {
		r.values, r.shared = slices.Clone(r.values), false
		for _, v := range p.values {
			r.values[v.index] = v.value
		}
	}
	r.unknown, r.subjectID, r.data = p.unknown, p.subjectID, p.data
	if p.subject != nil {
		r.subject = *p.subject
	}
	r.setRecords(p.affiliations)
	r.occupants, r.sessions = make(map[string]*Occupant), make(map[jid.JID]*Session, len(p.audience))
	for _, s := range p.audience {
		r.sessions[s.addr] = s
		r.seat(s.occupant)
	}
	r.audience, r.slots, r.relayed = p.audience, p.slots, p.relayed
}

// shrink lets go of all that can be made again.
func (r *Room) shrink() {
	r.notify(r.svc.hooks.Hibernating.Run(&r.watch, &RoomEvent{r}))
	r.staged = change{} // nothing happens
	r.said.Compact()
	for _, o := range r.occupants {
		o.forget()
		for _, s := range o.sessions {
			s.pending = nil
		}
	}
	if !slices.ContainsFunc(r.slots, func(state any) bool { return state != nil }) {
		r.slots = nil
	}
	if len(r.relayed) == 0 {
		r.relayed = nil
	}
	r.batch, r.next, r.backlog, r.outbox, r.touched, r.held, r.asking, r.delays = nil, 0, nil, nil, nil, nil, nil, delays{}
}

// pack puts away what an idle room works with. What it works with otherwise is
// in packed afterwards, or was nothing.
func (r *Room) pack() {
	if len(r.affiliations) > maxPacked || len(r.audience) > maxPacked {
		return
	}
	p := &packed{
		unknown: r.unknown, subjectID: r.subjectID, data: r.data,
		audience: slices.Clone(r.audience), slots: r.slots, relayed: r.relayed,
		affiliations: slices.AppendSeq(make([]AffiliationRecord, 0, len(r.affiliations)), maps.Values(r.affiliations)),
	}
	if len(p.unknown) == 0 {
		p.unknown = nil
	}
	for i, v := range r.values {
		if !r.shared && v != r.svc.defaults[i] {
			p.values = append(p.values, setting{i, v})
		}
	}
	p.values = slices.Clone(p.values)
	if r.subject.Text != "" || !r.subject.Time.IsZero() {
		subject := r.subject
		p.subject = &subject
	}
	r.packed, r.open = p, nil
}

// rest ends the drain of a dormant room, unless something has come. Nothing of
// the room may be touched afterwards.
func (r *Room) rest() bool {
	o := r.open
	r.pack()
	if r.mailbox.Rest() {
		return true
	}
	r.open, r.packed = o, nil
	return false
}
