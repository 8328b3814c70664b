package server_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/sys/unix"

	"github.com/muster-im/muster/config"
	"github.com/muster-im/muster/internal/admin"
	"github.com/muster-im/muster/internal/client"
	"github.com/muster-im/muster/internal/stream"
	"github.com/muster-im/muster/jid"
	"github.com/muster-im/muster/muc"
	"github.com/muster-im/muster/server"
	"github.com/muster-im/muster/stanza"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// offNetwork is a configuration of a server that does not listen.
func offNetwork(t *testing.T) *config.Config {
	t.Helper()
	cfg := config.Development()
	cfg.General.DataDir = t.TempDir()
	cfg.Storage.Durability = "process"
	return cfg
}

// onNetwork is one that listens on ports that the system chooses.
func onNetwork(t *testing.T) *config.Config {
	t.Helper()
	cfg := offNetwork(t)
	dir, err := os.MkdirTemp("", "muster") // t.TempDir may be too long for a socket
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	cfg.General.DataDir = dir
	for i := range cfg.Listen.C2S {
		cfg.Listen.C2S[i].Port = 0
	}
	cfg.Listen.HTTP[0].Port = 0
	return cfg
}

func start(t *testing.T, cfg *config.Config, o server.Options) *server.Server {
	t.Helper()
	s, err := server.New(cfg, o)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Start(t.Context()); err != nil {
		t.Fatal(errors.Join(err, s.Shutdown(context.Background())))
	}
	return s
}

func shutdown(t *testing.T, s *server.Server) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), server.ShutdownTimeout)
	defer cancel()
	if err := s.Shutdown(ctx); err != nil {
		t.Errorf("shutdown: %v", err)
	}
}

// roots trusts the server's self-made certificate.
func roots(t *testing.T, cfg *config.Config) *tls.Config {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(cfg.General.DataDir, server.SelfSignedCertificate))
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(data)
	return &tls.Config{RootCAs: pool, ServerName: "localhost", MinVersion: tls.VersionTLS12}
}

// heard collects what a client receives.
type heard struct {
	mu      sync.Mutex
	stanzas []stanza.Stanza
}

func (h *heard) take(st stanza.Stanza) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.stanzas = append(h.stanzas, st)
}

// find returns the first stanza that match accepts.
func (h *heard) find(match func(*stanza.Stanza) bool) *stanza.Stanza {
	h.mu.Lock()
	defer h.mu.Unlock()
	for i := range h.stanzas {
		if match(&h.stanzas[i]) {
			return &h.stanzas[i]
		}
	}
	return nil
}

// login makes an account and connects to it within the process.
func login(t *testing.T, s *server.Server, cfg *config.Config, name string) (*client.Client, *heard) {
	t.Helper()
	if err := s.AddUser(t.Context(), jid.MustParse(name+"@localhost"), "secret"); err != nil {
		t.Fatal(err)
	}
	h := new(heard)
	c, err := client.Dial(t.Context(), client.Options{
		Conn: s.Dial(), Domain: "localhost", TLSConfig: roots(t, cfg),
		Username: name, Password: "secret", Handler: h.take,
	})
	if err != nil {
		t.Fatal(err)
	}
	return c, h
}

func send(t *testing.T, c *client.Client, st stanza.Stanza) {
	t.Helper()
	if err := c.Send(st); err != nil {
		t.Fatal(err)
	}
	synctest.Wait()
}

func join(t *testing.T, c *client.Client, nick string) {
	t.Helper()
	send(t, c, stanza.Stanza{Kind: stanza.Presence, To: jid.MustParse("team@conference.localhost/" + nick)}.
		With(stanza.NewElement(stanza.NSMUC, "x")))
}

func hasStatus(st *stanza.Stanza, code string) bool {
	for e := range st.Child(stanza.NSMUCUser, "x").Elements() {
		if e.Is(stanza.NSMUCUser, "status") && e.Attr("code") == code {
			return true
		}
	}
	return false
}

func TestShutdownTellsRoomsThenStreams(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		cfg := offNetwork(t)
		s := start(t, cfg, server.Options{NoListen: true})
		romeo, toRomeo := login(t, s, cfg, "romeo")
		juliet, toJuliet := login(t, s, cfg, "juliet")
		join(t, romeo, "Romeo")
		if _, err := romeo.IQ(t.Context(), stanza.Stanza{Type: stanza.TypeSet, To: jid.MustParse("team@conference.localhost")}.
			With(stanza.NewElement(stanza.NSMUCOwner, "query").Add(stanza.NewElement(stanza.NSData, "x", "type", "submit")))); err != nil {
			t.Fatal(err)
		}
		join(t, juliet, "Juliet")
		idle := s.Dial() // has not said a word
		begin := time.Now()
		shutdown(t, s)
		if took := time.Since(begin); took > server.ShutdownTimeout {
			t.Errorf("took %v", took)
		}
		for name, c := range map[string]*client.Client{"romeo": romeo, "juliet": juliet} {
			<-c.Done()
			if e, ok := errors.AsType[*stream.Error](c.Err()); !ok || e.Condition != stream.SystemShutdown {
				t.Errorf("%s: stream ended with %v, want system-shutdown", name, c.Err())
			}
		}
		for name, h := range map[string]*heard{"romeo": toRomeo, "juliet": toJuliet} {
			if h.find(func(st *stanza.Stanza) bool { return st.Type == stanza.TypeUnavailable && hasStatus(st, "332") }) == nil {
				t.Errorf("%s was not told by the room that it ends (332)", name)
			}
		}
		if _, err := io.ReadAll(idle); err != nil {
			t.Errorf("connection without a stream: %v, want its end", err)
		}
	})
}

