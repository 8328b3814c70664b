package roster

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	mathrand "math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/muster-im/muster/groups"
	"github.com/muster-im/muster/internal/groupfile"
	"github.com/muster-im/muster/internal/sqlstore"
	"github.com/muster-im/muster/jid"
	"github.com/muster-im/muster/stanza"
)

// said is what has been done to groups and rosters, and what follows from that:
// written down a second time, and as plainly as can be. It knows nothing of
// snapshots, versions, storage and pushes.
type said struct {
	now   int // steps
	teams []*circle
	file  []*fileCircle
	mine  map[[2]jid.JID]*mine // what somebody has made of a contact
	sees  map[[2]jid.JID]bool  // the first one the other, as they have agreed without groups
	asks  map[[2]jid.JID]bool  // the first one for that
	over  map[[2]jid.JID]int   // the step up to which what has been between two counts no more, in both orders
}

// circle is a managed group, or one that was and has left contacts behind.
type circle struct {
	id      groups.ID // "" it is deleted
	name    string
	overlay bool
	stays   map[jid.JID][]stay // of each person, in order
	delayed map[jid.JID]bool
}

// stay is a membership; until is 0 while it lasts.
type stay struct{ from, until int }

// fileCircle is a group of the file. Names are what people are called there.
type fileCircle struct {
	name   string
	public bool
	names  map[jid.JID]string
}

type mine struct {
	name    string
	groups  []string
	leftOut map[any]bool // groups whose labels are not wanted
	removed int          // the step; 0: he is not
	from    map[any]bool // groups that they were in then
	kept    bool         // he is in the roster without groups, too
}

func (m *said) of(owner, contact jid.JID) *mine {
	key := [2]jid.JID{owner, contact}
	if m.mine[key] == nil {
		m.mine[key] = &mine{}
	}
	return m.mine[key]
}

func (g *circle) member(j jid.JID) bool {
	s := g.stays[j]
	return len(s) > 0 && s[len(s)-1].until == 0
}

// together returns when two people last became members at the same time.
func (g *circle) together(a, b jid.JID) (since int) {
	for _, x := range g.stays[a] {
		for _, y := range g.stays[b] {
			if (x.until == 0 || y.from < x.until) && (y.until == 0 || x.from < y.until) {
				since = max(since, x.from, y.from)
			}
		}
	}
	return since
}

// label is a group whose name is shown with a contact.
type label struct {
	group any
	text  string
}

// bond is what groups say of a contact to somebody.
type bond struct {
	to, from bool
	since    int
	labels   []label
	name     string
	together bool // in some group
	left     bool // by a group that is no more, or has one of them no more
}

// through returns what groups say of contact to owner.
func (m *said) through(owner, contact jid.JID) (b bond) {
	for _, g := range m.teams {
		both := g.member(owner) && g.member(contact)
		t := g.together(owner, contact)
		switch {
		case t == 0:
			continue
		case both && g.id != "":
			b.together = true
			b.labels = append(b.labels, label{g, g.name})
		case g.overlay || t <= m.over[[2]jid.JID{owner, contact}]:
			continue
		default:
			b.left = true
		}
		b.to, b.from, b.since = true, true, max(b.since, t)
	}
	file := slices.Clone(m.file) // public groups come last, as in Prosody
	slices.SortStableFunc(file, func(a, b *fileCircle) int { return cmp.Compare(fmt.Sprint(a.public), fmt.Sprint(b.public)) })
	for _, g := range file {
		called, listed := g.names[contact]
		_, self := g.names[owner]
		switch {
		case listed && self:
			b.to, b.from, b.together = true, true, true
		case listed && g.public:
			b.to = true
		default:
			continue
		}
		b.labels = append(b.labels, label{g.name, g.name})
		b.name = cmp.Or(called, b.name)
	}
	b.left = b.left && !b.together
	return b
}

// shown reports whether what groups say of contact is in owner's roster.
func (m *said) shown(owner, contact jid.JID, b *bond) bool {
	my := m.of(owner, contact)
	anew := slices.ContainsFunc(b.labels, func(l label) bool { return !my.from[l.group] })
	return b.to && (my.removed == 0 || b.since > my.removed || anew && len(my.from) > 0)
}

