package config_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/muster-im/muster/config"
)

const minimal = "[general]\nhosts = [\"example.org\"]\n"

func TestProblems(t *testing.T) {
	t.Parallel()
	tests := []struct{ name, text, want string }{
		{
			"all at once, in order",
			"[general]\nhosts = [\"example.org\"]\nloglevl = \"info\"\n\n[[listen.c2s]]\nprot = 5222\nport = 70000\n\n[modules.mod_muc]\nmax_users = \"lots\"\n",
			`m.toml:3:1: general.loglevl: unknown key (did you mean "loglevel"?)
m.toml:6:1: listen.c2s[0].prot: unknown key (did you mean "port"?)
m.toml:7:8: listen.c2s[0].port: want a port number from 0 to 65535, got 70000
m.toml:10:13: modules.mod_muc.max_users: want a positive integer, got "lots"`,
		},
		{"nothing", "", `m.toml: general.hosts: required: the domains to serve, like ["example.org"]`},
		{"no TOML", "[general\n", "m.toml:1:9: expected"},
		{"twice", minimal + "[general]\n", "m.toml:3:"},
		{"word", minimal + "loglevel = \"loud\"\n", `m.toml:3:12: general.loglevel: want "trace", "debug", "info", "warning" or "error", got "loud"`},
		{"more than there is", minimal + "[modules.mod_muc]\nmax_users = 9223372036854775807\n", "m.toml:4:13: modules.mod_muc.max_users: want at most 2147483648, got 9223372036854775807"},
		{"host within", minimal + "[modules.mod_muc]\nhost = \"@HOST@.muc\"\n", `m.toml:4:8: modules.mod_muc.host: want @HOST@ once, at the end and behind a dot, like conference.@HOST@, got "@HOST@.muc"`},
		{"host without a dot", minimal + "[modules.mod_muc]\nhost = \"muc-@HOST@\"\n", `m.toml:4:8: modules.mod_muc.host: want @HOST@ once, at the end and behind a dot`},
		{"not yet", minimal + "[modules.mod_disco]\nextra_domains = []\n", "m.toml:4:1: modules.mod_disco.extra_domains: this version does not have services of others in discovery: remove the key"},
		{
			"contact addresses", minimal + "[[modules.mod_disco.server_info]]\nname = \"\"\nurls = [\"admin@example.org\", \"\"]\n" +
				"[[modules.mod_disco.server_info]]\nname = \"status-addresses\"\nurls = [\"https://status.example.org\", \"status.example.org\"]\nmodules = [\"mod_muc\"]\n" +
				"[[modules.mod_disco.server_info]]\nname = \"sales-addresses\"\n",
			`m.toml:4:8: modules.mod_disco.server_info[0].name: want a kind of address, like abuse-addresses, got ""
m.toml:5:30: modules.mod_disco.server_info[0].urls[1]: want an address, got ""
m.toml:8:39: modules.mod_disco.server_info[1].urls[1]: want a URI, like https://status.example.org (XEP-0157 §3), got "status.example.org"
m.toml:9:1: modules.mod_disco.server_info[1].modules: this version does not have contact addresses of single services: remove the key
m.toml:11:1: modules.mod_disco.server_info[2].urls: required: addresses, like ["mailto:abuse@example.org"]`,
		},
		{"always", minimal + "[modules.mod_vcard]\nhost = \"vjud.@HOST@\"\n", "m.toml:3:10: modules.mod_vcard: every server does this, without settings: remove the table"},
		{"unknown module", minimal + "[modules.mod_muk]\n", `m.toml:3:10: modules.mod_muk: unknown key (did you mean "mod_muc"?)`},
		{"type", minimal + "[modules.mod_muc.default_room]\npublic = 1\n", "m.toml:4:10: modules.mod_muc.default_room.public: want true or false, got 1"},
		{
			"everywhere without a certificate", minimal + "[[listen.c2s]]\nip_address = \"0.0.0.0\"\n",
			"m.toml:4:14: listen.c2s[0]: 0.0.0.0 can be reached from elsewhere and needs a certificate: set tls.certfile and tls.keyfile, or listen at 127.0.0.1",
		},
		{"mechanism", minimal + "[auth]\nsasl_mechanisms = [\"plain\", \"md5\"]\n", `auth.sasl_mechanisms[1]: want one of PLAIN, SCRAM-SHA-1,`},
		{"who reads lists", minimal + "[modules.mod_muc.default_room]\nmaygetmemberlist = [\"member\", \"outcast\"]\n", `default_room.maygetmemberlist[1]: want "moderator",`},
		{"who is shown", minimal + "[modules.mod_muc.default_room]\npresence_broadcast = [\"member\"]\n", `default_room.presence_broadcast[0]: want "moderator",`},
		{"host", "[general]\nhosts = [\"a b\", \"x.org\", \"X.ORG\"]\n", `m.toml:2:26: general.hosts[2]: want every domain once, got "X.ORG"`},
		{"inline", minimal + "[modules.mod_muc.default_room]\naffiliations = [{user = \"u\", server = \"s\", affiliation = \"boss\"}]\n", `affiliations[0].affiliation: want "owner", "admin", "member" or "outcast", got "boss"`},
		{"postgres", minimal + "[storage]\ndriver = \"postgres\"\n", "storage.url: required when storage.driver is postgres"},
		{
			"pace of rooms", minimal + "[shaper.slow]\nmax_rate = 9\n[access]\nslower = [{acl = \"all\", value = \"slow\"}]\n[modules.mod_muc]\n" +
				"min_message_interval = -0.5\nmin_presence_interval = \"2s\"\nroom_shaper = \"slwo\"\nuser_message_shaper = \"slower\"\nuser_presence_shaper = \"slow\"\n",
			`m.toml:8:24: modules.mod_muc.min_message_interval: want a number of seconds such as 2 or 0.4, at most 86400, got -0.5
m.toml:9:25: modules.mod_muc.min_presence_interval: want a number of seconds such as 2 or 0.4, at most 86400, got "2s"
m.toml:10:15: modules.mod_muc.room_shaper: want "none" or a shaper that [shaper.NAME] defines (did you mean "slow"?), got "slwo"
m.toml:11:23: modules.mod_muc.user_message_shaper: want "none" or a shaper that [shaper.NAME] defines`,
		},
		{"seconds without end", minimal + "[modules.mod_muc]\nmin_message_interval = inf\n", "m.toml:4:24: modules.mod_muc.min_message_interval: want a number of seconds"},
		{"no number of seconds", minimal + "[modules.mod_muc]\nmin_message_interval = nan\n", "m.toml:4:24: modules.mod_muc.min_message_interval: want a number of seconds"},
		{"another database", minimal + "[storage]\ndriver = \"postgres\"\nurl = \"mysql://x\"\n", "m.toml:5:7: storage.url: want a URL like postgres://user:password@host/database"},
		{"rooms on the host", minimal + "[modules.mod_muc]\nhost = \"example.org\"\n", "modules.mod_muc.host: want a domain of its own"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			_, err := config.Parse("m.toml", []byte(test.text))
			if _, ok := errors.AsType[config.Problems](err); !ok {
				t.Fatalf("got %v, want Problems", err)
			}
			if !strings.Contains(err.Error(), test.want) {
				t.Errorf("%s\ngot:\n%v\nwant:\n%s", test.text, err, test.want)
			}
		})
	}
}

