package muc_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/muster-im/muster/hook"
	"github.com/muster-im/muster/jid"
	"github.com/muster-im/muster/muc"
	"github.com/muster-im/muster/stanza"
)

// arrivals are the kinds of what comes in: who adds a filter of each, and what
// ben sends of it, with MARK in what it brings about.
func arrivals() map[string]struct {
	filter func(*muc.Hooks) *hook.Filter[muc.Arrival]
	xml    string
} {
	type kind = struct {
		filter func(*muc.Hooks) *hook.Filter[muc.Arrival]
		xml    string
	}
	request := func(space string) func(*muc.Hooks) *hook.Filter[muc.Arrival] {
		return func(h *muc.Hooks) *hook.Filter[muc.Arrival] { return h.Before.Request(space) }
	}
	const toRoom = "from='ben@test/r' to='coven@conf.test' id='q'"
	const toAnna = "from='ben@test/r' to='coven@conf.test/anna' id='q'"
	form := func(formType, fields string) string {
		return "<x xmlns='jabber:x:data' type='submit'><field var='FORM_TYPE'><value>" + formType + "</value></field>" + fields + "</x>"
	}
	field := func(name, value string) string {
		return "<field var='" + name + "'><value>" + value + "</value></field>"
	}
	return map[string]kind{
		"presence": {
			func(h *muc.Hooks) *hook.Filter[muc.Arrival] { return &h.Before.Presence },
			"<presence from='ben@test/r' to='coven@conf.test/ben' id='q'><status>MARK</status></presence>",
		},
		"leave": {
			func(h *muc.Hooks) *hook.Filter[muc.Arrival] { return &h.Before.Presence },
			"<presence type='unavailable' from='ben@test/r' to='coven@conf.test/ben' id='q'><status>MARK</status></presence>",
		},
		"groupchat": {
			func(h *muc.Hooks) *hook.Filter[muc.Arrival] { return &h.Before.Groupchat },
			"<message type='groupchat' " + toRoom + "><body>MARK</body></message>",
		},
		"private message": {
			func(h *muc.Hooks) *hook.Filter[muc.Arrival] { return &h.Before.PrivateMessage },
			"<message type='chat' " + toAnna + "><body>MARK</body></message>",
		},
		"invitation": {
			func(h *muc.Hooks) *hook.Filter[muc.Arrival] { return &h.Before.Invitation },
			"<message " + toRoom + "><x xmlns='http://jabber.org/protocol/muc#user'><invite to='dora@test'><reason>MARK</reason></invite></x></message>",
		},
		"decline": {
			func(h *muc.Hooks) *hook.Filter[muc.Arrival] { return &h.Before.Decline },
			"<message " + toRoom + "><x xmlns='http://jabber.org/protocol/muc#user'><decline to='anna@test'><reason>MARK</reason></decline></x></message>",
		},
		"voice request": {
			func(h *muc.Hooks) *hook.Filter[muc.Arrival] { return &h.Before.VoiceRequest },
			"<message " + toRoom + ">" + form("http://jabber.org/protocol/muc#request", field("muc#role", "participant")) + "</message>",
		},
		"voice answer": {
			func(h *muc.Hooks) *hook.Filter[muc.Arrival] { return &h.Before.VoiceAnswer },
			"<message " + toRoom + ">" + form("http://jabber.org/protocol/muc#request",
				field("muc#role", "participant")+field("muc#roomnick", "ben")+field("muc#request_allow", "1")) + "</message>",
		},
		"other message": {
			func(h *muc.Hooks) *hook.Filter[muc.Arrival] { return &h.Before.RoomMessage },
			"<message " + toRoom + "><body>MARK</body></message>",
		},
		"request to the room": {request("jabber:iq:version"), "<iq type='get' " + toRoom + "><query xmlns='jabber:iq:version'/></iq>"},
		"request to an occupant": {
			request("jabber:iq:version"), "<iq type='get' " + toAnna + "><query xmlns='jabber:iq:version'>MARK</query></iq>",
		},
		"any request": {request(""), "<iq type='get' " + toAnna + "><query xmlns='urn:x'>MARK</query></iq>"},
		"registration": {
			request(stanza.NSRegister),
			"<iq type='set' " + toRoom + "><query xmlns='jabber:iq:register'>" +
				form("http://jabber.org/protocol/muc#register", field("muc#register_roomnick", "MARK")) + "</query></iq>",
		},
		"admin query": {
			request(stanza.NSMUCAdmin),
			"<iq type='set' " + toRoom + "><query xmlns='http://jabber.org/protocol/muc#admin'><item nick='chloe' role='none'><reason>MARK</reason></item></query></iq>",
		},
		"owner query": {
			request(stanza.NSMUCOwner),
			"<iq type='set' " + toRoom + "><query xmlns='http://jabber.org/protocol/muc#owner'>" +
				form("http://jabber.org/protocol/muc#roomconfig", field(muc.FieldName, "MARK")) + "</query></iq>",
		},
	}
}

