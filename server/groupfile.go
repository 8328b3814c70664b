package server

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/muster-im/muster/config"
	"github.com/muster-im/muster/internal/groupfile"
	"github.com/muster-im/muster/jid"
)

// GroupContains reports whether somebody is in a group of modules.mod_groups, and
// what the group calls him; the group's name is that in the file, without +. It
// fails if there is no such group.
func (s *Server) GroupContains(group string, who jid.JID) (name string, member bool, err error) {
	if s.groupFile == nil {
		return "", false, groupfile.ErrNoGroup
	}
	return s.groupFile.Contains(group, who)
}

// buildGroupFile reads the file of modules.mod_groups.
func (s *Server) buildGroupFile(cfg *config.Config, g *config.Groups) error {
	s.groupFile = groupfile.New(groupfile.Options{
		IsHost: s.router.IsHost, Changed: s.groupsChanged, Interval: time.Duration(g.CheckInterval),
		Logger: s.logger("groupfile"), Registerer: s.registry,
	})
	s.onEnd("groups from a file", groupsEnd, func(context.Context) error { s.groupFile.Close(); return nil })
	return s.loadGroupFile(cfg)
}

// loadGroupFile takes the file of modules.mod_groups into use. What is wrong with
// it is a config.Problems, and then nothing has changed.
func (s *Server) loadGroupFile(cfg *config.Config) error {
	if err := s.groupFile.Load(s.serving, groupFileSettings(cfg.Modules.Groups)); err != nil {
		return groupFileProblems(cfg, err)
	}
	return nil
}

// reloadGroupFile reads the file of modules.mod_groups again. If another one is
// set, or set to be read in another way, what is wrong with it is refused; if it
// is the same, the log says so and the groups stay as they were, because
// certificates, for one, must not have to wait for somebody to mend the file.
func (s *Server) reloadGroupFile(cfg *config.Config) error {
	switch {
	case s.groupFile == nil:
		return nil
	case s.groupFile.Settings() != groupFileSettings(cfg.Modules.Groups):
		return s.loadGroupFile(cfg)
	}
	s.groupFile.Reload(s.serving)
	return nil
}

func groupFileSettings(g *config.Groups) groupfile.Settings {
	return groupfile.Settings{Path: g.GroupsFile, Format: groupfile.Format(g.Format), MeetOutsiders: g.MeetOutsiders}
}

// checkGroupFile says what is wrong, or may be, with the file of
// modules.mod_groups.
func checkGroupFile(cfg *config.Config) (warnings config.Problems, err error) {
	g := cfg.Modules.Groups
	if g == nil {
		return nil, nil
	}
	isHost := func(domain string) bool { return slices.Contains(cfg.General.Hosts, domain) }
	f, err := groupfile.Read(groupFileSettings(g), isHost)
	if err != nil {
		return nil, groupFileProblems(cfg, err)
	}
	return inGroupFile(g.GroupsFile, f.Warnings), nil
}

// groupFileProblems says where things are wrong: in the file of groups, or with
// the setting that names it.
func groupFileProblems(cfg *config.Config, err error) config.Problems {
	if p, ok := errors.AsType[*groupfile.Problems](err); ok {
		return inGroupFile(p.Path, p.List)
	}
	return config.Problems{cfg.Problem("modules.mod_groups.groups_file", err.Error())}
}

// outdatedGroups says of each problem that it keeps groups as they were.
func outdatedGroups(p *groupfile.Problems) []string {
	if p == nil {
		return nil
	}
	list := make([]string, len(p.List))
	for i, problem := range inGroupFile(p.Path, p.List) {
		list[i] = "groups stay as they were: " + problem.String()
	}
	return list
}

func inGroupFile(path string, list []groupfile.Problem) config.Problems {
	problems := make(config.Problems, len(list))
	for i, p := range list {
		problems[i] = config.Problem{File: path, Line: p.Line, Col: p.Col, Text: p.Text}
	}
	return problems
}