// item is how contact looks in owner's roster, "" if he is not there.
func (m *said) item(owner, contact jid.JID) string {
	b := m.through(owner, contact)
	my := m.of(owner, contact)
	to, from := m.sees[[2]jid.JID{owner, contact}], m.sees[[2]jid.JID{contact, owner}]
	name, all := my.name, slices.Clone(my.groups)
	if m.shown(owner, contact, &b) {
		to, from, name = to || b.to, from || b.from, cmp.Or(name, b.name)
		for _, l := range b.labels {
			if !my.leftOut[l.group] && !slices.Contains(all, l.text) {
				all = append(all, l.text)
			}
		}
	} else if !my.kept {
		return ""
	}
	subscription := map[[2]bool]string{{true, true}: "both", {true, false}: "to", {false, true}: "from", {false, false}: "none"}[[2]bool{to, from}]
	if m.asks[[2]jid.JID{owner, contact}] && !to {
		subscription += " ask=subscribe"
	}
	return look(contact, subscription, name, all)
}

func look(contact jid.JID, subscription, name string, labels []string) string {
	text := contact.String() + " " + subscription
	if name != "" {
		text += " name=" + name
	}
	for _, l := range slices.Sorted(slices.Values(labels)) {
		text += " [" + l + "]"
	}
	return text
}

// edit is what happens when owner names a contact and puts it into groups.
func (m *said) edit(owner, contact jid.JID, name string, own []string) {
	b := m.through(owner, contact)
	my := m.of(owner, contact)
	if b.to && !m.shown(owner, contact, &b) {
		m.again(owner, contact, &b)
	}
	was := *my
	*my = mine{name: name, groups: own, kept: my.kept || !b.to, leftOut: map[any]bool{}}
	if !b.to {
		return
	}
	if name == b.name && name != was.name {
		my.name = ""
	}
	for _, l := range b.labels {
		if !slices.Contains(own, l.text) {
			my.leftOut[l.group] = true
		}
		if !slices.Contains(was.groups, l.text) { // repeated
			my.groups = slices.DeleteFunc(slices.Clone(my.groups), func(s string) bool { return s == l.text })
		}
	}
}

// again is what happens when owner has a contact again whom he had removed: the time in
// which they are together counts, unless the other has removed him, too.
func (m *said) again(owner, contact jid.JID, b *bond) {
	if theirs := m.of(contact, owner).removed; b.together && b.since != 0 && (theirs == 0 || theirs < b.since) {
		m.end(owner, contact, min(m.over[[2]jid.JID{owner, contact}], b.since-1))
	}
}

// end makes what has been between two count no more, up to a step.
func (m *said) end(owner, contact jid.JID, step int) {
	m.over[[2]jid.JID{owner, contact}], m.over[[2]jid.JID{contact, owner}] = step, step
}

// agree makes what a group has left of two people what they have agreed themselves.
func (m *said) agree(owner, contact jid.JID) {
	b := m.through(owner, contact)
	if !b.left {
		return
	}
	m.end(owner, contact, b.since)
	for _, pair := range [][2]jid.JID{{owner, contact}, {contact, owner}} {
		m.sees[pair], m.asks[pair] = true, false
		my := m.of(pair[0], pair[1])
		my.kept, my.removed = true, 0 // or he would not be shown
	}
}

// remove is what happens when owner removes a contact.
func (m *said) remove(owner, contact jid.JID) {
	m.agree(owner, contact)
	b, my := m.through(owner, contact), m.of(owner, contact)
	if m.shown(owner, contact, &b) && b.since != 0 {
		m.end(owner, contact, max(m.over[[2]jid.JID{owner, contact}], b.since))
		if theirs := m.of(contact, owner); theirs.removed < b.since { // he has had him again since then
			theirs.removed = 0
		}
	}
	*my = mine{removed: my.removed, from: my.from}
	if b.to {
		my.removed, my.from = m.now, map[any]bool{}
		for _, l := range b.labels {
			my.from[l.group] = true
		}
	}
	for _, pair := range [][2]jid.JID{{owner, contact}, {contact, owner}} {
		m.sees[pair], m.asks[pair] = false, false
	}
}

// subscription is what happens when owner sends a contact such a stanza (RFC 6121 §3).
// Groups have the last word in what they say now. It reports whether that is told here.
func (m *said) subscription(owner, contact jid.JID, typ stanza.Type) bool {
	if typ == stanza.TypeUnsubscribe || typ == stanza.TypeUnsubscribed {
		m.agree(owner, contact)
	}
	b, my := m.through(owner, contact), m.of(owner, contact)
	mine, theirs := [2]jid.JID{owner, contact}, [2]jid.JID{contact, owner}
	switch typ {
	case stanza.TypeSubscribe:
		if b.to && !m.sees[mine] {
			if !m.shown(owner, contact, &b) {
				m.again(owner, contact, &b)
				my.removed = 0
			}
			break
		}
		my.kept = true
		m.asks[mine] = !m.sees[mine]
	case stanza.TypeUnsubscribe:
		m.sees[mine], m.asks[mine] = false, false
	case stanza.TypeUnsubscribed:
		m.sees[theirs], m.asks[theirs] = false, false
	case stanza.TypeSubscribed:
		if m.asks[theirs] {
			m.sees[theirs], m.asks[theirs], my.kept = true, false, true
		}
		return m.sees[theirs] || b.from // he does not grant it beforehand, in this play
	}
	return true
}

