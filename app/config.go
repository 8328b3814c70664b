package app

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"text/tabwriter"

	"github.com/muster-im/muster/config"
	"github.com/muster-im/muster/server"
)

type configCommands struct {
	Import configImportCommand `cmd:"" help:"Make a muster.toml of another system's configuration."`
}

type configImportCommand struct {
	From  string `required:"" enum:"mongooseim" help:"The system that the file is of: mongooseim."`
	File  string `arg:"" placeholder:"FILE" help:"Its configuration."`
	Out   string `placeholder:"FILE" default:"muster.toml" help:"Where to write ours (default: ${default})."`
	Force bool   `help:"Overwrite it."`
	JSON  bool   `help:"Report for machines."`
}

// Help shows what comes out.
func (configImportCommand) Help() string {
	return `Every setting of the file is reported as kept, renamed, not needed or LOST. The
exit status is 1 if somebody may do more without one that is lost, or if it
concerns encryption or secrets: read what the report says of it before you
start the server. The file is written even then. Accounts, rooms and messages
do not come along. Examples:

    muster config import --from mongooseim /etc/mongooseim/mongooseim.toml
    muster config import --from mongooseim old.toml --out new.toml --json`
}

// errLostSecurity ends an import that has lost what must not be overlooked.
var errLostSecurity = errors.New("settings that concern security are lost: see the report")

// Run imports the file.
func (c *configImportCommand) Run(e *env) error {
	data, err := os.ReadFile(c.File)
	if err != nil {
		return fmt.Errorf("read the configuration: %w", err)
	}
	m, err := config.FromMongooseIM(c.File, data)
	if err != nil {
		return err
	}
	if err := c.write(m.File); err != nil {
		return err
	}
	if err := c.report(e, m.Keys); err != nil {
		return err
	}
	cfg, err := e.loadConfig(c.Out)
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
	for _, k := range m.Keys {
		if k.Fate == config.Lost && k.Security {
			return errLostSecurity
		}
	}
	return nil
}

// write writes the file, which has the secrets of the original, for its owner
// alone. Another file is replaced as a whole.
func (c *configImportCommand) write(data []byte) error {
	name := c.Out
	if c.Force {
		name += ".new"
	}
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	switch {
	case errors.Is(err, fs.ErrExist) && c.Force:
		return fmt.Errorf("%s is in the way: remove it", name)
	case errors.Is(err, fs.ErrExist):
		return fmt.Errorf("%s is there already: choose another with --out, or overwrite it with --force", name)
	case err != nil:
		return err
	}
	_, err = f.Write(data)
	if err = errors.Join(err, f.Sync(), f.Close()); err == nil && c.Force {
		err = os.Rename(name, c.Out)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("write %s: %w", c.Out, err), os.Remove(name))
	}
	return nil
}

func (c *configImportCommand) report(e *env, keys []config.Moved) error {
	if c.JSON {
		out := json.NewEncoder(e.stdout)
		out.SetEscapeHTML(false)
		return out.Encode(map[string]any{"file": c.Out, "keys": keys})
	}
	w := tabwriter.NewWriter(e.stdout, 0, 0, 2, ' ', 0)
	counts, security := make(map[config.Fate]int), 0
	for _, k := range keys {
		counts[k.Fate]++
		note := k.Note
		if k.Security {
			security++
			note = "SECURITY: " + note
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", strconv.Itoa(k.Line), k.Fate, k.Key, note) //nolint:errcheck // a tabwriter's error comes with Flush
	}
	err := w.Flush()
	e.printf("%s: %d settings kept, %d renamed, %d not needed, %d LOST (%d of them concern security)\n",
		c.Out, counts[config.Kept], counts[config.Renamed], counts[config.NotNeeded], counts[config.Lost], security)
	e.printf("Settings alone come along: accounts, rooms and messages stay where they are.\n")
	return err
}
