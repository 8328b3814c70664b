package config

import (
	"fmt"
	"net/url"
)

// statusAddresses are where people read how the server does. Other addresses
// should be URIs (XEP-0157 §3), these must.
const statusAddresses = "status-addresses"

// disco checks contact addresses, which become fields of a form (XEP-0157).
func (d *decoder) disco(m *Disco) {
	for i, info := range m.ServerInfo {
		path := fmt.Sprintf("modules.mod_disco.server_info[%d]", i)
		if info.Name == "" || info.Name == "FORM_TYPE" { // which is the form's own
			d.wrong(path+".name", info.Name, "want a kind of address, like abuse-addresses")
		}
		if len(info.URLs) == 0 {
			d.problem(d.at(path+".urls", path+".name"), path+".urls", `required: addresses, like ["mailto:abuse@example.org"]`)
		}
		for k, text := range info.URLs {
			u, err := url.Parse(text)
			switch {
			case text == "":
				d.wrong(fmt.Sprintf("%s.urls[%d]", path, k), text, "want an address")
			case info.Name == statusAddresses && (err != nil || u.Scheme == ""):
				d.wrong(fmt.Sprintf("%s.urls[%d]", path, k), text, "want a URI, like https://status.example.org (XEP-0157 §3)")
			}
		}
	}
}
