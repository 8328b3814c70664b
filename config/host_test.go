package config_test

import (
	"strings"
	"testing"

	"github.com/muster-im/muster/config"
	"github.com/muster-im/muster/jid"
)

func TestHostConfig(t *testing.T) {
	t.Parallel()
	c, err := config.Parse("m.toml", []byte(`[general]
hosts = ["verona.test", "mantua.test"]
[acl]
admin = [{user = "prince"}]
[access]
muc_create = [{acl = "admin", value = "allow"}, {acl = "all", value = "allow"}]
muc_admin = [{acl = "admin", value = "allow"}]
muc = [{acl = "feud", value = "deny"}, {acl = "all", value = "allow"}]
[modules.mod_muc]
host = "rooms.@HOST@"
access = "muc"
access_create = "muc_create"
access_admin = "muc_admin"
max_users = 7
[[host_config]]
host = "mantua.test"
acl.feud = [{user = "tybalt"}]
acl.admin = [{user = "apothecary"}]
access.muc_create = [{acl = "feud", value = "deny"}]
access.own = [{acl = "feud", value = "allow"}]
modules.mod_muc.host = "chat.mantua.test"
modules.mod_muc.access_create = "muc_create"
modules.mod_muc.access_persistent = "own"
`))
	if err != nil {
		t.Fatal(err)
	}
	verona, mantua := c.MUCOf("verona.test"), c.MUCOf("mantua.test")
	if verona.HostFor("verona.test") != "rooms.verona.test" || verona.MaxUsers != 7 {
		t.Errorf("verona has %+v", verona)
	}
	if mantua.HostFor("mantua.test") != "chat.mantua.test" || mantua.MaxUsers != 200 || mantua.Access != "all" { // nothing is inherited
		t.Errorf("mantua has %+v", mantua)
	}
	rules, err := c.Rules()
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		rule, host, who string
		want            bool
	}{
		{"muc_create", "verona.test", "tybalt@verona.test", true},
		{"muc_create", "mantua.test", "tybalt@mantua.test", false}, // before the last entry, which allows everybody
		{"muc_create", "mantua.test", "romeo@mantua.test", true},
		{"muc_create", "mantua.test", "prince@mantua.test", true},
		{"muc_admin", "verona.test", "prince@verona.test", true},
		{"muc_admin", "verona.test", "apothecary@verona.test", false},
		{"muc_admin", "mantua.test", "apothecary@mantua.test", true}, // added to the class
		{"muc_admin", "mantua.test", "prince@mantua.test", true},
		{"muc", "verona.test", "tybalt@verona.test", true}, // the class is mantua's
		{"muc", "mantua.test", "tybalt@mantua.test", false},
		{"own", "verona.test", "tybalt@verona.test", false},
		{"own", "mantua.test", "tybalt@mantua.test", true},
	} {
		if got := rules.Allows(test.rule, test.host, jid.MustParse(test.who)); got != test.want {
			t.Errorf("%s in %s of %s: got %v, want %v", test.rule, test.host, test.who, got, test.want)
		}
	}
	if got := c.Unused().Error(); strings.Contains(got, "muc") {
		t.Errorf("unused: %s", got)
	}
}

func TestHostConfigProblems(t *testing.T) {
	t.Parallel()
	_, err := config.Parse("m.toml", []byte(`[general]
hosts = ["verona.test", "mantua.test", "milan.test"]
[access]
muc = [{acl = "all", value = "allow"}]
speed = [{acl = "all", value = 5}]
[modules.mod_muc]
access = "muc"
access_create = "own"
[[host_config]]
host = "padua.test"
modules.mod_muk = {}
[[host_config]]
host = "mantua.test"
auth.methods = ["ldap"]
acl.feud = [{user_regexp = "("}]
access.own = [{acl = "fued", value = "deny"}, {acl = "all"}]
[host_config.modules.mod_muc]
host = "conference.verona.test"
access = "muk"
access_admin = "speed"
max_users = 0
default_room.logging = true
default_room.affiliations = [{user = "a b", server = "x", affiliation = "owner"}]
[[host_config]]
host = "mantua.test"
[[host_config]]
modules.mod_muc.host = "milan.test"
`))
	const want = `m.toml:5:32: access.speed[0].value: host_config[1].modules.mod_muc.access_admin asks this rule for a permission: want "allow" or "deny", got "5"
m.toml:8:17: modules.mod_muc.access_create: want "all", "none" or a rule that [access] defines (defined: muc, speed), got "own"
m.toml:10:8: host_config[0].host: want one of general.hosts, got "padua.test"
m.toml:11:9: host_config[0].modules.mod_muk: unknown key (did you mean "mod_muc"?)
m.toml:14:1: host_config[1].auth: this version does not have ways to log in of single hosts (all share [auth]): remove the key
m.toml:15:28: host_config[1].acl.feud[0].user_regexp: `
	if err == nil || !strings.HasPrefix(err.Error(), want) {
		t.Errorf("got\n%v\nwant\n%s", err, want)
	}
	for _, line := range []string{
		`m.toml:16:22: host_config[1].access.own[0].acl: want "all" or a class that [acl] defines, got "fued"`,
		"m.toml:16:47: host_config[1].access.own[1].value: required, like \"allow\"",
		"m.toml:18:8: host_config[1].modules.mod_muc.host: verona.test has its rooms at conference.verona.test already",
		`m.toml:19:10: host_config[1].modules.mod_muc.access: want "all", "none" or a rule that [access] defines (did you mean "muc"?), got "muk"`,
		"m.toml:21:13: host_config[1].modules.mod_muc.max_users: want a positive integer, got 0",
		"m.toml:22:24: host_config[1].modules.mod_muc.default_room.logging: want [modules.mod_muc_log], which writes the logs, got true",
		"m.toml:23:30: host_config[1].modules.mod_muc.default_room.affiliations[0]: user and server are no address",
		`m.toml:25:8: host_config[2].host: want every host once, got "mantua.test"`,
		"host_config[3].host: required: one of general.hosts",
	} {
		if err != nil && !strings.Contains(err.Error(), line) {
			t.Errorf("missing %s in\n%v", line, err)
		}
	}
}
