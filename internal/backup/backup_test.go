package backup_test

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/muster-im/muster/internal/backup"
)

// made returns a backup of two files, with its manifest.
func made(t *testing.T) ([]byte, *backup.Manifest) {
	t.Helper()
	dir := t.TempDir()
	m := &backup.Manifest{Format: backup.Format, Created: time.Unix(1e9, 0).UTC(), Program: "1.0", Hosts: []string{"example.org"}}
	for name, text := range map[string]string{"muster.db": strings.Repeat("accounts ", 300), "archive.db": strings.Repeat("messages ", 200)} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"muster.db", "archive.db"} {
		f, err := backup.Digest(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		m.Files = append(m.Files, f)
	}
	m.Files[0].Schema, m.Files[0].Rows = 2, map[string]int64{"accounts": 300}
	var b bytes.Buffer
	if err := backup.Write(&b, m, dir); err != nil {
		t.Fatal(err)
	}
	return b.Bytes(), m
}

func TestRoundTrip(t *testing.T) {
	t.Parallel()
	data, want := made(t)
	dir := t.TempDir()
	var last int64
	m, err := backup.Read(bytes.NewReader(data), dir, func(done, total int64) {
		if done < last || done > total || total != want.Size() {
			t.Errorf("progress %d of %d after %d, size %d", done, total, last, want.Size())
		}
		last = done
	})
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(m, want) || last != want.Size() {
		t.Errorf("got %+v with progress up to %d, want %+v", m, last, want)
	}
	for _, f := range want.Files {
		if got, err := backup.Digest(filepath.Join(dir, f.Name)); err != nil || got.SHA256 != f.SHA256 {
			t.Errorf("%s: %v %v, want %v", f.Name, got, err, f)
		}
		if info, err := os.Stat(filepath.Join(dir, f.Name)); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v %v, want mode 0600", f.Name, info.Mode(), err)
		}
	}
	if _, err := backup.Read(bytes.NewReader(data), dir, nil); !errors.Is(err, os.ErrExist) {
		t.Errorf("over files that are there: %v", err)
	}
}

// A file that lacks its end must never pass.
func TestTruncated(t *testing.T) {
	t.Parallel()
	data, _ := made(t)
	content := len(data) - 1024 - 512 + 64 // without padding and the two blocks that mark the end
	for n := 0; n < content; n += 97 {
		_, err := backup.Read(bytes.NewReader(data[:n]), "", nil)
		if !errors.Is(err, backup.ErrIncomplete) && !errors.Is(err, backup.ErrNotBackup) {
			t.Errorf("first %d of %d bytes: %v", n, len(data), err)
		}
		if n > 2048 && !errors.Is(err, backup.ErrIncomplete) {
			t.Errorf("first %d of %d bytes: %v, want %v", n, len(data), err, backup.ErrIncomplete)
		}
	}
}

// Neither must one with a changed byte, unless nothing reads that byte.
func TestDamaged(t *testing.T) {
	t.Parallel()
	data, want := made(t)
	for n := range len(data) - 1024 {
		bad := bytes.Clone(data)
		bad[n] ^= 0x01
		m, err := backup.Read(bytes.NewReader(bad), "", nil)
		if err == nil && !reflect.DeepEqual(m, want) {
			t.Fatalf("byte %d changed from %q: accepted with %+v", n, data[n], m)
		}
	}
}

func TestRefuses(t *testing.T) {
	t.Parallel()
	data, good := made(t)
	with := func(change func(m *backup.Manifest)) []byte {
		m := *good
		m.Files = append([]backup.File(nil), good.Files...)
		change(&m)
		head, err := json.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		return archive(t, "manifest.json", head)
	}
	for _, test := range []struct {
		name string
		data []byte
		want error
	}{
		{"empty", nil, backup.ErrNotBackup},
		{"text", []byte(strings.Repeat("no archive ", 500)), backup.ErrNotBackup},
		{"a database", []byte("SQLite format 3\x00" + strings.Repeat("\x00", 5000)), backup.ErrNotBackup},
		{"another archive", archive(t, "hello.txt", []byte("hello")), backup.ErrNotBackup},
		{"no format", archive(t, "manifest.json", []byte("{}")), backup.ErrNotBackup},
		{"no json", archive(t, "manifest.json", []byte("format: 1")), backup.ErrDamaged},
		{"a newer format", archive(t, "manifest.json", []byte(`{"format": 2, "files": "elsewhere"}`)), backup.ErrNewer},
		{"no files", with(func(*backup.Manifest) {}), backup.ErrIncomplete},
		{"a way out", with(func(m *backup.Manifest) { m.Files[0].Name = "../muster.db" }), backup.ErrDamaged},
		{"an absolute path", with(func(m *backup.Manifest) { m.Files[0].Name = "/etc/passwd" }), backup.ErrDamaged},
		{"a hidden file", with(func(m *backup.Manifest) { m.Files[0].Name = ".." }), backup.ErrDamaged},
		{"a file twice", with(func(m *backup.Manifest) { m.Files[1].Name = m.Files[0].Name }), backup.ErrDamaged},
		{"more than the manifest says", append(bytes.Clone(data[:len(data)-2048]), archive(t, "more", []byte("x"))...), backup.ErrDamaged},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			if _, err := backup.Read(bytes.NewReader(test.data), dir, nil); !errors.Is(err, test.want) {
				t.Errorf("got %v, want %v", err, test.want)
			}
		})
	}
	broken := errors.New("input/output error")
	if _, err := backup.Read(iotest.ErrReader(broken), "", nil); !errors.Is(err, broken) {
		t.Errorf("a disk that fails: %v", err)
	}
}

func TestWriteRefusesChangedFiles(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := filepath.Join(dir, "muster.db")
	if err := os.WriteFile(file, []byte("before"), 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := backup.Digest(file)
	if err != nil {
		t.Fatal(err)
	}
	m := &backup.Manifest{Format: backup.Format, Files: []backup.File{f}}
	if err := os.WriteFile(file, []byte("behind"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := backup.Write(new(bytes.Buffer), m, dir); err == nil || !strings.Contains(err.Error(), "changed") {
		t.Errorf("got %v", err)
	}
}

// archive is an archive with one file.
func archive(t *testing.T, name string, data []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	if err := errors.Join(w.WriteHeader(&tar.Header{Name: name, Size: int64(len(data)), Mode: 0o600})); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(data); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}
