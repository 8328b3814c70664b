// Package adhoc executes ad-hoc commands (XEP-0050): it offers them to those who
// may use them, shows the forms of their stages one after the other, and runs
// them with what has been answered. What commands do is said by who has them.
//
// A List has no goroutine. Its methods block on the stages and on Run.
package adhoc

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/muster-im/muster/jid"
	"github.com/muster-im/muster/stanza"
)

// NS is the namespace of ad-hoc commands (XEP-0050).
const NS = "http://jabber.org/protocol/commands"

// Bounds of the sessions of commands.
const (
	sessionTime    = 10 * time.Minute
	sessionsOfUser = 20
	sessionsOfAll  = 1000
)

// Command is one of them. Each stage shows a form; the answers of all run it. One
// without stages is run at once.
type Command struct {
	Node, Name string
	// Allowed says who may use it, and learns that there is one; at is whose
	// command it is.
	Allowed func(who, at jid.JID) bool
	Stages  []Stage
	// Early is the number of answered stages that suffice.
	Early int
	// Run returns a note or the form of a result. An Error is the person's
	// mistake, and other errors are the server's.
	Run func(ctx context.Context, s *Session) (*stanza.Element, error)
}

// Stage makes the form to be filled in, of what has been answered so far.
type Stage func(ctx context.Context, s *Session) (*stanza.Form, error)

// Error is why a command cannot be run. Nothing has changed then.
type Error struct {
	Text string // a sentence
	// Final says that no other answers would help: the execution is over.
	Final bool
}

// Error returns the text.
func (e *Error) Error() string { return e.Text }

// Options describe commands. Commands are required.
type Options struct {
	Title    string // of the list
	Commands []Command
	Logger   *slog.Logger
}

// List is the commands of somebody, or of several who have the same. It is safe
// for concurrent use.
type List struct {
	// Set at construction.
	title    string
	commands []Command
	log      *slog.Logger

	mu sync.Mutex
	// Guarded by mu.
	sessions map[string]*Session
}

// New returns a list of commands.
func New(o Options) *List {
	l := &List{title: o.Title, commands: o.Commands, log: o.Logger, sessions: make(map[string]*Session)}
	if l.log == nil {
		l.log = slog.New(slog.DiscardHandler)
	}
	return l
}

// Session is one execution of a command (XEP-0050 §3.3). One stage is taken at a
// time: a client waits for its answer.
type Session struct {
	// Set when it begins.
	Who jid.JID // full
	At  jid.JID // whose command it is

	id      string
	command *Command
	log     *slog.Logger
	began   time.Time

	mu sync.Mutex
	// Guarded by mu.
	at      int            // the stage whose form is out
	answers []*stanza.Form // by stage
	over    bool
}

// Answer is the form of a stage as it was filled in, nil if it was not.
func (s *Session) Answer(at int) *stanza.Form {
	if at >= len(s.answers) {
		return nil
	}
	return s.answers[at]
}

// Values are the answers to a field of a stage.
func (s *Session) Values(at int, variable string) []string {
	if form := s.Answer(at); form != nil {
		if f := form.Field(variable); f != nil {
			return f.Values
		}
	}
	return nil
}

// Value is the answer to a field of a stage, "" if there is none.
func (s *Session) Value(at int, variable string) string {
	return strings.TrimSpace(strings.Join(s.Values(at, variable), "\n"))
}

// Any reports whether somebody may use one of the commands.
func (l *List) Any(who, at jid.JID) bool {
	return slices.ContainsFunc(l.commands, func(c Command) bool { return c.Allowed(who, at) })
}

// Describe answers discovery: it lists the commands (XEP-0050 §2.2), and says what
// one is (§2.3). Who may not use one learns nothing of it. It returns nil for
// nodes that are none of a command.
func (l *List) Describe(who, at jid.JID, node string, items bool) *stanza.Element {
	space := stanza.NSDiscoInfo
	if items {
		space = stanza.NSDiscoItems
	}
	answer := stanza.NewElement(space, "query", "node", node)
	if node == NS {
		return l.list(answer, who, at, items)
	}
	cmd := l.find(who, at, node)
	if cmd == nil {
		return nil
	}
	if !items {
		answer.Add(
			stanza.NewElement(space, "identity", "category", "automation", "type", "command-node", "name", cmd.Name),
			stanza.NewElement(space, "feature", "var", NS), stanza.NewElement(space, "feature", "var", stanza.NSData))
	}
	return answer
}

