// Package backup is the file that `muster backup` writes: a tar archive of a
// manifest and the files it names, each with its size and SHA-256. The package
// knows nothing of what is in the files. It has no goroutines and blocks on the
// readers and writers that it is given.
package backup

import (
	"archive/tar"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// Format is the version of the files that this program writes, and the newest
// that it reads.
const Format = 1

// The first entry of every backup, and the last, which is the first's SHA-256.
const (
	manifestName = "manifest.json"
	sumName      = "manifest.sha256"
)

// maxManifest bounds what is read of a manifest.
const maxManifest = 1 << 20

// The mode of everything that is written: there are keys and messages in it.
const fileMode = 0o600

// What is wrong with a file that is no usable backup.
var (
	// ErrNotBackup says that a file is something else.
	ErrNotBackup = errors.New("this is no backup of Muster: name a file that \"muster backup\" has written")
	// ErrIncomplete says that the end is missing.
	ErrIncomplete = errors.New("the file ends early: it was not copied or written to its end; use another copy of it, or an earlier backup")
	// ErrDamaged says that the content is not what was written.
	ErrDamaged = errors.New("the file is damaged; use another copy of it, or an earlier backup")
	// ErrNewer says that a newer program is needed.
	ErrNewer = errors.New("a newer Muster has made this backup: restore it with that version")
)

// Manifest says what is in a backup.
type Manifest struct {
	Format  int       `json:"format"`
	Created time.Time `json:"created"`
	Program string    `json:"program"` // the version that made it
	Hosts   []string  `json:"hosts,omitempty"`
	Files   []File    `json:"files"` // in the order of the archive
}

// File is one file of a backup.
type File struct {
	Name   string `json:"name"`
	Size   int64  `json:"size"`
	SHA256 string `json:"sha256"`
	// Of databases only: the version of the schema and the rows per table.
	Schema int              `json:"schema,omitempty"`
	Rows   map[string]int64 `json:"rows,omitempty"`
}

// Size is the number of bytes of all files.
func (m *Manifest) Size() (n int64) {
	for i := range m.Files {
		n += m.Files[i].Size
	}
	return n
}

// Digest returns the entry of a file on the disk.
func Digest(path string) (File, error) {
	f, err := os.Open(path)
	if err != nil {
		return File{}, err
	}
	defer f.Close() //nolint:errcheck // only read from
	sum := sha256.New()
	n, err := io.Copy(sum, f)
	if err != nil {
		return File{}, err
	}
	return File{Name: filepath.Base(path), Size: n, SHA256: hex.EncodeToString(sum.Sum(nil))}, nil
}

// Write writes a backup of the files in dir that m names. It fails if one of
// them is not as m says.
func Write(w io.Writer, m *Manifest, dir string) error {
	head, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return fmt.Errorf("write backup: %w", err)
	}
	t := tar.NewWriter(w)
	if err := writeText(t, manifestName, head, m.Created); err != nil {
		return fmt.Errorf("write backup: %w", err)
	}
	for i := range m.Files {
		if err := writeFile(t, &m.Files[i], m.Created, dir); err != nil {
			return fmt.Errorf("write backup: %s: %w", m.Files[i].Name, err)
		}
	}
	if err := errors.Join(writeText(t, sumName, sumOf(head), m.Created), t.Close()); err != nil {
		return fmt.Errorf("write backup: %w", err)
	}
	return nil
}

func sumOf(head []byte) []byte {
	sum := sha256.Sum256(head)
	return []byte(hex.EncodeToString(sum[:]))
}

func writeText(t *tar.Writer, name string, text []byte, at time.Time) error {
	if err := t.WriteHeader(header(name, int64(len(text)), at)); err != nil {
		return err
	}
	_, err := t.Write(text)
	return err
}

func header(name string, size int64, at time.Time) *tar.Header {
	return &tar.Header{Typeflag: tar.TypeReg, Name: name, Size: size, Mode: fileMode, ModTime: at.Truncate(time.Second)}
}

func writeFile(t *tar.Writer, entry *File, at time.Time, dir string) error {
	f, err := os.Open(filepath.Join(dir, entry.Name))
	if err != nil {
		return err
	}
	defer f.Close() //nolint:errcheck // only read from
	if err := t.WriteHeader(header(entry.Name, entry.Size, at)); err != nil {
		return err
	}
	sum := sha256.New()
	if _, err := io.Copy(io.MultiWriter(t, sum), f); err != nil {
		return err
	}
	if hex.EncodeToString(sum.Sum(nil)) != entry.SHA256 {
		return errors.New("it has changed while it was copied")
	}
	return nil
}

