package userdata

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/muster-im/muster/internal/router"
	"github.com/muster-im/muster/internal/sqlstore"
	"github.com/muster-im/muster/internal/store"
	"github.com/muster-im/muster/jid"
	"github.com/muster-im/muster/stanza"
)

var (
	romeo  = jid.MustParse("romeo@example.org/orchard")
	juliet = jid.MustParse("juliet@example.org/balcony")
)

var (
	badRequestError = stanza.NewError(stanza.Modify, stanza.BadRequest, "")
	unacceptable    = stanza.NewError(stanza.Modify, stanza.NotAcceptable, "")
	forbiddenError  = stanza.NewError(stanza.Auth, stanza.Forbidden, "")
	notFound        = stanza.NewError(stanza.Cancel, stanza.ItemNotFound, "")
	noService       = stanza.NewError(stanza.Cancel, stanza.ServiceUnavailable, "")
)

// newService returns a service with small limits, for romeo and juliet.
func newService(t *testing.T) *Service {
	t.Helper()
	db, err := sqlstore.Open(t.Context(), sqlstore.Options{Driver: sqlstore.SQLite, Dir: t.TempDir(), Durability: sqlstore.DurabilityProcess})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	for _, j := range []jid.JID{romeo, juliet} {
		if err := db.CreateAccount(t.Context(), store.Account{JID: j.Bare()}); err != nil {
			t.Fatal(err)
		}
	}
	return New(Options{Store: db, MaxVCard: 200, MaxPrivateSpace: 100, MaxPrivate: 150})
}

// call sends payload to somebody's account and returns the answer as XML.
func call(t *testing.T, h router.IQHandler, from, to jid.JID, payload string) (string, error) {
	t.Helper()
	e, err := stanza.ParseDocument([]byte(payload))
	if err != nil {
		t.Fatalf("%s: %v", payload, err)
	}
	iq := stanza.Stanza{Kind: stanza.IQ, ID: "i", From: from, To: to.Bare()}.With(e)
	result, err := h(t.Context(), &iq)
	if result == nil || err != nil {
		return "", err
	}
	return result.String(), nil
}

func TestVCard(t *testing.T) {
	t.Parallel()
	const (
		ask  = "<vCard xmlns='vcard-temp'/>"
		card = "<vCard xmlns='vcard-temp' version='3.0'><FN>Romeo &lt;3 🌹</FN><PHOTO><TYPE>image/png</TYPE><BINVAL>AAAA</BINVAL></PHOTO>" +
			"<X-MORE xmlns='urn:x' xmlns:p='urn:p' p:attr='1'/></vCard>"
		same = "<vCard xmlns='vcard-temp' version='3.0'><FN>Romeo &lt;3 🌹</FN><PHOTO><TYPE>image/png</TYPE><BINVAL>AAAA</BINVAL></PHOTO>" +
			"<X-MORE xmlns='urn:x' xmlns:n0='urn:p' n0:attr='1'/></vCard>"
	)
	s := newService(t)
	huge := "<vCard xmlns='vcard-temp'><DESC>" + strings.Repeat("&lt;", 100) + "</DESC></vCard>"
	for _, test := range []struct {
		name     string
		handler  router.IQHandler
		from, to jid.JID
		payload  string
		want     string
		err      error
	}{
		{"own, none yet", s.GetVCard, romeo, romeo, ask, "", notFound},
		{"somebody's, none yet", s.GetVCard, juliet, romeo, ask, "", noService},
		{"set", s.SetVCard, romeo, romeo, card, "", nil},
		{"own", s.GetVCard, romeo, romeo, ask, same, nil},
		{"somebody's", s.GetVCard, juliet, romeo, ask, same, nil},
		{"set somebody's", s.SetVCard, juliet, romeo, "<vCard xmlns='vcard-temp'><FN>Fool</FN></vCard>", "", forbiddenError},
		{"remove somebody's", s.SetVCard, juliet, romeo, ask, "", forbiddenError},
		{"too large", s.SetVCard, romeo, romeo, huge, "", unacceptable},
		{"set another element", s.SetVCard, romeo, romeo, "<vcard xmlns='vcard-temp'><FN>R</FN></vcard>", "", badRequestError},
		{"get another element", s.GetVCard, juliet, romeo, "<vcard xmlns='vcard-temp'/>", "", badRequestError},
		{"another element of nobody's", s.GetVCard, romeo, juliet, "<vcard xmlns='vcard-temp'/>", "", noService},
		{"nothing has changed", s.GetVCard, romeo, romeo, ask, same, nil},
		{"replace", s.SetVCard, romeo, romeo, "<vCard xmlns='vcard-temp'><FN>R</FN></vCard>", "", nil},
		{"whole", s.GetVCard, juliet, romeo, ask, "<vCard xmlns='vcard-temp'><FN>R</FN></vCard>", nil},
		{"remove", s.SetVCard, romeo, romeo, "<vCard xmlns='vcard-temp'> </vCard>", "", nil},
		{"removed", s.GetVCard, romeo, romeo, ask, "", notFound},
	} {
		got, err := call(t, test.handler, test.from, test.to, test.payload)
		if got != test.want || !errors.Is(err, test.err) {
			t.Errorf("%s: %s, %v\nwant %s, %v", test.name, got, err, test.want, test.err)
		}
	}
}

