package server_test

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/muster-im/muster/config"
	"github.com/muster-im/muster/internal/backup"
	"github.com/muster-im/muster/jid"
	"github.com/muster-im/muster/server"
)

// backupOf is a backup of a server with one account.
func backupOf(t *testing.T) []byte {
	t.Helper()
	s := start(t, offNetwork(t), server.Options{NoListen: true})
	defer shutdown(t, s)
	if err := s.AddUser(t.Context(), jid.MustParse("romeo@localhost"), "secret"); err != nil {
		t.Fatal(err)
	}
	p, err := s.Backup(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Backup(t.Context(), nil); err == nil || !strings.Contains(err.Error(), "under way") {
		t.Errorf("a second backup at the same time: %v", err)
	}
	var b bytes.Buffer
	if err := errors.Join(p.Write(&b), p.Close()); err != nil {
		t.Fatal(err)
	}
	p, err = s.Backup(t.Context(), nil)
	if err != nil {
		t.Fatalf("a backup after the first one: %v", err)
	}
	if err := p.Close(); err != nil {
		t.Error(err)
	}
	return b.Bytes()
}

func TestRestoredServerHasEverything(t *testing.T) {
	t.Parallel()
	data := backupOf(t)
	cfg := offNetwork(t)
	leftover := filepath.Join(cfg.General.DataDir, ".restore-1", "x") // of a killed one
	if err := os.MkdirAll(leftover, 0o700); err != nil {
		t.Fatal(err)
	}
	r, err := server.Restore(t.Context(), cfg.General.DataDir, bytes.NewReader(data), server.RestoreOptions{})
	if err != nil || r.Replaced != "" || r.Manifest.Hosts[0] != "localhost" {
		t.Fatalf("got %+v, %v", r, err)
	}
	if _, err := os.Stat(leftover); err == nil {
		t.Error("what a killed restore has left is still there")
	}
	s := start(t, cfg, server.Options{NoListen: true})
	defer shutdown(t, s)
	if err := s.AddUser(t.Context(), jid.MustParse("romeo@localhost"), "other"); err == nil {
		t.Error("the account is not there")
	}
}

// A restore that was killed while files came into use must not be taken for a
// directory with data.
func TestHalfRestoredDirectoryIsRefused(t *testing.T) {
	t.Parallel()
	data := backupOf(t)
	cfg := offNetwork(t)
	dir := cfg.General.DataDir
	if err := os.WriteFile(filepath.Join(dir, "restoring"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := server.New(cfg, server.Options{NoListen: true}); err == nil || !strings.Contains(err.Error(), "restore --replace") {
		t.Fatalf("got %v, want an error with a remedy", err)
	}
	if _, err := os.Stat(filepath.Join(dir, "muster.db")); err == nil {
		t.Error("the refused start has made a database")
	}
	if _, err := server.Restore(t.Context(), dir, bytes.NewReader(data), server.RestoreOptions{Replace: true}); err != nil {
		t.Fatal(err)
	}
	shutdown(t, start(t, cfg, server.Options{NoListen: true}))
}

// Root restores for the user whom the server runs as.
func TestRestoreGivesFilesToTheOwner(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		t.Skip("only root can give files away")
	}
	data := backupOf(t)
	dir := t.TempDir()
	if err := os.Chown(dir, 65532, 65532); err != nil {
		t.Fatal(err)
	}
	if _, err := server.Restore(t.Context(), dir, bytes.NewReader(data), server.RestoreOptions{}); err != nil {
		t.Fatal(err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) < 4 {
		t.Fatalf("%v %v", entries, err)
	}
	for _, e := range entries {
		info, err := e.Info()
		if err != nil {
			t.Fatal(err)
		}
		if owner := info.Sys().(*syscall.Stat_t).Uid; owner != 65532 {
			t.Errorf("%s belongs to %d", e.Name(), owner)
		}
	}
}

func TestRestoreEndsWithItsContext(t *testing.T) {
	t.Parallel()
	data := backupOf(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	dir := t.TempDir()
	if _, err := server.Restore(ctx, dir, bytes.NewReader(data), server.RestoreOptions{}); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	if _, err := os.Stat(filepath.Join(dir, "muster.db")); err == nil {
		t.Error("something was restored")
	}
}

func TestRestoreOfANewerSchema(t *testing.T) {
	t.Parallel()
	work := t.TempDir()
	m, err := backup.Read(bytes.NewReader(backupOf(t)), work, nil)
	if err != nil {
		t.Fatal(err)
	}
	newer(t, filepath.Join(work, "archive.db"))
	for i := range m.Files {
		if m.Files[i].Name == "archive.db" {
			rows := m.Files[i].Rows
			if m.Files[i], err = backup.Digest(filepath.Join(work, "archive.db")); err != nil {
				t.Fatal(err)
			}
			m.Files[i].Rows, m.Files[i].Schema = rows, 1000
		}
	}
	var b bytes.Buffer
	if err := backup.Write(&b, m, work); err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(t.TempDir(), "new")
	_, err = server.Restore(t.Context(), dir, &b, server.RestoreOptions{})
	if err == nil || !strings.Contains(err.Error(), "version 1000") || !strings.Contains(err.Error(), "newer program") {
		t.Errorf("got %v, want an error with versions and remedy", err)
	}
	if _, err := os.Stat(dir); err == nil {
		t.Error("the directory has been made")
	}
}

func TestBackupOfPostgreSQLNamesItsTools(t *testing.T) {
	t.Parallel()
	cfg := config.Development()
	cfg.Storage.Driver, cfg.Storage.URL = "postgres", "postgres://muster:geheim@/chat?host=/run/postgresql"
	for _, err := range []error{server.CanBackup(cfg), server.CanRestore(cfg)} {
		if err == nil || !strings.Contains(err.Error(), "host=/run/postgresql port=5432 user=muster dbname=chat") || strings.Contains(err.Error(), "geheim") {
			t.Errorf("got %v", err)
		}
	}
}

// newer makes a database one of a later program.
func newer(t *testing.T, file string) {
	t.Helper()
	db, err := sql.Open("sqlite", file)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close() //nolint:errcheck // see below
	if _, err := db.ExecContext(t.Context(), "UPDATE schema_versions SET version = 1000"); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
}