// Read reads a backup to its end and checks all of it. Its files are written to
// dir, which must not have them yet; "" only checks. progress, if set, is told
// how many bytes of how many have been read.
func Read(r io.Reader, dir string, progress func(done, total int64)) (*Manifest, error) {
	t := tar.NewReader(r)
	m, head, err := readManifest(t)
	if err != nil {
		return nil, err
	}
	done, total := int64(0), m.Size()
	for i := range m.Files {
		entry := &m.Files[i]
		h, err := t.Next()
		if err != nil {
			return nil, readError(err)
		}
		if h.Name != entry.Name || h.Size != entry.Size {
			return nil, ErrDamaged
		}
		count := func(n int64) {
			done += n
			if progress != nil {
				progress(done, total)
			}
		}
		if err := readFile(t, entry, dir, count); err != nil {
			return nil, err
		}
	}
	h, err := t.Next()
	if err != nil {
		return nil, readError(err)
	}
	sum, err := io.ReadAll(io.LimitReader(t, 2*sha256.Size))
	switch {
	case err != nil:
		return nil, readError(err)
	case h.Name != sumName, string(sum) != string(sumOf(head)):
		return nil, ErrDamaged
	}
	return m, nil
}

// readError is what an error of reading an archive means.
func readError(err error) error {
	switch {
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return ErrIncomplete
	case errors.Is(err, tar.ErrHeader):
		return ErrDamaged
	}
	return err
}

func readManifest(t *tar.Reader) (m *Manifest, head []byte, err error) {
	h, err := t.Next()
	switch {
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, tar.ErrHeader):
		return nil, nil, ErrNotBackup
	case err != nil:
		return nil, nil, err
	case h.Name != manifestName, h.Size > maxManifest:
		return nil, nil, ErrNotBackup
	}
	head, err = io.ReadAll(t)
	if err != nil {
		return nil, nil, readError(err)
	}
	var format struct {
		Format int `json:"format"`
	}
	switch err := json.Unmarshal(head, &format); {
	case err != nil:
		return nil, nil, ErrDamaged
	case format.Format > Format:
		return nil, nil, ErrNewer
	case format.Format < 1:
		return nil, nil, ErrNotBackup
	}
	if err := json.Unmarshal(head, &m); err != nil {
		return nil, nil, ErrDamaged
	}
	seen := make(map[string]bool)
	for i := range m.Files {
		name := m.Files[i].Name
		if !validName(name) || seen[name] || m.Files[i].Size < 0 {
			return nil, nil, ErrDamaged
		}
		seen[name] = true
	}
	return m, head, nil
}

// validName reports whether a name stays inside a directory.
func validName(name string) bool {
	return name != "" && name[0] != '.' && !strings.ContainsAny(name, "/\\\x00") && filepath.IsLocal(name)
}

// readFile checks one file and writes it to dir.
func readFile(t *tar.Reader, entry *File, dir string, count func(n int64)) (err error) {
	sum := sha256.New()
	to := io.Writer(sum)
	if dir != "" {
		f, err := os.OpenFile(filepath.Join(dir, entry.Name), os.O_WRONLY|os.O_CREATE|os.O_EXCL, fileMode)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, f.Sync(), f.Close()) }()
		to = io.MultiWriter(sum, f)
	}
	for {
		n, err := io.CopyN(to, t, 1<<20)
		count(n)
		switch {
		case errors.Is(err, io.EOF):
			if hex.EncodeToString(sum.Sum(nil)) != entry.SHA256 {
				return ErrDamaged
			}
			return nil
		case errors.Is(err, io.ErrUnexpectedEOF):
			return ErrIncomplete
		case err != nil:
			return err
		}
	}
}

// Prepared is a backup whose files are ready, in a directory of their own.
type Prepared struct {
	Manifest Manifest
	Dir      string
	// Release, if set, is called at the end of Close.
	Release func() error
}

// Write writes the backup.
func (p *Prepared) Write(w io.Writer) error { return Write(w, &p.Manifest, p.Dir) }

// Size is the number of bytes of the backup's files.
func (p *Prepared) Size() int64 { return p.Manifest.Size() }

// Close removes the directory.
func (p *Prepared) Close() error {
	err := os.RemoveAll(p.Dir)
	if p.Release != nil {
		err = errors.Join(err, p.Release())
	}
	return err
}
