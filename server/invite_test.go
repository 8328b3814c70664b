package server_test

import (
	"bufio"
	"io"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/muster-im/muster/groups"
	"github.com/muster-im/muster/internal/admin"
	"github.com/muster-im/muster/jid"
	"github.com/muster-im/muster/server"
)

// TestInvited: XEP-0445 §4: with a token a stranger makes an account although
// registration is closed, is in its group, and the token is good no more.
func TestInvited(t *testing.T) {
	t.Parallel()
	cfg := onNetwork(t)
	cfg.Listen.C2S = cfg.Listen.C2S[:1]
	cfg.Listen.C2S[0].TLS.Mode, cfg.Auth.AllowPlainWithoutTLS = "none", true
	s := start(t, cfg, server.Options{})
	t.Cleanup(func() { shutdown(t, s) })
	makeGroup := func(id groups.ID) {
		t.Helper()
		if _, err := s.Groups().Create(t.Context(), groups.NewGroup{ID: id, Name: "Verona"}, groups.Cause{}); err != nil {
			t.Fatal(err)
		}
	}
	makeGroup("verona")
	makeGroup("board")
	client := admin.NewClient(filepath.Join(cfg.General.DataDir, admin.SocketName))
	var v admin.IssuedInvite
	if err := client.Do(t.Context(), "POST", "/invitations", admin.NewInvite{Username: "juliet", Groups: []string{"verona", "board"}}, &v); err != nil {
		t.Fatal(err)
	}
	if err := s.Groups().Delete(t.Context(), "board", groups.Cause{}); err != nil {
		t.Fatal(err)
	}
	makeGroup("board") // to which nobody is invited
	var shown admin.Invite
	if err := client.Do(t.Context(), "GET", admin.Path("invitations", v.ID), nil, &shown); err != nil || len(shown.Groups) != 2 || !slices.Equal(shown.Gone, []string{"board"}) {
		t.Errorf("the invitation is to %v, of which %v are gone (%v)", shown.Groups, shown.Gone, err)
	}
	if v.URI != "xmpp:juliet@localhost?register;preauth="+v.Token {
		t.Errorf("the link is %s", v.URI)
	}
	conn := s.Dial()
	defer conn.Close() //nolint:errcheck // the server may have
	in := bufio.NewReader(conn)
	ask := func(xml, end string) string {
		t.Helper()
		if _, err := io.WriteString(conn, xml); err != nil {
			t.Fatal(err)
		}
		var got strings.Builder
		for !strings.HasSuffix(got.String(), end) {
			b, err := in.ReadByte()
			if err != nil {
				t.Fatalf("%v after %s", err, got.String())
			}
			got.WriteByte(b)
		}
		return got.String()
	}
	preauth := "<iq type='set' id='p' to='localhost'><preauth xmlns='urn:xmpp:pars:0' token='" + v.Token + "'/></iq>"
	register := func(name string) string {
		return "<iq type='set' id='r' to='localhost'><query xmlns='jabber:iq:register'><username>" + name + "</username><password>secret</password></query></iq>"
	}
	const stream = "<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' to='localhost' version='1.0'>"
	if got := ask(stream, "</stream:features>"); !strings.Contains(got, "urn:xmpp:ibr-token:0") {
		t.Errorf("features are %s", got)
	}
	for _, step := range []struct{ send, end, want string }{
		{register("juliet"), "</iq>", "service-unavailable"},
		{preauth, ">", "result"},
		{"<iq type='get' id='g' to='localhost'><query xmlns='jabber:iq:register'/></iq>", "</iq>", "<username>juliet</username>"},
		{register("paris"), "</iq>", "not-acceptable"},
		{register("juliet"), ">", "result"},
	} {
		if got := ask(step.send, step.end); !strings.Contains(got, step.want) {
			t.Errorf("%s: got %s, want %s", step.send, got, step.want)
		}
	}
	if ids, err := s.Groups().UserGroups(t.Context(), jid.MustParse("juliet@localhost")); err != nil || !slices.Equal(ids, []groups.ID{"verona"}) {
		t.Errorf("juliet is in %v, %v", ids, err)
	}
	if err := client.Do(t.Context(), "GET", admin.Path("invitations", v.ID), nil, nil); err == nil {
		t.Error("the invitation is still good")
	}
}