func TestRoomSurvivesRestart(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		cfg := offNetwork(t)
		s := start(t, cfg, server.Options{NoListen: true})
		romeo, _ := login(t, s, cfg, "romeo")
		join(t, romeo, "Romeo")
		room := jid.MustParse("team@conference.localhost")
		if _, err := romeo.IQ(t.Context(), stanza.Stanza{Type: stanza.TypeSet, To: room}.
			With(stanza.NewElement(stanza.NSMUCOwner, "query").Add(stanza.NewElement(stanza.NSData, "x", "type", "submit")))); err != nil {
			t.Fatal(err)
		}
		send(t, romeo, stanza.Stanza{Kind: stanza.Message, Type: stanza.TypeGroupchat, To: room}.
			With(stanza.NewElement(stanza.NSClient, "subject").AddText("Verona")))
		send(t, romeo, stanza.Stanza{Kind: stanza.Message, Type: stanza.TypeGroupchat, To: room}.
			With(stanza.NewElement(stanza.NSClient, "body").AddText("Is anybody here?")))
		shutdown(t, s)

		s = start(t, cfg, server.Options{NoListen: true})
		defer shutdown(t, s)
		juliet, toJuliet := login(t, s, cfg, "juliet")
		defer juliet.Close() //nolint:errcheck // the server ends it anyway
		join(t, juliet, "Juliet")
		if toJuliet.find(func(st *stanza.Stanza) bool {
			return st.Body() == "Is anybody here?" && st.From.Resource() == "Romeo" && st.Child(stanza.NSDelay, "delay") != nil
		}) == nil {
			t.Error("the message from before the restart is not in the history")
		}
		if toJuliet.find(func(st *stanza.Stanza) bool { return st.ChildText(stanza.NSClient, "subject") == "Verona" }) == nil {
			t.Error("the subject from before the restart is gone")
		}
	})
}

