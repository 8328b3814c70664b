package config_test

import (
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/muster-im/muster/config"
	"github.com/muster-im/muster/jid"
)

func migrate(t *testing.T, name string) (*config.Migration, *config.Config) {
	t.Helper()
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	m, err := config.FromMongooseIM(name, data)
	if err != nil {
		t.Fatal(err)
	}
	c, err := config.Parse("muster.toml", m.File)
	if err != nil {
		t.Fatalf("%v\nin\n%s", err, m.File)
	}
	return m, c
}

func TestFromMongooseIM(t *testing.T) {
	t.Parallel()
	m, c := migrate(t, "testdata/mongooseim/full.toml")
	keys := make(map[string]config.Moved)
	line := 0
	for _, k := range m.Keys {
		if k.Line < line || k.Line == 0 {
			t.Errorf("%s stands at %d, behind %d", k.Key, k.Line, line)
		}
		line, keys[k.Key] = k.Line, k
	}
	for key, want := range map[string]config.Moved{
		"general.loglevel":                                       {Fate: config.Renamed},
		"general.hosts":                                          {Fate: config.Kept},
		"general.default_server_domain":                          {Fate: config.NotNeeded},
		"general.route_subdomains":                               {Fate: config.Lost},
		"listen.http[0].port":                                    {Fate: config.Lost},
		"listen.http[1].port":                                    {Fate: config.Kept},
		"listen.c2s[0].tls.certfile":                             {Fate: config.Renamed},
		"listen.c2s[0].tls.dhfile":                               {Fate: config.NotNeeded},
		"listen.c2s[0].num_acceptors":                            {Fate: config.NotNeeded},
		"auth.methods":                                           {Fate: config.NotNeeded},
		"auth.sasl_mechanisms":                                   {Fate: config.Lost, Security: true},
		"auth.max_users_per_domain":                              {Fate: config.Lost, Security: true},
		"outgoing_pools.redis.global_distrib.scope":              {Fate: config.NotNeeded},
		"outgoing_pools.rdbms.default.workers":                   {Fate: config.NotNeeded},
		"outgoing_pools.rdbms.default.connection.password":       {Fate: config.Renamed},
		"outgoing_pools.rdbms.default.connection.tls.cacertfile": {Fate: config.Lost},
		"services.service_admin_extra.submods":                   {Fate: config.NotNeeded},
		"modules.mod_roster.backend":                             {Fate: config.NotNeeded},
		"modules.mod_privacy":                                    {Fate: config.Lost},
		"modules.mod_pubsub.plugins":                             {Fate: config.Lost},
		"modules.mod_muc.max_room_name":                          {Fate: config.Kept},
		"modules.mod_muc.default_room.affiliations[0].resource":  {Fate: config.Lost},
		"acl.odd[0].user":                                        {Fate: config.Lost, Security: true},
		"acl.local[0]":                                           {Fate: config.Kept},
		"access.c2s[0].acl":                                      {Fate: config.NotNeeded}, // as in MongooseIM, where the class is not defined either
		"access.c2s[1].value":                                    {Fate: config.Kept},
		"access.max_user_sessions[0].value":                      {Fate: config.NotNeeded},
		"access.muc[0].value":                                    {Fate: config.Kept},
	} {
		if got := keys[key]; got.Fate != want.Fate || got.Security != want.Security || got.Fate == config.Lost && got.Note == "" {
			t.Errorf("%s: got %+v, want %+v", key, got, want)
		}
	}
	if got, want := string(c.Storage.URL), "postgres://capulet:ro%3Ase%40@db.verona.test:5433/muster_muster?sslmode=verify-full"; got != want {
		t.Errorf("database at %s, want %s", got, want)
	}
	if l := c.Listen.C2S[0]; l.IPAddress != "0.0.0.0" || l.TLS.KeyFile != "priv/ssl/server.pem" || l.TLS.Mode != "starttls_required" {
		t.Errorf("clients connect to %+v", l)
	}
	if got := strings.Join(c.Auth.SASLMechanisms, " "); got != "SCRAM-SHA-256-PLUS SCRAM-SHA-256 PLAIN" {
		t.Errorf("mechanisms %s", got)
	}
}

