package app

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/muster-im/muster/jid"
	"github.com/muster-im/muster/stanza"
)

// Nobody waits longer for one thing to arrive.
const patience = 10 * time.Second

// talk is the demo's conversation: what is said, and how it is shown.
type talk struct {
	out     io.Writer
	colours palette
	slow    bool // with pauses, for people who watch
	team    []*person
	room    jid.JID
	add     func(ctx context.Context, p *person) error // puts somebody into the team's group
	inside  []*person                                  // who is in the room, in order of entering
	said    []line                                     // in the room
	arrived int                                        // lines that everybody meant has read
}

// utterance is one line of the script.
type utterance struct {
	by   int // index in the team
	text string
}

// The script. Anna, Ben and Chloe are 0, 1 and 2.
func privateScript() []utterance {
	return []utterance{
		{0, "Morning Ben! Are we still shipping on Thursday?"},
		{1, "If the importer survives one more night, yes."},
		{0, "Let's ask Chloe, in the team's chat."},
	}
}

func roomScript() (early, late []utterance) {
	early = []utterance{
		{0, "There we are. What is left before we can ship?"},
		{1, "The importer: 40 000 contacts last night, no complaints so far."},
	}
	late = []utterance{
		{2, "Hi! Just read the above. What happens if it is killed half-way?"},
		{1, "It starts where it stopped. I pulled the plug twice to be sure."},
		{2, "Then I have no more excuses :) The release notes are ready."},
		{0, "Thursday it is. Who brings the cake?"},
		{1, "Chloe lost the last bet."},
		{2, "Fine. Chocolate, then."},
	}
	return early, late
}

// run lets the team meet, see each other and talk. It ends with an error if
// anything did not arrive at anybody it was meant for.
func (t *talk) run(ctx context.Context) error {
	for _, scene := range []func(context.Context) error{t.meet, t.showContacts, t.join, t.showContacts, t.private, t.inRoom} {
		if err := scene(ctx); err != nil {
			return err
		}
	}
	return nil
}

// meet brings everybody online. Two are in the team's group already and so see
// each other, without having asked.
func (t *talk) meet(ctx context.Context) error {
	for _, p := range t.team[:2] {
		if err := t.add(ctx, p); err != nil {
			return err
		}
	}
	for _, p := range t.team {
		if err := p.fetchRoster(ctx); err != nil {
			return err
		}
		if err := p.appear(); err != nil {
			return fmt.Errorf("%s comes online: %w", p.name, err)
		}
	}
	t.title("Their contact lists: Anna and Ben are in the group %s", teamName)
	return t.seeEachOther(ctx, t.team[:2])
}

// join puts the third into the group, while all are connected.
func (t *talk) join(ctx context.Context) error {
	if err := t.add(ctx, t.team[2]); err != nil {
		return err
	}
	t.title("The same lists, now that an administrator has added Chloe")
	if err := t.seeEachOther(ctx, t.team); err != nil {
		return err
	}
	for _, p := range t.team {
		if err := t.await(ctx, p, "the invitation into the group's chat", func() bool { return p.invited == t.room }); err != nil {
			return err
		}
	}
	return nil
}