func privately(inside string) string {
	return "<query xmlns='jabber:iq:private'>" + inside + "</query>"
}

// names returns elements of n names.
func names(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "<x%d xmlns='y'/>", i)
	}
	return b.String()
}

func TestPrivate(t *testing.T) {
	t.Parallel()
	s := newService(t)
	const prefs = "<exodus xmlns='exodus:prefs'><defaultnick>Hamlet</defaultnick></exodus>"
	for _, test := range []struct {
		name             string
		handler          router.IQHandler
		payload          string
		want             string
		err              error
		fromSomebodyElse bool
	}{
		{name: "nothing yet", handler: s.GetPrivate, payload: privately("<exodus xmlns='exodus:prefs'/>"), want: privately("<exodus xmlns='exodus:prefs'/>")},
		{name: "store", handler: s.SetPrivate, payload: privately(prefs)},
		{name: "get", handler: s.GetPrivate, payload: privately("<exodus xmlns='exodus:prefs'/>"), want: privately(prefs)},
		{name: "what is in the request does not matter", handler: s.GetPrivate, payload: privately("<exodus xmlns='exodus:prefs' a='b'><x/></exodus>"), want: privately(prefs)},
		{name: "another name", handler: s.GetPrivate, payload: privately("<psi xmlns='exodus:prefs'/>"), want: privately("<psi xmlns='exodus:prefs'/>")},
		{name: "another namespace", handler: s.GetPrivate, payload: privately("<exodus xmlns='psi'/>"), want: privately("<exodus xmlns='psi'/>")},

		{name: "get somebody else's", handler: s.GetPrivate, payload: privately("<exodus xmlns='exodus:prefs'/>"), err: forbiddenError, fromSomebodyElse: true},
		{name: "set somebody else's", handler: s.SetPrivate, payload: privately("<exodus xmlns='exodus:prefs'/>"), err: forbiddenError, fromSomebodyElse: true},
		{name: "get nothing", handler: s.GetPrivate, payload: privately(""), err: unacceptable},
		{name: "set nothing", handler: s.SetPrivate, payload: privately("text"), err: unacceptable},
		{name: "no namespace", handler: s.SetPrivate, payload: privately("<x xmlns=''/>"), err: unacceptable},
		{name: "the query's namespace", handler: s.SetPrivate, payload: privately("<x/>"), err: unacceptable},
		{name: "reserved: jabber", handler: s.GetPrivate, payload: privately("<x xmlns='jabber:x:y'/>"), err: unacceptable},
		{name: "reserved: jabber.org", handler: s.SetPrivate, payload: privately("<x xmlns='http://jabber.org/protocol/muc'/>"), err: unacceptable},
		{name: "reserved: vCard", handler: s.SetPrivate, payload: privately("<vCard xmlns='vcard-temp'><FN>Hamlet</FN></vCard>"), err: unacceptable},
		{name: "one good, one reserved", handler: s.SetPrivate, payload: privately("<exodus xmlns='exodus:prefs'/><vCard xmlns='vcard-temp'/>"), err: unacceptable},
		{name: "two namespaces at once", handler: s.GetPrivate, payload: privately("<exodus xmlns='exodus:prefs'/><x xmlns='y'/>"), err: badRequestError},
		{name: "another element", handler: s.SetPrivate, payload: "<private xmlns='jabber:iq:private'>" + prefs + "</private>", err: badRequestError},
		{name: "too much for a namespace", handler: s.SetPrivate, payload: privately("<y xmlns='exodus:prefs'>" + strings.Repeat("y", 60) + "</y>"), err: unacceptable},
		{name: "a long name", handler: s.SetPrivate, payload: privately("<y xmlns='" + strings.Repeat("y", maxPrivateName) + "'/>"), err: unacceptable},
		{name: "many names", handler: s.GetPrivate, payload: privately(names(maxPrivateNames + 1)), err: unacceptable},
		{name: "nothing has changed", handler: s.GetPrivate, payload: privately("<exodus xmlns='exodus:prefs'/><y xmlns='exodus:prefs'/><exodus xmlns='exodus:prefs'/>"), want: privately(prefs + "<y xmlns='exodus:prefs'/>")},

		{name: "remove", handler: s.SetPrivate, payload: privately("<exodus xmlns='exodus:prefs'/>")},
		{name: "removed", handler: s.GetPrivate, payload: privately("<exodus xmlns='exodus:prefs'/>"), want: privately("<exodus xmlns='exodus:prefs'/>")},
		{name: "several", handler: s.SetPrivate, payload: privately("<a xmlns='n' i='1'/><b xmlns='n'>2</b><a xmlns='n' i='3'/><c xmlns='m'>4</c>")},
		{name: "several of a name", handler: s.GetPrivate, payload: privately("<a xmlns='n'/>"), want: privately("<a xmlns='n' i='1'/><a xmlns='n' i='3'/>")},
		{name: "several names", handler: s.GetPrivate, payload: privately("<b xmlns='n'/><a xmlns='n'/>"), want: privately("<b xmlns='n'>2</b><a xmlns='n' i='1'/><a xmlns='n' i='3'/>")},
		{name: "another namespace of the same request", handler: s.GetPrivate, payload: privately("<c xmlns='m'/>"), want: privately("<c xmlns='m'>4</c>")},
		{name: "too much in all", handler: s.SetPrivate, payload: privately("<d xmlns='d'>" + strings.Repeat("d", 70) + "</d>"), err: unacceptable},
	} {
		from := romeo
		if test.fromSomebodyElse {
			from = juliet
		}
		got, err := call(t, test.handler, from, romeo, test.payload)
		if got != test.want || !errors.Is(err, test.err) {
			t.Errorf("%s: %s, %v\nwant %s, %v", test.name, got, err, test.want, test.err)
		}
	}
}

// What somebody stores after his account is gone is stored nowhere.
func TestAccountGone(t *testing.T) {
	t.Parallel()
	s := newService(t)
	ghost := jid.MustParse("ghost@example.org/wall")
	for name, set := range map[string]func() (string, error){
		"vcard": func() (string, error) {
			return call(t, s.SetVCard, ghost, ghost, "<vCard xmlns='vcard-temp'><FN>G</FN></vCard>")
		},
		"private": func() (string, error) { return call(t, s.SetPrivate, ghost, ghost, privately("<a xmlns='n'>1</a>")) },
	} {
		if _, err := set(); !errors.Is(err, noService) {
			t.Errorf("%s: %v, want service-unavailable", name, err)
		}
	}
}
