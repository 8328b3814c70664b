package config

import (
	"testing"
	"time"
)

func TestDuration(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		in   any
		want time.Duration // -1: refused
		text string
	}{
		{"90s", 90 * time.Second, `"1m30s"`},
		{"30d", 720 * time.Hour, `"30d"`},
		{"48h", 48 * time.Hour, `"2d"`},
		{"0s", 0, `"0s"`},
		{"0d", 0, `"0s"`},
		{"-1s", -1, ""},
		{"-1d", -1, ""},
		{"1.5d", -1, ""},
		{"d", -1, ""},
		{"99999999999999d", -1, ""},
		{"200000d", -1, ""},
		{"", -1, ""},
		{int64(5), -1, ""},
	} {
		var d Duration
		err := d.set(test.in)
		switch {
		case test.want < 0:
			if err == nil {
				t.Errorf("%v: got %v, want an error", test.in, time.Duration(d))
			}
		case err != nil || time.Duration(d) != test.want || d.text() != test.text:
			t.Errorf("%v: got %v, %s, %v, want %v, %s", test.in, time.Duration(d), d.text(), err, test.want, test.text)
		}
	}
}
