package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/muster-im/muster/config"
	"github.com/muster-im/muster/muc"
)

// extensionEnd is what each extension may take to stop.
const extensionEnd = time.Second

// register lets the extensions read their settings and add what they bring.
func (s *Server) register(cfg *config.Config) error {
	if err := checkNames(s.opts.Extensions); err != nil {
		return err
	}
	var domains []string
	for _, at := range s.roomServices(cfg) {
		domains = append(domains, at.Domain)
	}
	var problems config.Problems
	for _, e := range s.opts.Extensions {
		r := newRegistrar(e, cfg, s.log, s.registry)
		r.Store.db = s.db
		problems = append(problems, r.register(e)...)
		problems = append(problems, r.checkDomains(domains)...)
		s.extensions = append(s.extensions, r)
		s.groupHooks = append(s.groupHooks, r.groups...)
	}
	if len(problems) > 0 {
		return problems
	}
	return nil
}

// roomExtensions are those of the rooms of a domain.
func (s *Server) roomExtensions(domain string) (list []muc.Extension) {
	for _, r := range s.extensions {
		for _, e := range r.rooms {
			if len(e.domains) == 0 || slices.Contains(e.domains, domain) {
				list = append(list, e.Extension)
			}
		}
	}
	return list
}

// startExtensions starts one extension after the other. Those that have been
// started are stopped with the server, also if a later one fails.
func (s *Server) startExtensions(ctx context.Context) error {
	for _, r := range s.extensions {
		s.onEnd("extension "+r.name, extensionEnd, r.end)
		for _, start := range r.start {
			if err := start(ctx, s); err != nil {
				return fmt.Errorf("start extension %s: %w", r.name, err)
			}
		}
	}
	return nil
}

// end stops an extension. Functions that fail do not keep others from running.
func (r *Registrar) end(ctx context.Context) error {
	var errs []error
	for _, stop := range slices.Backward(r.stop) {
		errs = append(errs, stop(ctx))
	}
	return errors.Join(errs...)
}

// reloadExtensions returns what takes the tables of extensions into use, once all
// of them have agreed.
func (s *Server) reloadExtensions(next *config.Config) (use []func(), err error) {
	var problems config.Problems
	for _, r := range s.extensions {
		var mine []func()
		if r.table != nil {
			mine, err = r.table.reload(next)
		} else {
			err = noSettings(next, r.name)
		}
		as := *r
		as.config = next
		problems = append(problems, as.problems(err)...)
		use = append(use, mine...)
	}
	if len(problems) > 0 {
		return nil, problems
	}
	return use, nil
}

// extensionNames names them for the log.
func (s *Server) extensionNames() slog.Attr {
	if len(s.extensions) == 0 {
		return slog.Attr{}
	}
	names := make([]string, len(s.extensions))
	for i, r := range s.extensions {
		names[i] = r.name
	}
	return slog.Any("extensions", names)
}

// oneOf names what there is.
func oneOf(list []string) string {
	if len(list) == 0 {
		return "[modules.mod_muc], which makes some"
	}
	return "one of " + strings.Join(list, ", ")
}
