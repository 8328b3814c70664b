package roomfeatures

import (
	"slices"
	"time"

	"github.com/muster-im/muster/jid"
	"github.com/muster-im/muster/muc"
	"github.com/muster-im/muster/stanza"
)

// history sends those who enter what was said last (XEP-0045 §7.2.13,
// §7.2.14). A stored room's history comes back from the archive.
type history struct {
	size      int
	retention *retention
}

// recent is a room's history, oldest first.
type recent struct{ messages []past }

// past is a message as it was broadcast. What is sent of it is made when
// somebody first needs it.
type past struct {
	message muc.ArchivedMessage
	enc     *stanza.Encoded
}

func (f history) Register(h *muc.Hooks) {
	slot := muc.NewSlot[recent](h)
	size := muc.NewIntField(h, muc.FieldSpec{
		Var: "muc#roomconfig_historylength", Section: muc.SectionOther, Order: 10, Label: "Messages shown to those who enter",
		Max: max(f.size, 1),
	}, f.size)
	remember := func(r *muc.Room, m *muc.ArchivedMessage) {
		limit := min(size.Get(r), f.size)
		if limit > 0 && !m.Subject { // the subject line of now is sent by itself
			slot.In(r).add(past{message: *m}, limit)
		}
	}
	h.RoomLoaded.Add("history", 0, func(ev *muc.LoadEvent) {
		for i := range ev.Recent {
			remember(ev.Room, &ev.Recent[i])
		}
	})
	h.MessagePosted.Add("history", 0, func(ev *muc.PostedEvent) {
		if ev.Historic {
			remember(ev.Room, &ev.Message)
		}
	})
	h.MessageWithdrawn.Add("history", 0, func(ev *muc.PostedEvent) { slot.In(ev.Room).withdraw(ev.Message.ID) })
	h.MessageReplaced.Add("history", 0, func(ev *muc.ReplacedEvent) { slot.In(ev.Room).replace(ev.Replace) })
	h.Hibernating.Add("history", 0, func(ev *muc.RoomEvent) {
		if slot.In(ev.Room).compact(); len(slot.In(ev.Room).messages) == 0 {
			slot.Drop(ev.Room)
		}
	})
	h.SessionJoined.Add("history", 0, func(ev *muc.JoinedEvent) {
		if list, ok := ev.Room.History(ev); ok {
			for _, st := range list {
				ev.Room.SendTo(ev.Session, st)
			}
			return
		}
		mine := slot.In(ev.Room)
		mine.messages = f.retention.kept(ev.Room, mine.messages)
		messages := mine.messages
		if limit := min(size.Get(ev.Room), f.size); limit < len(messages) { // it may have been lowered
			messages = messages[len(messages)-limit:]
		}
		request, _ := stanza.ParseHistoryRequest(ev.Stanza) // the room has refused a bad one
		messages = wanted(messages, request, ev.Session.RealJID())
		list := make([]*stanza.Encoded, 0, len(messages))
		for i := range messages {
			if enc := messages[i].encoded(ev.Room); enc != nil {
				list = append(list, enc)
			}
		}
		ev.Room.SendEncoded(ev.Session, list)
	})
}

// add appends a message and drops the oldest beyond limit.
func (h *recent) add(p past, limit int) {
	if extra := len(h.messages) + 1 - limit; extra > 0 {
		h.messages = slices.Delete(h.messages, 0, extra)
	}
	h.messages = append(h.messages, p)
}

// compact keeps the messages one behind the other in one piece of memory, and
// nothing that can be made from them.
func (h *recent) compact() {
	size := 0
	for i := range h.messages {
		size += len(h.messages[i].message.Stanza)
	}
	all := make([]byte, 0, size)
	h.messages = slices.Clone(h.messages)
	for i := range h.messages {
		p := &h.messages[i]
		begin := len(all)
		all = append(all, p.message.Stanza...)
		p.message.Stanza, p.enc = all[begin:len(all):len(all)], nil
	}
}

func (h *recent) withdraw(id string) {
	h.messages = slices.DeleteFunc(h.messages, func(p past) bool { return p.message.ID == id })
}

func (h *recent) replace(replace func(*muc.ArchivedMessage) bool) {
	for i := range h.messages {
		if p := &h.messages[i]; replace(&p.message) {
			p.enc = nil
		}
	}
}

// encoded returns the message with its time; nil if it is not readable.
func (p *past) encoded(r *muc.Room) *stanza.Encoded {
	if p.enc == nil {
		st, err := stanza.Parse(p.message.Stanza)
		if err != nil {
			return nil
		}
		if st.Child(stanza.NSDelay, "delay") == nil || r.Affiliation(p.message.RealJID) < muc.Owner { // XEP-0045 §7.9: the owner may bring the past along
			st = st.With(stanza.Delay(p.message.Room, p.message.Time))
		}
		p.enc = stanza.Encode(st)
	}
	return p.enc
}

// wanted returns the newest messages within the limits that somebody asks for.
func wanted(messages []past, q stanza.HistoryRequest, to jid.JID) []past {
	if q.MaxStanzas >= 0 && q.MaxStanzas < len(messages) {
		messages = messages[len(messages)-q.MaxStanzas:]
	}
	since := q.Since
	if t := time.Now().Add(-time.Duration(q.Seconds) * time.Second); q.Seconds >= 0 && t.After(since) {
		since = t
	}
	for len(messages) > 0 && messages[0].message.Time.Before(since) {
		messages = messages[1:]
	}
	if limit := q.MaxChars; limit >= 0 { // characters of the whole stanza
		first := len(messages)
		for first > 0 {
			limit -= len(messages[first-1].message.Stanza) + len(to.String())
			if limit < 0 {
				break
			}
			first--
		}
		messages = messages[first:]
	}
	return messages
}
