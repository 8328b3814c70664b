package config

import "time"

// Groups is [modules.mod_groups]. The name of groups_file is Prosody's.
type Groups struct {
	GroupsFile    string   `toml:"groups_file" reload:"yes" doc:"Text file with the groups. It is read again when it changes and with each reload; one that has something wrong changes nothing. Without it the module does nothing."`
	Format        string   `toml:"format" choice:"strict,prosody" reload:"yes" doc:"strict refuses lines that may mean something else than they say; prosody reads the file as Prosody does, and leaves out what is no address."`
	MeetOutsiders bool     `toml:"meet_outsiders" reload:"yes" doc:"Members of public groups see the presence of everybody, who see theirs; without it they see only each other."`
	CheckInterval Duration `toml:"check_interval" doc:"How often the file is looked at; \"0s\" is never, only with a reload."`
}

func (g *Groups) defaults() { *g = Groups{Format: "strict", CheckInterval: defaultCheck} }

const defaultCheck = Duration(time.Second / 2)
