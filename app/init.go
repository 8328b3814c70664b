package app

import (
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/muster-im/muster/config"
	"github.com/muster-im/muster/server"
)

// defaultConfig is the file that commands look for when none is named.
const defaultConfig = "muster.toml"

type initCommand struct {
	File  string `arg:"" optional:"" default:"muster.toml" help:"File to write; - is standard output."`
	Force bool   `short:"f" help:"Replace the file if it is there."`
}

// Help shows examples.
func (initCommand) Help() string {
	return `The file names every setting with what it means, those of extensions too.
Examples:

    muster init                          writes muster.toml
    muster init /etc/muster/muster.toml
    muster init - | less                 only shows it`
}

// Run writes the file.
func (c *initCommand) Run(e *env) error {
	text := config.Example(server.Modules(e.extensions...)...)
	if c.File == "-" {
		_, err := e.stdout.Write(text)
		return err
	}
	flags := os.O_WRONLY | os.O_CREATE
	if c.Force {
		flags |= os.O_TRUNC
	} else {
		flags |= os.O_EXCL
	}
	f, err := os.OpenFile(c.File, flags, 0o640)
	switch {
	case errors.Is(err, fs.ErrExist):
		return fmt.Errorf("%s is there already: --force replaces it", c.File)
	case err != nil:
		return fmt.Errorf("write the configuration: %w", err)
	}
	_, err = f.Write(text)
	if err = errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("write the configuration: %w", err)
	}
	flag := ""
	if c.File != defaultConfig {
		flag = " --config " + c.File
	}
	e.printf("wrote %s: put your domain into general.hosts, then\n\n    muster check%s\n    muster serve%s\n", c.File, flag, flag)
	return nil
}
