package config

import (
	"fmt"
	"maps"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"

	"github.com/muster-im/muster/jid"
)

// node is a module's table that no built-in module claims.
type node struct {
	path  string
	value any
	src   *source
}

// Load reads a file. Relative paths in it are relative to its directory; those
// in a pipe to the working directory. extensions names further tables under modules, which
// their owners decode with DecodeModule. What is wrong with the file is a
// Problems with everything found in one run; what could be read comes with it, and
// is good for finding what else is wrong with those tables, and nothing more.
func Load(path string, extensions ...string) (*Config, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read the configuration: %w", err)
	}
	dir := ""
	if info, err := os.Stat(path); err == nil && info.Mode().IsRegular() {
		dir = filepath.Dir(path)
	}
	return parseIn(dir, path, data, extensions)
}

// Parse is Load of a text; name stands for it in problems. Relative paths are
// relative to the working directory.
func Parse(name string, data []byte, extensions ...string) (*Config, error) {
	return parseIn("", name, data, extensions)
}

func parseIn(dir, name string, data []byte, extensions []string) (*Config, error) {
	src, err := parse(name, data)
	if err != nil {
		return nil, err
	}
	src.dir = dir
	c := Default()
	c.name, c.src, c.extensions = name, src, make(map[string]*node)
	d := &decoder{src: src, extensions: extensions}
	modules := src.values["modules"]
	delete(src.values, "modules")
	c.takeHostTables(extensions)
	d.table("", src.values, reflect.ValueOf(c).Elem(), nil)
	if modules != nil {
		d.table("modules", modules, reflect.ValueOf(&c.Modules).Elem(), func(key string, v any) bool {
			known := slices.Contains(extensions, key)
			if known {
				c.extensions[key] = &node{"modules." + key, v, src}
			}
			return known
		})
	}
	d.check(c)
	c.resolve(src)
	if len(d.problems) > 0 {
		return c, d.problems.With()
	}
	return c, nil
}

// resolve makes paths what they are for this process.
func (c *Config) resolve(src *source) {
	c.General.DataDir = src.resolve(c.General.DataDir)
	if g := c.Modules.Groups; g != nil && g.GroupsFile != "" {
		g.GroupsFile = src.resolve(g.GroupsFile)
	}
	if m := c.Modules.MUCLog; m != nil && m.Outdir != "" {
		m.Outdir = src.resolve(m.Outdir)
	}
	tables := make([]*TLS, 0, len(c.Listen.C2S)+len(c.Listen.HTTP))
	for i := range c.Listen.C2S {
		tables = append(tables, &c.Listen.C2S[i].TLS)
	}
	for i := range c.Listen.Component {
		tables = append(tables, &c.Listen.Component[i].TLS)
	}
	for i := range c.Listen.HTTP {
		tables = append(tables, &c.Listen.HTTP[i].TLS)
	}
	for name, pool := range c.OutgoingPools.HTTP {
		t := &pool.Connection.TLS
		t.CACertFile, t.CertFile, t.KeyFile = src.resolve(t.CACertFile), src.resolve(t.CertFile), src.resolve(t.KeyFile)
		c.OutgoingPools.HTTP[name] = pool
	}
	for _, t := range tables {
		t.CertFile, t.KeyFile = src.resolve(t.CertFile), src.resolve(t.KeyFile)
	}
}

// Name returns what the configuration came from.
func (c *Config) Name() string { return c.name }

// IsFile reports whether the configuration came from a file.
func (c *Config) IsFile() bool { return c.src != nil }

