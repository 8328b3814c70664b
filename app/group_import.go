package app

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/muster-im/muster/groups"
	"github.com/muster-im/muster/internal/admin"
	"github.com/muster-im/muster/internal/groupfile"
	"github.com/muster-im/muster/internal/prosody"
	"github.com/muster-im/muster/jid"
)

type groupImportCommand struct {
	From    string `required:"" enum:"prosody,prosody-file" help:"What PATH is: prosody, Prosody's data directory with the groups of mod_groups_internal; prosody-file, the text file of its mod_groups."`
	Path    string `arg:"" help:"Directory or file to read."`
	DryRun  bool   `help:"Only say what would be done."`
	Partial bool   `help:"Import what can be, although something cannot."`
	socketFlags
}

// Help shows examples.
func (groupImportCommand) Help() string {
	return `Groups that are there already gain members and chats and lose nothing, and keep
their name and contract: the command may be run again. If anything cannot be
read, or a member has no account here, nothing is changed, unless --partial says
otherwise: import accounts first. Examples:

    muster group import --from prosody /var/lib/prosody --dry-run
    muster group import --from prosody /var/lib/prosody
    muster group import --from prosody-file /etc/prosody/sharedgroups.txt`
}

// groupImport is what one run does.
type groupImport struct {
	Groups   []importedGroup `json:"groups"`
	Problems []string        `json:"problems"`
	Notes    []string        `json:"notes"`
	Changed  bool            `json:"changed"` // false: nothing was to be done, or nothing was done

	client *admin.Client
	info   admin.Info
	exists map[jid.JID]bool // accounts that have been asked for
	ids    map[string]bool
	rooms  map[jid.JID]bool
	chats  map[jid.JID]string // of groups that are there: their ids
}

// importedGroup is a group to be, and what it takes.
type importedGroup struct {
	ID       string   `json:"id"`
	Name     string   `json:"name"`
	Contract string   `json:"contract"`
	Action   string   `json:"action"` // create, extend, none
	Members  int      `json:"members"`
	Adding   []string `json:"adding"` // addresses of new members
	Chats    []string `json:"chats"`  // names of new chats

	members []jid.JID
	chats   []prosody.Chat
}

// What becomes of a group.
const (
	actionCreate = "create"
	actionExtend = "extend"
	actionNone   = "none"
)

// Run imports groups.
func (c *groupImportCommand) Run(ctx context.Context, e *env) error {
	return c.withClient(e, func(client *admin.Client) error {
		im := &groupImport{
			Groups: []importedGroup{}, Problems: []string{}, Notes: []string{}, client: client,
			exists: make(map[jid.JID]bool), ids: make(map[string]bool), rooms: make(map[jid.JID]bool),
		}
		if err := im.plan(ctx, c.From, c.Path); err != nil {
			return err
		}
		refused := len(im.Problems) > 0 && !c.Partial
		var err error
		if !refused && !c.DryRun {
			err = im.apply(ctx)
		}
		if c.JSON {
			err = errors.Join(err, e.printJSON(im))
		} else {
			err = errors.Join(err, im.print(e, c.DryRun || refused))
		}
		if refused && err == nil {
			return fmt.Errorf("nothing has been changed: see the problems above, or import the rest with --partial")
		}
		return err
	})
}

func (im *groupImport) problem(format string, args ...any) {
	im.Problems = append(im.Problems, fmt.Sprintf(format, args...))
}

func (im *groupImport) note(format string, args ...any) {
	im.Notes = append(im.Notes, fmt.Sprintf(format, args...))
}

// plan reads everything and finds out what is to be done.
func (im *groupImport) plan(ctx context.Context, from, path string) (err error) {
	if im.info, err = im.client.Info(ctx); err != nil {
		return err
	}
	if from == "prosody" {
		err = im.readDirectory(path)
	} else {
		err = im.readFile(path)
	}
	if err != nil {
		return err
	}
	if im.chats, err = chatsOfGroups(ctx, im.client); err != nil {
		return err
	}
	all := im.Groups
	im.Groups = im.Groups[:0]
	for i := range all {
		ok, err := im.planGroup(ctx, &all[i])
		if err != nil {
			return err
		}
		if ok {
			im.Groups = append(im.Groups, all[i])
		}
	}
	return nil
}

