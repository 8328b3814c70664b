package config

// MAM is [modules.mod_mam].
type MAM struct {
	Backend string   `toml:"backend" choice:"rdbms,cassandra,elasticsearch" doc:"Accepted for files from MongooseIM; messages are kept in storage."`
	MUC     MAMRooms `toml:"muc" doc:"The archives of rooms."`
}

// MAMRooms is [modules.mod_mam.muc].
type MAMRooms struct {
	DefaultResultLimit Positive `toml:"default_result_limit" doc:"Messages of a page for clients that do not say how many they want."`
	MaxResultLimit     Positive `toml:"max_result_limit" doc:"Most messages of a page."`
	ExpiresAfter       Duration `toml:"expires_after" reload:"yes" doc:"Age at which messages are removed; 0s is never. Rooms may keep theirs for a shorter time."`
	MaxMessages        Limit    `toml:"max_messages" reload:"yes" doc:"Messages that a room keeps, the newest. Rooms may keep less."`
}

func (m *MAM) defaults() {
	*m = MAM{Backend: "rdbms", MUC: MAMRooms{DefaultResultLimit: 50, MaxResultLimit: 50}}
}
