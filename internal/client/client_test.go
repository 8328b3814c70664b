package client_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/muster-im/muster/config"
	"github.com/muster-im/muster/internal/client"
	"github.com/muster-im/muster/jid"
	"github.com/muster-im/muster/server"
	"github.com/muster-im/muster/stanza"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// start returns a server off the network with one account.
func start(t *testing.T) *server.Server {
	t.Helper()
	cfg := config.Development()
	cfg.General.DataDir = t.TempDir()
	cfg.Auth.AllowPlainWithoutTLS = true
	for i := range cfg.Listen.C2S {
		cfg.Listen.C2S[i].TLS.Mode = "starttls"
	}
	s, err := server.New(cfg, server.Options{NoListen: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), server.ShutdownTimeout)
		defer cancel()
		if err := s.Shutdown(ctx); err != nil {
			t.Error(err)
		}
	})
	if err := s.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := s.AddUser(t.Context(), jid.MustParse("romeo@localhost"), "wherefore"); err != nil {
		t.Fatal(err)
	}
	return s
}

func dial(t *testing.T, s *server.Server, o client.Options) (*client.Client, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	o.Conn, o.Domain, o.Username, o.PlainText = s.Dial(), "localhost", "romeo", true
	if o.Password == "" {
		o.Password = "wherefore"
	}
	return client.Dial(ctx, o)
}

func TestSession(t *testing.T) {
	t.Parallel()
	s := start(t)
	for _, mechanism := range []string{"", "SCRAM-SHA-256", "SCRAM-SHA-1", "PLAIN"} {
		c, err := dial(t, s, client.Options{Mechanism: mechanism, Resource: "balcony"})
		if err != nil {
			t.Fatalf("%s: %v", mechanism, err)
		}
		if want := jid.MustParse("romeo@localhost/balcony"); c.JID() != want {
			t.Errorf("bound to %s, want %s", c.JID(), want)
		}
		ping := stanza.Stanza{Type: stanza.TypeGet, To: jid.MustParse("localhost")}.With(stanza.NewElement(stanza.NSPing, "ping"))
		if _, err := c.IQ(t.Context(), ping); err != nil {
			t.Errorf("ping: %v", err)
		}
		_, err = c.IQ(t.Context(), stanza.Stanza{Type: stanza.TypeGet, To: jid.MustParse("localhost")}.With(stanza.NewElement("urn:odd", "q")))
		if se := stanza.AsError(err); se == nil || se.Condition != stanza.ServiceUnavailable {
			t.Errorf("an unknown request: got %v, want service-unavailable", err)
		}
		if err := c.Send(stanza.Stanza{Kind: stanza.Message, Type: stanza.TypeChat, To: c.JID()}.With(
			stanza.NewElement(stanza.NSClient, "body").AddText("to myself"))); err != nil {
			t.Error(err)
		}
		if st, err := c.Receive(t.Context()); err != nil || st.Body() != "to myself" {
			t.Errorf("got %s, %v", st.AppendXML(nil), err)
		}
		if err := c.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
		if _, err := c.Receive(t.Context()); !errors.Is(err, client.ErrClosed) {
			t.Errorf("after the end: %v", err)
		}
	}
}

func TestRefusals(t *testing.T) {
	t.Parallel()
	s := start(t)
	_, err := dial(t, s, client.Options{Password: "wrong"})
	if e, ok := errors.AsType[*client.AuthError](err); !ok || e.Condition != "not-authorized" {
		t.Errorf("a wrong password: got %v", err)
	}
	if _, err := dial(t, s, client.Options{Mechanism: "DIGEST-MD5"}); err == nil {
		t.Error("a mechanism that is not offered was used")
	}
}

func TestReplaced(t *testing.T) {
	t.Parallel()
	s := start(t)
	closed := make(chan error, 1)
	first, err := dial(t, s, client.Options{Resource: "a", OnClose: func(err error) { closed <- err }})
	if err != nil {
		t.Fatal(err)
	}
	second, err := dial(t, s, client.Options{Resource: "a"})
	if err != nil {
		t.Fatal(err)
	}
	if err := <-closed; err == nil || first.Err() == nil {
		t.Error("the older session did not learn why it ended")
	}
	if err := second.Close(); err != nil {
		t.Error(err)
	}
}