// readDirectory reads Prosody's data directory.
func (im *groupImport) readDirectory(path string) error {
	list, problems, err := prosody.Groups(path)
	if err != nil {
		return err
	}
	for _, p := range problems {
		im.problem("%s", p)
	}
	for _, g := range list {
		if !slices.Contains(im.info.Hosts, g.Host) {
			im.problem("group %s of %s: this host is not served here", g.ID, g.Host)
			continue
		}
		id := g.ID
		if im.ids[id] { // hosts have their own there
			id += "@" + g.Host
			im.note("group %s of %s becomes %s: another host has one with this id", g.ID, g.Host, id)
		}
		im.ids[id] = true
		im.Groups = append(im.Groups, importedGroup{ID: id, Name: g.Name, Contract: string(groups.Permanent), members: g.Members, chats: g.Chats})
	}
	return nil
}

// readFile reads the file of Prosody's mod_groups, as Prosody does.
func (im *groupImport) readFile(path string) error {
	data, err := os.ReadFile(path) //nolint:gosec // the operator says which file
	if err != nil {
		return err
	}
	isHost := func(domain string) bool { return slices.Contains(im.info.Hosts, domain) }
	f, problems := groupfile.Parse(data, groupfile.Prosody, isHost)
	for _, p := range slices.Concat(problems, f.Warnings) {
		im.problem("%s: %s", path, p)
	}
	for _, g := range f.Groups {
		if g.Public {
			im.problem("%s: line %d: group %s is public, which only groups from a file can be: keep it in one, see modules.mod_groups", path, g.Line, g.Name)
			continue
		}
		group := importedGroup{ID: im.idOf(g.Name), Name: strings.TrimSpace(g.Name), Contract: string(groups.Overlay)}
		named := 0
		for _, m := range g.Members {
			group.members = append(group.members, m.JID)
			if m.Name != "" {
				named++
			}
		}
		if named > 0 {
			im.note("group %s: %d names of contacts are left behind, only groups from a file have them", g.Name, named)
		}
		im.Groups = append(im.Groups, group)
	}
	return nil
}

// idOf makes the id of a group that has only a name: the same in each run.
func (im *groupImport) idOf(name string) string {
	const most = 100
	id := strings.Map(func(r rune) rune {
		if r <= ' ' || strings.ContainsRune("/?#%\\\u00a0", r) {
			return '-'
		}
		return r
	}, strings.TrimSpace(name))
	if id == "" || len(id) > most || im.ids[id] || strings.Trim(id, ".") == "" {
		h := fnv.New64a()
		_, _ = h.Write([]byte(name)) // never fails
		id = fmt.Sprintf("group-%x", h.Sum64())
	}
	im.ids[id] = true
	return id
}

// planGroup finds out what a group takes; false if it cannot be.
func (im *groupImport) planGroup(ctx context.Context, g *importedGroup) (bool, error) {
	g.Name = strings.TrimSpace(g.Name)
	var there admin.Group
	err := im.client.Do(ctx, http.MethodGet, admin.Path("groups", g.ID), nil, &there)
	switch {
	case err == nil:
		g.Action = actionNone
		im.stays(g, &there)
	case isStatus(err, http.StatusNotFound):
		g.Action = actionCreate
	case isStatus(err, http.StatusUnprocessableEntity), isStatus(err, http.StatusBadRequest): // the id
	default:
		return false, fmt.Errorf("group %s: %w", g.ID, err)
	}
	if err := (&groups.NewGroup{ID: groups.ID(g.ID), Name: g.Name, Contract: groups.Contract(g.Contract)}).Check(); err != nil && g.Action != actionNone {
		im.problem("group %s: %v", g.ID, err)
		return false, nil
	}
	known := make(map[jid.JID]bool, len(there.Members))
	for _, m := range there.Members {
		known[m.JID] = true
	}
	g.Adding, g.Chats = []string{}, []string{}
	for _, j := range g.members {
		if known[j] {
			continue
		}
		ok, err := im.hasAccount(ctx, j)
		if err != nil {
			return false, err
		}
		if !ok {
			im.problem("group %s: %s has no account here", g.ID, j)
			continue
		}
		g.Adding = append(g.Adding, j.String())
	}
	g.Members = len(known) + len(g.Adding)
	if err := im.planChats(ctx, g, there.Chats); err != nil {
		return false, err
	}
	if g.Action == actionNone && len(g.Adding)+len(g.Chats) > 0 {
		g.Action = actionExtend
	}
	return true, nil
}

