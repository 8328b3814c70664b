package app

import (
	"bufio"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"

	"golang.org/x/term"

	"github.com/muster-im/muster/internal/admin"
	"github.com/muster-im/muster/jid"
)

// userCommands are the commands about accounts.
type userCommands struct {
	Add      userAddCommand      `cmd:"" help:"Create an account."`
	Passwd   userPasswdCommand   `cmd:"" help:"Change the password of an account."`
	Delete   userDeleteCommand   `cmd:"" help:"Delete accounts with everything that belongs to them."`
	List     userListCommand     `cmd:"" help:"List accounts."`
	Sessions userSessionsCommand `cmd:"" help:"Show where an account is logged in."`
	Kick     userKickCommand     `cmd:"" help:"End the sessions of an account, or one of them."`
}

// socketFlags say which running server is meant.
type socketFlags struct {
	Config  string `placeholder:"FILE" short:"c" help:"Configuration of the running server (default: ./muster.toml if it is there, else development settings)."`
	DataDir string `placeholder:"DIR" help:"Data directory of the running server, instead of the configuration's."`
	JSON    bool   `name:"json" help:"Print JSON, for programs."`
}

// client returns a client for the server that the flags mean.
func (f *socketFlags) client(e *env) (*admin.Client, error) {
	dir := f.DataDir
	if dir == "" {
		cfg, err := e.loadConfig(f.Config)
		if err != nil {
			return nil, err
		}
		dir = cfg.General.DataDir
	}
	return admin.NewClient(filepath.Join(dir, admin.SocketName)), nil
}

// explain adds the remedy to the error of a call.
func (f *socketFlags) explain(err error) error {
	if !errors.Is(err, admin.ErrNotRunning) {
		return err
	}
	start := "muster serve"
	if f.Config != "" {
		start += " --config " + f.Config
	}
	if f.DataDir != "" {
		return fmt.Errorf("%w: start the server that has this data directory, or leave --data-dir out", err)
	}
	return fmt.Errorf("%w: start it with %q in another terminal, or name another one's data directory with --data-dir", err, start)
}

// address reads an account's address. A name alone belongs to the server's
// host if that has only one.
func address(ctx context.Context, c *admin.Client, s string) (jid.JID, error) {
	if !strings.Contains(s, "@") {
		info, err := c.Info(ctx)
		if err != nil {
			return jid.JID{}, err
		}
		if len(info.Hosts) != 1 {
			return jid.JID{}, fmt.Errorf("%q: which host? Say one of %s", s, atHosts(s, info.Hosts))
		}
		if strings.EqualFold(s, info.Hosts[0]) {
			return jid.JID{}, fmt.Errorf("%q is the server's host: say whose account you mean, like romeo@%s", s, info.Hosts[0])
		}
		s += "@" + info.Hosts[0]
	}
	j, err := jid.Parse(s)
	if err != nil {
		return jid.JID{}, fmt.Errorf("%.80q: %w", s, err)
	}
	return j, nil
}

func atHosts(name string, hosts []string) string {
	list := make([]string, len(hosts))
	for i, h := range hosts {
		list[i] = name + "@" + h
	}
	return strings.Join(list, ", ")
}

// passwordFlags are the ways to give a password.
type passwordFlags struct {
	Password      *string `arg:"" optional:"" help:"The password. Other users of this machine can see it in the list of processes: leave it out to be asked."`
	PasswordFile  string  `placeholder:"FILE" xor:"how" help:"Read the password from the first line of a file (- is standard input)."`
	PasswordStdin bool    `xor:"how" help:"Read the password from standard input; the default if that is no terminal."`
	Generate      bool    `xor:"how" short:"g" help:"Make a random password and print it."`
}

