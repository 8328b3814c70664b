// Package prosody reads what the file store of Prosody holds: groups of people
// with their members and chats. It has no goroutines; it blocks on the disk.
package prosody

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/muster-im/muster/jid"
)

// The stores of groups, and of a room's settings.
const (
	storeInfo    = "group_info"
	storeMembers = "groups"
	storeRooms   = "config"
)

// maxRecord is the size of the largest record that is read.
const maxRecord = 32 << 20

// Group is a group of mod_groups_internal.
type Group struct {
	ID      string
	Host    string
	Name    string
	Members []jid.JID // ordered by address
	Chats   []Chat
}

// Chat is a chat of a group.
type Chat struct {
	JID     jid.JID
	Name    string // "" if the room's settings do not say one
	Default bool   // it came with the group: the format with one chat
}

// Problem is something that cannot be read, or makes no sense.
type Problem struct {
	File string
	Text string
}

// String returns the problem with its file.
func (p Problem) String() string { return p.File + ": " + p.Text }

// Groups reads all groups of a data directory, ordered by host and id. What is
// wrong with one is told, and it is there as far as it can be read, but for
// groups without a name. An error says that there is no such directory.
func Groups(dir string) ([]Group, []Problem, error) {
	r := &reader{dir: dir, rooms: make(map[string]map[string]string)}
	hosts, err := r.names(dir)
	if err != nil {
		return nil, nil, err
	}
	found := false
	for _, host := range hosts {
		if stores := r.stores(host); len(stores[storeInfo])+len(stores[storeMembers]) > 0 {
			found = true
			r.host(host, stores)
		}
	}
	if !found {
		return nil, nil, fmt.Errorf("%s has no groups: want Prosody's data directory, which has a directory for each host and below it group_info and groups", dir)
	}
	slices.SortFunc(r.problems, func(a, b Problem) int { return cmp.Or(cmp.Compare(a.File, b.File), cmp.Compare(a.Text, b.Text)) })
	slices.SortFunc(r.groups, func(a, b Group) int { return cmp.Or(cmp.Compare(a.Host, b.Host), cmp.Compare(a.ID, b.ID)) })
	return r.groups, r.problems, nil
}

type reader struct {
	dir      string
	groups   []Group
	problems []Problem
	rooms    map[string]map[string]string // files by domain and local part
}

func (r *reader) wrong(path, text string, args ...any) {
	if rel, err := filepath.Rel(r.dir, path); err == nil {
		path = rel
	}
	r.problems = append(r.problems, Problem{path, fmt.Sprintf(text, args...)})
}

// names returns what is in a directory.
func (r *reader) names(path string) ([]string, error) {
	entries, err := os.ReadDir(path)
	names := make([]string, len(entries))
	for i, e := range entries {
		names[i] = e.Name()
	}
	return names, err
}

// decode is the text that a file name stands for: %xx is a byte.
func decode(name string) (string, bool) {
	var b strings.Builder
	for i := 0; i < len(name); i++ {
		if name[i] != '%' {
			b.WriteByte(name[i])
			continue
		}
		var c byte
		if i+2 >= len(name) {
			return "", false
		}
		if _, err := fmt.Sscanf(name[i+1:i+3], "%02x", &c); err != nil {
			return "", false
		}
		b.WriteByte(c)
		i += 2
	}
	return b.String(), true
}

// stores returns the paths of a host's stores of groups by what they are: their
// names may be encoded, too.
func (r *reader) stores(host string) map[string]string {
	path := filepath.Join(r.dir, host)
	names, err := r.names(path)
	if err != nil {
		return nil // a file beside the directories of hosts
	}
	m := make(map[string]string)
	for _, name := range names {
		switch text, _ := decode(name); text {
		case storeInfo, storeMembers, storeRooms:
			m[text] = filepath.Join(path, name)
		}
	}
	return m
}

// records reads a store.
func (r *reader) records(path string) map[string]table {
	m := make(map[string]table)
	if path == "" {
		return m
	}
	names, err := r.names(path)
	if err != nil {
		r.wrong(path, "%v", reason(err))
	}
	for _, name := range names {
		file := filepath.Join(path, name)
		key, isRecord := strings.CutSuffix(name, ".dat")
		if !isRecord {
			if strings.HasSuffix(name, ".list") || strings.HasSuffix(name, ".db") {
				r.wrong(file, "this is not what the store of groups has")
			}
			continue
		}
		id, ok := decode(key)
		if !ok {
			r.wrong(file, "the name is not encoded as Prosody does")
			continue
		}
		t, err := readTable(file)
		if err != nil {
			r.wrong(file, "%v", reason(err))
			continue
		}
		m[id] = t
	}
	return m
}

