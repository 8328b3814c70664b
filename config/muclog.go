package config

import (
	"fmt"
	"path/filepath"
)

// MUCLog is [modules.mod_muc_log].
type MUCLog struct {
	Outdir         string  `toml:"outdir" doc:"Directory of the logs, made when it is first written to. Empty: muc_log in general.data_dir."`
	AccessLog      string  `toml:"access_log" reload:"yes" doc:"Rule that says which owners may switch the logging of their room."`
	Dirtype        string  `toml:"dirtype" choice:"subdirs,plain" doc:"Files are ROOM/YYYY/MM/DD with subdirs, ROOM/YYYY-MM-DD with plain."`
	Dirname        string  `toml:"dirname" choice:"room_jid,room_name" doc:"ROOM is the whole address, or its local part alone."`
	FileFormat     string  `toml:"file_format" choice:"html,plaintext" doc:"Pages, or text."`
	CSSFile        string  `toml:"css_file" doc:"Address of a style sheet for the pages, instead of the one in them."`
	Timezone       string  `toml:"timezone" choice:"local,universal" doc:"Days and times are those of the server's zone, or UTC."`
	TopLink        TopLink `toml:"top_link" doc:"The link at the top right of each page."`
	SpamPrevention bool    `toml:"spam_prevention" doc:"Ask search engines not to follow links in messages."`
}

// TopLink is [modules.mod_muc_log.top_link].
type TopLink struct {
	Target string `toml:"target" doc:"Address."`
	Text   string `toml:"text" doc:"Text."`
}

func (m *MUCLog) defaults() {
	*m = MUCLog{
		AccessLog: "none", Dirtype: "subdirs", Dirname: "room_jid", FileFormat: "html", Timezone: "local",
		TopLink: TopLink{Target: "/", Text: "Home"}, SpamPrevention: true,
	}
}

// RoomLogs returns the directory of the logs of rooms.
func (c *Config) RoomLogs() string {
	if m := c.Modules.MUCLog; m != nil && m.Outdir != "" {
		return m.Outdir
	}
	return filepath.Join(c.General.DataDir, "muc_log")
}

// muclog checks the logs of rooms.
func (d *decoder) muclog(c *Config, n *names) {
	const path = "modules.mod_muc_log."
	m := c.Modules.MUCLog
	if m == nil {
		d.noLogs("modules.mod_muc.", c.Modules.MUC)
		for i := range c.HostConfig {
			d.noLogs(fmt.Sprintf("host_config[%d].modules.mod_muc.", i), c.HostConfig[i].Modules.MUC)
		}
		return
	}
	n.rule(path+"access_log", m.AccessLog)
	if _, ok := d.src.keys[path+"css_file"]; ok && m.CSSFile == "" && !d.reported(path+"css_file") {
		d.wrong(path+"css_file", "", "want the address of a style sheet, or no such key: then the style is in the page")
	}
	if !c.HasRooms() {
		d.problem(d.at("modules.mod_muc_log", path), "modules.mod_muc_log", "there are no rooms without [modules.mod_muc]")
	}
	if m.Dirname == "room_name" && len(c.RoomServices()) > 1 {
		d.wrong(path+"dirname", m.Dirname, "want room_jid, because rooms of several domains may have the same local part")
	}
}

// noLogs refuses rooms that are logged where nothing writes logs.
func (d *decoder) noLogs(path string, m *MUC) {
	if m != nil && m.DefaultRoom.Logging {
		d.wrong(path+"default_room.logging", true, "want [modules.mod_muc_log], which writes the logs")
	}
}