// read returns the password that the flags describe, and whether it has been
// made here and must be shown.
func (f *passwordFlags) read(e *env) (password string, generated bool, err error) {
	switch fd, isTerminal := terminal(e.stdin); {
	case f.Password != nil && (f.Generate || f.PasswordStdin || f.PasswordFile != ""):
		return "", false, errors.New("the password is given twice: leave out the argument or the flag")
	case f.Password != nil && *f.Password == "":
		return "", false, errors.New("the password is empty: leave the argument out to be asked for one")
	case f.Password != nil:
		return *f.Password, false, nil
	case f.Generate:
		return rand.Text(), true, nil
	case f.PasswordFile != "" && f.PasswordFile != "-":
		file, err := os.Open(f.PasswordFile)
		if err != nil {
			return "", false, err
		}
		defer file.Close() //nolint:errcheck // only read from
		password, err = firstLine(file, f.PasswordFile)
		return password, false, err
	case f.PasswordFile == "-" || f.PasswordStdin || !isTerminal:
		password, err = firstLine(e.stdin, "standard input")
		return password, false, err
	default:
		return e.askPassword(fd)
	}
}

// firstLine returns the first line of r without its end.
func firstLine(r io.Reader, name string) (string, error) {
	line, err := bufio.NewReader(io.LimitReader(r, 4096)).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return "", fmt.Errorf("read the password: %w", err)
	}
	line = strings.TrimRight(line, "\r\n")
	if line == "" {
		return "", fmt.Errorf("read the password: the first line of %s is empty", name)
	}
	return line, nil
}

// askPassword asks on the terminal, twice and without echo. No answer asks for
// a random password.
func (e *env) askPassword(fd int) (password string, generated bool, err error) {
	ask := func(prompt string) (string, error) {
		fmt.Fprint(e.stderr, prompt) //nolint:errcheck // a terminal
		answer, err := term.ReadPassword(fd)
		fmt.Fprintln(e.stderr) //nolint:errcheck // a terminal
		if err != nil {
			return "", fmt.Errorf("read the password: %w", err)
		}
		return string(answer), nil
	}
	first, err := ask("Password (empty for a random one): ")
	if err != nil {
		return "", false, err
	}
	if first == "" {
		return rand.Text(), true, nil
	}
	again, err := ask("Once more: ")
	if err != nil {
		return "", false, err
	}
	if first != again {
		return "", false, errors.New("the two passwords differ: nothing has been changed")
	}
	return first, false, nil
}

type userAddCommand struct {
	Account string `arg:"" help:"Address of the account: name@host, or only the name if the server has one host."`
	passwordFlags
	socketFlags
}

// Help shows examples.
func (userAddCommand) Help() string {
	return `The server must be running. Examples:

    muster user add juliet@localhost                       asks for the password
    muster user add juliet --generate                      makes one and prints it
    muster user add juliet --password-file /run/secret     reads it from a file
    pwgen 16 1 | muster user add juliet                    reads it from a pipe`
}

// Run creates the account.
func (c *userAddCommand) Run(ctx context.Context, e *env) error {
	return c.socketFlags.explain(c.run(ctx, e, "added", func(cl *admin.Client, j jid.JID, password string) error {
		return cl.AddAccount(ctx, j, password)
	}))
}

// run is what add and passwd share.
func (c *userAddCommand) run(ctx context.Context, e *env, done string,
	do func(cl *admin.Client, j jid.JID, password string) error,
) error {
	client, err := c.client(e)
	if err != nil {
		return err
	}
	j, err := address(ctx, client, c.Account)
	if err != nil {
		return err
	}
	password, generated, err := c.passwordFlags.read(e)
	if err != nil {
		return err
	}
	if err := do(client, j, password); err != nil {
		return err
	}
	shown := ""
	if generated {
		shown = password
	}
	if c.JSON {
		return e.printJSON(accountResult{JID: j, Password: shown})
	}
	if generated {
		e.printf("%s %s with the password %s\n", done, j, shown)
	} else {
		e.printf("%s %s\n", done, j)
	}
	return nil
}

