package roomadmin

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/muster-im/muster/jid"
	"github.com/muster-im/muster/muc"
	"github.com/muster-im/muster/stanza"
)

// NSCommands is the namespace of ad-hoc commands (XEP-0050).
const NSCommands = "http://jabber.org/protocol/commands"

// nodePrefix begins the nodes of the commands and the types of their forms.
const nodePrefix = "urn:muster:rooms:"

// Bounds of the sessions of commands.
const (
	sessionTime    = 10 * time.Minute
	sessionsOfUser = 20
	sessionsOfAll  = 1000
)

// Commands returns the ad-hoc commands of the room service of a domain, for the
// administrators of the service. They do what Admin does.
func (a *Admin) Commands(domain string) muc.Extension {
	return &commands{admin: a, domain: domain, list: roomCommands(), sessions: make(map[string]*session)}
}

// commands are the commands of one service.
type commands struct {
	// Set at construction.
	admin  *Admin
	domain string
	list   []command

	mu sync.Mutex
	// Guarded by mu.
	sessions map[string]*session
}

// command is one of them. Each stage shows a form; the answers of all run it.
type command struct {
	node, name string
	stages     []stage
	// early is the number of answered stages that suffice.
	early int
	run   func(ctx context.Context, s *session) (*stanza.Element, error)
}

// stage makes the form to be filled in, of what has been answered so far.
type stage func(ctx context.Context, s *session) (*stanza.Form, error)

// session is one execution of a command (XEP-0050 §3.3). One stage is taken at a
// time: a client waits for its answer.
type session struct {
	// Set when it begins.
	id      string
	who     jid.JID // full
	command *command
	admin   *Admin
	service *muc.Service
	began   time.Time

	mu sync.Mutex
	// Guarded by mu.
	at      int            // the stage whose form is out
	answers []*stanza.Form // by stage
	over    bool
}

// Register adds the commands to the service.
func (c *commands) Register(h *muc.Hooks) {
	h.OnServiceRequest("room-commands", stanza.TypeSet, stanza.Name{Space: NSCommands, Local: "command"}, c.execute)
	h.ServiceDisco.Add("room-commands", 0, func(ev *muc.ServiceDiscoEvent) {
		if c.allowed(ev.RealJID) {
			ev.Feature(NSCommands)
		}
	})
	h.ServiceNode.Add("room-commands", 0, c.describe)
}

func (c *commands) service() (*muc.Service, error) { return c.admin.service(c.domain) }

// allowed lets administrators of the service use the commands.
func (c *commands) allowed(who jid.JID) bool {
	s, err := c.service()
	return err == nil && s.IsAdministrator(who)
}

// describe lists the commands (XEP-0050 §2.2), and says what one is (§2.3). Who
// may not use them learns nothing of them.
func (c *commands) describe(q *muc.NodeQuestion) (*stanza.Element, bool) {
	space := stanza.NSDiscoInfo
	if q.Items {
		space = stanza.NSDiscoItems
	}
	answer := stanza.NewElement(space, "query", "node", q.Node)
	if !c.allowed(q.RealJID) {
		return answer, q.Node == NSCommands && q.Items
	}
	i := slices.IndexFunc(c.list, func(cmd command) bool { return cmd.node == q.Node })
	switch {
	case q.Node == NSCommands && q.Items:
		for i := range c.list {
			answer.Add(stanza.NewElement(space, "item", "jid", c.domain, "node", c.list[i].node, "name", c.list[i].name))
		}
	case q.Node == NSCommands:
		answer.Add(stanza.NewElement(space, "identity", "category", "automation", "type", "command-list", "name", "Administration of rooms"))
	case i < 0:
		return nil, false
	case !q.Items:
		answer.Add(
			stanza.NewElement(space, "identity", "category", "automation", "type", "command-node", "name", c.list[i].name),
			stanza.NewElement(space, "feature", "var", NSCommands), stanza.NewElement(space, "feature", "var", stanza.NSData))
	}
	return answer, true
}

// execute takes one step of a command (XEP-0050 §2.4).
func (c *commands) execute(ev *muc.ServiceRequestEvent) error {
	request := ev.Stanza.Payload()
	if !c.allowed(ev.Stanza.From) {
		return stanza.NewError(stanza.Auth, stanza.Forbidden, "Only administrators of the service may use its commands.")
	}
	form, err := submitted(request)
	if err != nil {
		return err
	}
	s, err := c.session(ev.Stanza.From, request)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.over { // by another request of the same client
		return expired()
	}
	answer, err := s.step(ev.Context, request.Attr("action"), form)
	if err != nil {
		if request.Attr("sessionid") == "" { // it has not begun
			c.end(s)
		}
		return err
	}
	if answer.Attr("status") != "executing" {
		c.end(s)
	}
	ev.Answer(answer)
	return nil
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
	err.App = stanza.NewElement(NSCommands, condition)
	return err
}

func expired() *stanza.Error {
	err := stanza.NewError(stanza.Cancel, stanza.NotAllowed, "This execution of the command is over. Begin again.")
	err.App = stanza.NewElement(NSCommands, "session-expired")
	return err
}