// TestByteOrderMark: files of some editors are files, too.
func TestByteOrderMark(t *testing.T) {
	t.Parallel()
	if _, err := config.Parse("m.toml", []byte("\uFEFF"+strings.ReplaceAll(minimal, "\n", "\r\n"))); err != nil {
		t.Error(err)
	}
}

func TestSeconds(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]time.Duration{"0": 0, "2": 2 * time.Second, "0.4": 400 * time.Millisecond, "86400": 24 * time.Hour} {
		c, err := config.Parse("m.toml", []byte(minimal+"[modules.mod_muc]\nmin_message_interval = "+text+"\n"))
		if err != nil {
			t.Fatal(err)
		}
		if got := time.Duration(c.Modules.MUC.MinMessageInterval); got != want {
			t.Errorf("%s: got %v, want %v", text, got, want)
		}
	}
}

func TestDefaultsAreTheSeeds(t *testing.T) {
	t.Parallel()
	c, err := config.Parse("m.toml", []byte(minimal+"[modules.mod_muc]\nmax_room_name = \"infinity\"\n"))
	if err != nil {
		t.Fatal(err)
	}
	room := c.Modules.MUC.DefaultRoom
	if c.Modules.MUC.MaxUsers != 200 || c.Modules.MUC.Host != "conference.@HOST@" || room.AllowMultipleSessions || !room.Moderated || room.Persistent {
		t.Errorf("defaults differ from the seed's: %+v", c.Modules.MUC)
	}
	if got := c.Modules.MUC.HostFor("example.org"); got != "conference.example.org" {
		t.Errorf("rooms at %s", got)
	}
}