// check finds what no single value shows.
func (d *decoder) check(c *Config) {
	if len(c.General.Hosts) == 0 {
		d.problem(d.at("general.hosts", "general"), "general.hosts", `required: the domains to serve, like ["example.org"]`)
	}
	seen := make(map[string]bool)
	for i, h := range c.General.Hosts {
		path := fmt.Sprintf("general.hosts[%d]", i)
		j, err := jid.Parse(h)
		switch {
		case err != nil || !j.IsBare() || j.Local() != "":
			d.wrong(path, h, "want a domain")
		case seen[j.Domain()]:
			d.wrong(path, h, "want every domain once")
		default:
			c.General.Hosts[i] = j.Domain()
		}
		seen[j.Domain()] = true
	}
	if c.General.DataDir == "" {
		d.wrong("general.data_dir", "", "want a directory")
	}
	switch address := c.Storage.URL; {
	case c.Storage.Driver == "postgres" && address == "":
		d.problem(d.at("storage.url", "storage.driver"), "storage.url", "required when storage.driver is postgres")
	case c.Storage.Driver == "postgres" && !isPostgresURL(string(address)):
		d.problem(d.at("storage.url", "storage.url"), "storage.url", "want a URL like postgres://user:password@host/database, or keywords like host=/run/postgresql dbname=muster")
	case c.Storage.Driver == "sqlite" && address != "":
		d.problem(d.at("storage.url", "storage.url"), "storage.url", "SQLite keeps its files in general.data_dir: remove this key, or set storage.driver to postgres")
	}
	n := d.access(c)
	for i := range c.Listen.C2S {
		l := &c.Listen.C2S[i]
		n.rule(fmt.Sprintf("listen.c2s[%d].access", i), l.Access)
		n.shaper(fmt.Sprintf("listen.c2s[%d].shaper", i), l.Shaper)
		d.listener(fmt.Sprintf("listen.c2s[%d]", i), l.IPAddress, &l.TLS)
		if ip, err := netip.ParseAddr(l.IPAddress); err == nil && !ip.IsLoopback() && l.TLS.Mode == "none" && c.Auth.AllowPlainWithoutTLS {
			d.wrong(fmt.Sprintf("listen.c2s[%d].tls.mode", i), l.TLS.Mode, "with auth.allow_plain_without_tls passwords would cross the network readably: want another mode, or a loopback address")
		}
		if l.MaxStanzaSize < 10_000 { // RFC 6120 §13.12
			d.wrong(fmt.Sprintf("listen.c2s[%d].max_stanza_size", i), int(l.MaxStanzaSize), "want at least 10000 bytes")
		}
	}
	for i := range c.Listen.HTTP {
		l := &c.Listen.HTTP[i]
		path := fmt.Sprintf("listen.http[%d]", i)
		d.listener(path, l.IPAddress, &l.TLS)
		if strings.HasPrefix(l.TLS.Mode, "starttls") {
			d.wrong(path+".tls.mode", l.TLS.Mode, `want "tls" or "none"`)
		}
	}
	for i := range c.Listen.Component {
		d.component(c, fmt.Sprintf("listen.component[%d]", i), &c.Listen.Component[i], n)
	}
	d.duplicates(c)
	d.mechanisms(c)
	if m := c.Modules.MUC; m != nil {
		d.muc(c, "modules.mod_muc.", m, slices.DeleteFunc(slices.Clone(c.General.Hosts), func(h string) bool { return c.MUCOf(h) != m }))
		n.muc("modules.mod_muc.", m)
	}
	d.hosts(c, n)
	d.muclog(c, n)
	if r := c.Modules.Register; r != nil {
		d.register(c, r, n)
	}
	d.invites(c.Modules.Invites, n)
	d.groupsInternal(c, c.Modules.GroupsInternal, n)
	d.pools(c)
	c.unused, c.dubious = n.unused(), slices.Concat(n.poolWarnings(), c.openRooms())
	if m := c.Modules.Disco; m != nil {
		d.disco(m)
	}
}

// isPostgresURL reports whether a connection string has one of PostgreSQL's two
// forms. What it names is not looked at.
func isPostgresURL(s string) bool {
	if strings.HasPrefix(s, "postgres://") || strings.HasPrefix(s, "postgresql://") {
		_, err := url.Parse(s)
		return err == nil
	}
	return strings.Contains(s, "=")
}

// duplicates finds listeners that would be in each other's way.
func (d *decoder) duplicates(c *Config) {
	seen := make(map[string]string)
	claim := func(path, address string, port Port) {
		where := fmt.Sprintf("%s port %d", address, port)
		if first := seen[where]; first != "" && port != 0 {
			d.problem(d.at(path+".port", path), path+".port", "%s listens at %s already", first, where)
		}
		seen[where] = path
	}
	for i := range c.Listen.C2S {
		claim(fmt.Sprintf("listen.c2s[%d]", i), c.Listen.C2S[i].IPAddress, c.Listen.C2S[i].Port)
	}
	for i := range c.Listen.Component {
		claim(fmt.Sprintf("listen.component[%d]", i), c.Listen.Component[i].IPAddress, c.Listen.Component[i].Port)
	}
	for i := range c.Listen.HTTP {
		claim(fmt.Sprintf("listen.http[%d]", i), c.Listen.HTTP[i].IPAddress, c.Listen.HTTP[i].Port)
	}
}

// at is where a key stands, or else another one that should have it beside it.
func (d *decoder) at(path, otherwise string) position {
	if at, ok := d.src.places[path]; ok {
		return at
	}
	if at, ok := d.src.keys[path]; ok {
		return at
	}
	return d.src.keys[otherwise]
}