// What is lost of rules and classes lets nobody in whom the original kept out.
func TestMigrationPermitsNoMore(t *testing.T) {
	t.Parallel()
	const head = "[general]\nhosts = [\"a.test\"]\n[modules.mod_muc]\naccess = \"r\"\n"
	eve := jid.MustParse("eve@a.test")
	for _, test := range []struct {
		name, text string
		allowed    bool
	}{
		{"whole", "[access]\nr = [{acl = \"all\", value = \"allow\"}]\n", true},
		{"an entry that denies is lost", "[acl]\nbad = [{user = \"eve\"}]\n[access]\nr = [{acl = \"bad\", value = \"deny\", until = \"noon\"}, {acl = \"all\", value = \"allow\"}]\n", false},
		{"a value is none", "[access]\nr = [{acl = \"all\", value = 1.5}, {acl = \"all\", value = \"allow\"}]\n", false},
		{"a condition is lost", "[acl]\ngood = [{user_regexp = \"^e\", mood = \"fair\"}]\n[access]\nr = [{acl = \"good\", value = \"allow\"}]\n", false},
		{"of whom is denied a condition is lost", "[acl]\nbad = [{user = \"eve\", mood = \"foul\"}]\n[access]\nr = [{acl = \"bad\", value = \"deny\"}, {acl = \"all\", value = \"allow\"}]\n", false},
		{"an expression is none", "[acl]\ngood = [{user_regexp = \"(\"}]\n[access]\nr = [{acl = \"good\", value = \"allow\"}]\n", false},
		{"a class that there never was", "[access]\nr = [{acl = \"blocked\", value = \"deny\"}, {acl = \"all\", value = \"allow\"}]\n", true},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			m, err := config.FromMongooseIM("m.toml", []byte(head+test.text))
			if err != nil {
				t.Fatal(err)
			}
			c, err := config.Parse("muster.toml", m.File)
			if err != nil {
				t.Fatal(err)
			}
			rules, err := c.Rules()
			if err != nil {
				t.Fatal(err)
			}
			if got := rules.Allows(c.Modules.MUC.Access, "a.test", eve); got != test.allowed {
				t.Errorf("eve is let in: %v, want %v\n%s", got, test.allowed, m.File)
			}
		})
	}
}

// TestMigrationOfUnknownRules: who is asked for by a rule that is not there is
// nobody, as with MongooseIM, and what protected a room is not lost in silence.
func TestMigrationOfUnknownRules(t *testing.T) {
	t.Parallel()
	const file = `[general]
hosts = ["localhost"]
[modules.mod_muc]
access_create = "typo"
http_auth_pool = "gone"
default_room.password_protected = true
`
	m, err := config.FromMongooseIM("mongooseim.toml", []byte(file))
	if err != nil {
		t.Fatal(err)
	}
	c, err := config.Parse("muster.toml", m.File)
	if err != nil {
		t.Fatal(err)
	}
	if got := c.Modules.MUC.AccessCreate; got != "none" {
		t.Errorf("rooms are created by %q, want none\n%s", got, m.File)
	}
	if c.Modules.MUC.DefaultRoom.Password == "" {
		t.Errorf("an empty password opens rooms that nobody could enter\n%s", m.File)
	}
	for _, key := range []string{"modules.mod_muc.access_create", "modules.mod_muc.http_auth_pool"} {
		i := slices.IndexFunc(m.Keys, func(k config.Moved) bool { return k.Key == key })
		if i < 0 || m.Keys[i].Fate != config.Lost || !m.Keys[i].Security {
			t.Errorf("%s: %+v", key, m.Keys)
		}
	}
}

// TestMigrationOfStock: what every file has says nothing of security here, and
// the report says the same as a check of what comes out.
func TestMigrationOfStock(t *testing.T) {
	t.Parallel()
	m, c := migrate(t, "testdata/mongooseim/stock.toml")
	for _, k := range m.Keys {
		if k.Security {
			t.Errorf("cries wolf: %+v", k)
		}
	}
	for _, p := range append(c.Remarks(), c.Unused()...) {
		t.Errorf("kept, and nothing: %v", p)
	}
	for _, p := range c.Warnings() {
		if strings.Contains(p.Text, "not needed") {
			t.Errorf("kept, and not needed: %v", p)
		}
	}
}

