package app

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/muster-im/muster/internal/admin"
)

// TestToken: what is printed opens the API, until it is revoked.
func TestToken(t *testing.T) {
	t.Parallel()
	file, _ := configFile(t, "")
	srv := serving(t, file)
	listeners := srv.Info().Listeners
	url := "http://" + listeners[len(listeners)-1].Address + "/api/v1/users"
	status := func(token string) int {
		t.Helper()
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Authorization", "Bearer "+token)
		resp, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(r)
		if err != nil {
			t.Fatal(err)
		}
		if err := resp.Body.Close(); err != nil {
			t.Error(err)
		}
		return resp.StatusCode
	}
	token := func(args string) result {
		return execute(t, "", append(strings.Fields("token "+args), "--config", file)...)
	}
	made := token("add shop --scope users:read,users:write")
	secret := strings.TrimSuffix(made.stdout, "\n")
	if made.status != 0 || !strings.HasPrefix(secret, "muster_") || strings.Contains(secret, "\n") || !strings.Contains(made.stderr, "not shown again") {
		t.Fatalf("got %+v", made)
	}
	if got := status(secret); got != 200 {
		t.Errorf("the token that was printed gives %d", got)
	}
	var issued admin.IssuedToken
	out := token("add metrics --scope metrics --host localhost --expires 2d --json")
	if err := json.Unmarshal([]byte(out.stdout), &issued); err != nil || issued.Expires == nil || time.Until(*issued.Expires) > 48*time.Hour ||
		time.Until(*issued.Expires) < 47*time.Hour || out.stderr != "" {
		t.Errorf("--json: %+v, %v", out, err)
	}
	if got := status(issued.Secret); got != 403 {
		t.Errorf("a token for other things gives %d", got)
	}
	for _, tt := range []struct {
		args string
		want result // patterns
	}{
		{"list", result{0, `NAME      SCOPES                   HOSTS       EXPIRES            USED\nmetrics   metrics                  localhost   20\S+ \d\d:\d\d   20\S+ \d\d:\d\d\nshop      users:read,users:write   all         never              20\S+ \d\d:\d\d\n`, ``}},
		{"scopes", result{0, `(.*\n)*users:read\n(.*\n)*`, ``}},
		{"scopes --json", result{0, `\[\n(  ".*",?\n)*\]\n`, ``}},
		{"add shop --scope metrics", result{1, ``, `muster: there is a token "shop" already: revoke it, or choose another name\n`}},
		{"add x --scope users:reed", result{1, ``, `muster: scopes: "users:reed" is no scope: there are .*users:read.*\n`}},
		{"add x --scope metrics --host verona.test", result{1, ``, `muster: hosts: this server does not serve "verona\.test" but localhost\n`}},
		{"add a/b --scope metrics", result{1, ``, `muster: name: "a/b" does not match .*\n`}},
		{"add x --scope metrics --expires soon", result{1, ``, `muster: --expires: want something like 90d, .*, got "soon"\n`}},
		{"add x --scope metrics --expires 2001-01-31", result{1, ``, `muster: expires: this is past\n`}},
		{"add x", result{2, ``, `muster: missing flags: --scope=SCOPE,\.\.\. \(see muster token add --help\)\n`}},
		{"revoke nobody shop", result{1, `revoked shop\n`, `muster: there is no token "nobody"\n`}},
		{"revoke metrics --json", result{0, `\[\n  "metrics"\n\]\n`, ``}},
		{"list", result{0, `There are no tokens yet: .*\n`, ``}},
		{"list --json", result{0, `\[\]\n`, ``}},
		{"add --help", result{0, `(?s).*curl -H.*`, ``}},
	} {
		if got := token(tt.args); got.status != tt.want.status || !matches(tt.want.stdout, got.stdout) || !matches(tt.want.stderr, got.stderr) {
			t.Errorf("muster token %s: got %+v, want %+v", tt.args, got, tt.want)
		}
	}
	if got := status(secret); got != 401 {
		t.Errorf("a revoked token gives %d", got)
	}
}

func TestExpiry(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 1, 2, 3, 4, 5, 6, time.UTC)
	for in, want := range map[string]time.Time{
		"1h":                   now.Truncate(time.Second).Add(time.Hour),
		"90d":                  now.Truncate(time.Second).Add(90 * 24 * time.Hour),
		"2030-01-31":           time.Date(2030, 1, 31, 0, 0, 0, 0, time.Local),
		"2030-01-31T12:00:00Z": time.Date(2030, 1, 31, 12, 0, 0, 0, time.UTC),
	} {
		if got, err := expiry(in, now); err != nil || got == nil || !got.Equal(want) {
			t.Errorf("%s: got %v, %v, want %v", in, got, err, want)
		}
	}
	for _, in := range []string{"0d", "-1d", "d", "1", "1m", "1.5h", "99999999999d", "2030-13-01", "never"} {
		if got, err := expiry(in, now); err == nil {
			t.Errorf("%s: got %v", in, got)
		}
	}
}