func TestDeletedAccountLosesItsSession(t *testing.T) {
	t.Parallel()
	cfg := onNetwork(t)
	s := start(t, cfg, server.Options{})
	defer shutdown(t, s)
	api := admin.NewClient(filepath.Join(cfg.General.DataDir, admin.SocketName))
	romeo := jid.MustParse("romeo@localhost")
	if err := api.AddAccount(t.Context(), romeo, "secret"); err != nil {
		t.Fatal(err)
	}
	c, err := client.Dial(t.Context(), client.Options{
		Addr: s.Info().Listeners[0].Address, Domain: "localhost", TLSConfig: roots(t, cfg), Username: "romeo", Password: "secret",
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := api.DeleteAccount(t.Context(), romeo); err != nil {
		t.Fatal(err)
	}
	<-c.Done()
	if e, ok := errors.AsType[*stream.Error](c.Err()); !ok || e.Condition != stream.NotAuthorized {
		t.Errorf("stream ended with %v, want not-authorized", c.Err())
	}
}

func get(t *testing.T, url string) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	transport := &http.Transport{DisableKeepAlives: true}
	resp, err := transport.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close() //nolint:errcheck // only read from
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(body)
}

func TestHTTP(t *testing.T) {
	t.Parallel()
	cfg := onNetwork(t)
	s := start(t, cfg, server.Options{})
	defer shutdown(t, s)
	base := "http://" + s.Info().Listeners[2].Address
	tests := []struct {
		path string
		code int
		want string
	}{
		{"/healthz", 200, `"status":"ok"`},
		{"/metrics", 200, "muster_c2s_sessions 0"},
		{"/metrics", 200, "go_goroutines"},
		{"/debug/pprof/", 404, ""},
		{"/v1/accounts", 404, ""},
	}
	for _, tt := range tests {
		if code, body := get(t, base+tt.path); code != tt.code || !strings.Contains(body, tt.want) {
			t.Errorf("%s: got %d %.200s, want %d with %s", tt.path, code, body, tt.code, tt.want)
		}
	}
}

func TestDirectTLS(t *testing.T) {
	t.Parallel()
	cfg := onNetwork(t)
	s := start(t, cfg, server.Options{})
	defer shutdown(t, s)
	if err := s.AddUser(t.Context(), jid.MustParse("romeo@localhost"), "secret"); err != nil {
		t.Fatal(err)
	}
	c, err := client.Dial(t.Context(), client.Options{
		Addr: s.Info().Listeners[1].Address, Domain: "localhost", TLSConfig: roots(t, cfg), DirectTLS: true,
		Username: "romeo", Password: "secret",
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Close(); err != nil {
		t.Error(err)
	}
}

// oneLine fails unless err is one line that contains want.
func oneLine(t *testing.T, err error, want string) {
	t.Helper()
	if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n") {
		t.Errorf("got %v, want one line with %q", err, want)
	}
}

func TestPortTaken(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // a test
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()                      //nolint:errcheck // a test
	port := l.Addr().(*net.TCPAddr).Port //nolint:errcheck,forcetypeassert // TCP it is
	cfg := onNetwork(t)
	cfg.Listen.C2S[1].Port = config.Port(port)
	s, err := server.New(cfg, server.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer shutdown(t, s)
	oneLine(t, s.Start(t.Context()),
		fmt.Sprintf("listen.c2s[1]: port %d on 127.0.0.1 is taken: stop the program that uses it, or set another port", port))
	if _, err := os.Stat(filepath.Join(cfg.General.DataDir, admin.SocketName)); err == nil {
		t.Error("the admin socket was made although nothing serves")
	}
}

func TestAddressOfNobody(t *testing.T) {
	t.Parallel()
	cfg := onNetwork(t)
	cfg.Listen.HTTP[0].IPAddress = "192.0.2.1" // TEST-NET-1
	s, err := server.New(cfg, server.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer shutdown(t, s)
	oneLine(t, s.Start(t.Context()), "listen.http[0]: this machine has no address 192.0.2.1")
}

// obeyModes takes root's right to write everywhere from the calling goroutine.
func obeyModes(t *testing.T) {
	t.Helper()
	runtime.LockOSThread() // and never unlock it: the thread ends with the test
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var sets [2]unix.CapUserData
	if err := unix.Capget(&header, &sets[0]); err != nil {
		t.Fatal(err)
	}
	sets[0].Effective &^= 1 << unix.CAP_DAC_OVERRIDE
	sets[0].Permitted &^= 1 << unix.CAP_DAC_OVERRIDE
	if err := unix.Capset(&header, &sets[0]); err != nil {
		t.Fatal(err)
	}
}

func TestDataDirProblems(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	sealed := filepath.Join(t.TempDir(), "sealed")
	if err := os.Mkdir(sealed, 0o500); err != nil {
		t.Fatal(err)
	}
	tests := []struct{ name, dir, want string }{
		{"a file", file, "data directory " + file + " cannot be made: not a directory: set another general.data_dir"},
		{"below a file", filepath.Join(file, "data"), "cannot be made: not a directory"},
		{"not writable", sealed, "cannot be written to: permission denied: let this user write there"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if tt.dir == sealed && os.Geteuid() == 0 {
				obeyModes(t)
			}
			cfg := offNetwork(t)
			cfg.General.DataDir = tt.dir
			_, err := server.New(cfg, server.Options{NoListen: true})
			oneLine(t, err, tt.want)
		})
	}
}

func TestTwoServersOnOneDirectory(t *testing.T) {
	t.Parallel()
	cfg := offNetwork(t)
	s := start(t, cfg, server.Options{NoListen: true})
	_, err := server.New(cfg, server.Options{NoListen: true})
	oneLine(t, err, fmt.Sprintf("in use by another process (pid %d)", os.Getpid()))
	shutdown(t, s)
	shutdown(t, start(t, cfg, server.Options{NoListen: true})) // free again
}

// greeter is an operator's extension.
type greeter struct{}

func (greeter) Name() string { return "mod_greeter" }

func (greeter) Register(r *server.Registrar) error {
	settings, err := server.ReadSettings(r, struct {
		Word string `toml:"word"`
	}{Word: "swordfish"})
	if err != nil {
		return err
	}
	r.AddRoomHooks(func(h *muc.Hooks) {
		h.BeforeJoin.Add("greeter", 0, func(ev *muc.JoinEvent) error {
			if ev.Nick != settings.Load().Word {
				return stanza.NewError(stanza.Auth, stanza.NotAuthorized, "Say the word.")
			}
			return nil
		})
	})
	return nil
}

func TestExtension(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := greeter{}
		cfg, err := config.Parse("muster.toml", []byte(`
[general]
hosts = ["localhost"]
[[listen.c2s]]
[modules.mod_muc]
[modules.mod_greeter]
word = "sesame"
`), g.Name())
		if err != nil {
			t.Fatal(err)
		}
		cfg.General.DataDir = t.TempDir()
		s := start(t, cfg, server.Options{NoListen: true, Extensions: []server.Extension{g}})
		defer shutdown(t, s)
		romeo, toRomeo := login(t, s, cfg, "romeo")
		join(t, romeo, "swordfish")
		if toRomeo.find(func(st *stanza.Stanza) bool {
			e := st.ParseError()
			return e != nil && e.Condition == stanza.NotAuthorized
		}) == nil {
			t.Error("the wrong word has opened the door")
		}
		join(t, romeo, "sesame")
		if toRomeo.find(func(st *stanza.Stanza) bool { return hasStatus(st, "110") }) == nil {
			t.Error("the word of the configuration has not opened the door")
		}
	})
}
