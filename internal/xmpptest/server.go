package xmpptest

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/muster-im/muster/config"
	"github.com/muster-im/muster/groups"
	"github.com/muster-im/muster/jid"
	"github.com/muster-im/muster/muc"
	"github.com/muster-im/muster/server"
)

// Rooms is the domain of the rooms of NewServer.
const Rooms = "conf.test"

// shutdownTimeout is how long a server may take to end, in virtual time.
const shutdownTimeout = time.Minute

// whole is a server with all its parts, off the network.
type whole struct {
	// Set at construction.
	t   testing.TB
	cfg *config.Config
	far Remote
	dir string // of files
	// files are those of the archive.
	files  map[string]string
	web    *httpService   // nil: none
	attach *server.Attach // nil: it is no component

	server *server.Server
}

// NewServer starts a server with all its parts, on SQLite in a temporary
// directory. Without a file muster.toml it serves localhost with rooms at
// conf.test, as `muster init` would set it up, but for TLS: there is none. The
// data directory that the file names does not count.
func NewServer(t testing.TB, files map[string]string) System {
	t.Helper()
	return newWhole(t, files, func(*config.Config) {})
}

func newWhole(t testing.TB, files map[string]string, adapt func(*config.Config)) System {
	t.Helper()
	w := prepared(t, files, adapt)
	if err := w.start(); err != nil {
		t.Fatal(err)
	}
	return w
}

// prepared returns a server that has not started.
func prepared(t testing.TB, files map[string]string, adapt func(*config.Config)) *whole {
	t.Helper()
	cfg := config.Modern(domain)
	cfg.Listen.C2S[0].TLS.Mode = "none"
	cfg.Modules.MUC.Host, cfg.Modules.GroupsInternal.GroupsMUCHost = Rooms, Rooms
	if text, ok := files["muster.toml"]; ok {
		var err error
		if cfg, err = config.Parse("muster.toml", []byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	cfg.General.DataDir = t.TempDir()
	cfg.Storage.Durability = "process" // nobody pulls the plug
	adapt(cfg)
	w := &whole{t: t, cfg: cfg, dir: t.TempDir(), files: files}
	if err := w.writeFiles(); err != nil {
		t.Fatal(err)
	}
	if rules, ok := files["http"]; ok {
		var err error
		if w.web, err = newHTTPService(rules); err != nil {
			t.Fatal(err)
		}
	}
	return w
}

func (w *whole) start() error {
	s, err := server.New(w.cfg, server.Options{NoListen: true, Attach: w.attach, Dial: w.web.dial})
	if err != nil {
		return fmt.Errorf("start the server: %w", err)
	}
	w.server = s
	w.far.attach(s)
	return s.Start(context.Background())
}

// Far is the server of the domain Far.
func (w *whole) Far() *Remote { return &w.far }

// Rooms returns the room service of a domain, nil if there is none.
func (w *whole) Rooms(domain string) *muc.Service { return w.server.Rooms(domain) }

// Dial connects to the first listener.
func (w *whole) Dial() net.Conn { return w.server.Dial() }

// AddUser makes an account.
func (w *whole) AddUser(account jid.JID, password string) error {
	return w.server.AddUser(context.Background(), account, password)
}

// DeleteUser removes an account.
func (w *whole) DeleteUser(account jid.JID) error {
	return w.server.DeleteUser(context.Background(), account)
}

// groupsFile is the file that has groups, if there is one.
const groupsFile = "groups.txt"

// writeFiles writes the files of the archive.
func (w *whole) writeFiles() error {
	if g := w.cfg.Modules.GroupsInternal; g != nil && g.GroupsMUCHost == "" {
		g.GroupsMUCHost = Rooms
	}
	for name := range w.files {
		if err := w.Replace(name, name); err != nil {
			return err
		}
	}
	if w.files[groupsFile] == "" {
		return nil
	}
	if w.cfg.Modules.Groups == nil {
		w.cfg.Modules.Groups = &config.Groups{Format: "strict", CheckInterval: config.Duration(time.Second)}
	}
	w.cfg.Modules.Groups.GroupsFile = filepath.Join(w.dir, groupsFile)
	return nil
}

// Replace puts a file of the archive in the place of another one.
func (w *whole) Replace(file, by string) error {
	text, ok := w.files[by]
	if !ok {
		return fmt.Errorf("there is no file %s", by)
	}
	return os.WriteFile(filepath.Join(w.dir, file), []byte(text), 0o600)
}

// Reload lets the server read its configuration again.
func (w *whole) Reload() error { return w.server.Reload(w.cfg) }

// Group changes a group of people.
func (w *whole) Group(args []string) error {
	g, ctx, id := w.server.Groups(), context.Background(), groups.ID(args[1])
	name := strings.Join(args[2:], " ")
	var err error
	switch args[0] {
	case "create":
		_, err = g.Create(ctx, groups.NewGroup{ID: id, Name: name}, groups.Cause{})
	case "overlay":
		_, err = g.Create(ctx, groups.NewGroup{ID: id, Name: name, Contract: groups.Overlay}, groups.Cause{})
	case "chat":
		_, err = g.PutGroupChat(ctx, id, groups.NewChat{ID: name, Name: name, Default: true}, groups.Cause{})
	case "rename":
		_, err = g.SetInfo(ctx, id, groups.Update{Name: &name}, groups.Cause{})
	case "role":
		var user jid.JID
		if user, err = person(args[2]); err == nil {
			_, err = g.AddMember(ctx, id, groups.Joining{User: user, Role: groups.Role(args[3])}, groups.Cause{})
		}
	case "delete":
		err = g.Delete(ctx, id, groups.Cause{})
	case "add", "remove":
		for _, who := range args[2:] {
			user, err := person(who)
			switch {
			case err != nil:
			case args[0] == "add":
				_, err = g.AddMember(ctx, id, groups.Joining{User: user}, groups.Cause{})
			default:
				_, err = g.RemoveMember(ctx, id, user, groups.Cause{})
			}
			if err != nil {
				return err
			}
		}
	default:
		err = fmt.Errorf("nothing to do with groups: %s", args[0])
	}
	return err
}

// person is somebody whom a line about groups names: an account, or an address.
func person(name string) (jid.JID, error) {
	if !strings.Contains(name, "@") {
		name += "@" + domain
	}
	return jid.Parse(name)
}

// Restart ends the server and starts it on the same data.
func (w *whole) Restart() error {
	if err := w.shutdown(); err != nil {
		return err
	}
	return w.start()
}

// Close ends the server, and the HTTP service.
func (w *whole) Close() error { return errors.Join(w.shutdown(), w.web.end()) }

func (w *whole) shutdown() error {
	ctx, cancel := context.WithTimeout(context.Background(), shutdownTimeout)
	defer cancel()
	return w.server.Shutdown(ctx)
}
