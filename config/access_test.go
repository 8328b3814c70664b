package config_test

import (
	"strings"
	"testing"

	"github.com/muster-im/muster/config"
	"github.com/muster-im/muster/jid"
)

// TestMongooseIMsRules loads the access rules of MongooseIM's own example file.
func TestMongooseIMsRules(t *testing.T) {
	t.Parallel()
	c := parseFile(t, `
[general]
hosts = ["example.org"]
registration_timeout = "infinity"
[[listen.c2s]]
access = "c2s"
shaper = "c2s_shaper"
[shaper.normal]
  max_rate = 1000
[shaper.fast]
  max_rate = 50_000
[acl]
  local = [{}]
  blocked = [{user = "mallory"}]
  admin = [
    {user = "alice", server = "example.org"},
    {user_glob = "admin?", match = "any_hosted_domain"}
  ]
[access]
  max_user_sessions = [{acl = "all", value = 10}]
  c2s = [
    {acl = "blocked", value = "deny"},
    {acl = "all", value = "allow"}
  ]
  c2s_shaper = [
    {acl = "admin", value = "none"},
    {acl = "all", value = "normal"}
  ]
  register = [{acl = "all", value = "allow"}]
[modules.mod_register]
  welcome_message = {subject = "Hello from MIM!", body = "Message body."}
  ip_access = [
    {address = "127.0.0.1", policy = "allow"},
    {address = "0.0.0.0/0", policy = "deny"}
  ]
  access = "register"
`)
	rules, err := c.Rules()
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct{ rule, who, want string }{
		{"c2s", "mallory@example.org", "deny"},
		{"c2s", "romeo@example.org", "allow"},
		{"c2s_shaper", "alice@example.org/x", "none"},
		{"c2s_shaper", "admin1@example.org", "none"},
		{"c2s_shaper", "romeo@example.org", "normal"},
		{"max_user_sessions", "romeo@example.org", "10"},
	} {
		if got := rules.Match(tt.rule, "example.org", jid.MustParse(tt.who)).String(); got != tt.want {
			t.Errorf("%s of %s: got %s, want %s", tt.rule, tt.who, got, tt.want)
		}
	}
	unused := c.Unused()
	if len(unused) != 2 || !strings.HasPrefix(unused[0].String(), "muster.toml:10:9: shaper.fast: no setting names this") ||
		!strings.HasPrefix(unused[1].String(), "muster.toml:20:") || unused[1].Key != "access.max_user_sessions" {
		t.Errorf("unused: %v", unused)
	}
	if c.Shaper["fast"].MaxRate != 50_000 || c.Modules.Register.WelcomeMessage.Subject != "Hello from MIM!" {
		t.Errorf("got %+v and %+v", c.Shaper, c.Modules.Register)
	}
}

