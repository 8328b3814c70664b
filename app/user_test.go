package app

import (
	"crypto/tls"
	"strings"
	"testing"

	"github.com/muster-im/muster/internal/client"
)

// TestBadInput: what makes no sense is refused with one clear line and status 1,
// and nothing changes.
func TestBadInput(t *testing.T) {
	t.Parallel()
	file, _ := configFile(t, "")
	srv := serving(t, file)
	user := func(stdin string, args ...string) result {
		return execute(t, stdin, append(append([]string{"user"}, args...), "--config", file)...)
	}
	if got := user("", "add", "juliet", "wherefore"); got.status != 0 {
		t.Fatal(got)
	}
	before := user("", "list")
	long := strings.Repeat("x", 1100)
	for _, tt := range []struct {
		name, stdin string
		args        []string
		want        string // in the one line
	}{
		{"no address", "", []string{"add", "", "x"}, `empty localpart`},
		{"space in a name", "", []string{"add", "ju liet@localhost", "x"}, `"ju liet@localhost": malformed address`},
		{"no name", "", []string{"add", "@localhost", "x"}, `"@localhost": malformed address: empty localpart`},
		{"no domain", "", []string{"add", "romeo@", "x"}, `"romeo@": malformed address`},
		{"two at signs", "", []string{"add", "a@b@localhost", "x"}, `malformed address`},
		{"resource", "", []string{"add", "romeo@localhost/phone", "x"}, `want an address like name@localhost, got "romeo@localhost/phone"`},
		{"domain of others", "", []string{"add", "romeo@verona.test", "x"}, `this server does not serve "verona.test" but localhost`},
		{"long name", "", []string{"add", long, "x"}, `malformed address`},
		{"there already", "", []string{"add", "Juliet", "x"}, `there is an account juliet@localhost already`},
		{"empty password", "", []string{"add", "romeo", ""}, `the password is empty`},
		{"empty line", "\n", []string{"add", "romeo"}, `the first line of standard input is empty`},
		{"password that cannot be", "", []string{"add", "romeo", "a\tb"}, `unusable password`},
		{"long password", "", []string{"add", "romeo", long}, `unusable password: it is longer than 1024 bytes`},
		{"passwd of nobody", "", []string{"passwd", "romeo", "x"}, `there is no account romeo@localhost`},
		{"passwd, empty", "", []string{"passwd", "juliet", ""}, `the password is empty`},
		{"passwd, empty line", "\n", []string{"passwd", "juliet", "--password-stdin"}, `the first line of standard input is empty`},
		{"passwd that cannot be", "", []string{"passwd", "juliet", "a\nb"}, `unusable password`},
		{"delete nobody", "", []string{"delete", "romeo"}, `there is no account romeo@localhost`},
		{"delete somebody and nobody", "", []string{"delete", "juliet", "romeo"}, `there is no account romeo@localhost`},
		{"delete somebody and nonsense", "", []string{"delete", "juliet", "@"}, `malformed address`},
		{"delete elsewhere", "", []string{"delete", "juliet@verona.test"}, `this server does not serve "verona.test"`},
		{"delete a host", "", []string{"delete", "localhost"}, `"localhost" is the server's host`},
		{"list elsewhere", "", []string{"list", "verona.test"}, `this server does not serve "verona.test"`},
	} {
		got := user(tt.stdin, tt.args...)
		if got.status != exitError || got.stdout != "" || !strings.HasPrefix(got.stderr, "muster: ") ||
			!strings.Contains(got.stderr, tt.want) || strings.Count(got.stderr, "\n") != 1 || len(got.stderr) > 300 {
			t.Errorf("%s: got %+v, want %s", tt.name, got, tt.want)
		}
	}
	if after := user("", "list"); after != before {
		t.Errorf("accounts have changed from %q to %q", before.stdout, after.stdout)
	}
	c, err := client.Dial(t.Context(), client.Options{
		Conn: srv.Dial(), Domain: "localhost", Username: "juliet", Password: "wherefore",
		TLSConfig: &tls.Config{InsecureSkipVerify: true}, //nolint:gosec // the certificate is not what this is about
	})
	if err != nil {
		t.Fatalf("the password does not count any more: %v", err)
	}
	if err := c.Close(); err != nil {
		t.Error(err)
	}
}
