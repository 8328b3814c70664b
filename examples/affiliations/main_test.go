package main

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/muster-im/muster/jid"
	"github.com/muster-im/muster/muc"
	"github.com/muster-im/muster/server/servertest"
	"github.com/muster-im/muster/stanza"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestAffiliations(t *testing.T) {
	t.Parallel()
	held := make(chan struct{})
	service := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.FormValue("room") {
		case "coven@conference.localhost":
			<-held
			fmt.Fprint(w, `{"juliet@localhost": "admin", "tybalt@localhost": "outcast"}`) //nolint:errcheck // the client notices
		case "odd@conference.localhost":
			fmt.Fprint(w, `{"juliet@localhost": "king"}`) //nolint:errcheck // likewise
		default:
			w.WriteHeader(http.StatusTeapot)
		}
	}))
	defer service.Close()
	s := servertest.Start(t, fmt.Sprintf("[modules.affiliations]\nurl = %q\n", service.URL), affiliations{})
	romeo, juliet, tybalt := s.Person("romeo"), s.Person("juliet"), s.Person("tybalt")

	go func() { // the service is slow, and meanwhile another room refuses to be
		defer close(held)
		juliet.Ask(stanza.Stanza{Type: stanza.TypeGet, To: jid.MustParse("conference.localhost")}.With(stanza.NewElement(stanza.NSDiscoInfo, "query")))
	}()
	romeo.Enter("coven@conference.localhost")
	juliet.Enter("coven@conference.localhost")
	enters := func(p *servertest.Person, name, room string) *stanza.Error {
		t.Helper()
		to := jid.MustParse(room + "/" + name)
		p.Send(stanza.Stanza{Kind: stanza.Presence, To: to}.With(stanza.NewElement(stanza.NSMUC, "x")))
		st := p.Hear(func(st *stanza.Stanza) bool { return st.Kind == stanza.Presence && st.From == to })
		return st.ParseError()
	}
	if err := enters(tybalt, "tybalt", "coven@conference.localhost"); err == nil || err.Condition != stanza.Forbidden {
		t.Errorf("tybalt is banned and gets %v", err)
	}
	h, err := s.Rooms("conference.localhost").Room(t.Context(), jid.MustParse("coven@conference.localhost"))
	if err != nil {
		t.Fatal(err)
	}
	occupants, err := h.Occupants(t.Context())
	people := slices.Collect(occupants)
	if err != nil || len(people) != 2 || people[0].Nick != "juliet" || people[0].Affiliation != muc.Admin || people[0].Role != muc.Moderator || people[1].Affiliation != muc.Owner {
		t.Errorf("inside are %+v, %v; want juliet as admin, romeo as owner", people, err)
	}
	begin := time.Now()
	for _, room := range []string{"odd@conference.localhost", "attic@conference.localhost"} {
		if err := enters(romeo, "romeo", room); err == nil || err.Condition != stanza.InternalServerError {
			t.Errorf("%s: %v, want internal-server-error: the service does not answer well", room, err)
		}
	}
	if took := time.Since(begin); took > 5*time.Second {
		t.Errorf("refusing took %v", took)
	}
	if err := s.Reload(""); err != nil {
		t.Fatal(err)
	}
	romeo.Enter("attic@conference.localhost")
}
