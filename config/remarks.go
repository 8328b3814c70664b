package config

import "fmt"

// Remarks returns what of the file means something else here than where it may
// come from. None of it is a problem.
func (c *Config) Remarks() Problems {
	var list Problems
	add := func(key, format string, args ...any) {
		if p := c.Problem(key, fmt.Sprintf(format, args...)); p.Line > 0 {
			list = append(list, p)
		}
	}
	if g := c.Modules.Groups; g != nil && g.GroupsFile == "" {
		add("modules.mod_groups", "without groups_file there are no groups")
	}
	c.remarkInternals(add)
	c.remarkRooms(add, "modules.mod_muc.", c.Modules.MUC)
	for i := range c.HostConfig {
		c.remarkRooms(add, fmt.Sprintf("host_config[%d].modules.mod_muc.", i), c.HostConfig[i].Modules.MUC)
	}
	return list.With()
}

// remarkInternals says what has become of tables about the inside of another
// server.
func (c *Config) remarkInternals(add func(key, format string, args ...any)) {
	add("instrumentation.exometer", notNeeded+"metrics are those of /metrics of [[listen.http]], for Prometheus; what reported to Graphite or StatsD scrapes that")
	add("instrumentation.prometheus", notNeeded+"/metrics of [[listen.http]] is always there")
	add("instrumentation.log", notNeeded+"what happens is logged as general.loglevel says")
	for _, name := range []string{"mnesia", "cets"} {
		add("internal_databases."+name, notNeeded+"what is stored is in storage, in %s; what is not is in memory, without a database", storageNames[c.Storage.Driver])
	}
}

// remarkRooms is about the table of rooms at a path.
func (c *Config) remarkRooms(add func(key, format string, args ...any), path string, m *MUC) {
	if m == nil {
		return
	}
	switch {
	case m.HibernateTimeout == Never && m.HibernatedCheck != Never && m.HibernatedTimeout != Never:
		add(path+"hibernate_timeout", "rooms that never hibernate are never stopped: hibernated_room_check_interval and hibernated_room_timeout do nothing")
	case m.HibernatedTimeout == Never && m.HibernatedCheck != Never:
		add(path+"hibernated_room_check_interval", "does nothing unless hibernated_room_timeout is set, too")
	case m.HibernatedCheck == Never && m.HibernatedTimeout != Never:
		add(path+"hibernated_room_timeout", "does nothing unless hibernated_room_check_interval is set, too")
	}
	if m.LoadPermanentRooms && m.HibernateTimeout != Never && m.HibernatedCheck != Never && m.HibernatedTimeout != Never {
		add(path+"load_permanent_rooms_at_startup", "rooms in which nothing happens are stopped again after hibernate_timeout and hibernated_room_timeout")
	}
	if m.DefaultRoom.MaxUsers > m.MaxUsers {
		add(path+"default_room.max_users", "rooms have %d seats at most, because max_users says so", m.MaxUsers)
	}
	add(path+"backend", notNeeded+"rooms are kept where storage.driver says, in %s", storageNames[c.Storage.Driver])
	add(path+"online_backend", notNeeded+"which rooms are in memory is known without a table of its own")
	if m.DefaultRoom.PasswordProtected && m.DefaultRoom.Password == "" && m.HTTPAuthPool == NoPool {
		add(path+"default_room.password_protected", "there is no password: whoever sends an empty one gets in, and clients that send none do not, until an owner sets another: set password or http_auth_pool")
	}
	for i, a := range m.DefaultRoom.Affiliations {
		if a.Resource != "" {
			add(fmt.Sprintf("%sdefault_room.affiliations[%d].resource", path, i),
				leftOut+"%s@%s is %s with every client (XEP-0045 §5.2)", a.User, a.Server, a.Affiliation)
		}
	}
}

var storageNames = map[string]string{"sqlite": "SQLite", "postgres": "PostgreSQL"} //nolint:gochecknoglobals // a table
