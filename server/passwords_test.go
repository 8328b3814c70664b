package server_test

import (
	"encoding/pem"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/muster-im/muster/internal/client"
	"github.com/muster-im/muster/jid"
	"github.com/muster-im/muster/server"
	"github.com/muster-im/muster/stanza"
)

// TestPasswordsStaySecret: however a service that decides on passwords fails, no
// log at any level, no metric and no error to others has what was asked.
func TestPasswordsStaySecret(t *testing.T) {
	t.Parallel()
	const secret = "hunter2 & co"
	var mu sync.Mutex
	var asked []string // guarded by mu
	service := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		asked = append(asked, r.Method+" "+r.FormValue("from")+" "+r.FormValue("to")+" "+r.FormValue("pass"))
		switch r.FormValue("to") {
		case "ok@conf.test":
			_, _ = io.WriteString(w, `{"code": 0}`)
		case "broken@conf.test":
			conn, _, err := http.NewResponseController(w).Hijack()
			if err != nil {
				t.Error(err)
				return
			}
			_, _ = io.WriteString(conn, "what is "+r.RequestURI+"?\r\n\r\n")
			_ = conn.Close()
		case "moved@conf.test":
			http.Redirect(w, r, "http://elsewhere.test"+r.RequestURI, http.StatusFound)
		case "reset@conf.test":
			panic(http.ErrAbortHandler)
		default:
			_, _ = io.WriteString(w, `{"code": 1, "msg": `+r.RequestURI)
		}
	}))
	defer service.Close()
	authority := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(authority, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: service.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	down, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_ = down.Close()
	tests := []struct{ host, room, want, logged string }{
		{service.URL, "ok", "code='201'", ""},
		{service.URL, "broken", "service-unavailable", "reason=broken"},
		{service.URL, "moved", "service-unavailable", "reason=status"},
		{service.URL, "reset", "service-unavailable", "reason=broken"},
		{service.URL, "nonsense", "service-unavailable", "reason=malformed"},
		{"https://" + down.Addr().String(), "down", "service-unavailable", "reason=unreachable"},
		{strings.Replace(service.URL, "127.0.0.1", "localhost", 1), "stranger", "service-unavailable", "reason=untrusted"},
	}
	for _, method := range []string{"get", "post"} {
		for _, test := range tests {
			var out logged
			file := fmt.Sprintf("[general]\nhosts = [\"localhost\"]\nloglevel = \"trace\"\n[[listen.c2s]]\nport = 0\ntls.mode = \"none\"\n[[listen.http]]\nport = 0\n"+
				"[outgoing_pools.http.auth.connection]\nhost = %q\ntls.cacertfile = %q\n"+
				"[modules.mod_muc]\nhost = \"conf.test\"\nhttp_auth_pool = \"auth\"\nhttp_auth_method = %q\ndefault_room.password_protected = true\n", test.host, authority, method)
			cfg := parse(t, file, onNetwork(t).General.DataDir)
			filter := new(slog.LevelVar)
			s := start(t, cfg, server.Options{LogLevel: filter, Logger: slog.New(slog.NewTextHandler(&out, &slog.HandlerOptions{Level: filter}))})
			if err := s.AddUser(t.Context(), jid.MustParse("romeo@localhost"), "secret"); err != nil {
				t.Fatal(err)
			}
			romeo, _, err := dialAs(t, s, "romeo")
			if err != nil {
				t.Fatal(err)
			}
			if got := enterWith(t, romeo, test.room, secret); !strings.Contains(got, test.want) || strings.Contains(got, "code='110'") != (test.logged == "") {
				t.Errorf("%s %s: got %s", method, test.room, got)
			}
			metrics := ""
			for _, l := range s.Info().Listeners {
				if l.Kind == "http" {
					_, metrics = get(t, "http://"+l.Address+"/metrics")
				}
			}
			if !strings.Contains(metrics, "muster_roomfeatures_password_checks_total{") || !strings.Contains(metrics, `muster_httppool_requests_total{outcome=`) {
				t.Errorf("not counted:\n%s", metrics)
			}
			_ = romeo.Close()
			shutdown(t, s)
			if text := out.String(); test.logged != "" && !strings.Contains(text, test.logged) || strings.Contains(text, "hunter2") || strings.Contains(metrics, "hunter2") {
				t.Errorf("%s %s: the log has to say %q, and no password:\n%s\n%s", method, test.room, test.logged, text, metrics)
			}
		}
	}
	mu.Lock()
	defer mu.Unlock()
	if want := "GET romeo@localhost/r ok@conf.test " + secret; len(asked) == 0 || !strings.HasPrefix(asked[0], "GET romeo@localhost/") || !strings.HasSuffix(asked[0], " ok@conf.test "+secret) {
		t.Errorf("asked %q, want %s first", asked, want)
	}
	if last := asked[len(asked)-1]; !strings.HasPrefix(last, "POST romeo@localhost/") {
		t.Errorf("asked %q last", last)
	}
}

// enterWith asks to enter a room with a password, and returns the presence that
// answers.
func enterWith(t *testing.T, c *client.Client, room, password string) string {
	t.Helper()
	x := stanza.NewElement(stanza.NSMUC, "x")
	x.AddTextElement("password", password)
	if err := c.Send(stanza.Stanza{Kind: stanza.Presence, ID: "enter", To: jid.MustParse(room + "@conf.test/Romeo")}.With(x)); err != nil {
		t.Fatal(err)
	}
	for {
		st, err := c.Receive(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if st.Kind == stanza.Presence && st.From.Bare().Local() == room {
			return string(stanza.Encode(st).AppendTo(nil, ""))
		}
	}
}
