package muc_test

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/muster-im/muster/hook"
	"github.com/muster-im/muster/jid"
	"github.com/muster-im/muster/muc"
	"github.com/muster-im/muster/stanza"
)

// asked sees requests for voice and registrations, and may decide them.
type asked struct {
	voice        func(ev *muc.VoiceEvent) error
	registration func(ev *muc.RegistrationEvent) error
	seen         []string
}

func (a *asked) Register(h *muc.Hooks) {
	voice := func(name string) func(ev *muc.VoiceEvent) error {
		return func(ev *muc.VoiceEvent) error {
			a.seen = append(a.seen, fmt.Sprintf("%s %s %v grant %v", name, ev.Visitor.Nick(), ev.Role, ev.Grant))
			if a.voice == nil {
				return nil
			}
			return a.voice(ev)
		}
	}
	registration := func(name string) func(ev *muc.RegistrationEvent) error {
		return func(ev *muc.RegistrationEvent) error {
			a.seen = append(a.seen, fmt.Sprintf("%s %s as %q remove %v approval %v grant %v", name, ev.RealJID, ev.Nick, ev.Remove, ev.Approval, ev.Grant))
			if a.registration == nil {
				return nil
			}
			return a.registration(ev)
		}
	}
	h.BeforeVoiceRequest.Add("asking", 0, voice("request"))
	h.BeforeVoiceAnswer.Add("asking", 0, voice("answer"))
	h.BeforeRegistration.Add("asking", 0, registration("registration"))
	h.BeforeRegistrationAnswer.Add("asking", 0, registration("answer"))
}

const (
	askVoice   = "<message id='q' from='vera@test/r' to='coven@conf.test'><x xmlns='jabber:x:data' type='submit'><field var='FORM_TYPE'><value>http://jabber.org/protocol/muc#request</value></field><field var='muc#role'><value>participant</value></field></x></message>"
	grantVoice = "<message id='q' from='anna@test/r' to='coven@conf.test'><x xmlns='jabber:x:data' type='submit'><field var='FORM_TYPE'><value>http://jabber.org/protocol/muc#request</value></field><field var='muc#role'><value>participant</value></field><field var='muc#roomnick'><value>vera</value></field><field var='muc#request_allow'><value>%s</value></field></x></message>"
	asksNick   = "<iq type='set' id='q' from='vera@test/r' to='coven@conf.test'><query xmlns='jabber:iq:register'><x xmlns='jabber:x:data' type='submit'><field var='muc#register_roomnick'><value>vera</value></field></x></query></iq>"
	leavesNick = "<iq type='set' id='q' from='vera@test/r' to='coven@conf.test'><query xmlns='jabber:iq:register'><remove/></query></iq>"
	admitsNick = "<message id='q' from='anna@test/r' to='coven@conf.test'><x xmlns='jabber:x:data' type='submit'><field var='FORM_TYPE'><value>http://jabber.org/protocol/muc#register</value></field><field var='muc#jid'><value>vera@test</value></field><field var='muc#register_roomnick'><value>vera</value></field><field var='muc#register_allow'><value>%s</value></field></x></message>"
)

