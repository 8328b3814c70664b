package config

import (
	"fmt"
	"maps"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// table returns the table at a path, nil if there is none.
func (m *migration) table(path string) map[string]any {
	t, _ := m.values(path).(map[string]any)
	return t
}

// unneeded are settings of MongooseIM for which there is nothing to do here, by
// path without indexes.
var unneeded = map[string]string{ //nolint:gochecknoglobals // a table
	"general.default_server_domain":            "the first of general.hosts",
	"general.all_metrics_are_global":           "metrics have labels",
	"general.sm_backend":                       "sessions are in memory",
	"general.component_backend":                "sessions are in memory",
	"general.s2s_backend":                      "sessions are in memory",
	"general.max_fsm_queue":                    "queues are bounded in bytes",
	"general.http_server_name":                 "HTTP answers name no server",
	"general.rdbms_server_type":                "storage.driver says it",
	"general.replaced_wait_timeout":            "who is replaced is gone at once",
	"general.language":                         "texts are English",
	"outgoing_pools.redis":                     "sessions are in memory",
	"auth.password":                            "only SCRAM keys are stored",
	"services.service_admin_extra":             "administration has its own commands",
	"services.service_mongoose_system_metrics": "nothing is reported to anybody",
	"modules.mod_adhoc":                        "services have their commands",
	"modules.mod_blocking":                     "clients block people by XEP-0191, without settings",
	"modules.mod_cache_users":                  "accounts are cached by themselves",
	"s2s":                                      "there is no federation",
	"general.hide_service_name":                "nothing but XEP-0092 tells what runs here",
	"modules.mod_amp":                          "no client asks for it any more",
}

// rest says of what stands anywhere that it needs no setting, and of rules that
// MongooseIM asks without a setting that names them that nothing here does.
func (m *migration) rest() {
	for path, why := range unneeded {
		m.done(path, why)
	}
	m.lose("modules.mod_privacy", "there are no privacy lists: clients block people by XEP-0191")
	classes := m.table("acl")
	for _, name := range slices.Sorted(maps.Keys(m.table("access"))) {
		clauses, _ := m.values("access." + name).([]any)
		if why := own(name); why != "" {
			if denies(clauses) {
				m.lose("access."+name, "archives are open to whom they belong to, and to who is in a room; nobody is denied that")
			} else {
				m.done("access."+name, why)
			}
			continue
		}
		for i := range clauses {
			clause, _ := clauses[i].(map[string]any)
			class, _ := clause["acl"].(string)
			if _, ok := classes[class]; !ok && class != "" && class != "all" && class != "none" {
				m.done(fmt.Sprintf("access.%s[%d]", name, i), fmt.Sprintf("there is no class %q, so it was about nobody", class))
			}
		}
	}
}

// general brings [general] into our words.
func (m *migration) general() {
	levels := map[string]string{"none": "error", "emergency": "error", "alert": "error", "critical": "error", "notice": "info", "all": "trace"}
	g := m.table("general")
	if level, _ := g["loglevel"].(string); levels[level] != "" {
		g["loglevel"] = levels[level]
		m.renamed("general.loglevel", "general.loglevel = "+strconv.Quote(levels[level]))
	}
	if d, ok := g["default_server_domain"].(string); ok && g["hosts"] == nil {
		g["hosts"] = []any{d}
	}
}

// listeners brings [[listen.…]] into our form. MongooseIM listens everywhere
// unless it is told not to.
func (m *migration) listeners() {
	listen := m.table("listen")
	clients, _ := listen["c2s"].([]any)
	for i := range clients {
		if l, ok := clients[i].(map[string]any); ok {
			m.client(fmt.Sprintf("listen.c2s[%d]", i), l)
		}
	}
	components, _ := listen["component"].([]any)
	for i := range components {
		if l, ok := components[i].(map[string]any); ok {
			m.component(fmt.Sprintf("listen.component[%d]", i), l)
		}
	}
	http, _ := listen["http"].([]any)
	for i := range http {
		l, _ := http[i].(map[string]any)
		path := fmt.Sprintf("listen.http[%d]", i)
		if !servesMetrics(l) {
			m.lose(path, api(l))
			continue
		}
		m.oldTLS(path + ".tls")
		m.done(path+".handlers", "metrics are served at /metrics")
		m.done(path+".transport", "connections are accepted as they come")
		m.address(path, l)
	}
}

// client brings one listener for clients into our form.
func (m *migration) client(path string, l map[string]any) {
	for _, key := range []string{"num_acceptors", "backlog", "max_connections", "reuse_port", "hibernate_after", "c2s_state_timeout", "backwards_compatible_session", "proto"} {
		m.done(path+"."+key, "connections are accepted as they come")
	}
	m.oldTLS(path + ".tls")
	m.address(path, l)
}

// address says where a listener listens, which has another default here. Without
// a certificate that is this machine alone.
func (m *migration) address(path string, l map[string]any) {
	tls, _ := l["tls"].(map[string]any)
	if tls["certfile"] != nil && tls["keyfile"] == nil {
		tls["keyfile"] = tls["certfile"]
		m.renamed(path+".tls.certfile", path+".tls.certfile and keyfile: the file has both")
	}
	address, given := l["ip_address"].(string)
	ip, err := netip.ParseAddr(address)
	switch {
	case tls["certfile"] != nil && !given:
		l["ip_address"] = "0.0.0.0"
	case tls["certfile"] != nil:
	case !given && l["port"] != nil:
		m.fates[path+".port"] = Moved{Fate: Renamed, Note: "at 127.0.0.1 alone, for there is no certificate"}
	case given && (err != nil || !ip.IsLoopback()):
		m.lose(path+".ip_address", "without a certificate it listens at 127.0.0.1 alone")
	}
}

// servesMetrics reports whether an HTTP listener is one for Prometheus.
func servesMetrics(l map[string]any) bool {
	handlers, _ := l["handlers"].(map[string]any)
	_, ok := handlers["mongoose_prometheus_handler"]
	return ok
}

// auth brings [auth] into our form: accounts are in the storage.
func (m *migration) auth() {
	methods, _ := m.values("auth.methods").([]any)
	var others []string
	for _, method := range methods {
		if method != "internal" && method != "rdbms" {
			others = append(others, fmt.Sprint(method))
		}
	}
	if len(others) > 0 {
		m.lose("auth.methods", "accounts are Muster's own, in storage; not there: "+strings.Join(others, ", "))
	} else {
		m.done("auth.methods", "accounts are Muster's own, in storage: those of MongooseIM do not come along (make them with muster user add)")
	}
	m.done("auth.internal", "accounts are in storage")
	m.done("auth.rdbms", "accounts are in storage")
	m.iterations()
}

// pools brings the pool of a database into [storage], with a database of its
// own: MongooseIM's tables are not ours, and it may still run. Pools of HTTP stay.
func (m *migration) pools() {
	for name := range m.table("outgoing_pools.http") {
		m.oldTLS("outgoing_pools.http." + name + ".connection.tls")
	}
	const path = "outgoing_pools.rdbms.default"
	c := m.table(path + ".connection")
	if c == nil {
		return
	}
	switch driver := c["driver"]; driver {
	case "pgsql":
		database := text(c["database"]) + "_muster"
		address := url.URL{Scheme: "postgres", Host: text(c["host"]), Path: "/" + database, User: url.UserPassword(text(c["username"]), text(c["password"]))}
		if port := text(c["port"]); port != "" {
			address.Host += ":" + port
		}
		tls, _ := c["tls"].(map[string]any)
		address.RawQuery = "sslmode=" + sslMode(tls)
		m.src.values["storage"] = map[string]any{"driver": "postgres", "url": address.String()}
		m.drop(path+".connection.database", Moved{Fate: Renamed, Note: fmt.Sprintf("storage.url, as %q, which has to be made (CREATE DATABASE): nothing of MongooseIM's own database is read or changed, accounts and rooms do not come along", database)})
		for _, key := range []string{"driver", "host", "port", "username", "password"} {
			m.drop(path+".connection."+key, Moved{Fate: Renamed, Note: "storage.url"})
		}
		for key := range tls {
			if key == "required" {
				m.drop(path+".connection.tls."+key, Moved{Fate: Renamed, Note: "storage.url (sslmode)"})
			}
		}
		m.loseRest("outgoing_pools.rdbms", "the pool has no settings of its own")
	default:
		m.lose("outgoing_pools.rdbms", fmt.Sprintf("databases of kind %v are not there: storage is SQLite in general.data_dir, or PostgreSQL if [storage] says so", driver))
	}
}

// logs says who switches logging on, which MongooseIM asks the rule muc_admin if
// it is told nothing.
func (m *migration) logs() {
	const rule = "muc_admin"
	if l := m.table("modules.mod_muc_log"); l != nil && l["access_log"] == nil && m.values("access."+rule) != nil {
		l["access_log"] = rule
	}
}

// sslMode is how a database is asked for TLS. MongooseIM verifies its
// certificate unless it is told not to.
func sslMode(tls map[string]any) string {
	switch {
	case tls == nil:
		return "disable"
	case tls["verify_mode"] == "none":
		return "require"
	}
	return "verify-full"
}

// loseRest says that sizes of pools are not needed, and that all else of a table
// is lost.
func (m *migration) loseRest(path, why string) {
	var rest []string
	leaves(m.values(path), path, func(p string) { rest = append(rest, p) })
	for _, p := range rest {
		switch {
		case strings.HasSuffix(p, ".verify_mode"):
			m.drop(p, Moved{Fate: Renamed, Note: "storage.url (sslmode)"})
		case strings.Contains(p, ".tls."):
			m.lose(p, "put it into storage.url (sslrootcert, sslcert, sslkey)")
		default:
			m.done(p, why)
		}
	}
	m.done(path, why)
}

// text is a value as it stands in an address.
func text(v any) string {
	if v == nil {
		return ""
	}
	return fmt.Sprint(v)
}
