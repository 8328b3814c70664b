package groupfile

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/muster-im/muster/internal/shared"
	"github.com/muster-im/muster/jid"
)

// maxFile is the size of the largest file that is read.
const maxFile = 256 << 20

// Settings are what may change while a Source works.
type Settings struct {
	Path   string // "": there are no groups
	Format Format
	// MeetOutsiders lets the members of public groups see the presence of
	// everybody who sees theirs.
	MeetOutsiders bool
}

// Options configure a Source.
type Options struct {
	// IsHost says which domains have accounts here.
	IsHost func(domain string) bool
	// Changed is told for whom contacts may have changed; nil are all.
	Changed func(ctx context.Context, accounts []jid.JID)
	// Interval is how often the file is looked at; 0 is never.
	Interval time.Duration

	Logger     *slog.Logger          // nil: silent
	Registerer prometheus.Registerer // nil: no metrics
}

// Problems is everything that is wrong with a file, as an error.
type Problems struct {
	Path string
	List []Problem
}

// Error returns one line for each problem.
func (p *Problems) Error() string {
	var errs []error
	for _, problem := range p.List {
		errs = append(errs, errors.New(p.Path+": "+problem.String()))
	}
	return errors.Join(errs...).Error()
}

// Source has the groups of a file.
type Source struct {
	// Set at construction.
	opts    Options
	log     *slog.Logger
	metrics *metrics

	groups atomic.Pointer[table]
	wrong  atomic.Pointer[Problems] // with what was read last; nil: it is in use

	mu sync.Mutex // held while a file is read and taken into use
	// Guarded by mu.
	settings Settings
	seen     stamp  // what the file looked like when it was last looked at
	read     stamp  // and when it was read
	content  uint64 // of what was read
	sure     bool   // it has been read again since
	stop     context.CancelFunc

	wg sync.WaitGroup
}

// New returns a source without groups.
func New(o Options) *Source {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	s := &Source{opts: o, log: o.Logger, stop: func() {}}
	s.groups.Store(&table{})
	s.metrics = newMetrics(o.Registerer, s)
	return s
}

// Read reads and judges the file of settings. The error is a *Problems, or says
// why the file cannot be read.
func Read(set Settings, isHost func(string) bool) (*File, error) {
	if set.Path == "" {
		return &File{}, nil
	}
	data, _, err := readFile(set.Path)
	if err != nil {
		return nil, err
	}
	return parseFile(set, data, isHost)
}

func parseFile(set Settings, data []byte, isHost func(string) bool) (*File, error) {
	f, problems := Parse(data, set.Format, isHost)
	if len(problems) > 0 {
		return nil, &Problems{set.Path, problems}
	}
	return f, nil
}

// stamp is what a file looks like from outside.
type stamp struct {
	info os.FileInfo // nil: there is none
}

func (a stamp) equal(b stamp) bool {
	if a.info == nil || b.info == nil {
		return a.info == nil && b.info == nil
	}
	return os.SameFile(a.info, b.info) && a.info.Size() == b.info.Size() && a.info.ModTime().Equal(b.info.ModTime())
}

func look(path string) stamp {
	info, err := os.Stat(path)
	if err != nil {
		return stamp{}
	}
	return stamp{info}
}

func readFile(path string) ([]byte, stamp, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, stamp{}, fmt.Errorf("read groups: %w", err)
	}
	if !info.Mode().IsRegular() {
		return nil, stamp{}, fmt.Errorf("read groups: %s is no regular file", path)
	}
	f, err := os.Open(path) //nolint:gosec // the operator says which file
	if err != nil {
		return nil, stamp{}, fmt.Errorf("read groups: %w", err)
	}
	defer f.Close() //nolint:errcheck // it was read
	if info, err = f.Stat(); err != nil {
		return nil, stamp{}, fmt.Errorf("read groups: %w", err)
	}
	if info.Size() > maxFile {
		return nil, stamp{}, fmt.Errorf("read groups: %s has more than %d bytes", path, maxFile)
	}
	var b bytes.Buffer
	b.Grow(int(info.Size()) + bytes.MinRead)
	if _, err := b.ReadFrom(io.LimitReader(f, maxFile)); err != nil {
		return nil, stamp{}, fmt.Errorf("read groups: %w", err)
	}
	return b.Bytes(), stamp{info}, nil
}

// Load reads the file of settings and takes it into use. If there is something
// wrong with it, everything stays as it was. Accounts that are online follow, but
// for the first time: that is before anybody is.
func (s *Source) Load(ctx context.Context, set Settings) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	var data []byte
	var at stamp
	var err error
	if set.Path != "" {
		data, at, err = readFile(set.Path)
	}
	var f *File
	if err == nil {
		f, err = parseFile(set, data, s.opts.IsHost)
	}
	if err != nil {
		s.metrics.reads.WithLabelValues(resultRefused).Inc()
		return err
	}
	s.settings, s.seen, s.read, s.content, s.sure = set, at, at, sumOf(data), false
	s.use(ctx, f)
	return nil
}

