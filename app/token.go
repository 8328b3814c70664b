package app

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/muster-im/muster/internal/admin"
)

// tokenCommands are the commands about tokens of the HTTP API.
type tokenCommands struct {
	Add    tokenAddCommand    `cmd:"" help:"Make a token and print it, this once."`
	Revoke tokenRevokeCommand `cmd:"" help:"Make tokens useless, from now on."`
	List   tokenListCommand   `cmd:"" help:"List tokens. They themselves are not stored and cannot be shown."`
	Scopes tokenScopesCommand `cmd:"" help:"List what tokens can be good for."`
}

type tokenAddCommand struct {
	Name    string   `arg:"" help:"What the token is called in lists and in the log, such as the program that gets it."`
	Scope   []string `required:"" short:"s" placeholder:"SCOPE" help:"What the token is good for, several with commas between; muster token scopes lists them."`
	Host    []string `placeholder:"HOST" help:"The hosts that it is good for, several with commas between (default: all)."`
	Expires string   `placeholder:"WHEN" help:"When it ends: after so many days or hours (90d, 12h), or on a day (2030-01-31, or 2030-01-31T12:00:00Z). Default: never."`
	socketFlags
}

// Help shows examples.
func (tokenAddCommand) Help() string {
	return `A program that administrates the server over HTTP shows a token with each
request. The token is printed once; the server keeps no more than its hash. Give
a program no more scopes than it needs, and no more hosts. Examples:

    muster token add shop --scope users:read,users:write
    muster token add prometheus --scope metrics --expires 365d
    muster token add helpdesk --scope users:write --host example.org
    curl -H "Authorization: Bearer $TOKEN" http://127.0.0.1:5280/api/v1/users`
}

// Run makes the token.
func (c *tokenAddCommand) Run(ctx context.Context, e *env) error { return c.explain(c.run(ctx, e)) }

func (c *tokenAddCommand) run(ctx context.Context, e *env) error {
	expires, err := expiry(c.Expires, time.Now())
	if err != nil {
		return err
	}
	client, err := c.client(e)
	if err != nil {
		return err
	}
	issued, err := client.AddToken(ctx, admin.NewToken{Name: c.Name, Scopes: c.Scope, Hosts: c.Host, Expires: expires})
	if err != nil {
		return err
	}
	if c.JSON {
		return e.printJSON(issued)
	}
	e.printf("%s\n", issued.Secret)
	fmt.Fprintf(e.stderr, "This is the token %s. It is not shown again: keep it like a password.\n", issued.Name) //nolint:errcheck // a terminal
	return nil
}

// expiry reads when a token ends; nil is never.
func expiry(s string, now time.Time) (*time.Time, error) {
	if s == "" {
		return nil, nil //nolint:nilnil // there is none, and that is no error
	}
	for _, layout := range []string{time.DateOnly, time.RFC3339} {
		if t, err := time.ParseInLocation(layout, s, time.Local); err == nil {
			return &t, nil
		}
	}
	unit := time.Hour
	number, days := strings.CutSuffix(s, "d")
	if days {
		unit *= 24
	} else {
		number = strings.TrimSuffix(s, "h")
	}
	n, err := strconv.ParseUint(number, 10, 32)
	if err != nil || number == s || n == 0 || n > 1<<20 {
		return nil, fmt.Errorf("--expires: want something like 90d, 12h, 2030-01-31 or 2030-01-31T12:00:00Z, got %.40q", s)
	}
	t := now.Add(time.Duration(n) * unit).UTC().Truncate(time.Second)
	return &t, nil
}

type tokenRevokeCommand struct {
	Names []string `arg:"" help:"Names of the tokens."`
	socketFlags
}

// Help shows examples.
func (tokenRevokeCommand) Help() string {
	return `The next request with the token is refused. Examples:

    muster token revoke shop
    muster token revoke shop helpdesk`
}

// Run revokes the tokens, all that are there.
func (c *tokenRevokeCommand) Run(ctx context.Context, e *env) error { return c.explain(c.run(ctx, e)) }

func (c *tokenRevokeCommand) run(ctx context.Context, e *env) error {
	client, err := c.client(e)
	if err != nil {
		return err
	}
	// A token that is not there does not keep the others alive.
	var errs []error
	revoked := make([]string, 0, len(c.Names))
	for _, name := range c.Names {
		if err := client.RevokeToken(ctx, name); err != nil {
			errs = append(errs, err)
			continue
		}
		revoked = append(revoked, name)
		if !c.JSON {
			e.printf("revoked %s\n", name)
		}
	}
	if c.JSON {
		errs = append(errs, e.printJSON(revoked))
	}
	return errors.Join(errs...)
}

type tokenListCommand struct {
	socketFlags
}

// Help shows examples.
func (tokenListCommand) Help() string {
	return `Examples:

    muster token list
    muster token list --json | jq -r '.[] | select(.used == null) | .name'`
}

// Run lists the tokens.
func (c *tokenListCommand) Run(ctx context.Context, e *env) error { return c.explain(c.run(ctx, e)) }

func (c *tokenListCommand) run(ctx context.Context, e *env) error {
	client, err := c.client(e)
	if err != nil {
		return err
	}
	list := []admin.Token{}
	for t, err := range client.Tokens(ctx) {
		if err != nil {
			return err
		}
		list = append(list, t)
	}
	if c.JSON {
		return e.printJSON(list)
	}
	if len(list) == 0 {
		e.printf("There are no tokens yet: muster token add NAME --scope SCOPE makes one.\n")
		return nil
	}
	w := tabwriter.NewWriter(e.stdout, 0, 0, 3, ' ', 0)
	fmt.Fprintln(w, "NAME\tSCOPES\tHOSTS\tEXPIRES\tUSED") //nolint:errcheck // see Flush
	for _, t := range list {
		hosts := strings.Join(t.Hosts, ",")
		if hosts == "" {
			hosts = "all"
		}
		expires := moment(t.Expires)
		if t.Expired {
			expires = "expired"
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\n", t.Name, strings.Join(t.Scopes, ","), hosts, expires, moment(t.Used)) //nolint:errcheck // see Flush
	}
	return w.Flush()
}

// moment is a time as lists show it.
func moment(t *time.Time) string {
	if t == nil {
		return "never"
	}
	return t.Local().Format("2006-01-02 15:04")
}

type tokenScopesCommand struct {
	socketFlags
}

// Run lists the scopes.
func (c *tokenScopesCommand) Run(ctx context.Context, e *env) error { return c.explain(c.run(ctx, e)) }

func (c *tokenScopesCommand) run(ctx context.Context, e *env) error {
	client, err := c.client(e)
	if err != nil {
		return err
	}
	list, err := client.Scopes(ctx)
	if err != nil {
		return err
	}
	if c.JSON {
		return e.printJSON(list)
	}
	for _, s := range list {
		e.printf("%s\n", s)
	}
	return nil
}