func TestExampleLoads(t *testing.T) {
	t.Parallel()
	text := config.Example()
	c, err := config.Parse("muster.toml", text)
	if err != nil {
		t.Fatalf("%v\nin\n%s", err, text)
	}
	if !c.Modules.MUC.DefaultRoom.Persistent || len(c.Listen.C2S) != 2 {
		t.Errorf("the example is not what init promises: %+v", c)
	}
}

func TestReferenceIsFresh(t *testing.T) {
	t.Parallel()
	file, err := os.ReadFile("../docs/config.md")
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(file, config.Reference()) {
		t.Error("docs/config.md is stale: run go generate ./config")
	}
}

func TestExtensionTable(t *testing.T) {
	t.Parallel()
	text := minimal + "[modules.words]\nlist = [\"darn\"]\nlimt = 3\n"
	if _, err := config.Parse("m.toml", []byte(text)); err == nil {
		t.Error("a table that nobody claims was accepted")
	}
	c, err := config.Parse("m.toml", []byte(text), "words")
	if err != nil {
		t.Fatal(err)
	}
	var table struct {
		List  []string        `toml:"list"`
		Limit config.Positive `toml:"limit"`
	}
	err = c.DecodeModule("words", &table)
	if want := `m.toml:5:1: modules.words.limt: unknown key (did you mean "limit"?)`; err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
	if len(table.List) != 1 {
		t.Errorf("decoded %+v", table)
	}
}

func TestSecretsStaySecret(t *testing.T) {
	t.Parallel()
	path := t.TempDir() + "/url"
	if err := os.WriteFile(path, []byte("postgres://u:hunter2@h/d\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := config.Parse("m.toml", []byte(minimal+"[storage]\ndriver = \"postgres\"\nurl = { file = \""+path+"\" }\n"))
	if err != nil {
		t.Fatal(err)
	}
	if string(c.Storage.URL) != "postgres://u:hunter2@h/d" {
		t.Error("the secret is not the file's first line")
	}
	if s := fmt.Sprintf("%v %+v %s", c, c.Storage, c.Storage.URL); strings.Contains(s, "hunter2") {
		t.Errorf("printed: %s", s)
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(minimal))
	f.Add(config.Example())
	f.Add([]byte("[[listen.c2s]]\n[listen.c2s.tls]\nmode = 3\na.b.c = {d = [1, {e = 2}]}\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		_, err := config.Parse("m.toml", data)
		if _, ok := errors.AsType[config.Problems](err); err != nil && !ok {
			t.Errorf("%q: %v is no Problems", data, err)
		}
	})
}

// Relative paths mean the same whatever the working directory of a command is.
func TestRelativePaths(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := filepath.Join(dir, "muster.toml")
	text := `[general]
hosts = ["a.test"]
%s
[storage]
driver = "postgres"
url = { file = "secrets/url" }
[[listen.c2s]]
tls.certfile = "tls/@HOST@.crt"
tls.keyfile = "/etc/a.key"
`
	for path, content := range map[string]string{"muster.toml": fmt.Sprintf(text, ""), "secrets/url": "postgres://x/y\n"} {
		path = filepath.Join(dir, path)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, []byte(content), 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	c, err := config.Load(file)
	if err != nil {
		t.Fatal(err)
	}
	got := []string{c.General.DataDir, string(c.Storage.URL), c.Listen.C2S[0].TLS.CertFile, c.Listen.C2S[0].TLS.KeyFile}
	want := []string{filepath.Join(dir, "muster-data"), "postgres://x/y", filepath.Join(dir, "tls/@HOST@.crt"), "/etc/a.key"}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	if err := os.WriteFile(file, []byte(fmt.Sprintf(text, `data_dir = "/var/lib/muster"`)), 0o600); err != nil {
		t.Fatal(err)
	}
	if c, err = config.Load(file); err != nil || c.General.DataDir != "/var/lib/muster" {
		t.Errorf("an absolute path: %v, %v", c, err)
	}
}