// use makes a file's groups those that contact lists have. The source is locked.
func (s *Source) use(ctx context.Context, f *File) {
	begin := time.Now()
	old := s.groups.Load()
	next := old.follow(f, s.settings.MeetOutsiders)
	s.groups.Store(next)
	s.wrong.Store(nil)
	s.metrics.reads.WithLabelValues(resultUsed).Inc()
	for _, w := range f.Warnings {
		s.log.LogAttrs(ctx, slog.LevelWarn, "entry of groups left out", slog.String("file", s.settings.Path), slog.Int("line", w.Line), slog.String("problem", w.Text))
	}
	if accounts, changed := next.concerned(old); changed && old.groups != nil && s.opts.Changed != nil {
		s.opts.Changed(ctx, accounts)
	}
	s.log.LogAttrs(ctx, slog.LevelInfo, "groups read", slog.String("file", s.settings.Path), slog.Int("groups", len(f.Groups)),
		slog.Int("entries", f.Entries), slog.Int("left_out", f.LeftOut), slog.Duration("took", time.Since(begin)))
}

// Start begins to look at the file.
func (s *Source) Start() {
	if s.opts.Interval <= 0 {
		return
	}
	ctx, cancel := context.WithCancel(context.Background())
	s.mu.Lock()
	s.stop = cancel
	s.mu.Unlock()
	s.wg.Go(func() { s.watch(ctx) })
}

// Close ends looking.
func (s *Source) Close() {
	s.mu.Lock()
	stop := s.stop
	s.mu.Unlock()
	stop()
	s.wg.Wait()
}

func (s *Source) watch(ctx context.Context) {
	const sooner = 4 // a part of the interval
	pause := time.NewTimer(s.opts.Interval)
	defer pause.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-pause.C:
		}
		next := s.opts.Interval
		if !s.check(ctx) {
			next /= sooner
		}
		pause.Reset(next)
	}
}

// check takes the file into use if it is another one than before. One that looks
// different is read when it looks the same twice, because somebody may be at
// writing it, and once more afterwards: what is written within one tick of the
// file system's clock shows in nothing else. It reports whether the file looks as
// it did.
func (s *Source) check(ctx context.Context) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.settings.Path == "" {
		return true
	}
	now := look(s.settings.Path)
	settled := now.equal(s.seen)
	s.seen = now
	if settled && !(s.sure && now.equal(s.read)) {
		s.reread(ctx, false)
	}
	return settled
}

// Reload is Load with the settings there are. If there is something wrong with
// the file, the log says so, each time.
func (s *Source) Reload(ctx context.Context) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.settings.Path != "" {
		s.reread(ctx, true)
	}
}

// Problems is what is wrong with the file, nil if it is in use.
func (s *Source) Problems() *Problems { return s.wrong.Load() }

// Settings returns what the source was last loaded with.
func (s *Source) Settings() Settings {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.settings
}

// reread takes the file into use unless it is what was last read; what was wrong
// with that is said again if somebody has asked. The source is locked.
func (s *Source) reread(ctx context.Context, asked bool) {
	data, at, err := readFile(s.settings.Path)
	sum := sumOf(data)
	s.sure = at.equal(s.read) && sum == s.content
	known := s.sure || err == nil && sum == s.content && s.read.info != nil
	s.read, s.content = at, sum
	if known && !(asked && s.wrong.Load() != nil) {
		return
	}
	var f *File
	if err == nil {
		f, err = parseFile(s.settings, data, s.opts.IsHost)
	}
	if err != nil {
		s.keep(ctx, err)
		return
	}
	s.use(ctx, f)
}

// keep says why the groups are not those of the file.
func (s *Source) keep(ctx context.Context, err error) {
	s.metrics.reads.WithLabelValues(resultRefused).Inc()
	problems := &Problems{Path: s.settings.Path, List: []Problem{{Text: err.Error()}}}
	if p, ok := errors.AsType[*Problems](err); ok {
		problems = p
	}
	s.wrong.Store(problems)
	for _, p := range problems.List {
		s.log.LogAttrs(ctx, slog.LevelError, "groups stay as they were", slog.String("file", problems.Path), slog.Int("line", p.Line), slog.String("problem", p.Text))
	}
}

// Snapshots implements shared.Source.
func (s *Source) Snapshots(_ context.Context, account jid.JID, _ bool) ([]*shared.Snapshot, error) {
	return s.groups.Load().of(account), nil
}

// Release implements shared.Source.
func (*Source) Release(jid.JID) {}

// ErrNoGroup is returned for a group that the file does not have.
var ErrNoGroup = errors.New("there is no such group")

// Contains reports whether somebody is in a group, and what the group calls him.
func (s *Source) Contains(group string, who jid.JID) (name string, member bool, err error) {
	t := s.groups.Load()
	i := slices.IndexFunc(t.groups, func(g held) bool { return g.name == group })
	if i < 0 {
		return "", false, fmt.Errorf("%w: %s", ErrNoGroup, group)
	}
	name, member = t.groups[i].snapshot.Member(who.Bare())
	return name, member, nil
}
