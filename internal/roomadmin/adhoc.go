package roomadmin

import (
	"context"
	"errors"
	"strings"

	"github.com/muster-im/muster/internal/adhoc"
	"github.com/muster-im/muster/jid"
	"github.com/muster-im/muster/muc"
	"github.com/muster-im/muster/stanza"
)

// nodePrefix begins the nodes of the commands and the types of their forms.
const nodePrefix = "urn:muster:rooms:"

// Commands returns the ad-hoc commands (XEP-0050) of the room service of a domain,
// for the administrators of the service. They do what Admin does.
func (a *Admin) Commands(domain string) muc.Extension {
	c := &commands{admin: a, domain: domain}
	c.list = adhoc.New(adhoc.Options{Title: "Administration of rooms", Commands: c.all(), Logger: a.log})
	return c
}

// commands are the commands of one service.
type commands struct {
	admin  *Admin
	domain string
	list   *adhoc.List
}

// session is one execution of a command.
type session struct {
	*adhoc.Session

	admin   *Admin
	service *muc.Service
}

// stage makes a form.
type stage func(ctx context.Context, s *session) (*stanza.Form, error)

// Register adds the commands to the service.
func (c *commands) Register(h *muc.Hooks) {
	h.OnServiceRequest("room-commands", stanza.TypeSet, stanza.Name{Space: adhoc.NS, Local: "command"}, func(ev *muc.ServiceRequestEvent) error {
		answer, err := c.list.Handle(ev.Context, ev.Stanza)
		if err == nil {
			ev.Answer(answer)
		}
		return err
	})
	h.ServiceDisco.Add("room-commands", 0, func(ev *muc.ServiceDiscoEvent) {
		if c.allowed(ev.RealJID, jid.JID{}) {
			ev.Feature(adhoc.NS)
		}
	})
	h.ServiceNode.Add("room-commands", 0, func(q *muc.NodeQuestion) (*stanza.Element, bool) {
		s, err := c.admin.service(c.domain)
		if err != nil {
			return nil, false
		}
		answer := c.list.Describe(q.RealJID, s.Domain(), q.Node, q.Items)
		return answer, answer != nil
	})
}

// allowed lets administrators of the service use the commands.
func (c *commands) allowed(who, _ jid.JID) bool {
	s, err := c.admin.service(c.domain)
	return err == nil && s.IsAdministrator(who)
}

// command makes one of the commands.
func (c *commands) command(node, name string, early int, run func(context.Context, *session) (*stanza.Element, error), stages ...stage) adhoc.Command {
	cmd := adhoc.Command{
		Node: nodePrefix + node, Name: name, Allowed: c.allowed, Early: early,
		Run: func(ctx context.Context, s *adhoc.Session) (e *stanza.Element, err error) {
			own, err := c.session(s)
			if err == nil {
				e, err = run(ctx, own)
			}
			return e, inWords(err)
		},
	}
	for _, show := range stages {
		cmd.Stages = append(cmd.Stages, func(ctx context.Context, s *adhoc.Session) (f *stanza.Form, err error) {
			own, err := c.session(s)
			if err == nil {
				f, err = show(ctx, own)
			}
			return f, inWords(err)
		})
	}
	return cmd
}

func (c *commands) session(s *adhoc.Session) (*session, error) {
	service, err := c.admin.service(c.domain)
	return &session{s, c.admin, service}, err
}

// inWords is an error as commands tell it.
func inWords(err error) error {
	if e, ok := errors.AsType[*Error](err); ok {
		text := e.Error()
		if !strings.HasSuffix(text, "?") {
			text += "."
		}
		return &adhoc.Error{Text: text, Final: e.Kind == Forbidden || e.Kind == Busy}
	}
	return err
}
