package admin

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"time"

	"github.com/muster-im/muster/internal/api"
)

// progressEvery is the least time between two lines of progress of one step.
const progressEvery = 200 * time.Millisecond

// Backup is a backup that is ready to be sent.
type Backup interface {
	// Size is the size of what is in it.
	Size() int64
	// Write writes it.
	Write(w io.Writer) error
	// Close frees what it uses.
	Close() error
}

// backup makes a backup and sends it. The answer is lines of BackupProgress,
// each sent at once, and then the backup.
func (a *Admin) backup(w http.ResponseWriter, r *api.Request) error {
	ctx := r.HTTP.Context()
	out := &progressWriter{ResponseWriter: w, flush: http.NewResponseController(w).Flush}
	b, err := a.opts.Backup(ctx, out.progress)
	if err != nil {
		if out.begun {
			out.line(BackupProgress{Error: err.Error()})
			return nil
		}
		return api.Conflict(err.Error())
	}
	defer func() {
		if err := b.Close(); err != nil {
			a.log.LogAttrs(ctx, slog.LevelWarn, "remove the files of a backup", slog.Any("err", err))
		}
	}()
	out.line(BackupProgress{Size: b.Size()})
	if err := b.Write(w); err != nil {
		return fmt.Errorf("send backup: %w", err) // the client must not take it for whole
	}
	return nil
}

// progressWriter writes lines of progress.
type progressWriter struct {
	http.ResponseWriter
	flush func() error
	begun bool
	step  string
	last  time.Time
}

func (p *progressWriter) progress(step string, done, total int64) {
	if step == p.step && done < total && time.Since(p.last) < progressEvery {
		return
	}
	p.step, p.last = step, time.Now()
	p.line(BackupProgress{Step: step, Done: done, Total: total})
}

// line sends a line. A client that has gone ends the request's context.
func (p *progressWriter) line(v BackupProgress) {
	p.begun = true
	_ = json.NewEncoder(p).Encode(v)
	_ = p.flush()
}

// Backup asks for a backup and writes it to w. progress, if set, is told what
// the server does.
func (c *Client) Backup(ctx context.Context, w io.Writer, progress func(BackupProgress)) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, baseURL+"/backup", nil)
	if err != nil {
		return fmt.Errorf("build request: %w", err)
	}
	long := *c.http
	long.Timeout = 0 // as long as it takes
	resp, err := long.Do(req)
	if err != nil {
		return c.dialError(err)
	}
	defer resp.Body.Close() //nolint:errcheck // only read from
	if resp.StatusCode >= http.StatusBadRequest {
		return readProblem(resp, io.LimitReader(resp.Body, maxAnswer))
	}
	body := bufio.NewReader(resp.Body)
	for {
		var p BackupProgress
		line, err := body.ReadBytes('\n')
		if err == nil {
			err = json.Unmarshal(line, &p)
		}
		switch {
		case err != nil:
			return brokenOff(err)
		case p.Error != "":
			return &Error{Status: http.StatusInternalServerError, Detail: p.Error}
		}
		if progress != nil {
			progress(p)
		}
		if p.Size > 0 {
			break
		}
	}
	// A failure to write keeps its own words.
	_, err = io.Copy(w, reading{body})
	return err
}

// reading is a reader whose errors say that the server has gone.
type reading struct{ io.Reader }

// Read reads.
func (r reading) Read(p []byte) (int, error) {
	n, err := r.Reader.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		err = brokenOff(err)
	}
	return n, err
}

func brokenOff(err error) error {
	if errors.Is(err, context.Canceled) {
		return err
	}
	return fmt.Errorf("the server has not sent the backup to its end (its log says more): %w", err)
}