func (m *said) live(id groups.ID) *circle {
	for _, g := range m.teams {
		if g.id == id {
			return g
		}
	}
	return nil
}

func (m *said) add(g *circle, j jid.JID, delayed bool) {
	switch {
	case g.member(j):
	case delayed:
		g.delayed[j] = true
	default:
		delete(g.delayed, j)
		g.stays[j] = append(g.stays[j], stay{from: m.now})
	}
}

func (m *said) leave(g *circle, j jid.JID) {
	delete(g.delayed, j)
	if !g.member(j) {
		return
	}
	s := g.stays[j]
	if s[len(s)-1].until = m.now; g.overlay {
		delete(g.stays, j)
	}
}

// play is a server, what has been said to it, and dice.
type play struct {
	*mathrand.Rand
	*said

	w    *realm
	path string // of the file
	left map[jid.JID]*viewer
}

func (p *play) one() jid.JID { return cast[p.IntN(len(cast))] }

// cutStore is a database whose connection breaks when it is told to.
type cutStore struct {
	*sqlstore.DB

	cut  bool // the next change fails
	late bool // after it has been stored
}

var errCut = errors.New("connection lost")

func (c *cutStore) ChangeGroup(ctx context.Context, ch *groups.StoredChange) (int64, error) {
	if !c.cut {
		return c.DB.ChangeGroup(ctx, ch)
	}
	c.cut = false
	if c.late {
		if _, err := c.DB.ChangeGroup(ctx, ch); err != nil {
			return 0, err
		}
	}
	return 0, errCut
}

// broken changes a group while the connection to the database breaks, before or
// after the change has been stored; perhaps the server does not survive it.
func (p *play) broken() (string, error) {
	id, who := groups.ID(fmt.Sprint(p.IntN(3))), p.one()
	g := p.live(id)
	if g.member(who) || g.delayed[who] {
		return "nothing", nil
	}
	*p.w.cuts = cutStore{DB: p.w.db, cut: true, late: p.IntN(2) == 0}
	step := fmt.Sprintf("add %s to %s, with a lost connection, stored %v", who, id, p.w.cuts.late)
	if _, err := p.w.groups.AddMember(p.w.t.Context(), id, groups.Joining{User: who}, groups.Cause{}); err == nil {
		return step, errors.New("no error")
	}
	if p.w.cuts.late {
		p.add(g, who, false)
	}
	if p.IntN(2) == 0 {
		return step, nil
	}
	return step + ", and a crash", p.crash()
}

// crash ends the server as it is and starts another one.
func (p *play) crash() error {
	p.w.crash()
	maps.Copy(p.left, p.w.viewers)
	p.w = begin(p.w.t, p.w.db)
	return p.w.readFile(p.path)
}

