package config

import (
	"fmt"
	"net/netip"

	"github.com/muster-im/muster/internal/access"
	"github.com/muster-im/muster/jid"
)

// Register is [modules.mod_register]. Names and defaults are those of
// MongooseIM.
type Register struct {
	Access               string         `toml:"access" reload:"yes" doc:"Rule that says which accounts may be made; none closes registration. Who has an account may change his password and remove it in any case."`
	IPAccess             []IPAccess     `toml:"ip_access" reload:"yes" doc:"From where accounts may be made: the first entry that an address belongs to counts, and who belongs to none may."`
	PasswordStrength     Count          `toml:"password_strength" reload:"yes" doc:"The least entropy of a password in bits, as MongooseIM reckons it; 32 is sensible, 0 is no check."`
	WelcomeMessage       WelcomeMessage `toml:"welcome_message" doc:"Message to those who are new. None if both are empty."`
	RegistrationWatchers []string       `toml:"registration_watchers" reload:"yes" doc:"Addresses that get a message about every new account."`
}

func (r *Register) defaults() { *r = Register{Access: access.All} }

// IPAccess is one entry of modules.mod_register.ip_access.
type IPAccess struct {
	Address string `toml:"address" doc:"IP address, or network such as 10.0.0.0/8."`
	Policy  string `toml:"policy" choice:"allow,deny" doc:"What holds for it."`
}

func (a *IPAccess) defaults() { *a = IPAccess{} }

// Prefix returns the network that the entry is about; a single address is a
// network of one.
func (a *IPAccess) Prefix() (netip.Prefix, error) {
	if ip, err := netip.ParseAddr(a.Address); err == nil {
		ip = ip.Unmap().WithZone("")
		return ip.Prefix(ip.BitLen())
	}
	return netip.ParsePrefix(a.Address)
}

// WelcomeMessage is modules.mod_register.welcome_message.
type WelcomeMessage struct {
	Subject string `toml:"subject" reload:"yes" doc:"Subject."`
	Body    string `toml:"body" reload:"yes" doc:"Text."`
}

// register checks [modules.mod_register].
func (d *decoder) register(c *Config, r *Register, n *names) {
	const path = "modules.mod_register."
	n.rule(path+"access", r.Access)
	for i := range r.IPAccess {
		a := &r.IPAccess[i]
		where := fmt.Sprintf("%sip_access[%d]", path, i)
		if _, err := a.Prefix(); err != nil {
			d.wrong(where+".address", a.Address, "want an IP address, or a network such as 10.0.0.0/8")
		}
		if a.Policy == "" && d.src.keys[where+".policy"] == (position{}) {
			d.problem(d.at(where, where), where+".policy", `required: "allow" or "deny"`)
		}
	}
	for i, w := range r.RegistrationWatchers {
		if _, err := jid.Parse(w); err != nil {
			d.wrong(fmt.Sprintf("%sregistration_watchers[%d]", path, i), w, "want an address such as admin@example.org")
		}
	}
	if c.General.RegistrationTimeout != 0 || r.Access == access.None || r.closed() {
		return
	}
	for i := range c.Listen.C2S {
		if ip, err := netip.ParseAddr(c.Listen.C2S[i].IPAddress); err == nil && !ip.IsLoopback() {
			d.problem(d.at("general.registration_timeout", "modules.mod_register"), "general.registration_timeout",
				"registration is open, and %s can be reached from elsewhere: anybody could make accounts without end. Set a number of seconds, modules.mod_register.access to \"none\", or a last ip_access that denies 0.0.0.0/0 and one that denies ::/0", c.Listen.C2S[i].IPAddress)
			return
		}
	}
}

// closed reports whether addresses that no entry names may not register.
func (r *Register) closed() bool {
	var v4, v6 string // what holds for everybody
	for i := range r.IPAccess {
		p, err := r.IPAccess[i].Prefix()
		switch {
		case err != nil || p.Bits() > 0:
		case p.Addr().Is4() && v4 == "":
			v4 = r.IPAccess[i].Policy
		case p.Addr().Is6() && v6 == "":
			v6 = r.IPAccess[i].Policy
		}
	}
	return v4 == "deny" && v6 == "deny"
}
