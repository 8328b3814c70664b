package config_test

import (
	"slices"
	"testing"

	"github.com/muster-im/muster/config"
)

func parseFile(t *testing.T, text string) *config.Config {
	t.Helper()
	c, err := config.Parse("muster.toml", []byte(text), "mod_mine")
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestNeedsRestart(t *testing.T) {
	t.Parallel()
	const before = `
[general]
hosts = ["a.test"]
[[listen.c2s]]
port = 5222
[modules.mod_muc]
[modules.mod_mine]
colour = "red"
`
	tests := []struct {
		name, after string
		want        []string
	}{
		{"nothing", before, nil},
		{"what may change", `
[general]
hosts = ["a.test"]
loglevel = "debug"
[[listen.c2s]]
port = 5222
tls.certfile = "a.crt"
tls.keyfile = "a.key"
[modules.mod_muc]
[modules.mod_mine]
colour = "red"
`, nil},
		{"pace of rooms", `
[general]
hosts = ["a.test"]
[[listen.c2s]]
port = 5222
[shaper.slow]
max_rate = 100
[modules.mod_muc]
min_message_interval = 0.4
min_presence_interval = 4
room_shaper = "slow"
user_message_shaper = "slow"
user_presence_shaper = "slow"
[modules.mod_mine]
colour = "red"
`, nil},
		{"values", `
[general]
hosts = ["a.test", "b.test"]
[[listen.c2s]]
port = 5223
tls.mode = "tls"
[modules.mod_muc]
default_room.persistent = true
[modules.mod_mine]
colour = "blue"
`, []string{"general.hosts", "listen.c2s[0].port", "listen.c2s[0].tls.mode", "modules.mod_muc.default_room.persistent"}},
		{"tables", `
[general]
hosts = ["a.test"]
[[listen.c2s]]
[[listen.c2s]]
port = 5223
`, []string{"listen.c2s", "modules.mod_muc"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got := parseFile(t, before).NeedsRestart(parseFile(t, tt.after))
			if !slices.Equal(got, tt.want) {
				t.Errorf("got %v, want %v", got, tt.want)
			}
		})
	}
}

func TestModuleNeedsRestart(t *testing.T) {
	t.Parallel()
	type table struct {
		Colour string   `toml:"colour"`
		Words  []string `toml:"words" reload:"yes"`
	}
	before, after := table{"red", []string{"a"}}, table{"blue", []string{"b"}}
	got := config.ModuleNeedsRestart("modules.mine", before, after)
	if want := []string{"modules.mine.colour"}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestProblemHasItsPlace(t *testing.T) {
	t.Parallel()
	c := parseFile(t, "[general]\nhosts = [\"a.test\"]\n[[listen.c2s]]\ntls.certfile = \"a.crt\"\ntls.keyfile = \"a.key\"\n")
	got := c.Problem("listen.c2s[0].tls.certfile", "no such file").String()
	if want := "muster.toml:4:16: listen.c2s[0].tls.certfile: no such file"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if got, want := config.Development().Problem("general.hosts", "bad").String(), "development settings: general.hosts: bad"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
