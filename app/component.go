package app

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/muster-im/muster/config"
	"github.com/muster-im/muster/server"
)

type componentCommand struct {
	Server     string   `required:"" placeholder:"HOST:PORT" help:"The other server's port for components."`
	Domain     []string `placeholder:"DOMAIN" help:"Domain of the rooms, like rooms.example.org (default: as the configuration has it)."`
	SecretFile string   `required:"" placeholder:"FILE" help:"File whose first line is the secret that the other server has for the component."`
	Config     string   `placeholder:"FILE" short:"c" help:"Configuration (default: ./muster.toml if it is there, else rooms as muster init sets them up, and data in ./muster-data)."`
	TLS        bool     `help:"Use TLS from the first byte."`
	TLSCA      string   `placeholder:"FILE" help:"Trust the certificates in this PEM file instead of the system's."`
	TLSName    string   `placeholder:"NAME" help:"Name that the other server's certificate is for (default: HOST)."`
	Plaintext  bool     `help:"Use no encryption, although the other server is on another machine: for a network that nobody else is on."`
	LogFormat  string   `enum:"text,json" default:"text" help:"How log lines look: text or json."`
}

// Help says how it is done.
func (componentCommand) Help() string {
	return `Runs the rooms for the people of another XMPP server, as its external component
(XEP-0114). That server needs a few lines, too: see docs/attach.md. The hosts of
the configuration are the other server's: the rules of [access] speak of its
accounts, and there are no listeners for clients. Without a configuration the
domain's parent is the host. SIGHUP reloads the configuration, as that of muster
serve. Examples:

    muster component --server localhost:5347 --domain rooms.example.org --secret-file secret
    muster component --server xmpp.example.org:5348 --tls --secret-file secret --config rooms.toml`
}

// Run runs the rooms until ctx ends, or the other server refuses them.
func (c *componentCommand) Run(ctx context.Context, e *env) error {
	p, end := newProcess()
	defer end()
	attach, err := c.attach()
	if err != nil {
		return err
	}
	cfg, err := c.load(e)
	if err != nil {
		return err
	}
	if cfg.IsFile() {
		c.Config = cfg.Name() // what is reloaded, also if the file goes away
	}
	level := new(slog.LevelVar)
	log := logger(e, level, c.LogFormat)
	status := func(cfg *config.Config) string {
		return "serving " + strings.Join(roomDomains(cfg), ", ") + " for " + c.Server
	}
	domains := roomDomains(cfg)
	var said sync.Map
	var standing atomic.Int32
	attach.OnAttached = func(domain string) {
		if _, again := said.LoadOrStore(domain, true); again {
			return
		}
		e.printf("%s is attached to %s\n", domain, c.Server)
		if int(standing.Add(1)) == len(domains) {
			p.told(log, p.Ready(status(cfg)))
		}
	}
	srv, err := server.New(cfg, server.Options{Logger: log, LogLevel: level, Extensions: e.extensions, Attach: attach})
	if err != nil {
		return err
	}
	if err = srv.Start(ctx); err == nil {
		e.printf("attaching %s to %s\n", strings.Join(domains, ", "), c.Server)
		if e.serving != nil {
			e.serving(srv)
		}
		err = p.serve(ctx, &served{
			server: srv, log: log, status: status,
			load: func() (*config.Config, error) { return c.load(e) },
		})
	}
	return p.shutDown(ctx, srv, log, err)
}

// attach reads what is needed for the link.
func (c *componentCommand) attach() (*server.Attach, error) {
	host, port, err := net.SplitHostPort(c.Server)
	if err != nil || host == "" || port == "" {
		return nil, fmt.Errorf("--server %s: want HOST:PORT, like localhost:5347", c.Server)
	}
	data, err := os.ReadFile(c.SecretFile)
	if err != nil {
		return nil, fmt.Errorf("read the secret: %w", err)
	}
	line, _, _ := strings.Cut(string(data), "\n")
	a := &server.Attach{Server: c.Server, Secret: strings.TrimRight(line, "\r")}
	if a.Secret == "" {
		return nil, fmt.Errorf("--secret-file %s: the first line is empty, and should be the secret", c.SecretFile)
	}
	if !c.TLS {
		if !isLoopbackHost(host) && !c.Plaintext {
			return nil, fmt.Errorf("%s is another machine, and what everybody writes would cross the network readably: use --tls, or --plaintext if nobody else is on that network", host)
		}
		return a, nil
	}
	a.TLS = &tls.Config{MinVersion: tls.VersionTLS12, ServerName: c.TLSName}
	if c.TLSName == "" {
		a.TLS.ServerName = host
	}
	if c.TLSCA == "" {
		return a, nil
	}
	pem, err := os.ReadFile(c.TLSCA)
	if err != nil {
		return nil, fmt.Errorf("read the certificates to trust: %w", err)
	}
	a.TLS.RootCAs = x509.NewCertPool()
	if !a.TLS.RootCAs.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("--tls-ca %s: there is no certificate in it", c.TLSCA)
	}
	return a, nil
}

func isLoopbackHost(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// load loads the configuration and checks that it has the rooms that are to be
// attached.
func (c *componentCommand) load(e *env) (*config.Config, error) {
	path := c.Config
	if path == "" {
		if _, err := os.Stat(defaultConfig); err != nil {
			return c.withoutFile()
		}
		path = defaultConfig
	}
	cfg, err := e.loadConfig(path)
	if err != nil || len(c.Domain) == 0 {
		return cfg, err
	}
	have := roomDomains(cfg)
	for _, d := range c.Domain {
		if !slices.Contains(have, d) {
			return nil, fmt.Errorf("%s has no rooms at %s: modules.mod_muc.host says where they are (%s)", path, d, strings.Join(have, ", "))
		}
	}
	for _, d := range have {
		if !slices.Contains(c.Domain, d) {
			return nil, fmt.Errorf("%s has rooms at %s, too: give it with another --domain, or leave --domain out", path, d)
		}
	}
	return cfg, nil
}

// withoutFile makes a configuration of the domain alone.
func (c *componentCommand) withoutFile() (*config.Config, error) {
	if len(c.Domain) != 1 {
		return nil, errors.New("want one --domain, or a configuration that says where the rooms are")
	}
	_, parent, found := strings.Cut(c.Domain[0], ".")
	if !found || parent == "" {
		return nil, fmt.Errorf("--domain %s: want a domain below the other server's, like rooms.example.org", c.Domain[0])
	}
	cfg, err := config.Parse("settings of muster component", fmt.Appendf(nil, "[general]\nhosts = [%q]\n[modules.mod_muc]\nhost = %q\n", parent, c.Domain[0]))
	if err != nil {
		return nil, err
	}
	modern := config.Modern(parent).Modules.MUC
	modern.Host = cfg.Modules.MUC.Host
	cfg.Modules.MUC = modern
	return cfg, nil
}

// roomDomains are where a configuration has rooms.
func roomDomains(cfg *config.Config) []string {
	var list []string
	for _, host := range cfg.General.Hosts {
		if m := cfg.MUCOf(host); m != nil {
			list = append(list, m.HostFor(host))
		}
	}
	return list
}