// list describes all of the commands.
func (l *List) list(answer *stanza.Element, who, at jid.JID, items bool) *stanza.Element {
	if !items {
		if !l.Any(who, at) {
			return nil
		}
		return answer.Add(stanza.NewElement(stanza.NSDiscoInfo, "identity", "category", "automation", "type", "command-list", "name", l.title))
	}
	for i := range l.commands {
		if c := &l.commands[i]; c.Allowed(who, at) {
			answer.Add(stanza.NewElement(stanza.NSDiscoItems, "item", "jid", at.String(), "node", c.Node, "name", c.Name))
		}
	}
	return answer
}

// find returns the command of a node, nil if there is none for somebody.
func (l *List) find(who, at jid.JID, node string) *Command {
	i := slices.IndexFunc(l.commands, func(c Command) bool { return c.Node == node })
	if i < 0 || !l.commands[i].Allowed(who, at) {
		return nil
	}
	return &l.commands[i]
}

// Handle takes one step of a command (XEP-0050 §2.4).
func (l *List) Handle(ctx context.Context, iq *stanza.Stanza) (*stanza.Element, error) {
	request := iq.Payload()
	if request.Name.Local != "command" {
		return nil, stanza.NewError(stanza.Modify, stanza.BadRequest, "The element for this request is <command/>.")
	}
	if !l.Any(iq.From, iq.To) {
		return nil, stanza.NewError(stanza.Auth, stanza.Forbidden, "You may not use these commands.")
	}
	form, err := submitted(request)
	if err != nil {
		return nil, err
	}
	s, err := l.session(iq.From, iq.To, request)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.over { // by another request of the same client
		return nil, expired()
	}
	answer, err := s.step(ctx, request.Attr("action"), form)
	if err != nil {
		if request.Attr("sessionid") == "" { // it has not begun
			l.end(s)
		}
		return nil, err
	}
	if answer.Attr("status") != "executing" {
		l.end(s)
	}
	return answer, nil
}

// submitted returns the form of a request, nil if it has none.
func submitted(request *stanza.Element) (*stanza.Form, error) {
	x := request.Child(stanza.NSData, "x")
	if x == nil {
		return nil, nil //nolint:nilnil // no form is no error
	}
	form, err := stanza.ParseForm(x)
	switch {
	case err != nil:
		return nil, commandError("bad-payload", err.Error())
	case form.Type == stanza.FormCancel: // XEP-0050 §3.5.1: the same as submit
		form.Type = stanza.FormSubmit
	case form.Type != stanza.FormSubmit:
		return nil, commandError("bad-payload", "Submit the form.")
	}
	return form, nil
}

// commandError is one of the errors of XEP-0050 §4.4.
func commandError(condition, text string) *stanza.Error {
	err := stanza.NewError(stanza.Modify, stanza.BadRequest, text)
	err.App = stanza.NewElement(NS, condition)
	return err
}

func expired() *stanza.Error {
	err := stanza.NewError(stanza.Cancel, stanza.NotAllowed, "This execution of the command is over. Begin again.")
	err.App = stanza.NewElement(NS, "session-expired")
	return err
}

// session returns what a request belongs to: a new execution, unless it names one.
func (l *List) session(who, at jid.JID, request *stanza.Element) (*Session, error) {
	cmd := l.find(who, at, request.Attr("node"))
	if cmd == nil {
		return nil, stanza.NewError(stanza.Cancel, stanza.ItemNotFound, "There is no such command.")
	}
	id := request.Attr("sessionid")
	l.mu.Lock()
	defer l.mu.Unlock()
	l.expireLocked(who)
	if id != "" {
		s := l.sessions[id]
		switch {
		case s == nil:
			return nil, expired()
		case s.Who != who, s.At != at, s.command != cmd:
			return nil, commandError("bad-sessionid", "This session is of another command, or of somebody else.")
		}
		return s, nil
	}
	if len(l.sessions) >= sessionsOfAll {
		return nil, stanza.NewError(stanza.Wait, stanza.ResourceConstraint, "Too many commands are being executed.")
	}
	s := &Session{Who: who, At: at, id: rand.Text(), command: cmd, log: l.log, began: time.Now(), at: -1}
	l.sessions[s.id] = s
	return s, nil
}

