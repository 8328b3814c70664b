package app

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"os/signal"
	"runtime/debug"
	"strings"
	"syscall"
	"time"

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

// collectAt is by how many percent the heap grows until garbage is collected,
// unless the environment says it (docs/decisions/0008-garbage.md).
const collectAt = 200

// Run runs the server until ctx ends.
func (c *serveCommand) Run(ctx context.Context, e *env) error {
	hangup := make(chan os.Signal, 1)
	signal.Notify(hangup, syscall.SIGHUP)
	defer signal.Stop(hangup)
	if os.Getenv("GOGC") == "" {
		defer debug.SetGCPercent(debug.SetGCPercent(collectAt))
	}
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
	log := c.logger(e, level)
	srv, err := server.New(cfg, server.Options{Logger: log, LogLevel: level, Extensions: e.extensions, Listeners: listeners})
	if err != nil {
		return err
	}
	manager := &manager{sdnotify.New(os.Getenv), log}
	err = srv.Start(ctx)
	if err == nil {
		c.greet(e, cfg, srv.Info())
		if e.serving != nil {
			e.serving(srv)
		}
		manager.told(manager.Ready("serving " + strings.Join(cfg.General.Hosts, ", ")))
		c.serve(ctx, e, srv, hangup, manager)
	}
	manager.told(manager.Stopping())
	end, cancel := context.WithTimeout(context.WithoutCancel(ctx), server.ShutdownTimeout)
	defer cancel()
	return errors.Join(err, srv.Shutdown(end))
}

// manager is the service manager, if there is one.
type manager struct {
	*sdnotify.Notifier
	log *slog.Logger
}

// told logs that the manager could not be told something.
func (m *manager) told(err error) {
	if err != nil {
		m.log.Warn("service manager", slog.Any("err", err))
	}
}

// serve reloads the configuration at each hangup until ctx ends. The watchdog
// watches this loop: it turns as long as the process gets any work done.
func (c *serveCommand) serve(ctx context.Context, e *env, srv *server.Server, hangup <-chan os.Signal, m *manager) {
	var watchdog <-chan time.Time // nil: nobody waits
	if interval := m.WatchdogInterval(); interval > 0 {
		ticker := time.NewTicker(interval)
		defer ticker.Stop()
		watchdog = ticker.C
	}
	for {
		select {
		case <-ctx.Done():
			return
		case <-watchdog:
			m.told(m.Alive())
		case <-hangup:
			m.told(m.Reloading())
			m.told(m.Ready(c.reload(e, srv, m.log)))
		}
	}
}

// reload takes the configuration into use as it is now, or leaves everything as
// it was and logs why. It returns what to say in a word.
func (c *serveCommand) reload(e *env, srv *server.Server, log *slog.Logger) (status string) {
	cfg, err := e.loadConfig(c.Config)
	if err == nil {
		err = srv.Reload(cfg)
	}
	if err == nil {
		return "serving " + strings.Join(cfg.General.Hosts, ", ")
	}
	for line := range strings.SplitSeq(err.Error(), "\n") {
		log.Error("the configuration stays as it was", slog.String("problem", line))
	}
	return "serving; a reload was refused, see the log"
}

func (c *serveCommand) logger(e *env, level slog.Leveler) *slog.Logger {
	o := &slog.HandlerOptions{Level: level, ReplaceAttr: func(groups []string, a slog.Attr) slog.Attr {
		if len(groups) == 0 && a.Key == slog.LevelKey && a.Value.Any() == slog.LevelDebug-4 {
			return slog.String(slog.LevelKey, "TRACE")
		}
		return a
	}}
	if c.LogFormat == "json" {
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
	return cfg, err
}