// TestMigrationOfWhatOpens: what is lost is about security where more is
// permitted without it, and nowhere else.
func TestMigrationOfWhatOpens(t *testing.T) {
	t.Parallel()
	const head = "[general]\nhosts = [\"a.test\"]\n"
	for _, test := range []struct {
		name, text, key string
		fate            config.Fate
		security        bool
		note            string // a part of it
	}{
		{"whoever is kept out of new rooms", "[[modules.mod_muc.default_room.affiliations]]\nuser = \"eve\"\nserver = \"a.test\"\naffiliation = \"banned\"", "modules.mod_muc.default_room.affiliations[0].user", config.Lost, true, "want"},
		{"whoever owns new rooms", "[[modules.mod_muc.default_room.affiliations]]\nuser = \"eve\"\nserver = 7\naffiliation = \"owner\"", "modules.mod_muc.default_room.affiliations[0].user", config.Lost, false, "no address"},
		{"a word of several", "[modules.mod_muc]\ndefault_room.maygetmemberlist = [\"moderator\", \"king\"]", "modules.mod_muc.default_room.maygetmemberlist", config.Lost, false, "\"king\": "},
		{"versions of TLS", "[[listen.c2s]]\nport = 5222\ntls.versions = [\"tlsv1.3\"]", "listen.c2s[0].tls.versions", config.Lost, true, "1.2"},
		{"old versions of TLS", "[[listen.c2s]]\nport = 5222\ntls.versions = [\"tlsv1.2\", \"tlsv1.3\"]", "listen.c2s[0].tls.versions", config.NotNeeded, false, "safe"},
		{"archives that are denied", "[access]\nmam_lookup_messages = [{acl = \"all\", value = \"deny\"}]", "access.mam_lookup_messages[0].value", config.Lost, true, "archives"},
		{"search for users", "[modules.mod_vcard]\nhost = \"vjud.@HOST@\"", "modules.mod_vcard.host", config.Lost, false, "search"},
		{"domains that are kept apart", "[modules.mod_domain_isolation]", "modules.mod_domain_isolation", config.Lost, true, ""},
		{"more iterations", "[auth]\nscram_iterations = 64000", "auth.scram_iterations", config.Lost, true, "10000"},
		{"rules of what is not served", "[modules.mod_http_upload]\naccess = \"up\"", "modules.mod_http_upload.access", config.Lost, false, ""},
		{"rules of one host", "[[host_config]]\nhost = \"a.test\"\n[host_config.modules.mod_muc]\naccess = \"typo\"", "host_config[0].modules.mod_muc.access", config.Lost, true, "nobody may"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			m, err := config.FromMongooseIM("m.toml", []byte(head+test.text+"\n"))
			if err != nil {
				t.Fatal(err)
			}
			i := slices.IndexFunc(m.Keys, func(k config.Moved) bool { return k.Key == test.key })
			if i < 0 {
				t.Fatalf("nothing is said of %s: %+v", test.key, m.Keys)
			}
			if k := m.Keys[i]; k.Fate != test.fate || k.Security != test.security || !strings.Contains(k.Note, test.note) {
				t.Errorf("got %+v", k)
			}
		})
	}
}

func TestMigrationWithoutLoss(t *testing.T) {
	t.Parallel()
	m, c := migrate(t, "testdata/mongooseim/small.toml")
	for _, k := range m.Keys {
		if k.Fate == config.Lost {
			t.Errorf("%+v", k)
		}
	}
	if c.Modules.MUC.Host != "muc.verona.test" || c.Listen.C2S[0].Access != "c2s" {
		t.Errorf("%s", m.File)
	}
}

// TestMigrationKeepsTheRest: what is wrong with one of several tables takes the
// others with it not even if two things are.
func TestMigrationKeepsTheRest(t *testing.T) {
	t.Parallel()
	const file = `[general]
hosts = ["localhost"]
[shaper.good]
max_rate = 1000
[shaper.wrong]
maxrate = 5
max = 7
[modules.mod_muc]
room_shaper = "good"
user_message_shaper = "wrong"
`
	m, err := config.FromMongooseIM("mongooseim.toml", []byte(file))
	if err != nil {
		t.Fatal(err)
	}
	c, err := config.Parse("muster.toml", m.File)
	if err != nil {
		t.Fatal(err)
	}
	if got := c.Modules.MUC.RoomShaper; got != "good" || c.Shaper["good"].MaxRate != 1000 || len(c.Shaper) != 1 {
		t.Errorf("rooms have the shaper %q of %v\n%s", got, c.Shaper, m.File)
	}
	if !strings.HasSuffix(string(m.File), "\n") {
		t.Error("the file ends within a line")
	}
}

// TestMigrationOfLogs: who may switch logging on is asked by a rule that
// MongooseIM's file need not name.
func TestMigrationOfLogs(t *testing.T) {
	t.Parallel()
	const head = "[general]\nhosts = [\"localhost\"]\n[acl]\nadmin = [{user = \"nurse\"}]\n[modules.mod_muc]\n[modules.mod_muc_log]\n"
	for _, test := range []struct{ name, text, want string }{
		{"no word of it", "[access]\nmuc_admin = [{acl = \"admin\", value = \"allow\"}]\n", "muc_admin"},
		{"and no such rule", "", "none"},
		{"another rule", "access_log = \"log\"\n[access]\nmuc_admin = [{acl = \"admin\", value = \"allow\"}]\nlog = [{acl = \"all\", value = \"allow\"}]\n", "log"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			m, err := config.FromMongooseIM("mongooseim.toml", []byte(head+test.text))
			if err != nil {
				t.Fatal(err)
			}
			c, err := config.Parse("muster.toml", m.File)
			if err != nil {
				t.Fatal(err)
			}
			if got := c.Modules.MUCLog.AccessLog; got != test.want {
				t.Errorf("logging is switched on by %q, want %q\n%s", got, test.want, m.File)
			}
		})
	}
}

func TestNothingToMigrate(t *testing.T) {
	t.Parallel()
	for name, text := range map[string]string{"no TOML": "[general\n", "nothing": "", "no hosts": "[general]\nloglevel = \"debug\"\n"} {
		if m, err := config.FromMongooseIM("m.toml", []byte(text)); err == nil {
			t.Errorf("%s: got %s", name, m.File)
		}
	}
}