// TestVoiceByCode: an extension sees requests for voice and the answers to them
// with what they say, and may refuse, grant or change them.
func TestVoiceByCode(t *testing.T) {
	for _, test := range []struct {
		name, xml, seen string
		decide          func(ev *muc.VoiceEvent) error
		anna, vera      string // what they get of it; "": no more than usual
		role            muc.Role
	}{
		{"a request passes", askVoice, "request vera participant grant false", nil, "muc#request_allow", "", muc.Visitor},
		{"a request is refused", askVoice, "request vera participant grant false", refuse[muc.VoiceEvent], "", "Not today.", muc.Visitor},
		{"a request is granted", askVoice, "request vera participant grant false", func(ev *muc.VoiceEvent) error {
			if err := ev.Room.SetRole(muc.System, ev.Visitor, ev.Role, "by code"); err != nil {
				return err
			}
			return hook.Handled
		}, "by code", "role='participant'", muc.Participant},
		{"an answer passes", fmt.Sprintf(grantVoice, "1"), "answer vera participant grant true", nil, "", "role='participant'", muc.Participant},
		{"an answer is turned", fmt.Sprintf(grantVoice, "0"), "answer vera participant grant false", func(ev *muc.VoiceEvent) error {
			ev.Grant = ev.Moderator.Nick() == "anna"
			return nil
		}, "", "role='participant'", muc.Participant},
		{"an answer is refused", fmt.Sprintf(grantVoice, "1"), "answer vera participant grant true", refuse[muc.VoiceEvent], "Not today.", "", muc.Visitor},
	} {
		t.Run(test.name, func(t *testing.T) {
			ext := &asked{voice: test.decide}
			run(t, muc.Options{Extensions: []muc.Extension{ext}}, func(w *world) {
				w.askedWorld()
				w.inside(func(r *muc.Room) error { return r.SetRole(muc.System, r.Occupant("vera"), muc.Visitor, "") })
				w.clear()
				w.send(test.xml)
				synctest.Wait()
				w.wants("anna@test/r", test.anna)
				w.wants("vera@test/r", test.vera)
				w.inside(func(r *muc.Room) error {
					if got := r.Occupant("vera").Role(); got != test.role {
						t.Errorf("vera is %v, want %v", got, test.role)
					}
					return nil
				})
			})
			if got := fmt.Sprint(ext.seen); got != "["+test.seen+"]" {
				t.Errorf("seen %s, want %s", got, test.seen)
			}
		})
	}
}

// TestRegistrationByCode is the same for registration with a room.
func TestRegistrationByCode(t *testing.T) {
	for _, test := range []struct {
		name, xml, seen string
		decide          func(ev *muc.RegistrationEvent) error
		anna, vera      string
		nick            string // registered for vera in the end
	}{
		{"passes", asksNick, `registration vera@test as "vera" remove false approval true grant false`, nil, "muc#register_allow", "type='result'", ""},
		{"needs no approval", asksNick, `registration vera@test as "vera" remove false approval true grant false`, func(ev *muc.RegistrationEvent) error {
			ev.Approval, ev.Nick = false, "Vera 2"
			return nil
		}, "", "type='result'", "Vera 2"},
		{"a nickname that is somebody's", asksNick, `registration vera@test as "vera" remove false approval true grant false`, func(ev *muc.RegistrationEvent) error {
			ev.Approval, ev.Nick = false, "boss"
			return nil
		}, "", "conflict", ""},
		{"refused", asksNick, `registration vera@test as "vera" remove false approval true grant false`, refuse[muc.RegistrationEvent], "", "Not today.", ""},
		{"swallowed", asksNick, `registration vera@test as "vera" remove false approval true grant false`, handle, "", "type='result'", ""},
		{"ends", leavesNick, `registration vera@test as "" remove true approval false grant false`, nil, "", "type='result'", ""},
		{"must not end", leavesNick, `registration vera@test as "" remove true approval false grant false`, refuse[muc.RegistrationEvent], "", "Not today.", "veronica"},
		{"admitted", fmt.Sprintf(admitsNick, "1"), `answer vera@test as "vera" remove false approval false grant true`, nil, "", "as vera.", "vera"},
		{"declined by code", fmt.Sprintf(admitsNick, "1"), `answer vera@test as "vera" remove false approval false grant true`, func(ev *muc.RegistrationEvent) error {
			ev.Grant = ev.Admin.String() != "anna@test/r" || ev.Form == nil
			return nil
		}, "", "declined", ""},
		{"the answer is refused", fmt.Sprintf(admitsNick, "0"), `answer vera@test as "" remove false approval false grant false`, refuse[muc.RegistrationEvent], "Not today.", "", ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			ext := &asked{registration: test.decide}
			run(t, muc.Options{Extensions: []muc.Extension{ext}}, func(w *world) {
				w.askedWorld()
				w.inside(func(r *muc.Room) error {
					if test.xml == leavesNick {
						return r.SetAffiliation(muc.System, jid.MustParse("vera@test"), muc.Member, muc.AffiliationOptions{Nick: "veronica"})
					}
					return r.SetAffiliation(muc.System, jid.MustParse("dora@test"), muc.Member, muc.AffiliationOptions{Nick: "boss"})
				})
				w.clear()
				w.send(test.xml)
				synctest.Wait()
				w.wants("anna@test/r", test.anna)
				w.wants("vera@test/r", test.vera)
				w.inside(func(r *muc.Room) error {
					if got := r.Entry(jid.MustParse("vera@test")).Nick; got != test.nick {
						t.Errorf("vera has registered %q, want %q", got, test.nick)
					}
					return nil
				})
			})
			if got := fmt.Sprint(ext.seen); got != "["+test.seen+"]" {
				t.Errorf("seen %s, want %s", got, test.seen)
			}
		})
	}
}