// listener checks an address, and that nobody's password crosses a network
// with a certificate that nobody can check.
func (d *decoder) listener(path, address string, tls *TLS) {
	ip, err := netip.ParseAddr(address)
	if err != nil {
		d.wrong(path+".ip_address", address, "want an IP address such as 127.0.0.1, 0.0.0.0 or ::")
		return
	}
	if (tls.CertFile == "") != (tls.KeyFile == "") {
		d.problem(d.at(path+".tls.certfile", path+".tls.keyfile"), path+".tls", "certfile and keyfile belong together")
	}
	if tls.Mode != "none" && tls.CertFile == "" && !ip.IsLoopback() {
		d.problem(d.at(path+".ip_address", path), path, "%s can be reached from elsewhere and needs a certificate: set tls.certfile and tls.keyfile, or listen at 127.0.0.1", address)
	}
}

// mechanismNames are the SASL mechanisms in both spellings.
var mechanismNames = map[string]string{ //nolint:gochecknoglobals // a table
	"scram_sha256_plus": "SCRAM-SHA-256-PLUS", "scram_sha256": "SCRAM-SHA-256",
	"scram_sha1_plus": "SCRAM-SHA-1-PLUS", "scram_sha1": "SCRAM-SHA-1", "plain": "PLAIN",
}

// mechanisms brings the names of mechanisms into IANA's spelling.
func (d *decoder) mechanisms(c *Config) {
	known := slices.Sorted(maps.Values(mechanismNames))
	list := c.Auth.SASLMechanisms
	if len(list) == 0 {
		d.wrong("auth.sasl_mechanisms", list, "want at least one mechanism")
	}
	for i, m := range list {
		if iana, ok := mechanismNames[m]; ok {
			list[i] = iana
		} else if !slices.Contains(known, m) {
			d.wrong(fmt.Sprintf("auth.sasl_mechanisms[%d]", i), m, "want one of "+strings.Join(known, ", "))
		}
	}
}

// muc checks the table of the rooms of some hosts.
func (d *decoder) muc(c *Config, path string, m *MUC, hosts []string) {
	if name, ok := strings.CutSuffix(m.Host, ".@HOST@"); strings.Contains(m.Host, "@HOST@") && (!ok || strings.Contains(name, "@HOST@")) {
		d.wrong(path+"host", m.Host, "want @HOST@ once, at the end and behind a dot, like conference.@HOST@")
		hosts = nil
	}
	for _, host := range hosts {
		j, err := jid.Parse(m.HostFor(host))
		if err != nil || !j.IsBare() || j.Local() != "" || slices.Contains(c.General.Hosts, j.Domain()) {
			d.wrong(path+"host", m.Host, "want a domain of its own, like conference.@HOST@")
			break
		}
	}
	if len(hosts) > 1 && !strings.Contains(m.Host, "@HOST@") {
		d.wrong(path+"host", m.Host, "want @HOST@ in it, because several hosts are served")
	}
	if m.HibernatedCheck == 0 {
		d.wrong(path+"hibernated_room_check_interval", 0, `want "infinity" or more than 0: nothing else would ever be done`)
	}
	room := &m.DefaultRoom
	d.affiliations(path+"default_room.affiliations", room.Affiliations)
	if _, err := jid.New("", "author.invalid", room.SubjectAuthor); err != nil {
		d.wrong(path+"default_room.subject_author", room.SubjectAuthor, "want a nickname")
	}
}

// affiliations checks what new rooms start with.
func (d *decoder) affiliations(path string, list []Affiliation) {
	given := make(map[jid.JID]string)
	for i, a := range list {
		where := fmt.Sprintf("%s[%d]", path, i)
		j, err := jid.New(a.User, a.Server, "")
		switch {
		case err != nil || a.User == "" || a.Server == "":
			d.problem(d.at(where, where), where, "user and server are no address: %q, %q", a.User, a.Server)
		case given[j] != "" && given[j] != a.Affiliation:
			d.problem(d.at(where, where), where, "%s is given the affiliation %s, too: want one (affiliations are of people, whatever client they use)", j, given[j])
		default:
			given[j] = a.Affiliation
		}
		if a.Affiliation == "" && d.src.keys[where+".affiliation"] == (position{}) {
			d.problem(d.at(where, where), where+".affiliation", "required")
		}
	}
}

// HostFor returns the domain of the rooms of a served host.
func (m *MUC) HostFor(host string) string { return strings.ReplaceAll(m.Host, "@HOST@", host) }
