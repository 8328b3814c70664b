package admin_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/muster-im/muster/internal/admin"
)

// copied is a backup of some bytes.
type copied struct {
	data   []byte
	broken error // after the bytes
	closed bool
}

func (c *copied) Size() int64 { return int64(len(c.data)) }

func (c *copied) Write(w io.Writer) error {
	_, err := w.Write(c.data)
	return errors.Join(err, c.broken)
}

func (c *copied) Close() error { c.closed = true; return nil }

// backups starts an API whose backups prepare makes.
func backups(t *testing.T, prepare func(ctx context.Context, progress func(string, int64, int64)) (admin.Backup, error)) *admin.Client {
	t.Helper()
	dir, err := os.MkdirTemp("", "admin")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	l, err := admin.Listen(dir)
	if err != nil {
		t.Fatal(err)
	}
	srv := &http.Server{ReadHeaderTimeout: time.Second, Handler: admin.New(admin.Options{Hosts: []string{"a.test"}, Backup: prepare}).Socket()}
	var wg sync.WaitGroup
	wg.Go(func() { _ = srv.Serve(l) })
	t.Cleanup(func() { _ = srv.Close(); wg.Wait() })
	return admin.NewClient(filepath.Join(dir, admin.SocketName))
}

func TestBackup(t *testing.T) {
	t.Parallel()
	made := &copied{data: bytes.Repeat([]byte("a backup\n"), 100_000)}
	c := backups(t, func(_ context.Context, progress func(string, int64, int64)) (admin.Backup, error) {
		progress("copy", 1, 10)
		for range 10 {
			progress("copy", 2, 10) // not each is worth a line
		}
		progress("copy", 10, 10)
		progress("check", 0, 10)
		return made, nil
	})
	var got bytes.Buffer
	var steps []admin.BackupProgress
	err := c.Backup(t.Context(), &got, func(p admin.BackupProgress) { steps = append(steps, p) })
	if err != nil || !bytes.Equal(got.Bytes(), made.data) || !made.closed {
		t.Errorf("%v, %d bytes of %d, closed %v", err, got.Len(), len(made.data), made.closed)
	}
	want := []admin.BackupProgress{
		{Step: "copy", Done: 1, Total: 10},
		{Step: "copy", Done: 10, Total: 10},
		{Step: "check", Total: 10},
		{Size: made.Size()},
	}
	if !reflect.DeepEqual(steps, want) {
		t.Errorf("progress %+v, want %+v", steps, want)
	}
}

// Whatever goes wrong on the way, half a backup is an error.
func TestBackupFails(t *testing.T) {
	t.Parallel()
	full := errors.New("the disk is full")
	for _, test := range []struct {
		name    string
		prepare func(ctx context.Context, progress func(string, int64, int64)) (admin.Backup, error)
		want    string
	}{
		{"before it begins", func(context.Context, func(string, int64, int64)) (admin.Backup, error) {
			return nil, full
		}, "the disk is full"},
		{"while it is made", func(_ context.Context, progress func(string, int64, int64)) (admin.Backup, error) {
			progress("copy", 1, 10)
			return nil, full
		}, "the disk is full"},
		{"while it is sent", func(context.Context, func(string, int64, int64)) (admin.Backup, error) {
			return &copied{data: make([]byte, 1000), broken: full}, nil
		}, "has not sent the backup to its end"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			err := backups(t, test.prepare).Backup(t.Context(), io.Discard, nil)
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v, want %q", err, test.want)
			}
		})
	}
	c := backups(t, func(context.Context, func(string, int64, int64)) (admin.Backup, error) {
		return &copied{data: make([]byte, 1000)}, nil
	})
	if err := c.Backup(t.Context(), failing{full}, nil); !errors.Is(err, full) {
		t.Errorf("a file that cannot be written: %v", err)
	}
}

// failing cannot be written to.
type failing struct{ err error }

func (f failing) Write([]byte) (int, error) { return 0, f.err }

// A client that goes away ends the work for it.
func TestBackupIsCancelled(t *testing.T) {
	t.Parallel()
	ended := make(chan error, 1)
	ctx, cancel := context.WithCancel(t.Context())
	c := backups(t, func(ctx context.Context, progress func(string, int64, int64)) (admin.Backup, error) {
		progress("copy", 1, 10)
		<-ctx.Done()
		ended <- ctx.Err()
		return nil, ctx.Err()
	})
	err := c.Backup(ctx, io.Discard, func(admin.BackupProgress) { cancel() })
	if !errors.Is(err, context.Canceled) {
		t.Errorf("the client: %v", err)
	}
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("the server: %v", err)
	}
}

func TestHealth(t *testing.T) {
	t.Parallel()
	dir, err := os.MkdirTemp("", "admin")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	l, err := admin.Listen(dir)
	if err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusServiceUnavailable)
		_, _ = io.WriteString(w, `{"status": "failing", "storage": "the disk is full"}`)
	})
	srv := &http.Server{ReadHeaderTimeout: time.Second, Handler: mux}
	var wg sync.WaitGroup
	wg.Go(func() { _ = srv.Serve(l) })
	t.Cleanup(func() { _ = srv.Close(); wg.Wait() })
	h, err := admin.NewClient(filepath.Join(dir, admin.SocketName)).Health(t.Context())
	if err != nil || h != (admin.Health{Status: "failing", Storage: "the disk is full"}) {
		t.Errorf("got %+v, %v", h, err)
	}
}