// seeEachOther waits until members of the group have each other in their contact
// lists, online.
func (t *talk) seeEachOther(ctx context.Context, members []*person) error {
	for _, p := range members {
		err := t.await(ctx, p, "the others online", func() bool {
			seen := 0
			for _, c := range p.contacts {
				if c.subscription == "both" && c.online {
					seen++
				}
			}
			return seen == len(members)-1
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func (t *talk) await(ctx context.Context, p *person, what string, seen func() bool) error {
	ctx, cancel := context.WithTimeoutCause(ctx, patience, fmt.Errorf("nothing for %v", patience))
	defer cancel()
	return p.await(ctx, what, seen)
}

// showContacts prints the contact lists side by side.
func (t *talk) showContacts(ctx context.Context) error {
	const gap = 4
	lists := make([][]contact, len(t.team))
	widths := make([]int, len(t.team))
	for i, p := range t.team {
		lists[i] = p.contactList()
		widths[i] = utf8.RuneCountInString(p.name)
		for _, c := range lists[i] {
			widths[i] = max(widths[i], utf8.RuneCountInString(entry(c)))
		}
	}
	pad := func(i int, s string) string {
		return strings.Repeat(" ", widths[i]+gap-utf8.RuneCountInString(s))
	}
	var b strings.Builder
	for i, p := range t.team {
		b.WriteString(t.colours.person(i, p.name) + pad(i, p.name))
	}
	t.printf("  %s\n", strings.TrimRight(b.String(), " "))
	longest := slices.MaxFunc(lists, func(a, b []contact) int { return len(a) - len(b) })
	for row := range longest {
		b.Reset()
		for i := range t.team {
			if row >= len(lists[i]) {
				b.WriteString(pad(i, ""))
				continue
			}
			c := lists[i][row]
			b.WriteString(strings.Replace(entry(c), "●", t.colours.green("●"), 1) + pad(i, entry(c)))
		}
		t.printf("  %s\n", strings.TrimRight(b.String(), " "))
	}
	t.pause(ctx, 80)
	return nil
}

// entry is a contact as a client shows him.
func entry(c contact) string {
	if !c.online {
		return "○ " + c.name
	}
	return "● " + c.name + ", " + c.status
}

// private is a conversation of two.
func (t *talk) private(ctx context.Context) error {
	t.title("%s and %s, one to one", t.team[0].name, t.team[1].name)
	for _, u := range privateScript() {
		from, to := t.team[u.by], t.team[1-u.by]
		if err := from.say(to.account, stanza.TypeChat, u.text); err != nil {
			return fmt.Errorf("%s writes to %s: %w", from.name, to.name, err)
		}
		want := line{from: from.account.Local(), text: u.text}
		if err := t.await(ctx, to, fmt.Sprintf("%q", u.text), func() bool { return to.hasLocked(want) }); err != nil {
			return err
		}
		t.arrived++
		t.show(ctx, u)
	}
	return nil
}

// inRoom talks in the chat that came with the group; the last to come reads what
// was said before.
func (t *talk) inRoom(ctx context.Context) error {
	const subject = "Shipping on Thursday"
	t.title("The group's chat %s", t.room)
	early, late := roomScript()
	steps := []func() error{
		func() error { return t.enter(ctx, 0) },
		func() error { return t.enter(ctx, 1) },
		func() error { return t.setSubject(ctx, 0, subject) },
		func() error { return t.discuss(ctx, early) },
		func() error { return t.enter(ctx, 2) },
		func() error { return t.seeSubject(ctx, t.team[2], subject) },
		func() error { return t.catchUp(ctx, t.team[2]) },
		func() error { return t.discuss(ctx, late) },
	}
	for _, step := range steps {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

// enter lets somebody in; all who are inside see it, himself included.
func (t *talk) enter(ctx context.Context, who int) error {
	p := t.team[who]
	if err := p.enter(t.room); err != nil {
		return fmt.Errorf("%s enters the room: %w", p.name, err)
	}
	t.inside = append(t.inside, p)
	for _, witness := range t.inside {
		err := t.await(ctx, witness, p.name+" enter the room", func() bool { return witness.inRoom[p.name] })
		if err != nil {
			return err
		}
	}
	t.note("%s has entered", p.name)
	return nil
}

func (t *talk) setSubject(ctx context.Context, who int, subject string) error {
	st := stanza.Stanza{Kind: stanza.Message, Type: stanza.TypeGroupchat, To: t.room}.
		With(stanza.NewElement(stanza.NSClient, "subject").AddText(subject))
	if err := t.team[who].conn.Send(st); err != nil {
		return fmt.Errorf("%s sets the subject: %w", t.team[who].name, err)
	}
	for _, p := range t.inside {
		if err := t.seeSubject(ctx, p, subject); err != nil {
			return err
		}
	}
	t.note("%s has set the subject: %s", t.team[who].name, subject)
	return nil
}

func (t *talk) seeSubject(ctx context.Context, p *person, subject string) error {
	return t.await(ctx, p, "the subject", func() bool { return p.subject == subject })
}

// discuss lets people speak in the room; the next one waits until everybody
// inside has read the last.
func (t *talk) discuss(ctx context.Context, script []utterance) error {
	for _, u := range script {
		p := t.team[u.by]
		if err := p.say(t.room, stanza.TypeGroupchat, u.text); err != nil {
			return fmt.Errorf("%s speaks in the room: %w", p.name, err)
		}
		want := line{room: true, from: p.name, text: u.text}
		for _, reader := range t.inside {
			err := t.await(ctx, reader, fmt.Sprintf("%q", u.text), func() bool { return reader.hasLocked(want) })
			if err != nil {
				return err
			}
		}
		t.said = append(t.said, want)
		t.arrived++
		t.show(ctx, u)
	}
	return nil
}

// catchUp waits until a newcomer has read from history what was said before.
func (t *talk) catchUp(ctx context.Context, p *person) error {
	for _, l := range t.said {
		l.history = true
		err := t.await(ctx, p, fmt.Sprintf("%q in the history", l.text), func() bool { return p.hasLocked(l) })
		if err != nil {
			return err
		}
	}
	t.note("%s has read the %d messages from before", p.name, len(t.said))
	return nil
}

// title begins a scene.
func (t *talk) title(format string, args ...any) {
	t.printf("\n%s\n\n", t.colours.bold(fmt.Sprintf(format, args...)))
}

// show prints one line of a conversation.
func (t *talk) show(ctx context.Context, u utterance) {
	name := t.team[u.by].name
	pad := strings.Repeat(" ", t.nameWidth()-utf8.RuneCountInString(name))
	t.printf("  %s%s  %s\n", t.colours.person(u.by, name), pad, u.text)
	t.pause(ctx, len(u.text))
}

// note prints what happened between the lines.
func (t *talk) note(format string, args ...any) {
	t.printf("  %s  %s\n", strings.Repeat(" ", t.nameWidth()), t.colours.dim("* "+fmt.Sprintf(format, args...)))
}

func (t *talk) nameWidth() int {
	width := 0
	for _, p := range t.team {
		width = max(width, utf8.RuneCountInString(p.name))
	}
	return width
}

// pause gives people who watch the time to read a text of n bytes.
func (t *talk) pause(ctx context.Context, n int) {
	if !t.slow {
		return
	}
	select {
	case <-time.After(300*time.Millisecond + time.Duration(n)*10*time.Millisecond):
	case <-ctx.Done():
	}
}

func (t *talk) printf(format string, args ...any) {
	fmt.Fprintf(t.out, format, args...) //nolint:errcheck // what counts is what arrived
}