// stays makes g what a group that is there is and will be, and says what it does
// not become.
func (im *groupImport) stays(g *importedGroup, there *admin.Group) {
	if g.Name != there.Name {
		im.note("group %s is there already and stays what it is called, %s: it does not become %s", g.ID, there.Name, g.Name)
	}
	if contract := string(there.Contract); g.Contract != contract {
		end := map[string]string{
			string(groups.Permanent): "contacts stay when a membership ends",
			string(groups.Overlay):   "contacts end with the membership",
		}
		im.note("group %s is there already and stays %s: %s", g.ID, contract, end[contract])
	}
	g.Name, g.Contract = there.Name, string(there.Contract)
}

// hasAccount reports whether somebody has an account here.
func (im *groupImport) hasAccount(ctx context.Context, j jid.JID) (bool, error) {
	if ok, asked := im.exists[j]; asked {
		return ok, nil
	}
	err := im.client.Do(ctx, http.MethodGet, admin.Path("users", j.Local())+"?"+url.Values{"host": {j.Domain()}}.Encode(), nil, nil)
	if err != nil && !isStatus(err, http.StatusNotFound) && !isStatus(err, http.StatusUnprocessableEntity) {
		return false, fmt.Errorf("%s: %w", j, err)
	}
	im.exists[j] = err == nil
	return err == nil, nil
}

func isStatus(err error, status int) bool {
	e, ok := errors.AsType[*admin.Error](err)
	return ok && e.Status == status
}

// apply does what is to be done. What fails may be done again.
func (im *groupImport) apply(ctx context.Context) error {
	for i := range im.Groups {
		g := &im.Groups[i]
		if g.Action == actionNone {
			continue
		}
		if err := im.applyGroup(ctx, g); err != nil {
			return fmt.Errorf("group %s: %w (what was done before is done: run the command again)", g.ID, err)
		}
		im.Changed = true
	}
	return nil
}

func (im *groupImport) applyGroup(ctx context.Context, g *importedGroup) error {
	if g.Action == actionCreate {
		in := admin.NewGroup{ID: g.ID, Name: g.Name, Contract: g.Contract}
		if err := im.client.Do(ctx, http.MethodPost, "/groups", in, nil); err != nil {
			return err
		}
	}
	if err := im.addMembers(ctx, g); err != nil {
		return err
	}
	for _, chat := range g.chats {
		in := admin.NewGroupChat{ID: chat.JID.Local(), Name: chat.Name, Default: chat.Default}
		if err := im.client.Do(ctx, http.MethodPost, admin.Path("groups", g.ID, "chats"), in, nil); err != nil {
			return err
		}
	}
	return nil
}

// addMembers adds a group's new members in one change, so that what somebody
// else does meanwhile stays.
func (im *groupImport) addMembers(ctx context.Context, g *importedGroup) error {
	const most = 10000 // of one request
	for list := range slices.Chunk(g.Adding, most) {
		var in admin.GroupMemberChanges
		for _, j := range list {
			in.Items = append(in.Items, admin.GroupMemberChange{JID: j})
		}
		if err := im.client.Do(ctx, http.MethodPatch, admin.Path("groups", g.ID, "members"), in, nil); err != nil {
			return err
		}
	}
	return nil
}

// print says what has been done, or would be.
func (im *groupImport) print(e *env, dry bool) error {
	words := map[string]string{actionCreate: "created", actionExtend: "extended", actionNone: "as it is"}
	if dry {
		words = map[string]string{actionCreate: "would be created", actionExtend: "would be extended", actionNone: "would stay as it is"}
	}
	w := tabwriter.NewWriter(e.stdout, 0, 0, 3, ' ', 0)
	fmt.Fprintf(w, "GROUP\tNAME\t\tMEMBERS\tNEW\tNEW CHATS\n") //nolint:errcheck // see Flush
	for _, g := range im.Groups {
		fmt.Fprintf(w, "%s\t%s\t%s\t%d\t%d\t%d\n", g.ID, g.Name, words[g.Action], g.Members, len(g.Adding), len(g.Chats)) //nolint:errcheck // see Flush
	}
	if err := w.Flush(); err != nil {
		return err
	}
	for _, n := range im.Notes {
		e.printf("note: %s\n", n)
	}
	for _, p := range im.Problems {
		e.printf("problem: %s\n", p)
	}
	return nil
}