// regroup changes managed groups.
func (p *play) regroup() (step string, err error) {
	ctx, id, who, by := p.w.t.Context(), groups.ID(fmt.Sprint(p.IntN(3))), p.one(), groups.Cause{}
	g := p.live(id)
	switch n := p.IntN(16); {
	case n < 6:
		step = fmt.Sprintf("add %s to %s, delayed %v", who, id, n == 0)
		_, err = p.w.groups.AddMember(ctx, id, groups.Joining{User: who, Delayed: n == 0}, by)
		p.add(g, who, n == 0)
	case n < 11:
		step = fmt.Sprintf("remove %s from %s", who, id)
		_, err = p.w.groups.RemoveMember(ctx, id, who, by)
		p.leave(g, who)
	case n == 11:
		name := []string{"Verona 🎭", "Mantua", "own", fmt.Sprint("G", p.now)}[p.IntN(4)]
		step = fmt.Sprintf("rename %s to %s", id, name)
		_, err = p.w.groups.SetInfo(ctx, id, groups.Update{Name: &name}, by)
		g.name = name
	case n == 12:
		contract := []groups.Contract{groups.Permanent, groups.Overlay}[p.IntN(2)]
		step = fmt.Sprintf("make %s %s", id, contract)
		_, err = p.w.groups.SetInfo(ctx, id, groups.Update{Contract: &contract}, by)
		if g.overlay = contract == groups.Overlay; g.overlay { // what has been counts no longer
			for j, s := range g.stays {
				if g.stays[j] = s[len(s)-1:]; !g.member(j) {
					delete(g.stays, j)
				}
			}
		}
	case n == 13:
		step = fmt.Sprintf("sync %s", id)
		_, err = p.w.groups.Sync(ctx, id, by)
		for j := range maps.Clone(g.delayed) {
			p.add(g, j, false)
		}
	case n == 14:
		step = fmt.Sprintf("delete %s", id)
		err = p.w.groups.Delete(ctx, id, by)
		for _, j := range cast {
			p.leave(g, j)
		}
		g.id = ""
	default:
		other := p.one()
		step = fmt.Sprintf("set %s to %s and %s", id, who, other)
		_, err = p.w.groups.SetMembers(ctx, id, []groups.Joining{{User: who}, {User: other}}, by)
		for _, j := range cast {
			if j == who || j == other {
				p.add(g, j, false)
			} else {
				p.leave(g, j)
			}
		}
	}
	return step, cmp.Or(err, p.complete())
}

// complete makes the managed groups that are not there.
func (p *play) complete() error {
	for _, id := range []groups.ID{"0", "1", "2"} {
		if p.live(id) != nil {
			continue
		}
		g := &circle{id: id, name: "G" + string(id), overlay: id == "1", stays: map[jid.JID][]stay{}, delayed: map[jid.JID]bool{}}
		made := groups.NewGroup{ID: id, Name: g.name, Contract: groups.Permanent}
		if g.overlay {
			made.Contract = groups.Overlay
		}
		if _, err := p.w.groups.Create(p.w.t.Context(), made, groups.Cause{}); err != nil {
			return err
		}
		p.teams = append(p.teams, g)
	}
	return nil
}

// rewrite writes another file.
func (p *play) rewrite() (string, error) {
	p.file = nil
	var text strings.Builder
	for _, name := range []string{"Staff", "Helpers", "own"} {
		g := &fileCircle{name: name, public: p.IntN(3) == 0, names: map[jid.JID]string{}}
		if p.IntN(4) == 0 {
			continue
		}
		header := name
		if g.public {
			header = "+" + name
		}
		fmt.Fprintf(&text, "[%s]\n", header)
		for _, j := range cast {
			if p.IntN(2) == 0 {
				continue
			}
			g.names[j] = []string{"", "", j.Local() + " = " + name}[p.IntN(3)]
			text.WriteString(strings.TrimSuffix(j.String()+"="+g.names[j], "=") + "\n")
		}
		p.file = append(p.file, g)
	}
	if err := os.WriteFile(p.path, []byte(text.String()), 0o600); err != nil {
		return "", err
	}
	return "the file is now\n" + text.String(), p.w.readFile(p.path)
}

// act lets somebody do something with a contact of his.
func (p *play) act(v *viewer) string {
	owner, other := v.jid.Bare(), p.one()
	if owner == other {
		return "nothing"
	}
	switch p.IntN(11) {
	case 0:
		p.w.logout(v)
		p.left[owner] = v
		return "logout of " + v.jid.String()
	case 1:
		v.send(`<presence><show>` + []string{"away", "dnd", "xa"}[p.IntN(3)] + `</show></presence>`)
		return v.jid.String() + " says how he is"
	case 2:
		v.send(`<presence type="unavailable"/>`)
		return v.jid.String() + " is unavailable"
	case 3, 4:
		if p.item(owner, other) == "" {
			return "nothing"
		}
		p.remove(owner, other)
		v.send(`<iq type="set" id="s"><query xmlns="jabber:iq:roster"><item jid="` + other.String() + `" subscription="remove"/></query></iq>`)
		return fmt.Sprintf("%s removes %s", owner, other)
	case 5, 6, 7:
		typ := []stanza.Type{"unsubscribe", "unsubscribed", "subscribe", "subscribed"}[p.IntN(4)]
		if !p.subscription(owner, other, typ) {
			return "nothing"
		}
		v.send(subscribe(typ, other))
		return fmt.Sprintf("%s sends %s to %s", owner, typ, other)
	}
	name := []string{"", "N1", "N2"}[p.IntN(3)]
	var own []string
	children := ""
	for _, g := range []string{"own", "Staff", "Mantua", "G0"} {
		if p.IntN(3) == 0 {
			own, children = append(own, g), children+"<group>"+g+"</group>"
		}
	}
	if p.item(owner, other) == "" {
		return "nothing"
	}
	p.edit(owner, other, name, own)
	attr := ""
	if name != "" {
		attr = ` name="` + name + `"`
	}
	v.send(`<iq type="set" id="s"><query xmlns="jabber:iq:roster"><item jid="` + other.String() + `"` + attr + `>` + children + `</item></query></iq>`)
	return fmt.Sprintf("%s calls %s %q, in %q", owner, other, name, own)
}