// effects are everything that ben can have caused.
func (w *world) effects() string {
	w.t.Helper()
	var all []string
	for _, who := range []string{"anna@test/r", "chloe@test/r", "dora@test"} {
		all = append(all, w.take(who)...)
	}
	h, err := w.Room(w.t.Context(), jid.MustParse("coven@conf.test"))
	if err != nil {
		w.t.Fatal(err)
	}
	info, err := h.Info(w.t.Context())
	if err != nil {
		w.t.Fatal(err)
	}
	entries, err := h.Affiliations(w.t.Context())
	if err != nil {
		w.t.Fatal(err)
	}
	return strings.Join(append(all, info.Name, fmt.Sprint(slices.Collect(entries))), "\n")
}

// TestBefore: each kind of what comes in may pass, be changed, refused and
// swallowed before the room looks at it, and is of that kind alone.
func TestBefore(t *testing.T) {
	change := func(st *stanza.Stanza) *stanza.Stanza {
		xml := strings.ReplaceAll(string(stanza.Encode(*st).AppendTo(nil, "elsewhere@conf.test")), "MARK", "CHANGED")
		changed, err := stanza.Parse([]byte(xml))
		if err != nil {
			panic(err)
		}
		changed.From = jid.MustParse("anna@test/r") // as if nobody saw it
		return &changed
	}
	verdicts := map[string]func(ev *muc.Arrival) error{
		"pass":   func(*muc.Arrival) error { return nil },
		"change": func(ev *muc.Arrival) error { ev.Stanza = change(ev.Stanza); return nil },
		"refuse": func(*muc.Arrival) error {
			return stanza.NewError(stanza.Modify, stanza.PolicyViolation, "Not today.")
		},
		"swallow": func(ev *muc.Arrival) error {
			ev.Send(stanza.Stanza{Kind: stanza.Message, To: jid.MustParse("ben@test/r"), ID: "instead"})
			return hook.Handled
		},
	}
	for name, kind := range arrivals() {
		for verdict, decide := range verdicts {
			t.Run(name+", "+verdict, func(t *testing.T) {
				var seen []string
				on := false
				x := extension(func(h *muc.Hooks) {
					for other, k := range arrivals() {
						k.filter(h).Add(other, 0, func(*muc.Arrival) error {
							if on {
								seen = append(seen, other)
							}
							return nil
						})
					}
					kind.filter(h).Add("verdict", -1, func(ev *muc.Arrival) error {
						if !on {
							return nil
						}
						if ev.Session.Occupant().Nick() != "ben" || ev.New || (ev.Occupant == nil) != ev.Stanza.To.IsBare() {
							t.Errorf("from %v to %v", ev.Session, ev.Occupant)
						}
						return decide(ev)
					})
				})
				run(t, muc.Options{Extensions: []muc.Extension{x}}, func(w *world) {
					w.open("ben", "chloe")
					w.prepare(name)
					before := w.effects()
					w.take("ben@test/r")
					on = true
					w.send(kind.xml)
					got, after := strings.Join(w.take("ben@test/r"), "\n"), w.effects()
					on = false
					judge(t, verdict, got, before, after, strings.Contains(kind.xml, "MARK") && name != "other message")
					of := func(other string) bool { return arrivals()[other].filter(h0) == kind.filter(h0) }
					if !slices.Contains(seen, name) || slices.ContainsFunc(seen, func(s string) bool { return !of(s) && s != "any request" }) {
						t.Errorf("it came as %v", seen)
					}
				})
			})
		}
	}
}

var h0 = &muc.Hooks{} //nolint:gochecknoglobals // to compare which filter is which

// prepare makes ben able to do what he is going to do.
func (w *world) prepare(kind string) {
	w.t.Helper()
	h, err := w.Room(w.t.Context(), jid.MustParse("coven@conf.test"))
	if err != nil {
		w.t.Fatal(err)
	}
	switch kind {
	case "decline":
		w.send("<message from='anna@test/r' to='coven@conf.test'><x xmlns='http://jabber.org/protocol/muc#user'><invite to='ben@test'/></x></message>")
	case "voice request":
		err = h.SetRole(w.t.Context(), muc.System, "ben", muc.Visitor, "")
	case "registration":
		err = h.SetAffiliation(w.t.Context(), muc.System, jid.MustParse("ben@test"), muc.Member, muc.AffiliationOptions{})
	case "admin query", "owner query", "voice answer":
		err = h.SetAffiliation(w.t.Context(), muc.System, jid.MustParse("ben@test"), muc.Owner, muc.AffiliationOptions{})
	}
	if err != nil {
		w.t.Fatal(err)
	}
}