// expireLocked ends sessions that take too long, and the oldest of somebody who
// has too many.
func (l *List) expireLocked(who jid.JID) {
	now := time.Now()
	var own []*Session
	for id, s := range l.sessions {
		switch {
		case now.Sub(s.began) > sessionTime:
			delete(l.sessions, id)
		case s.Who == who:
			own = append(own, s)
		}
	}
	if len(own) >= sessionsOfUser {
		oldest := slices.MinFunc(own, func(a, b *Session) int { return cmp.Or(a.began.Compare(b.began), cmp.Compare(a.id, b.id)) })
		delete(l.sessions, oldest.id)
	}
}

func (l *List) end(s *Session) {
	s.over = true
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.sessions, s.id)
}

// step does what an action asks for and returns the answer.
func (s *Session) step(ctx context.Context, action string, form *stanza.Form) (*stanza.Element, error) {
	last := len(s.command.Stages) - 1
	if action == "" || action == "execute" { // XEP-0050 §3.4: what actions said it is
		action = "next"
		if s.at == last || s.at < 0 && last < 0 {
			action = "complete"
		}
	}
	switch {
	case action == "cancel":
		return s.element("canceled"), nil
	case action != "next" && action != "prev" && action != "complete":
		return nil, commandError("malformed-action", "There is no such action.")
	case s.at < 0 && (action == "prev" || form != nil), action == "prev" && s.at == 0, action == "next" && s.at == last && last >= 0,
		action == "complete" && s.at+1 < s.command.Early:
		return nil, commandError("bad-action", "This action is not possible now.")
	case action == "prev":
		return s.show(ctx, s.at-1)
	}
	if s.at >= 0 {
		if form == nil {
			return nil, commandError("bad-payload", "Fill in the form.")
		}
		s.answers = append(s.answers[:s.at], form)
	}
	if action == "next" {
		return s.show(ctx, s.at+1)
	}
	result, err := s.command.Run(ctx, s)
	if e, ok := errors.AsType[*Error](err); ok {
		if !e.Final { // to be corrected in the form
			return nil, commandError("bad-payload", e.Text)
		}
		return s.element("completed", Note(NoteError, e.Text)), nil // §3.6
	}
	if err != nil {
		s.log.LogAttrs(ctx, slog.LevelError, "command", slog.String("command", s.command.Node), slog.Any("err", err))
		return s.element("completed", Note(NoteError, "The server could not do that; its log says why.")), nil
	}
	s.log.LogAttrs(ctx, slog.LevelInfo, "command", slog.String("command", s.command.Node), slog.String("jid", s.Who.String()))
	return s.element("completed", result), nil
}

// show answers with the form of a stage, filled in as it was before.
func (s *Session) show(ctx context.Context, at int) (*stanza.Element, error) {
	form, err := s.command.Stages[at](ctx, s)
	if e, ok := errors.AsType[*Error](err); ok {
		return nil, commandError("bad-payload", e.Text)
	}
	if err != nil {
		return nil, err
	}
	form.Fields = slices.Insert(form.Fields, 0, stanza.Field{Var: "FORM_TYPE", Type: stanza.FieldHidden, Values: []string{s.command.Node}})
	if at < len(s.answers) && at < s.at { // §2.4.2: remembered
		for i := range form.Fields {
			if old := s.answers[at].Field(form.Fields[i].Var); old != nil && form.Fields[i].Type != stanza.FieldHidden {
				form.Fields[i].Values = old.Values
			}
		}
	}
	s.at = at
	last := len(s.command.Stages) - 1
	actions := stanza.NewElement(NS, "actions", "execute", "next")
	if at == last {
		actions.SetAttr("execute", "complete")
	}
	if at > 0 {
		actions.Add(stanza.NewElement(NS, "prev"))
	}
	if at < last {
		actions.Add(stanza.NewElement(NS, "next"))
	}
	if at+1 >= s.command.Early {
		actions.Add(stanza.NewElement(NS, "complete"))
	}
	return s.element("executing", actions, form.Element()), nil
}

func (s *Session) element(status string, payload ...*stanza.Element) *stanza.Element {
	e := stanza.NewElement(NS, "command", "node", s.command.Node, "sessionid", s.id, "status", status)
	e.Attrs = append(e.Attrs, stanza.Attr{Name: stanza.Name{Space: stanza.NSXML, Local: "lang"}, Value: "en"})
	return e.Add(payload...)
}