// accountResult is what the commands about one account print with --json.
type accountResult struct {
	JID      jid.JID `json:"jid"`
	Password string  `json:"password,omitempty"` // only if it was made here
}

func (e *env) printJSON(v any) error {
	enc := json.NewEncoder(e.stdout)
	enc.SetIndent("", "  ")
	return enc.Encode(v)
}

type userPasswdCommand userAddCommand

// Help shows examples.
func (userPasswdCommand) Help() string {
	return `The server must be running. Sessions that are logged in stay. Examples:

    muster user passwd juliet@localhost                    asks for the password
    muster user passwd juliet --generate                   makes one and prints it`
}

// Run changes the password.
func (c *userPasswdCommand) Run(ctx context.Context, e *env) error {
	return c.socketFlags.explain((*userAddCommand)(c).run(ctx, e, "changed the password of", func(cl *admin.Client, j jid.JID, password string) error {
		return cl.SetPassword(ctx, j, password)
	}))
}

type userDeleteCommand struct {
	Accounts []string `arg:"" help:"Addresses of the accounts."`
	socketFlags
}

// Help shows examples.
func (userDeleteCommand) Help() string {
	return `Contacts, waiting messages and sessions go with the account. There is no way
back and no question: the address is the question. Examples:

    muster user delete juliet@localhost
    muster user delete juliet romeo`
}

// Run deletes the accounts in order, if all of them are there.
func (c *userDeleteCommand) Run(ctx context.Context, e *env) error {
	return c.explain(c.run(ctx, e))
}

func (c *userDeleteCommand) run(ctx context.Context, e *env) error {
	client, err := c.client(e)
	if err != nil {
		return err
	}
	list, err := c.accounts(ctx, client)
	if err != nil {
		return err
	}
	deleted := make([]accountResult, 0, len(list))
	for _, j := range list {
		if err = client.DeleteAccount(ctx, j); err != nil {
			break
		}
		deleted = append(deleted, accountResult{JID: j})
		if !c.JSON {
			e.printf("deleted %s\n", j)
		}
	}
	if c.JSON {
		err = errors.Join(err, e.printJSON(deleted))
	}
	return err
}

// accounts returns the accounts to delete, each once. They are there: a mistake in
// one of the addresses leaves the others alone.
func (c *userDeleteCommand) accounts(ctx context.Context, client *admin.Client) ([]jid.JID, error) {
	var list []jid.JID
	var errs []error
	for _, s := range c.Accounts {
		j, err := address(ctx, client, s)
		if err == nil && !slices.Contains(list, j) {
			list = append(list, j)
			_, err = client.Account(ctx, j)
		}
		errs = append(errs, err)
	}
	return list, errors.Join(errs...)
}

type userListCommand struct {
	Host string `arg:"" optional:"" help:"Only the accounts of this host."`
	socketFlags
}

// Help shows examples.
func (userListCommand) Help() string {
	return `Examples:

    muster user list
    muster user list example.org --json | jq -r '.[].jid'`
}

// Run lists accounts.
func (c *userListCommand) Run(ctx context.Context, e *env) error {
	return c.explain(c.run(ctx, e))
}

func (c *userListCommand) run(ctx context.Context, e *env) error {
	client, err := c.client(e)
	if err != nil {
		return err
	}
	list := []admin.Account{}
	for a, err := range client.Accounts(ctx, c.Host) {
		if err != nil {
			return err
		}
		list = append(list, a)
	}
	if c.JSON {
		return e.printJSON(list)
	}
	if len(list) == 0 {
		e.printf("There are no accounts yet: muster user add NAME makes one.\n")
		return nil
	}
	w := tabwriter.NewWriter(e.stdout, 0, 0, 3, ' ', 0)
	for _, a := range list {
		fmt.Fprintf(w, "%s\tsince %s\n", a.JID, a.Created.Local().Format("2006-01-02 15:04")) //nolint:errcheck // see Flush
	}
	return w.Flush()
}
