package muclog

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"
	"syscall"
	"time"
	"unicode"
	"unicode/utf8"
)

const (
	fileMode = 0o640
	dirMode  = 0o750
	// maxName bounds the name of a room's directory; file systems take 255
	// bytes.
	maxName = 200
)

// batch is what is to be appended to one file.
type batch struct {
	first *entry
	lines int
	text  []byte
}

// write appends events to their files, and returns how many are lost and one of
// the reasons.
func (l *Log) write(queue []entry) (lost int, err error) {
	files := make(map[string]*batch)
	var order []string
	for i := range queue {
		e := &queue[i]
		e.at = e.at.In(l.opts.Location)
		name := l.path(e)
		b := files[name]
		if b == nil {
			b = &batch{first: e}
			files[name] = b
			order = append(order, name)
		}
		b.lines++
		b.text = l.appendLine(b.text, e)
	}
	if err := os.MkdirAll(l.opts.Dir, dirMode); err != nil {
		return len(queue), err
	}
	root, err := os.OpenRoot(l.opts.Dir)
	if err != nil {
		return len(queue), err
	}
	defer func() { _ = root.Close() }()
	for _, name := range order {
		if failed := l.appendTo(root, name, files[name]); failed != nil {
			lost, err = lost+files[name].lines, failed
		}
	}
	return lost, err
}

// appendTo appends b to a file, all of it or nothing. A root lets no symbolic
// link lead out of it.
func (l *Log) appendTo(root *os.Root, name string, b *batch) (err error) {
	if err := root.MkdirAll(path.Dir(name), dirMode); err != nil {
		return err
	}
	// Without waiting, should somebody have put a pipe there.
	f, err := root.OpenFile(name, os.O_APPEND|os.O_CREATE|os.O_WRONLY|syscall.O_NONBLOCK, fileMode)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if !info.Mode().IsRegular() {
		return &fs.PathError{Op: "append to", Path: name, Err: errors.New("not a regular file")}
	}
	text := b.text
	begins, before := info.Size() == 0 && l.opts.HTML, ""
	if begins {
		before = l.pageBefore(root, name)
		text = append(l.appendHead(nil, b.first, before), text...)
	}
	if n, err := f.Write(text); err != nil {
		if n > 0 {
			err = errors.Join(err, f.Truncate(info.Size())) // no half lines
		}
		return err
	}
	if begins && before != "" {
		l.linkNext(root, path.Join(roomDir(name), before), strings.TrimPrefix(name, roomDir(name)+"/"))
	}
	return nil
}

// roomDir is the directory of a room's files.
func roomDir(name string) string {
	dir, _, _ := strings.Cut(name, "/")
	return dir
}

// pageBefore returns the last page of a room before one, by its name below the
// room's directory; "" if there is none.
func (l *Log) pageBefore(root *os.Root, name string) string {
	dir := roomDir(name)
	levels := strings.Count(name, "/")
	page := lastBefore(root.FS(), dir, name, levels, func(file string) bool {
		_, err := time.Parse(l.layout(), strings.TrimPrefix(file, dir+"/"))
		return err == nil
	})
	return strings.TrimPrefix(page, dir+"/")
}

// lastBefore returns the last file some levels below a directory that is a page
// and comes before another; "" if there is none.
func lastBefore(fsys fs.FS, dir, name string, levels int, isPage func(string) bool) string {
	entries, err := fs.ReadDir(fsys, dir)
	if err != nil {
		return ""
	}
	for _, e := range slices.Backward(entries) {
		file := path.Join(dir, e.Name())
		switch {
		case levels == 1:
			if file < name && e.Type().IsRegular() && isPage(file) {
				return file
			}
		case e.IsDir() && (file < name || strings.HasPrefix(name, file+"/")):
			if found := lastBefore(fsys, file, name, levels-1, isPage); found != "" {
				return found
			}
		}
	}
	return ""
}

// linkNext ends a page with a link to the next. A page without it is none the
// worse.
func (l *Log) linkNext(root *os.Root, page, next string) {
	f, err := root.OpenFile(page, os.O_APPEND|os.O_WRONLY|syscall.O_NONBLOCK, fileMode)
	if err != nil {
		return
	}
	_, _ = fmt.Fprintf(f, "<nav><a href=\"%s\">&gt;</a></nav>\n", l.link(next))
	_ = f.Close()
}

// path is the file of an event, below the directory.
func (l *Log) path(e *entry) string {
	room := e.room.String()
	if l.opts.LocalPart {
		room = e.room.Local()
	}
	return path.Join(dirName(room), l.day(e.at))
}

// day is the file of a day, below the room's directory.
func (l *Log) day(at time.Time) string { return at.Format(l.layout()) }

// layout is that of the names of files, below the room's directory.
func (l *Log) layout() string {
	layout, extension := "2006/01/02", ".txt"
	if l.opts.Plain {
		layout = time.DateOnly
	}
	if l.opts.HTML {
		extension = ".html"
	}
	return layout + extension
}

// dirName makes one directory's name of what people may have chosen: letters,
// digits and a few signs stay, every other byte is %XX, and of what is too long
// the beginning stays, with a hash of all. Different names stay different.
func dirName(name string) string {
	var b strings.Builder
	for i, r := range name {
		switch {
		case r != utf8.RuneError && (unicode.IsLetter(r) || unicode.IsDigit(r)), strings.ContainsRune("@-_+", r), r == '.' && i > 0:
			b.WriteRune(r)
		default:
			_, n := utf8.DecodeRuneInString(name[i:])
			for _, c := range []byte(name[i : i+n]) {
				fmt.Fprintf(&b, "%%%02X", c)
			}
		}
	}
	s := b.String()
	if len(s) <= maxName {
		return s
	}
	hash := fmt.Sprintf("%%%x", sha256.Sum256([]byte(name)))
	end := maxName - len(hash)
	for !utf8.RuneStart(s[end]) {
		end--
	}
	return s[:end] + hash
}
