package app

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"os/signal"
	"runtime/debug"
	"strings"
	"syscall"
	"time"

	"github.com/muster-im/muster/config"
	"github.com/muster-im/muster/internal/sdnotify"
	"github.com/muster-im/muster/server"
)

// collectAt is by how many percent the heap grows until garbage is collected,
// unless the environment says it (docs/decisions/0008-garbage.md).
const collectAt = 200

// process is what a command that serves has around it: the service manager, if
// there is one, and hangups.
type process struct {
	*sdnotify.Notifier
	hangup <-chan os.Signal
}

// newProcess begins to listen to hangups, which would end the process otherwise,
// until end is called.
func newProcess() (p *process, end func()) {
	hangup := make(chan os.Signal, 1)
	signal.Notify(hangup, syscall.SIGHUP)
	collected := 0
	own := os.Getenv("GOGC") == ""
	if own {
		collected = debug.SetGCPercent(collectAt)
	}
	return &process{sdnotify.New(os.Getenv), hangup}, func() {
		signal.Stop(hangup)
		if own {
			debug.SetGCPercent(collected)
		}
	}
}

// told logs that the manager could not be told something.
func (*process) told(log *slog.Logger, err error) {
	if err != nil {
		log.Warn("service manager", slog.Any("err", err))
	}
}

// served is a server that runs, and where its configuration comes from.
type served struct {
	server *server.Server
	log    *slog.Logger
	load   func() (*config.Config, error)
	status func(*config.Config) string // that the manager is told
}

// serve reloads the configuration at each hangup until ctx ends, or the server
// fails. The watchdog watches this loop: it turns as long as the process gets any
// work done.
func (p *process) serve(ctx context.Context, s *served) error {
	var watchdog <-chan time.Time // nil: nobody waits
	if interval := p.WatchdogInterval(); interval > 0 {
		ticker := time.NewTicker(interval)
		defer ticker.Stop()
		watchdog = ticker.C
	}
	for {
		select {
		case <-ctx.Done():
			return nil
		case err := <-s.server.Failed():
			return err
		case <-watchdog:
			p.told(s.log, p.Alive())
		case <-p.hangup:
			p.told(s.log, p.Reloading())
			p.told(s.log, p.Ready(s.reload()))
		}
	}
}

// reload takes the configuration into use as it is now, or leaves everything as
// it was and logs why. It returns what to say in a word.
func (s *served) reload() (status string) {
	cfg, err := s.load()
	if err == nil {
		err = s.server.Reload(cfg)
	}
	if err == nil {
		return s.status(cfg)
	}
	for line := range strings.SplitSeq(err.Error(), "\n") {
		s.log.Error("the configuration stays as it was", slog.String("problem", line))
	}
	return "serving; a reload was refused, see the log"
}

// shutDown ends a server that has run, or has failed to.
func (p *process) shutDown(ctx context.Context, srv *server.Server, log *slog.Logger, err error) error {
	p.told(log, p.Stopping())
	end, cancel := context.WithTimeout(context.WithoutCancel(ctx), server.ShutdownTimeout)
	defer cancel()
	return errors.Join(err, srv.Shutdown(end))
}
