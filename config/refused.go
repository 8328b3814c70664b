package config

import (
	"cmp"
	"strings"
)

// later are settings of the systems that people come from which this version
// does not have. They are refused by name, so that nobody believes that they
// have an effect.
var later = map[string]string{ //nolint:gochecknoglobals // a table
	"host_config.host_type":                           "host types (have a table for each host)",
	"host_config.general":                             "general settings of single hosts",
	"host_config.auth":                                "ways to log in of single hosts (all share [auth])",
	"host_config.outgoing_pools":                      "pools of single hosts (have them in [outgoing_pools], for all)",
	"host_config.shaper":                              "shapers of single hosts (have them in [shaper], for all)",
	"host_config.s2s":                                 "federation",
	"listen.component.shaper":                         "limits of pace for components (they are trusted)",
	"listen.component.connection_type":                "a choice (components connect here)",
	"listen.s2s":                                      "federation",
	"modules.mod_mam.pm":                              "archives of accounts",
	"modules.mod_mam.cache":                           "caches of the archive",
	"modules.mod_mam.cache_users":                     "caches of the archive",
	"modules.mod_mam.db_jid_format":                   "a choice of format in the database",
	"modules.mod_mam.db_message_format":               "a choice of format in the database",
	"modules.mod_mam.delete_domain_limit":             "domains that are removed while it runs",
	"modules.mod_mam.async_writer":                    "a choice of writer (messages that come together are stored together, before they are reflected)",
	"modules.mod_mam.full_text_search":                "search in the text of messages",
	"modules.mod_mam.user_prefs_store":                "preferences of accounts (XEP-0441)",
	"modules.mod_mam.no_stanzaid_element":             "messages without their id (clients need it to find them in the archive)",
	"modules.mod_mam.is_archivable_message":           "a choice of what is kept (what has a body or a subject is)",
	"modules.mod_mam.enforce_simple_queries":          "simpler queries (counting stops by itself where it takes too long)",
	"modules.mod_mam.default_result_limit":            "limits of all archives (set it in modules.mod_mam.muc)",
	"modules.mod_mam.max_result_limit":                "limits of all archives (set it in modules.mod_mam.muc)",
	"modules.mod_mam.muc.host":                        "a domain of its own for archives (each room has its own, at its own address)",
	"modules.mod_mam.muc.archive_groupchats":          "a copy of rooms' messages in accounts' archives",
	"modules.mod_mam.muc.archive_chat_markers":        "a choice of what is kept (what has a body or a subject is)",
	"modules.mod_mam.muc.is_archivable_message":       "a choice of what is kept (what has a body or a subject is)",
	"modules.mod_mam.muc.async_writer":                "a choice of writer (messages that come together are stored together, before they are reflected)",
	"modules.mod_mam.muc.full_text_search":            "search in the text of messages",
	"modules.mod_mam.muc.no_stanzaid_element":         "messages without their id (clients need it to find them in the archive)",
	"modules.mod_mam.muc.enforce_simple_queries":      "simpler queries (counting stops by itself where it takes too long)",
	"modules.mod_register.iqdisc":                     "queues for requests (each client's are handled in their order)",
	"modules.mod_stream_management.buffer":            "sessions without a buffer (resume_timeout = 0 switches resuming off)",
	"modules.mod_stream_management.ack":               "streams that ask for no acknowledgement",
	"modules.mod_stream_management.ack_freq":          "a number of stanzas between two requests (one is under way at a time)",
	"modules.mod_stream_management.backend":           "a choice of backend (sessions live in memory)",
	"modules.mod_stream_management.stale_h":           "settings of what is remembered of sessions that are over (the last 10,000)",
	"modules.mod_ping.timeout_action":                 "a choice (who gives no sign of life is disconnected)",
	"modules.mod_ping.iqdisc":                         "queues for requests (each client's are handled in their order)",
	"modules.mod_disco.extra_domains":                 "services of others in discovery",
	"modules.mod_disco.iqdisc":                        "queues for requests (each client's are handled in their order)",
	"modules.mod_disco.server_info.modules":           "contact addresses of single services",
	"modules.mod_disco.users_can_see_hidden_services": "hidden services",
}

// always are modules of the systems that people come from whose work every
// server here does, and which have no settings.
var always = map[string]bool{ //nolint:gochecknoglobals // a table
	"modules.mod_caps":       true,
	"modules.mod_carboncopy": true,
	"modules.mod_csi":        true,
	"modules.mod_last":       true,
	"modules.mod_offline":    true,
	"modules.mod_presence":   true,
	"modules.mod_private":    true,
	"modules.mod_roster":     true,
	"modules.mod_time":       true,
	"modules.mod_vcard":      true,
	"modules.mod_version":    true,
}

// refused says what to do about a key that is known but does nothing here; ""
// if it is not known at all.
func refused(path string) string {
	key := withoutNames(withoutIndexes(path))
	if what := cmp.Or(later[key], laterPools[key]); what != "" {
		return "this version does not have " + what + ": remove the key"
	}
	if module, ok := strings.CutPrefix(key, "host_config.modules."); ok && isModule(module) {
		return "single hosts have no settings of their own for this module: have it in [modules." + module + "], for all of them"
	}
	if always[path] {
		return "every server does this, without settings: remove the table"
	}
	return ""
}

// withoutIndexes is the path of a setting in every element of its arrays.
func withoutIndexes(path string) string {
	for {
		before, rest, ok := strings.Cut(path, "[")
		if !ok {
			return path
		}
		_, after, _ := strings.Cut(rest, "]")
		path = before + after
	}
}
