package config

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/muster-im/muster/internal/access"
)

// HostConfig is [[host_config]].
type HostConfig struct {
	Host    string               `toml:"host" doc:"Which of general.hosts is meant. Required."`
	ACL     map[string][]Pattern `toml:"acl" reload:"yes" as:"acl" doc:"Classes that are there for this host besides those of [acl]; entries of a class with the same name are added to it."`
	Access  map[string][]Clause  `toml:"access" reload:"yes" as:"access" doc:"Rules likewise. What is added to a rule comes behind what [access] has of it, but before a last entry there that allows everybody."`
	Modules HostModules          `toml:"modules" doc:"Modules whose settings are this host's own."`
}

// HostModules is [host_config.modules].
type HostModules struct {
	MUC *MUC `toml:"mod_muc" as:"modules.mod_muc" doc:"The rooms of this host. Nothing is taken from [modules.mod_muc]: what is not set has its built-in default."`
}

func (h *HostConfig) defaults() { *h = HostConfig{} }

// MUCOf returns the settings of a host's rooms, nil if it has none.
func (c *Config) MUCOf(host string) *MUC {
	for i := range c.HostConfig {
		if h := &c.HostConfig[i]; h.Host == host && h.Modules.MUC != nil {
			return h.Modules.MUC
		}
	}
	return c.Modules.MUC
}

// HasRooms reports whether there are any rooms.
func (c *Config) HasRooms() bool { return len(c.RoomServices()) > 0 }

// merged is what classes and rules a host has, with where each entry stands.
type merged struct {
	classes map[string][]Pattern
	rules   map[string][]Clause
	places  map[string]string // of an entry's path as if there were one file for the host
}

// merge adds what a host has of its own to what all have. Rules begin with the
// entries that are for all, but for a last one that allows everybody.
func (c *Config) merge(path string, h *HostConfig) merged {
	m := merged{classes: maps.Clone(c.ACL), rules: maps.Clone(c.Access), places: make(map[string]string)}
	if m.classes == nil {
		m.classes = make(map[string][]Pattern)
	}
	if m.rules == nil {
		m.rules = make(map[string][]Clause)
	}
	for name, own := range h.ACL {
		n := len(c.ACL[name])
		m.classes[name] = slices.Concat(c.ACL[name], own)
		m.places["acl."+name] = path + ".acl." + name
		for i := range own {
			m.places[fmt.Sprintf("acl.%s[%d]", name, n+i)] = fmt.Sprintf("%s.acl.%s[%d]", path, name, i)
		}
	}
	for name, own := range h.Access {
		first, last := c.Access[name], []Clause(nil)
		if n := len(first); n > 0 && first[n-1].ACL == access.All && first[n-1].Value != nil && first[n-1].Value.is == access.Allow {
			first, last = first[:n-1], first[n-1:]
		}
		m.rules[name] = slices.Concat(first, own, last)
		m.places["access."+name] = path + ".access." + name
		for i := range own {
			m.places[fmt.Sprintf("access.%s[%d]", name, len(first)+i)] = fmt.Sprintf("%s.access.%s[%d]", path, name, i)
		}
		for i := range last {
			m.places[fmt.Sprintf("access.%s[%d]", name, len(first)+len(own)+i)] = fmt.Sprintf("access.%s[%d]", name, len(first)+i)
		}
	}
	return m
}

// hosts checks [[host_config]].
func (d *decoder) hosts(c *Config, all *names) {
	seen := make(map[string]bool)
	for i := range c.HostConfig {
		h, path := &c.HostConfig[i], fmt.Sprintf("host_config[%d]", i)
		switch {
		case h.Host == "":
			d.problem(d.at(path, path), path+".host", "required: one of general.hosts")
		case !slices.Contains(c.General.Hosts, h.Host):
			d.wrong(path+".host", h.Host, "want one of general.hosts")
		case seen[h.Host]:
			d.wrong(path+".host", h.Host, "want every host once")
		}
		seen[h.Host] = true
		d.host(c, h, path, all)
	}
	d.roomDomains(c)
}

// roomDomains finds hosts that would have the same domain for their rooms.
func (d *decoder) roomDomains(c *Config) {
	taken := make(map[string]string)
	for i := range c.HostConfig {
		for _, host := range c.General.Hosts {
			own := c.HostConfig[i].Modules.MUC
			if m := c.MUCOf(host); m == nil || own == nil || m == own || m.HostFor(host) != own.HostFor(c.HostConfig[i].Host) {
				continue
			}
			path := fmt.Sprintf("host_config[%d].modules.mod_muc", i)
			if taken[own.Host] == "" {
				d.problem(d.at(path+".host", path), path+".host", "%s has its rooms at %s already", host, own.HostFor(c.HostConfig[i].Host))
			}
			taken[own.Host] = host
		}
	}
}

// host checks what is different for one host. What is wrong with what all have
// is reported where that is checked.
func (d *decoder) host(c *Config, h *HostConfig, path string, all *names) {
	m := c.merge(path, h)
	for _, name := range slices.Sorted(maps.Keys(h.Access)) {
		d.clauses(path+".access."+name, h.Access[name])
	}
	rules, problems := access.Compile(definition(c.General.Hosts, m.classes, m.rules))
	d.ruleProblems(problems, m.rules, func(path string) (string, bool) {
		place := m.places[path]
		return place, strings.HasPrefix(place, "host_config")
	})
	n := &names{d: d, c: c, rules: rules, access: m.rules, places: m.places, used: all.used}
	if own := h.Modules.MUC; own != nil {
		d.muc(c, path+".modules.mod_muc.", own, []string{h.Host})
		n.muc(path+".modules.mod_muc.", own)
		return
	}
	if c.Modules.MUC != nil && len(h.Access) > 0 { // its rules may say something else here
		n.muc("modules.mod_muc.", c.Modules.MUC)
	}
}