// judge compares what has come of a stanza with the verdict on it.
func judge(t *testing.T, verdict, got, before, after string, marked bool) {
	t.Helper()
	effect := strings.Contains(after, "MARK")
	switch verdict {
	case "pass":
		if marked != effect || strings.Contains(got, "policy-violation") {
			t.Errorf("passed: effect %v, want %v:\n%s\nben got\n%s", effect, marked, after, got)
		}
	case "change":
		if effect || marked != strings.Contains(after, "CHANGED") {
			t.Errorf("changed: effect\n%s\nben got\n%s", after, got)
		}
	case "refuse":
		if effect || !strings.Contains(got, "<policy-violation") || !strings.Contains(got, "Not today.") || !strings.Contains(got, "id='q'") {
			t.Errorf("refused: ben got\n%s\neffect\n%s", got, after)
		}
	case "swallow":
		if effect || !strings.Contains(got, "id='instead'") || strings.Contains(got, "type='error'") || strings.Contains(got, "id='q'") {
			t.Errorf("swallowed: ben got\n%s\neffect\n%s", got, after)
		}
	}
	if quiet := verdict == "refuse" || verdict == "swallow"; quiet && lastLine(before) != lastLine(after) {
		t.Errorf("%s, and yet the room has changed from %s to %s", verdict, lastLine(before), lastLine(after))
	}
}

func lastLine(s string) string { return s[strings.LastIndexByte(s, '\n')+1:] }

// TestBeforeOrder: higher priority first, then order of addition; who asks for
// time is asked again, those after him once.
func TestBeforeOrder(t *testing.T) {
	var trail []string
	x := extension(func(h *muc.Hooks) {
		add := func(name string, priority int, then func(*muc.Arrival) error) {
			h.Before.Groupchat.Add(name, priority, func(ev *muc.Arrival) error {
				trail = append(trail, name)
				return then(ev)
			})
		}
		pass := func(*muc.Arrival) error { return nil }
		add("third", 0, func(ev *muc.Arrival) error {
			return ev.Defer(func(context.Context) error { time.Sleep(time.Second); return nil })
		})
		add("fourth", 0, pass)
		add("first", 10, func(ev *muc.Arrival) error {
			*ev.Stanza = ev.Stanza.With(stanza.NewElement("urn:x", "mark"))
			return nil
		})
		add("second", 10, pass)
		h.BeforeMessage.Add("later", 0, func(ev *muc.MessageEvent) error {
			return ev.Defer(func(context.Context) error { return nil })
		})
	})
	run(t, muc.Options{Extensions: []muc.Extension{x}}, func(w *world) {
		w.open("ben")
		w.send(say("ben", "hello"))
		time.Sleep(2 * time.Second)
		got := strings.Join(w.take("anna@test/r"), "")
		if strings.Count(got, "hello") != 1 || strings.Count(got, "<mark") != 1 {
			t.Errorf("anna got %s", got)
		}
		if want := "first second third first second third fourth"; strings.Join(trail, " ") != want {
			t.Errorf("ran %v, want %s", trail, want)
		}
	})
}

// TestBeforeCreation: presence to a room that is not there passes the filters,
// too; other things do not.
func TestBeforeCreation(t *testing.T) {
	var seen []bool
	x := extension(func(h *muc.Hooks) {
		h.Before.Presence.Add("x", 0, func(ev *muc.Arrival) error {
			if seen = append(seen, ev.New); len(seen) > 1 {
				return nil
			}
			return stanza.NewError(stanza.Cancel, stanza.NotAllowed, "")
		})
		h.Before.Groupchat.Add("x", 0, func(*muc.Arrival) error { panic("no room") })
	})
	run(t, muc.Options{Extensions: []muc.Extension{x}}, func(w *world) {
		w.send(say("anna", "anybody?"))
		w.expect("anna@test/r", "item-not-found")
		w.send(enter("anna"))
		w.expect("anna@test/r", "not-allowed")
		w.open()
		w.send(enter("anna"))
		if w.take("anna@test/r"); !slices.Equal(seen, []bool{true, true, false}) {
			t.Errorf("new: %v", seen)
		}
	})
}
