package config_test

import (
	"strings"
	"testing"
	"time"

	"github.com/muster-im/muster/config"
)

func TestCheckModule(t *testing.T) {
	t.Parallel()
	type deep struct {
		Next []struct {
			Word string `toml:"word" choice:"a,b"`
		} `toml:"next"`
		Rates map[string]float64 `toml:"rates"`
		Wait  config.Duration    `toml:"wait"`
		Key   *config.Secret     `toml:"key"`
		//lint:ignore U1000 what a module keeps for itself is no setting
		own chan int //nolint:unused // the same for another checker
	}
	type endless struct {
		Next []endless `toml:"next"`
	}
	tests := []struct {
		name     string
		settings any
		want     string // "": fine
	}{
		{"all kinds", deep{}, ""},
		{"empty", struct{}{}, ""},
		{"nothing", nil, "settings are a struct"},
		{"no struct", 3, "settings are a struct, not int"},
		{"no tag", struct{ Words []string }{}, "Words has no toml tag"},
		{"not exported", struct { //nolint:govet // that is what is tested
			words int `toml:"words"`
		}{}, "words has a toml tag but is not exported"},
		{"duration of Go", struct {
			Wait time.Duration `toml:"wait"`
		}{}, "use config.Duration"},
		{"channel", struct {
			C chan int `toml:"c"`
		}{}, "C is a chan int, which no file can say"},
		{"map by numbers", struct {
			M map[int]string `toml:"m"`
		}{}, "which no file can say"},
		{"in itself", endless{}, "nested too deeply"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			err := config.CheckModule(tt.settings)
			if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
		})
	}
}

func TestModuleInExample(t *testing.T) {
	t.Parallel()
	type table struct {
		Words []string        `toml:"words" reload:"yes" doc:"Words that are not said."`
		Mode  string          `toml:"mode" choice:"hide,refuse" doc:"What happens."`
		Rate  float64         `toml:"rate" doc:"How often."`
		Wait  config.Duration `toml:"wait" doc:"How long."`
	}
	defaults := table{[]string{"darn"}, "hide", 0.5, config.Duration(time.Minute)}
	text := string(config.Example(config.Module{Name: "words", Doc: "Keeps words out.", Settings: defaults}, config.Module{Name: "bare"}))
	for _, want := range []string{
		"\n# Keeps words out. This table is of the extension words.\n[modules.words]\n",
		"# Words that are not said. Takes effect on SIGHUP.\nwords = [\"darn\"]\n", "# One of: hide, refuse.\nmode = \"hide\"\n", "rate = 0.5\n", "wait = \"1m0s\"\n",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is not in the example", want)
		}
	}
	if strings.Contains(text, "bare") {
		t.Error("an extension without settings has got a table")
	}
	c, err := config.Parse("muster.toml", []byte(text), "words")
	if err != nil {
		t.Fatal(err)
	}
	var got table
	if err := c.DecodeModule("words", &got); err != nil || got.Rate != 0.5 || got.Mode != "hide" || got.Wait != defaults.Wait {
		t.Errorf("read again: %+v, %v", got, err)
	}
}

func TestUnknownModule(t *testing.T) {
	t.Parallel()
	_, err := config.Parse("m.toml", []byte(minimal+"[modules.wordfliter]\n"), "wordfilter")
	if err == nil || !strings.Contains(err.Error(), `modules.wordfliter: unknown key (did you mean "wordfilter"?)`) {
		t.Errorf("got %v", err)
	}
	if !config.IsModule("mod_muc") || config.IsModule("wordfilter") {
		t.Error("IsModule does not know the server's own modules")
	}
}