// reason is an error without the path, which stands before it.
func reason(err error) error {
	if e, ok := errors.AsType[*fs.PathError](err); ok {
		return e.Err
	}
	return err
}

func readTable(path string) (table, error) {
	info, err := os.Stat(path)
	switch {
	case err != nil:
		return nil, err
	case !info.Mode().IsRegular() || info.Size() > maxRecord:
		return nil, errors.New("this is no file, or too large for a record")
	}
	data, err := os.ReadFile(path) //nolint:gosec // the operator says which directory
	if err != nil {
		return nil, err
	}
	return parseTable(string(data))
}

// host reads the groups of a host.
func (r *reader) host(encoded string, stores map[string]string) {
	name, ok := decode(encoded)
	host, err := jid.Parse(name)
	if !ok || err != nil || host.Local() != "" || !host.IsBare() {
		r.wrong(filepath.Join(r.dir, encoded), "this is no host")
		return
	}
	infos, members := r.records(stores[storeInfo]), r.records(stores[storeMembers])
	for id, info := range infos {
		path := filepath.Join(stores[storeInfo], id)
		g := Group{ID: id, Host: host.Domain()}
		if g.Name, _ = info["name"].(string); g.Name == "" {
			r.wrong(path, "the group has no name")
			continue
		}
		g.Chats = r.chats(path, info)
		g.Members = r.members(filepath.Join(stores[storeMembers], id), host.Domain(), members[id])
		r.groups = append(r.groups, g)
	}
	for id := range members {
		if infos[id] == nil {
			r.wrong(filepath.Join(stores[storeMembers], id), "the group has members and no record in group_info")
		}
	}
}

// members reads who is in a group: a table by user names.
func (r *reader) members(path, host string, t table) (list []jid.JID) {
	for key, value := range t {
		name, ok := key.(string)
		if _, isTable := value.(table); !ok || !isTable {
			r.wrong(path, "%v is no member of mod_groups_internal's", key)
			continue
		}
		j, err := jid.New(name, host, "")
		if err != nil || name == "" {
			r.wrong(path, "%q is no user name", name)
			continue
		}
		list = append(list, j)
	}
	slices.SortFunc(list, func(a, b jid.JID) int { return cmp.Compare(a.String(), b.String()) })
	return slices.Compact(list)
}

// chats reads a group's chats in both formats: one, and since 2023 a list, which
// takes the place of the one.
func (r *reader) chats(path string, info table) (list []Chat) {
	add := func(v any, isDefault bool) {
		text, _ := v.(string)
		j, err := jid.Parse(text)
		if err != nil || j.Local() == "" || !j.IsBare() {
			r.wrong(path, "%v is no address of a chat", v)
			return
		}
		list = append(list, Chat{JID: j, Name: r.roomName(j), Default: isDefault})
	}
	if mucs, ok := info["mucs"].(table); ok {
		for i := 1; mucs[float64(i)] != nil; i++ {
			add(mucs[float64(i)], false)
		}
		return list
	}
	if v := info["muc_jid"]; v != nil {
		add(v, true)
	}
	return list
}

// roomName returns a room's name, if its settings are in the directory and say
// one.
func (r *reader) roomName(room jid.JID) string {
	path := r.roomsOf(room.Domain())[room.Local()]
	if path == "" {
		return ""
	}
	t, err := readTable(path)
	if err != nil {
		r.wrong(path, "%v", reason(err))
		return ""
	}
	data, _ := t["_data"].(table)
	text, _ := data["name"].(string)
	return text
}

// roomsOf returns the files with the settings of a domain's rooms.
func (r *reader) roomsOf(domain string) map[string]string {
	if files, known := r.rooms[domain]; known {
		return files
	}
	files := make(map[string]string)
	hosts, _ := r.names(r.dir) // it was read before
	for _, host := range hosts {
		if text, _ := decode(host); text != domain {
			continue
		}
		store := r.stores(host)[storeRooms]
		names, _ := r.names(store) // none: no names of rooms
		for _, name := range names {
			if key, ok := strings.CutSuffix(name, ".dat"); ok {
				local, _ := decode(key)
				files[local] = filepath.Join(store, name)
			}
		}
	}
	r.rooms[domain] = files
	return files
}
