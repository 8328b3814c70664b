package app

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/muster-im/muster/internal/admin"
)

type statusCommand struct {
	socketFlags
}

// Help says what the exit status means.
func (statusCommand) Help() string {
	return `The exit status is 0 if a server runs and its database answers, else 1: for health
checks. Problems that leave the server working, such as a groups file with a mistake,
are named and change nothing about that. Examples:

    muster status
    muster status --config /etc/muster/muster.toml --json`
}

// statusResult is what status prints with --json.
type statusResult struct {
	admin.Health
	admin.Info
}

// Run asks and prints the answer.
func (c *statusCommand) Run(ctx context.Context, e *env) error {
	return c.explain(c.run(ctx, e))
}

func (c *statusCommand) run(ctx context.Context, e *env) error {
	client, err := c.client(e)
	if err != nil {
		return err
	}
	info, err := client.Info(ctx)
	if err != nil {
		return err
	}
	health, err := client.Health(ctx)
	if err != nil {
		return err
	}
	if c.JSON {
		err = e.printJSON(statusResult{health, info})
	} else {
		c.print(e, info, health)
	}
	if err == nil && health.Status != "ok" {
		err = fmt.Errorf("the server runs, but its database does not answer: %s", health.Storage)
	}
	return err
}

func (c *statusCommand) print(e *env, info admin.Info, health admin.Health) {
	row := func(name, value string) { e.printf("%-10s %s\n", name, value) }
	row("status", health.Status)
	row("version", info.Version)
	row("process", fmt.Sprintf("%d, for %v", info.PID, time.Since(info.Started).Round(time.Second)))
	row("hosts", strings.Join(info.Hosts, ", "))
	if len(info.RoomHosts) > 0 {
		row("rooms", strings.Join(info.RoomHosts, ", "))
	}
	for _, l := range info.Listeners {
		row(l.Kind, l.Address+" ("+tlsWords(l.TLS)+")")
	}
	for _, problem := range info.Problems {
		row("problem", problem)
	}
}
