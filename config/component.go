package config

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/muster-im/muster/jid"
)

// component checks a listener for external components.
func (d *decoder) component(c *Config, path string, l *Component, n *names) {
	n.rule(path+".access", l.Access)
	d.listener(path, l.IPAddress, &l.TLS)
	if strings.HasPrefix(l.TLS.Mode, "starttls") {
		d.wrong(path+".tls.mode", l.TLS.Mode, `want "tls" or "none"`)
	}
	if ip, err := netip.ParseAddr(l.IPAddress); err == nil && !ip.IsLoopback() && l.TLS.Mode == "none" && !l.AllowWithoutTLS {
		d.wrong(path+".tls.mode", l.TLS.Mode, `what everybody writes would cross the network readably: want "tls", a loopback address, or allow_without_tls`)
	}
	if l.Password == "" {
		d.problem(d.at(path+".password", path), path+".password", "required: a secret that the components have, too")
	}
	if l.MaxStanzaSize < 10_000 { // RFC 6120 §13.12
		d.wrong(path+".max_stanza_size", int(l.MaxStanzaSize), "want at least 10000 bytes")
	}
	for i, domain := range l.Domains {
		where := fmt.Sprintf("%s.domains[%d]", path, i)
		j, err := jid.Parse(domain)
		if err != nil || j != j.DomainOnly() {
			d.wrong(where, domain, "want a domain")
			continue
		}
		l.Domains[i] = j.Domain()
		if slices.Contains(c.General.Hosts, j.Domain()) || c.hasRoomsAt(j.Domain()) {
			d.wrong(where, domain, "want a domain that nothing of the server's own has")
		}
	}
}

// hasRoomsAt reports whether a domain has rooms.
func (c *Config) hasRoomsAt(domain string) bool {
	_, ok := c.RoomsAt(domain)
	return ok
}
