package app

import (
	"fmt"

	"github.com/muster-im/muster/server"
)

type checkCommand struct {
	Config string `placeholder:"FILE" short:"c" help:"Configuration to check (default: ./muster.toml if it is there, else development settings)."`
}

// Help shows what comes out.
func (checkCommand) Help() string {
	return `Every problem is reported in one run, as file:line:col: key: what is wrong;
the tables of extensions, [modules.NAME], are checked like all others. Nothing is written and nothing is started. Examples:

    muster check
    muster check --config /etc/muster/muster.toml && systemctl reload muster`
}

// Run checks the file.
func (c *checkCommand) Run(e *env) error {
	cfg, err := e.loadConfig(c.Config)
	if err != nil {
		return err
	}
	warnings, err := server.Check(cfg, e.extensions...)
	for _, w := range warnings {
		fmt.Fprintf(e.stderr, "%s (a warning)\n", w) //nolint:errcheck // nowhere else to say it
	}
	if err != nil {
		return err
	}
	e.printf("%s: no problems%s\n", cfg.Name(), e.withExtensions())
	return nil
}
