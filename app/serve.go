package app

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"strings"

	"github.com/muster-im/muster/config"
	"github.com/muster-im/muster/internal/admin"
	"github.com/muster-im/muster/internal/sdnotify"
	"github.com/muster-im/muster/server"
)

type serveCommand struct {
	Config    string `placeholder:"FILE" short:"c" help:"Configuration (default: ./muster.toml if it is there, else development settings)."`
	LogFormat string `enum:"text,json" default:"text" help:"How log lines look: text or json."`
}

// Help says what happens without a file and on signals.
func (serveCommand) Help() string {
	return `Without a configuration the server is for development: host localhost,
loopback addresses only, a certificate made on the first start, data in
./muster-data.

SIGHUP takes a changed log level, certificates, access rules, shapers and settings
of registration into use, and names what takes a restart. SIGTERM and
Ctrl-C tell rooms and clients, write what waits and end. Log lines go to standard
error. Examples:

    muster serve
    muster serve --config /etc/muster/muster.toml --log-format json`
}

// Run runs the server until ctx ends.
func (c *serveCommand) Run(ctx context.Context, e *env) error {
	p, end := newProcess()
	defer end()
	listeners, err := sdnotify.Listeners(os.Getenv)
	if err != nil {
		return err
	}
	cfg, err := e.loadConfig(c.Config)
	if err != nil {
		return err
	}
	if cfg.IsFile() {
		c.Config = cfg.Name() // what is reloaded, also if the file goes away
	}
	level := new(slog.LevelVar)
	log := logger(e, level, c.LogFormat)
	srv, err := server.New(cfg, server.Options{Logger: log, LogLevel: level, Extensions: e.extensions, Listeners: listeners})
	if err != nil {
		return err
	}
	if err = srv.Start(ctx); err == nil {
		c.greet(e, cfg, srv.Info())
		if e.serving != nil {
			e.serving(srv)
		}
		p.told(log, p.Ready(servingHosts(cfg)))
		err = p.serve(ctx, &served{
			server: srv, log: log, status: servingHosts,
			load: func() (*config.Config, error) { return e.loadConfig(c.Config) },
		})
	}
	return p.shutDown(ctx, srv, log, err)
}

func servingHosts(cfg *config.Config) string {
	return "serving " + strings.Join(cfg.General.Hosts, ", ")
}

// logger logs to standard error in a format of --log-format.
func logger(e *env, level slog.Leveler, format string) *slog.Logger {
	o := &slog.HandlerOptions{Level: level, ReplaceAttr: func(groups []string, a slog.Attr) slog.Attr {
		if len(groups) == 0 && a.Key == slog.LevelKey && a.Value.Any() == slog.LevelDebug-4 {
			return slog.String(slog.LevelKey, "TRACE")
		}
		return a
	}}
	if format == "json" {
		return slog.New(slog.NewJSONHandler(e.stderr, o))
	}
	return slog.New(slog.NewTextHandler(e.stderr, o))
}

// greet tells somebody at a terminal what runs and what to do next.
func (c *serveCommand) greet(e *env, cfg *config.Config, info admin.Info) {
	if _, ok := terminal(e.stdout); !ok && !e.greeting {
		return
	}
	p := newPalette(e.stdout, os.Getenv)
	row := func(name, value string) {
		if value != "" {
			e.printf("  %-9s %s\n", name, value)
		}
	}
	e.printf("\n%s\n\n", p.bold("Muster is ready."))
	row("hosts", strings.Join(info.Hosts, ", "))
	row("rooms", strings.Join(info.RoomHosts, ", "))
	var clients, web []string
	for _, l := range info.Listeners {
		if l.Kind == "c2s" {
			clients = append(clients, l.Address+" ("+tlsWords(l.TLS)+")")
		} else {
			web = append(web, scheme(l)+l.Address+"/metrics")
		}
	}
	row("clients", strings.Join(clients, ", "))
	row("metrics", strings.Join(web, ", "))
	row("data", cfg.General.DataDir)
	flag := ""
	if c.Config != "" {
		flag = " --config " + c.Config
	}
	e.printf("\n  Add an account from another terminal: %s\n", p.bold(fmt.Sprintf("%s user add NAME@%s%s", commandName(), info.Hosts[0], flag)))
	if cfg.Name() == config.Development().Name() {
		e.printf("  These are development settings, for this machine only; %q writes a file for more.\n", "muster init")
	}
	e.printf("  Ctrl-C ends the server.\n\n")
}

func scheme(l admin.Listener) string {
	if l.TLS == "tls" {
		return "https://"
	}
	return "http://"
}

func tlsWords(mode string) string {
	switch mode {
	case "starttls":
		return "STARTTLS offered"
	case "starttls_required":
		return "STARTTLS"
	case "tls":
		return "TLS"
	}
	return "no TLS"
}

// loadConfig loads the named file, or ./muster.toml if none is named and it is
// there, or else development settings.
func (e *env) loadConfig(path string) (*config.Config, error) {
	if path == "" {
		if _, err := os.Stat(defaultConfig); err != nil {
			return config.Development(), nil
		}
		path = defaultConfig
	}
	names := make([]string, len(e.extensions))
	for i, ext := range e.extensions {
		names[i] = ext.Name()
	}
	cfg, err := config.Load(path, names...)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%s: there is no such file; %q writes one", path, "muster init "+path)
	}
	if problems, ok := errors.AsType[config.Problems](err); ok && cfg != nil {
		err = problems.With(server.CheckTables(cfg, e.extensions...)...)
	}
	return cfg, err
}
