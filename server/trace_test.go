package server_test

import (
	"bytes"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/muster-im/muster/jid"
	"github.com/muster-im/muster/server"
	"github.com/muster-im/muster/stanza"
)

// logged collects log lines.
type logged struct {
	mu    sync.Mutex
	lines bytes.Buffer
}

// Write takes a line.
func (l *logged) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.lines.Write(p)
}

func (l *logged) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.lines.String()
}

// At trace the log has all XML, and at no level what people write or know.
func TestTrace(t *testing.T) {
	for _, level := range []string{"trace", "debug", "info"} {
		cfg := offNetwork(t)
		cfg.General.LogLevel = level
		synctest.Test(t, func(t *testing.T) {
			var out logged
			filter := new(slog.LevelVar)
			s := start(t, cfg, server.Options{
				NoListen: true, LogLevel: filter,
				Logger: slog.New(slog.NewTextHandler(&out, &slog.HandlerOptions{Level: filter})),
			})
			defer shutdown(t, s)
			romeo, _ := login(t, s, cfg, "romeo")
			juliet, heard := login(t, s, cfg, "juliet")
			message := stanza.Stanza{Kind: stanza.Message, Type: stanza.TypeChat, ID: "m1", To: jid.MustParse("juliet@localhost")}
			send(t, juliet, stanza.Stanza{Kind: stanza.Presence})
			send(t, romeo, message.With(stanza.NewElement(stanza.NSClient, "body").AddText("wherefore")))
			if heard.find(func(st *stanza.Stanza) bool { return st.ID == "m1" }) == nil {
				t.Fatal("the message has not arrived")
			}
			_ = romeo.Close()
			_ = juliet.Close()
			synctest.Wait()
			text := out.String()
			for _, secret := range []string{"wherefore", "secret", "biws", "c2NyYW", "bj1yb21lbw"} { // as SASL has them
				if strings.Contains(text, secret) {
					t.Errorf("at %s %q is in the log:\n%s", level, secret, text)
				}
			}
			if got := strings.Count(text, `msg="session bound"`); got != 2 {
				t.Errorf("at %s there are %d lines about logins, want one each", level, got)
			}
			for _, want := range []string{"direction=received", "direction=sent", "<body>***9***</body>", "SCRAM-SHA"} {
				if level == "trace" && !strings.Contains(text, want) {
					t.Errorf("%q is not in the trace:\n%s", want, text)
				}
			}
			if level != "trace" && strings.Contains(text, "msg=xml") {
				t.Errorf("XML at level %s", level)
			}
		})
	}
}