// session returns what a request belongs to: a new execution, unless it names one.
func (c *commands) session(who jid.JID, request *stanza.Element) (*session, error) {
	i := slices.IndexFunc(c.list, func(cmd command) bool { return cmd.node == request.Attr("node") })
	if i < 0 {
		return nil, stanza.NewError(stanza.Cancel, stanza.ItemNotFound, "The service has no such command.")
	}
	service, err := c.service()
	if err != nil {
		return nil, err
	}
	id := request.Attr("sessionid")
	c.mu.Lock()
	defer c.mu.Unlock()
	c.expireLocked(who)
	if id != "" {
		s := c.sessions[id]
		switch {
		case s == nil:
			return nil, expired()
		case s.who != who, s.command != &c.list[i]:
			return nil, commandError("bad-sessionid", "This session is of another command, or of somebody else.")
		}
		return s, nil
	}
	if len(c.sessions) >= sessionsOfAll {
		return nil, stanza.NewError(stanza.Wait, stanza.ResourceConstraint, "Too many commands are being executed.")
	}
	s := &session{id: rand.Text(), who: who, command: &c.list[i], admin: c.admin, service: service, began: time.Now(), at: -1}
	c.sessions[s.id] = s
	return s, nil
}

// expireLocked ends sessions that take too long, and the oldest of somebody who
// has too many.
func (c *commands) expireLocked(who jid.JID) {
	now := time.Now()
	var own []*session
	for id, s := range c.sessions {
		switch {
		case now.Sub(s.began) > sessionTime:
			delete(c.sessions, id)
		case s.who == who:
			own = append(own, s)
		}
	}
	if len(own) >= sessionsOfUser {
		oldest := slices.MinFunc(own, func(a, b *session) int { return cmp.Or(a.began.Compare(b.began), cmp.Compare(a.id, b.id)) })
		delete(c.sessions, oldest.id)
	}
}

func (c *commands) end(s *session) {
	s.over = true
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.sessions, s.id)
}

// step does what an action asks for and returns the answer.
func (s *session) step(ctx context.Context, action string, form *stanza.Form) (*stanza.Element, error) {
	last := len(s.command.stages) - 1
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
		action == "complete" && s.at+1 < s.command.early:
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
	result, err := s.command.run(ctx, s)
	if e, ok := errors.AsType[*Error](err); ok {
		if e.Kind != Forbidden && e.Kind != Busy { // to be corrected in the form
			return nil, commandError("bad-payload", e.Error()+".")
		}
		return s.element("completed", note("error", e.Error()+".")), nil // §3.6
	}
	if err != nil {
		s.admin.log.LogAttrs(ctx, slog.LevelError, "room command", slog.String("command", s.command.node), slog.Any("err", err))
		return s.element("completed", note("error", "The server could not do that; its log says why.")), nil
	}
	s.admin.log.LogAttrs(ctx, slog.LevelInfo, "room command", slog.String("command", s.command.node), slog.String("jid", s.who.String()))
	return s.element("completed", result), nil
}

// show answers with the form of a stage, filled in as it was before.
func (s *session) show(ctx context.Context, at int) (*stanza.Element, error) {
	form, err := s.command.stages[at](ctx, s)
	if e, ok := errors.AsType[*Error](err); ok {
		return nil, commandError("bad-payload", e.Error()+".")
	}
	if err != nil {
		return nil, err
	}
	form.Fields = slices.Insert(form.Fields, 0, stanza.Field{Var: "FORM_TYPE", Type: stanza.FieldHidden, Values: []string{s.command.node}})
	if at < len(s.answers) && at < s.at { // §2.4.2: remembered
		for i := range form.Fields {
			if old := s.answers[at].Field(form.Fields[i].Var); old != nil && form.Fields[i].Type != stanza.FieldHidden {
				form.Fields[i].Values = old.Values
			}
		}
	}
	s.at = at
	last := len(s.command.stages) - 1
	actions := stanza.NewElement(NSCommands, "actions", "execute", "next")
	if at == last {
		actions.SetAttr("execute", "complete")
	}
	if at > 0 {
		actions.Add(stanza.NewElement(NSCommands, "prev"))
	}
	if at < last {
		actions.Add(stanza.NewElement(NSCommands, "next"))
	}
	if at+1 >= s.command.early {
		actions.Add(stanza.NewElement(NSCommands, "complete"))
	}
	return s.element("executing", actions, form.Element()), nil
}

func (s *session) element(status string, payload ...*stanza.Element) *stanza.Element {
	e := stanza.NewElement(NSCommands, "command", "node", s.command.node, "sessionid", s.id, "status", status)
	e.Attrs = append(e.Attrs, stanza.Attr{Name: stanza.Name{Space: stanza.NSXML, Local: "lang"}, Value: "en"})
	return e.Add(payload...)
}

func note(kind, text string) *stanza.Element {
	return stanza.NewElement(NSCommands, "note", "type", kind).AddText(text)
}
