// Package app is Muster's command line: one file per command. An operator's
// own server is a program that calls Main with his extensions. A command owns
// its goroutines and has ended them when it returns; it blocks until its work
// is done or a signal ends it.
package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/alecthomas/kong"

	"github.com/muster-im/muster/config"
	"github.com/muster-im/muster/server"
)

// Exit statuses.
const (
	exitOK    = 0
	exitError = 1 // the command could not do what was asked
	exitUsage = 2 // the command line makes no sense
)

// Main runs the command line of the process and ends it.
func Main(extensions ...server.Extension) {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	go func() {
		<-ctx.Done()
		stop() // a second signal ends the process at once
	}()
	e := &env{
		stdin: os.Stdin, stdout: os.Stdout, stderr: os.Stderr,
		extensions: extensions,
	}
	os.Exit(run(ctx, e, os.Args[1:]))
}

// env is what a command has of the world. It is fixed once the command runs.
type env struct {
	stdin          io.Reader
	stdout, stderr io.Writer
	extensions     []server.Extension
	// greeting shows the summary of serve even if stdout is no terminal.
	greeting bool
	// serving is told the server once it accepts clients; nil: nobody waits.
	serving func(*server.Server)
}

// commands is the command line. Kong reads it.
type commands struct {
	Demo      demoCommand      `cmd:"" help:"See a team chat on a real server, then join in. Start here."`
	Init      initCommand      `cmd:"" help:"Write a commented muster.toml."`
	Serve     serveCommand     `cmd:"" help:"Run the server."`
	Check     checkCommand     `cmd:"" help:"Check a configuration; change nothing."`
	Config    configCommands   `cmd:"" help:"Bring the configuration of another system along."`
	User      userCommands     `cmd:"" help:"Administrate the accounts of a running server."`
	Token     tokenCommands    `cmd:"" help:"Administrate the tokens of the HTTP API of a running server."`
	Group     groupCommands    `cmd:"" help:"Administrate the groups of people of a running server."`
	Invite    inviteCommands   `cmd:"" help:"Administrate the invitations to a running server."`
	Room      roomCommands     `cmd:"" help:"Administrate the rooms of a running server."`
	Status    statusCommand    `cmd:"" help:"Ask a running server how it is."`
	Backup    backupCommand    `cmd:"" help:"Write all data of a server to one file, while it runs or not."`
	Restore   restoreCommand   `cmd:"" help:"Bring the data of a backup back."`
	Bench     benchCommands    `cmd:"" help:"Load an XMPP server and measure it."`
	Component componentCommand `cmd:"" help:"Run the rooms for another XMPP server, as its component."`

	Version versionFlag `help:"Show the version and end." short:"V"`
}

// summary is shown by muster --help.
const summary = `Muster is an XMPP group-chat server. A first minute with it:

    muster demo                          watch three people chat, then join them
    muster serve                         a server for yourself on this machine
    muster user add romeo@localhost      an account on it, from another terminal

And a server for others:

    muster init                          writes muster.toml: read it, edit it
    muster check                         says whether it is right
    muster serve                         runs it`

type versionFlag bool

// BeforeReset prints the version before anything else is looked at.
func (versionFlag) BeforeReset(k *kong.Kong) error {
	_, err := fmt.Fprintln(k.Stdout, "muster "+server.Version())
	k.Exit(exitOK)
	return err
}

// run runs one command line and returns its exit status.
func run(ctx context.Context, e *env, args []string) int {
	var cli commands
	ended := false // by --help or --version
	parser, err := kong.New(&cli,
		kong.Name("muster"),
		kong.Writers(e.stdout, e.stderr),
		kong.Exit(func(int) { ended = true }),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, FlagsLast: true, WrapUpperBound: 100}),
		kong.Bind(e),
		kong.BindTo(ctx, (*context.Context)(nil)),
		kong.Help(func(o kong.HelpOptions, k *kong.Context) error {
			k.Model.Help = e.describe()
			return kong.DefaultHelpPrinter(o, k)
		}),
	)
	if err != nil {
		panic(err) // the struct tags are wrong
	}
	if len(args) == 0 {
		args = []string{"--help"}
	}
	parsed, err := parser.Parse(args)
	switch {
	case ended:
		return exitOK
	case err != nil:
		return e.usage(err)
	}
	return e.report(parsed.Run())
}

// usage says what is wrong with the command line and where to read on.
func (e *env) usage(err error) int {
	help := "muster --help"
	if pe, ok := errors.AsType[*kong.ParseError](err); ok && pe.Context.Selected() != nil {
		help = "muster " + strings.Join(strings.Fields(pe.Context.Selected().Path())[0:], " ") + " --help"
	}
	text := err.Error()
	if flag, _, _ := strings.Cut(text, ","); strings.HasPrefix(flag, "unknown flag -") && !strings.HasPrefix(flag, "unknown flag --") { // an id, perhaps
		text = flag + ": what begins with - and is no flag stands behind --"
	}
	e.complain("%s (see %s)", text, help)
	return exitUsage
}

// report prints an error and returns the exit status.
func (e *env) report(err error) int {
	if err == nil {
		return exitOK
	}
	if problems, ok := errors.AsType[config.Problems](err); ok { // each line names its file
		fmt.Fprintln(e.stderr, problems.Error()) //nolint:errcheck // nowhere else to say it
		return exitError
	}
	for line := range strings.SplitSeq(err.Error(), "\n") {
		e.complain("%s", line)
	}
	return exitError
}

func (e *env) complain(format string, args ...any) {
	fmt.Fprintf(e.stderr, "muster: "+format+"\n", args...) //nolint:errcheck // nowhere else to say it
}

func (e *env) printf(format string, args ...any) {
	fmt.Fprintf(e.stdout, format, args...) //nolint:errcheck // a closed pipe ends the process
}
