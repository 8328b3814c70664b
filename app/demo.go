package app

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/muster-im/muster/config"
	"github.com/muster-im/muster/groups"
	"github.com/muster-im/muster/internal/admin"
	"github.com/muster-im/muster/internal/client"
	"github.com/muster-im/muster/jid"
	"github.com/muster-im/muster/server"
)

// demoLimit bounds the demo's conversation.
const demoLimit = time.Minute

type demoCommand struct {
	Once    bool `help:"End after the conversation; exit status 0 only if all of it arrived."`
	Verbose bool `short:"v" help:"Show what the server logs."`
}

// Help says what is real.
func (demoCommand) Help() string {
	return `Everything is real: a server with its database in a throw-away directory,
three accounts, three client connections over TLS whose certificate is
verified. Nothing is left behind.

    muster demo            watch, then join with your own client; Ctrl-C ends it
    muster demo --once     only the conversation, as a test`
}

// Run runs the demo.
func (c *demoCommand) Run(ctx context.Context, e *env) (err error) {
	dir, err := os.MkdirTemp("", "muster-demo-")
	if err != nil {
		return fmt.Errorf("make a throw-away directory: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	log := slog.New(slog.DiscardHandler)
	if c.Verbose {
		log = slog.New(slog.NewTextHandler(e.stderr, nil))
	}
	d := &demo{env: e, dir: dir, colours: newPalette(e.stdout, os.Getenv)}
	defer func() { err = errors.Join(err, d.end()) }()
	if err := d.start(ctx, log); err != nil {
		return err
	}
	talkCtx, cancel := context.WithTimeoutCause(ctx, demoLimit, fmt.Errorf("the conversation took longer than %v", demoLimit))
	defer cancel()
	t, err := d.talk(talkCtx, !c.Once)
	if err != nil {
		if ctx.Err() != nil && !c.Once {
			return nil // the user has seen enough
		}
		return err
	}
	e.printf("\nAll %d messages arrived at everybody they were for.\n", t.arrived)
	if c.Once {
		return nil
	}
	d.invite(t.room)
	return d.stay(ctx, t)
}

// demo is a server with three people on it.
type demo struct {
	env     *env
	dir     string
	colours palette
	srv     *server.Server
	host    string
	team    []*person
	grouped []*person      // in the team's group
	wg      sync.WaitGroup // the people's readers
}

// start starts the server and creates the accounts.
func (d *demo) start(ctx context.Context, log *slog.Logger) error {
	cfg, err := demoConfig(d.dir)
	if err != nil {
		return err
	}
	d.host = cfg.General.Hosts[0]
	d.srv, err = server.New(cfg, server.Options{Logger: log, Extensions: d.env.extensions})
	if err != nil {
		return err
	}
	if err := d.srv.Start(ctx); err != nil {
		return err
	}
	api := admin.NewClient(filepath.Join(d.dir, admin.SocketName))
	for _, m := range [...]struct{ name, status string }{
		{"Anna", "at my desk"}, {"Ben", "on the train"}, {"Chloe", "coffee first"},
	} {
		account, err := jid.New(strings.ToLower(m.name), d.host, "")
		if err != nil {
			return err
		}
		p := &person{
			name: m.name, status: m.status, account: account, password: rand.Text(),
			contacts: make(map[jid.JID]contact), inRoom: make(map[string]bool), changed: make(chan struct{}),
		}
		if err := api.AddAccount(ctx, account, p.password); err != nil {
			return fmt.Errorf("create %s: %w", account, err)
		}
		d.team = append(d.team, p)
	}
	return nil
}

// talk connects the people and lets them talk.
func (d *demo) talk(ctx context.Context, slow bool) (*talk, error) {
	roots, err := d.roots()
	if err != nil {
		return nil, err
	}
	for _, p := range d.team {
		if err := d.connect(ctx, p, roots); err != nil {
			return nil, err
		}
	}
	room, err := jid.New("team", d.srv.Groups().ChatHost(), "")
	if err != nil {
		return nil, err
	}
	d.env.printf("%s is running on %s with a throw-away data directory.\n", d.colours.bold("Muster"), d.address())
	d.env.printf("Three people are connected over TLS and have checked its certificate.\n")
	t := &talk{out: d.env.stdout, colours: d.colours, slow: slow, team: d.team, room: room, add: d.join}
	return t, t.run(ctx)
}

// teamName is the name of the team's group.
const teamName = "Team"

// join puts somebody into the team's group, which is made for the first one.
func (d *demo) join(ctx context.Context, p *person) error {
	const id groups.ID = "team"
	by := groups.Cause{Actor: "demo"}
	if len(d.grouped) == 0 {
		if _, err := d.srv.Groups().Create(ctx, groups.NewGroup{ID: id, Name: teamName}, by); err != nil {
			return fmt.Errorf("make a group: %w", err)
		}
		if _, err := d.srv.Groups().PutGroupChat(ctx, id, groups.NewChat{ID: "team", Name: teamName, Default: true}, by); err != nil {
			return fmt.Errorf("make the group's chat: %w", err)
		}
	}
	d.grouped = append(d.grouped, p)
	if _, err := d.srv.Groups().AddMember(ctx, id, groups.Joining{User: p.account}, by); err != nil {
		return fmt.Errorf("add %s to the group: %w", p.name, err)
	}
	return nil
}

// roots are the certificates that the people trust: the server's own.
func (d *demo) roots() (*x509.CertPool, error) {
	data, err := os.ReadFile(filepath.Join(d.dir, server.SelfSignedCertificate))
	if err != nil {
		return nil, fmt.Errorf("read the server's certificate: %w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(data) {
		return nil, errors.New("the server's certificate is no certificate")
	}
	return pool, nil
}

func (d *demo) connect(ctx context.Context, p *person, roots *x509.CertPool) error {
	conn, err := client.Dial(ctx, client.Options{
		Addr: d.address(), Domain: d.host, Resource: "demo",
		Username: p.account.Local(), Password: p.password,
		TLSConfig: &tls.Config{RootCAs: roots, ServerName: d.host, MinVersion: tls.VersionTLS12},
	})
	if err != nil {
		return fmt.Errorf("%s connects: %w", p.name, err)
	}
	p.conn = conn
	d.wg.Go(func() { p.listen(context.WithoutCancel(ctx)) })
	return nil
}

// address is where the server takes clients with STARTTLS.
func (d *demo) address() string { return d.srv.Info().Listeners[0].Address }

// invite says how to join.
func (d *demo) invite(room jid.JID) {
	bold, dim := d.colours.bold, d.colours.dim
	d.env.printf("\n%s\n\n", bold("Join them with your own client"))
	width := 0
	for _, p := range d.team {
		width = max(width, len(p.account.String()))
	}
	for i, p := range d.team {
		j := p.account.String()
		d.env.printf("  %s%s   password  %s\n", d.colours.person(i, j), strings.Repeat(" ", width-len(j)), p.password)
	}
	d.env.printf("\n  server    %s, STARTTLS; the certificate is made for this demo, so your client will ask about it\n", d.address())
	d.env.printf("  room      %s\n", room)
	for _, l := range d.srv.Info().Listeners {
		if l.Kind == "http" {
			d.env.printf("  metrics   http://%s/metrics\n", l.Address)
		}
	}
	d.env.printf("  accounts  %s user add NAME --data-dir %s\n", commandName(), d.dir)
	d.env.printf("  group     %s group add team NAME --data-dir %s\n", commandName(), d.dir)
	d.env.printf("\n%s\n\n", dim("What is said in the room appears here. Ctrl-C ends the demo and removes everything."))
}

// commandName is how this program was called.
func commandName() string {
	path, err := os.Executable()
	if err == nil && strings.Contains(path, "go-build") {
		return "go run ./cmd/muster"
	}
	return os.Args[0]
}

// stay shows what happens in the room until the user has had enough.
func (d *demo) stay(ctx context.Context, t *talk) error {
	host := d.team[0]
	known := map[string]bool{}
	for _, p := range d.team {
		known[p.name] = true
	}
	host.mu.Lock()
	read := len(host.heard)
	host.mu.Unlock()
	for {
		host.mu.Lock()
		news := host.heard[read:]
		read = len(host.heard)
		var guests []string
		for nick := range host.inRoom {
			if !known[nick] {
				known[nick] = true
				guests = append(guests, nick)
			}
		}
		changed, lost := host.changed, host.lost
		host.mu.Unlock()
		for _, nick := range guests {
			t.note("%s has entered", nick)
			if err := host.say(t.room, "groupchat", "Welcome, "+nick+"! You are talking to a real server now."); err != nil {
				return err
			}
		}
		for _, l := range news {
			if l.room {
				t.printf("  %s  %s\n", d.colours.bold(l.from), l.text)
			} else {
				t.note("%s writes to %s: %s", l.from, host.name, l.text)
			}
		}
		if lost != nil && ctx.Err() == nil {
			return fmt.Errorf("the server has ended: %w", lost)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-changed:
		}
	}
}

// end ends the people's connections and the server.
func (d *demo) end() error {
	for _, p := range d.team {
		if p.conn != nil {
			_ = p.conn.Close() // what counts has been seen
		}
	}
	if d.srv == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), server.ShutdownTimeout)
	defer cancel()
	err := d.srv.Shutdown(ctx)
	d.wg.Wait()
	return err
}

// demoConfig is the configuration of the demo's server: what muster init
// writes, on this machine only.
func demoConfig(dir string) (*config.Config, error) {
	cfg := config.Modern("localhost")
	cfg.General.DataDir = dir
	for i := range cfg.Listen.C2S {
		l := &cfg.Listen.C2S[i]
		if err := preferPort(&l.Port, l.IPAddress); err != nil {
			return nil, err
		}
	}
	for i := range cfg.Listen.HTTP {
		l := &cfg.Listen.HTTP[i]
		if err := preferPort(&l.Port, l.IPAddress); err != nil {
			return nil, err
		}
	}
	return cfg, nil
}

// preferPort keeps a port that is free and lets the system choose otherwise.
func preferPort(port *config.Port, ip string) error {
	l, err := net.Listen("tcp", net.JoinHostPort(ip, strconv.Itoa(int(*port))))
	if err != nil {
		*port = 0
		return nil
	}
	return l.Close()
}