// TestRegistrationFields: an extension asks for more, gets what is said, and so
// does the admin who decides.
func TestRegistrationFields(t *testing.T) {
	var said []string
	x := extension(func(h *muc.Hooks) {
		h.RegistrationForm.Add("team", 0, func(ev *muc.RegistrationEvent) {
			ev.Form.Add(stanza.Field{Var: "x-team", Type: stanza.FieldTextSingle, Label: "Your team", Required: true})
			if ev.RealJID.String() != "vera@test" || ev.Nick != "" {
				t.Errorf("shown to %s, %q", ev.RealJID, ev.Nick)
			}
		})
		h.BeforeRegistration.Add("team", 0, func(ev *muc.RegistrationEvent) error {
			if ev.Form.Value("x-team") == "" {
				return stanza.NewError(stanza.Modify, stanza.NotAcceptable, "x-team: which one?")
			}
			said = append(said, ev.Form.Value("x-team"))
			return nil
		})
		h.BeforeRegistrationAnswer.Add("team", 0, func(ev *muc.RegistrationEvent) error {
			said = append(said, "admitted "+ev.Form.Value("x-team"))
			return nil
		})
	})
	run(t, muc.Options{Extensions: []muc.Extension{x}}, func(w *world) {
		w.askedWorld()
		w.clear()
		w.send("<iq type='get' id='q' from='vera@test/r' to='coven@conf.test'><query xmlns='jabber:iq:register'/></iq>")
		w.expect("vera@test/r", "muc#register_roomnick", "var='x-team'", "Your team", "<required/>")
		w.send(asksNick)
		w.expect("vera@test/r", "which one?")
		team := "<field var='x-team'><value>Rakes</value></field>"
		w.send(strings.Replace(asksNick, "<field", team+"<field", 1))
		w.expect("vera@test/r", "type='result'")
		w.expect("anna@test/r", "muc#register_allow", "var='x-team'", "Your team", "<value>Rakes</value>")
		w.send(strings.Replace(fmt.Sprintf(admitsNick, "1"), "<field", team+"<field", 1))
		w.wants("vera@test/r", "as vera.")
	})
	if fmt.Sprint(said) != "[Rakes admitted Rakes]" {
		t.Errorf("the extension has been told %q", said)
	}
}

func refuse[E any](*E) error { return stanza.NewError(stanza.Auth, stanza.Forbidden, "Not today.") }

func handle(*muc.RegistrationEvent) error { return hook.Handled }

// askedWorld is a room of anna's with vera in it.
func (w *world) askedWorld() {
	w.send(enter("anna"))
	w.send(accept)
	w.send(enter("vera"))
	synctest.Wait()
}

func (w *world) clear() {
	synctest.Wait()
	w.take("anna@test/r")
	w.take("vera@test/r")
	w.take("vera@test")
}

// wants checks what somebody got since clear; "" is not looked at.
func (w *world) wants(who, text string) {
	w.t.Helper()
	got := strings.Join(append(w.take(who), w.take(jid.MustParse(who).Bare().String())...), "\n")
	if !strings.Contains(got, text) {
		w.t.Errorf("%s got %s, want %s", who, got, text)
	}
}