func (p *play) step() (string, error) {
	switch n := p.IntN(20); {
	case n == 0:
		return "a crash", p.crash()
	case n == 1 && p.IntN(2) == 0:
		return p.broken()
	case n < 3:
		step, err := p.rewrite()
		p.w.checkPushes(step)
		return step, err
	case n < 10:
		step, err := p.regroup()
		p.w.checkPushes(step)
		return step, err
	}
	who := p.one()
	if v := p.w.viewers[who]; v != nil {
		return p.act(v), nil
	}
	ver, known := "", map[string]string(nil)
	if l := p.left[who]; l != nil {
		ver, known = l.ver, l.roster
	}
	v := p.w.login(who, ver, known)
	p.w.viewers[who] = v
	v.send(`<presence/>`)
	return "login of " + who.String(), nil
}

// check compares what everybody has been told with what has been said.
func (p *play) check(step string) {
	t := p.w.t
	t.Helper()
	for owner, v := range p.w.viewers {
		want := map[string]string{}
		sees := map[jid.JID]string{}
		for _, other := range cast {
			text := p.item(owner, other)
			if other == owner {
				text = ""
			}
			if text != "" {
				want[other.String()] = text
			}
			o := p.w.viewers[other]
			if o == nil || !isAvailable(v) {
				continue
			}
			if pres, _, ok := o.state.Presence(); ok && (other == owner || strings.Contains(text, " both") || strings.Contains(text, " to")) {
				sees[o.jid] = pres.ChildText("jabber:client", "show")
			}
		}
		has := map[string]string{}
		for who, text := range v.roster {
			has[who] = sortLabels(text)
		}
		if !maps.Equal(has, want) {
			t.Fatalf("after step %d, %s: %s\nhas  %q\nwant %q", p.now, step, owner, has, want)
		}
		if !maps.Equal(v.presence, sees) {
			t.Fatalf("after step %d, %s: %s with %q\nsees     %v\nshould see %v", p.now, step, owner, has, v.presence, sees)
		}
	}
}

// sortLabels orders the groups of a described item.
func sortLabels(text string) string {
	head, rest, ok := strings.Cut(text, " [")
	if !ok {
		return text
	}
	labels := strings.Split(strings.TrimSuffix(rest, "]"), "] [")
	slices.Sort(labels)
	return head + " [" + strings.Join(labels, "] [") + "]"
}

// readFile takes the file of groups into use.
func (w *realm) readFile(path string) error {
	return w.file.Load(w.t.Context(), groupfile.Settings{Path: path})
}

// TestWhatGroupsSay: after any sequence of changes of managed groups and of a
// file, edits, removals, subscriptions, logins, lost connections and crashes, everybody's roster, pushes and
// presence are what the groups say, as told by a model of them.
func TestWhatGroupsSay(t *testing.T) {
	t.Parallel()
	everyEngine(t, func(t *testing.T, db *sqlstore.DB) {
		steps := 1200
		if testing.Short() {
			steps = 200
		}
		p := &play{
			Rand: mathrand.New(mathrand.NewPCG(7, 4)), //nolint:gosec // a test that repeats itself
			said: &said{mine: map[[2]jid.JID]*mine{}, sees: map[[2]jid.JID]bool{}, asks: map[[2]jid.JID]bool{}, over: map[[2]jid.JID]int{}}, w: begin(t, db), path: filepath.Join(t.TempDir(), "groups.txt"), left: map[jid.JID]*viewer{},
		}
		defer func() { p.w.crash() }()
		if _, err := p.rewrite(); err != nil {
			t.Fatal(err)
		}
		if err := p.complete(); err != nil {
			t.Fatal(err)
		}
		for p.now = 1; p.now <= steps; p.now++ {
			p.w.forgetPushes()
			step, err := p.step()
			if err != nil {
				t.Fatalf("step %d, %s: %v", p.now, step, err)
			}
			p.check(step)
		}
	})
}