func TestAccessProblems(t *testing.T) {
	t.Parallel()
	tests := []struct{ name, text, want string }{
		{"class", "[access]\nx = [{acl = \"locl\", value = \"allow\"}]\n", `m.toml:4:13: access.x[0].acl: want "all" or a class that [acl] defines, got "locl"`},
		{"class all", "[acl]\nall = [{}]\n", `m.toml:4:1: acl.all: the class "all" is built in: choose another name`},
		{"rule none", "[access]\nnone = [{acl = \"all\", value = \"allow\"}]\n", `access.none: the rule "none" is built in`},
		{"no class", "[access]\nx = [{value = \"allow\"}]\n", `m.toml:4:6: access.x[0].acl: required`},
		{"no value", "[access]\nx = [{acl = \"all\"}]\n", `m.toml:4:6: access.x[0].value: required, like "allow"`},
		{"value", "[access]\nx = [{acl = \"all\", value = true}]\n", `m.toml:4:28: access.x[0].value: want a word such as "allow", or an integer, got true`},
		{"match", "[acl]\nx = [{match = \"alll\"}]\n", `m.toml:4:15: acl.x[0].match: want "current_domain", "any_hosted_domain", "all" or "none", got "alll"`},
		{"condition", "[acl]\nx = [{usr = \"a\"}]\n", `m.toml:4:7: acl.x[0].usr: unknown key (did you mean "user"?)`},
		{"regexp", "[acl]\nx = [{}, {user_regexp = \"(\"}]\n", `m.toml:4:25: acl.x[1].user_regexp: want a regular expression`},
		{"class of another kind", "[acl]\nx = \"a\"\n", `m.toml:4:5: acl.x: want an array of tables, got "a"`},
		{"rule of a listener", "[[listen.c2s]]\naccess = \"c2\"\n[access]\nc2s = []\n", `m.toml:4:10: listen.c2s[0].access: want "all", "none" or a rule that [access] defines (did you mean "c2s"?), got "c2"`},
		{
			"rule for a listener", "[[listen.c2s]]\naccess = \"x\"\n[access]\nx = [{acl = \"all\", value = \"alow\"}]\n",
			`m.toml:6:28: access.x[0].value: listen.c2s[0].access asks this rule for a permission: want "allow" or "deny", got "alow"`,
		},
		{"shaper of a listener", "[[listen.c2s]]\nshaper = \"fast\"\n", `m.toml:4:10: listen.c2s[0].shaper: want "none", a shaper that [shaper.NAME] defines, or a rule of [access] that says which, got "fast"`},
		{
			"rule for shapers", "[[listen.c2s]]\nshaper = \"x\"\n[access]\nx = [{acl = \"all\", value = \"fast\"}]\n",
			`m.toml:6:28: access.x[0].value: listen.c2s[0].shaper asks this rule for a shaper: want "none" or a shaper that [shaper.NAME] defines, got "fast"`,
		},
		{"shaper without a rate", "[shaper.x]\n", `m.toml:3:9: shaper.x.max_rate: required: bytes in a second`},
		{"shaper's old key", "[shaper.x]\nmaxrate = 5\n", `m.toml:4:1: shaper.x.maxrate: unknown key (did you mean "max_rate"?)`},
		{"shaper without limit", "[shaper.none]\nmax_rate = 5\n", `m.toml:3:9: shaper.none: the name "none" means no shaper`},
		{"registration rule", "[modules.mod_register]\naccess = \"friends\"\n", `m.toml:4:10: modules.mod_register.access: want "all", "none" or a rule`},
		{"registration, other systems' keys", "[modules.mod_register]\niqdisc.type = \"one_queue\"\n", `m.toml:4:1: modules.mod_register.iqdisc: this version does not have queues for requests`},
		{"registration network", "[modules.mod_register]\nip_access = [{address = \"10.0.0.0/99\", policy = \"deny\"}]\n", `m.toml:4:25: modules.mod_register.ip_access[0].address: want an IP address, or a network`},
		{"registration policy", "[modules.mod_register]\nip_access = [{address = \"10.0.0.0/9\"}]\n", `m.toml:4:14: modules.mod_register.ip_access[0].policy: required: "allow" or "deny"`},
		{"watcher", "[modules.mod_register]\nregistration_watchers = [\"a@b@c\"]\n", `registration_watchers[0]: want an address such as admin@example.org, got "a@b@c"`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			_, err := config.Parse("m.toml", []byte(minimal+tt.text))
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("%s\ngot:\n%v\nwant:\n%s", tt.text, err, tt.want)
			}
		})
	}
}

// TestOpenRegistration: nobody lets the whole world make accounts without end
// by mistake.
func TestOpenRegistration(t *testing.T) {
	t.Parallel()
	const outside = "ip_address = \"0.0.0.0\"\ntls.certfile = \"a\"\ntls.keyfile = \"b\"\n"
	const closed = "ip_access = [{address = \"10.0.0.0/8\", policy = \"allow\"}, {address = \"0.0.0.0/0\", policy = \"deny\"}, {address = \"::/0\", policy = \"deny\"}]\n"
	tests := []struct {
		name, general, listener, module string
		refused                         bool
	}{
		{"the default limit", "", outside, "", false},
		{"no limit", "registration_timeout = \"infinity\"", outside, "", true},
		{"no limit, but loopback only", "registration_timeout = \"infinity\"", "", "", false},
		{"no limit, but nobody may", "registration_timeout = \"infinity\"", outside, "access = \"none\"\n", false},
		{"no limit, but only from inside", "registration_timeout = \"infinity\"", outside, closed, false},
		{"no limit, and only one family of addresses is shut out", "registration_timeout = \"infinity\"", outside, closed[:strings.Index(closed, ", {address = \"::")] + "]\n", true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			_, err := config.Parse("m.toml", []byte(minimal+tt.general+"\n[[listen.c2s]]\n"+tt.listener+"[modules.mod_register]\n"+tt.module))
			refused := err != nil && strings.Contains(err.Error(), "m.toml:3:24: general.registration_timeout: registration is open, and 0.0.0.0 can be reached from elsewhere")
			if refused != tt.refused || err != nil && !refused {
				t.Errorf("got %v, want refused: %v", err, tt.refused)
			}
		})
	}
}
