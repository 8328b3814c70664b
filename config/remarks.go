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
	m := c.Modules.MUC
	if m == nil {
		return nil
	}
	const path = "modules.mod_muc."
	add(path+"backend", "rooms are kept where storage.driver says, in %s", storageNames[c.Storage.Driver])
	add(path+"online_backend", "nothing to choose: which rooms are in memory is known without a table of its own")
	if m.DefaultRoom.PasswordProtected && m.DefaultRoom.Password == "" {
		add(path+"default_room.password_protected", "there is no password: the empty one lets everybody in until an owner sets another")
	}
	for i, a := range m.DefaultRoom.Affiliations {
		if a.Resource != "" {
			add(fmt.Sprintf("%sdefault_room.affiliations[%d].resource", path, i),
				"left out: %s@%s is %s with every client (XEP-0045 §5.2)", a.User, a.Server, a.Affiliation)
		}
	}
	list.sort()
	return list
}

var storageNames = map[string]string{"sqlite": "SQLite", "postgres": "PostgreSQL"} //nolint:gochecknoglobals // a table
