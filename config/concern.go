package config

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
)

// What a remark or a warning begins with, or is, that says that a setting does
// nothing.
const (
	notNeeded = "not needed: "
	leftOut   = "left out: "
	unnamed   = "no setting names this: it has no effect"
)

// concernsSecurity reports whether somebody may do more without a setting, or
// whether something is readable without it that was not; or without one within.
// What is not served at all opens nothing.
func concernsSecurity(path string, v any) bool {
	sensitive := false
	check := func(path string) { sensitive = sensitive || opens(withoutIndexes(path)) }
	leaves(v, path, check)
	check(path)
	if strings.HasSuffix(withoutIndexes(path), "default_room.affiliations.resource") {
		return false
	}
	if entry, ok := v.(map[string]any); ok && strings.Contains(path, "default_room.affiliations[") {
		return !slices.Contains([]any{"owner", "admin", "member"}, entry["affiliation"]) // who was kept out is not
	}
	return sensitive
}

// opens reports whether a setting without which more is permitted stands at a
// path.
func opens(path string) bool {
	if !served(path) {
		return false
	}
	for part := range strings.SplitSeq(path, ".") {
		if strings.HasPrefix(part, "access") || slices.Contains([]string{
			"auth", "acl", "tls", "shaper", "certfile", "keyfile", "cacertfile", "verify_mode", "password", "secret", "username", "ip_access", "registration_timeout",
			"http_auth_pool", "affiliations", "members_only", "password_protected", "anonymous", "mod_domain_isolation",
		}, part) {
			return true
		}
	}
	return false
}

// served reports whether what a setting is about is there: rules, passwords and
// certificates of what is not guard nothing.
func served(path string) bool {
	for _, table := range []string{"s2s", "listen.s2s", "listen.http", "listen.service", "listen.component.shaper", "outgoing_pools.rdbms", "services"} {
		if path == table || strings.HasPrefix(path, table+".") {
			return false
		}
	}
	module, ok := strings.CutPrefix(strings.TrimPrefix(path, "host_config."), "modules.")
	if !ok {
		return true
	}
	module, _, _ = strings.Cut(module, ".")
	if module == "mod_domain_isolation" {
		return true // it keeps people apart, whatever else is there
	}
	return isModule(module)
}

// isModule reports whether a module has a table here.
func isModule(name string) bool {
	return slices.ContainsFunc(fieldsOf(reflect.TypeFor[Modules]()), func(f reflect.StructField) bool { return f.Tag.Get("toml") == name })
}

// own says why a rule is not needed that MongooseIM asks by its name; "" for
// others.
func own(rule string) string {
	switch {
	case rule == "max_user_sessions":
		return "an account has 1,000 sessions at most"
	case rule == "max_user_offline_messages":
		return "1,000 messages and 16 MiB wait for an account at most"
	case strings.HasPrefix(rule, "mam_"), strings.HasPrefix(rule, "muc_mam_"):
		return "archives are open to whom they belong to, and to who is in a room; nobody else was let in by this"
	}
	return ""
}

// denies reports whether a rule denies somebody something.
func denies(clauses []any) bool {
	return slices.ContainsFunc(clauses, func(clause any) bool {
		c, _ := clause.(map[string]any)
		return c["value"] == "deny"
	})
}

// always says what becomes of the table of a module whose work every server
// here does.
func (m *migration) always(path string) {
	names := m.table(path)
	for name := range names {
		key := path + "." + name
		switch lost := lostOfAlways[withoutIndexes(key)]; {
		case lost != "":
			m.lose(key, lost)
		case name == "backend", name == "riak":
			m.done(key, "what is stored is where storage.driver says")
		case name == "iqdisc":
			m.done(key, "requests of a client are handled in their order")
		case unchosen[withoutIndexes(key)]:
			m.done(key, "there is nothing to choose")
		default:
			m.lose(key, "this version does not have it")
		}
	}
	m.done(path, "every server does this")
}

// unchosen are settings of such modules that change nothing that people notice.
var unchosen = map[string]bool{ //nolint:gochecknoglobals // a table
	"modules.mod_caps.cache_size": true, "modules.mod_caps.cache_life_time": true, "modules.mod_roster.store_current_id": true, "modules.mod_roster.versioning": true,
}

// lostOfAlways are settings of modules whose work every server does that have no
// counterpart.
var lostOfAlways = map[string]string{ //nolint:gochecknoglobals // a table
	"modules.mod_vcard.host":                       "there is no search for users",
	"modules.mod_vcard.search":                     "there is no search for users",
	"modules.mod_vcard.matches":                    "there is no search for users",
	"modules.mod_vcard.ldap":                       "there is no LDAP",
	"modules.mod_offline.access_max_user_messages": "for every account 1,000 messages and 16 MiB wait at most",
	"modules.mod_offline.store_groupchat_messages": "messages of rooms are in their archives",
	"modules.mod_csi.buffer_max":                   "what waits for a client is bounded with all else in its queue",
	"modules.mod_version.os_info":                  "the operating system is told to nobody",
}

// component brings one listener for components into our form.
func (m *migration) component(path string, l map[string]any) {
	m.lose(path+".shaper", "components are trusted, and not slowed down")
	m.lose(path+".shaper_rule", "components are trusted, and not slowed down")
	m.oldTLS(path + ".tls")
	m.address(path, l)
}

// oldTLS says of settings of TLS that there is nothing to choose here.
func (m *migration) oldTLS(path string) {
	for _, key := range []string{"dhfile", "ciphers", "protocol_options"} {
		m.done(path+"."+key, safeTLS)
	}
	for _, key := range []string{"versions", "protocols"} {
		versions, _ := m.values(path + "." + key).([]any)
		if len(versions) == 1 && versions[0] == "tlsv1.3" {
			m.lose(path+"."+key, "TLS 1.2 is spoken, too")
		} else {
			m.done(path+"."+key, safeTLS)
		}
	}
	m.done(path+".module", "there is one implementation of TLS")
	if m.values(path+".verify_mode") == any("none") && !strings.HasPrefix(path, "outgoing_pools.") {
		m.done(path+".verify_mode", "certificates of clients are not asked for")
	}
}

const safeTLS = "TLS 1.2 and 1.3 are spoken, with ciphers that are safe and no parameters to choose"

// api says where what an HTTP listener of MongooseIM serves is here.
func api(l map[string]any) string {
	handlers, _ := l["handlers"].(map[string]any)
	if handlers["mod_bosh"] != nil || handlers["mod_websockets"] != nil {
		return "clients connect over TCP: there is no BOSH and no WebSocket; administration is at /api/v1 of [[listen.http]]"
	}
	for _, name := range []string{"mongoose_graphql_handler", "mongoose_admin_api", "mongoose_api_admin"} {
		if handlers[name] != nil {
			return "administration is at /api/v1 of [[listen.http]], with tokens of muster token, and in muster room and muster user"
		}
	}
	return "what it serves is not there: ours is for metrics and administration"
}

// iterations says what becomes of how often keys of passwords are hashed.
func (m *migration) iterations() {
	const path = "auth.scram_iterations"
	switch n, ok := m.values(path).(int64); {
	case ok && n <= scramIterations:
		m.done(path, fmt.Sprintf("keys of passwords take %d iterations", scramIterations))
	case ok:
		m.lose(path, fmt.Sprintf("keys of passwords take %d iterations", scramIterations))
	}
}

// scramIterations is how often keys of passwords are hashed.
const scramIterations = 10_000
