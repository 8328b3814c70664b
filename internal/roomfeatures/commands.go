package roomfeatures

import (
	"crypto/rand"

	"github.com/muster-im/muster/muc"
	"github.com/muster-im/muster/stanza"
)

const nsCommands = "http://jabber.org/protocol/commands"

// commands are the ad-hoc commands of rooms (XEP-0050), which other features
// bring. A command has one stage or two: if it needs a form, that may come at
// once or be asked for. The room keeps nothing between the stages.
type commands struct{ list []command }

// command is one of them.
type command struct {
	node, name string
	on         func(r *muc.Room) bool
	least      muc.Affiliation                                                        // who may use it
	form       func(r *muc.Room) *stanza.Form                                         // nil: it needs none
	run        func(ev *muc.RequestEvent, form *stanza.Form) (*stanza.Element, error) // returns what completes it, nil for nothing
}

func (c *commands) Register(h *muc.Hooks) {
	h.OnRequest("commands", stanza.TypeSet, stanza.Name{Space: nsCommands, Local: "command"}, c.execute)
	h.Disco.Add("commands", 0, func(ev *muc.DiscoEvent) {
		for i := range c.list {
			if c.list[i].on(ev.Room) {
				ev.Feature(nsCommands)
			}
		}
	})
	h.DiscoNode.Add("commands", 0, c.describe)
}

// find returns the command of a node, nil if the room has none.
func (c *commands) find(r *muc.Room, node string) *command {
	for i := range c.list {
		if c.list[i].node == node && c.list[i].on(r) {
			return &c.list[i]
		}
	}
	return nil
}

// describe lists the commands to those who may use them (XEP-0050 §2.2), and
// says what one is (§2.3).
func (c *commands) describe(q *muc.NodeQuestion) (*stanza.Element, bool) {
	switch cmd := c.find(q.Room, q.Node); {
	case q.Node == nsCommands && q.Items:
		list := stanza.NewElement(stanza.NSDiscoItems, "query", "node", q.Node)
		for i := range c.list {
			if cmd := &c.list[i]; cmd.on(q.Room) && q.Affiliation >= cmd.least {
				list.Add(stanza.NewElement(stanza.NSDiscoItems, "item", "jid", q.Room.JID().String(), "node", cmd.node, "name", cmd.name))
			}
		}
		return list, true
	case q.Node == nsCommands:
		return stanza.NewElement(stanza.NSDiscoInfo, "query", "node", q.Node).Add(
			stanza.NewElement(stanza.NSDiscoInfo, "identity", "category", "automation", "type", "command-list", "name", "Commands"),
		), true
	case cmd == nil || q.Affiliation < cmd.least || q.Items:
		return nil, false
	default:
		return stanza.NewElement(stanza.NSDiscoInfo, "query", "node", q.Node).Add(
			stanza.NewElement(stanza.NSDiscoInfo, "identity", "category", "automation", "type", "command-node", "name", cmd.name),
			stanza.NewElement(stanza.NSDiscoInfo, "feature", "var", nsCommands),
			stanza.NewElement(stanza.NSDiscoInfo, "feature", "var", stanza.NSData),
		), true
	}
}

// execute takes one stage of a command (XEP-0050 §2.4, §3.4).
func (c *commands) execute(ev *muc.RequestEvent) error {
	request := ev.Stanza.Payload()
	cmd := c.find(ev.Room, request.Attr("node"))
	switch {
	case cmd == nil:
		return stanza.NewError(stanza.Cancel, stanza.ItemNotFound, "The room has no such command.")
	case ev.Affiliation < cmd.least:
		return stanza.NewError(stanza.Auth, stanza.Forbidden, "You may not use this command.").Because(muc.ReasonRank)
	}
	answer := func(status string, payload ...*stanza.Element) {
		session := request.Attr("sessionid")
		if session == "" {
			session = rand.Text()
		}
		ev.Answer(stanza.NewElement(nsCommands, "command", "node", cmd.node, "sessionid", session, "status", status).Add(payload...))
	}
	form, err := commandForm(request)
	if err != nil {
		return err
	}
	switch action := request.Attr("action"); {
	case action == "cancel", form != nil && form.Type == stanza.FormCancel:
		answer("canceled")
		return nil
	case action == "prev":
		return commandError("bad-action", "There is nothing to go back to.")
	case action != "" && action != "execute" && action != "complete" && action != "next":
		return commandError("malformed-action", "There is no such action.")
	case cmd.form != nil && form == nil && (action == "complete" || action == "next"):
		return commandError("bad-payload", "Fill in the form.")
	case cmd.form != nil && form == nil:
		actions := stanza.NewElement(nsCommands, "actions", "execute", "complete").Add(stanza.NewElement(nsCommands, "complete"))
		answer("executing", actions, cmd.form(ev.Room).Element())
		return nil
	}
	result, err := cmd.run(ev, form)
	if err != nil {
		return err
	}
	answer("completed", result)
	return nil
}

// commandForm returns the form of a request, nil if there is none.
func commandForm(request *stanza.Element) (*stanza.Form, error) {
	x := request.Child(stanza.NSData, "x")
	if x == nil {
		return nil, nil //nolint:nilnil // no form is no error
	}
	form, err := stanza.ParseForm(x)
	if err != nil {
		return nil, commandError("bad-payload", err.Error())
	}
	if form.Type != stanza.FormSubmit && form.Type != stanza.FormCancel {
		return nil, commandError("bad-payload", "Submit or cancel the form.")
	}
	return form, nil
}

// commandError is one of the errors of XEP-0050 §4.4.
func commandError(condition, text string) *stanza.Error {
	err := stanza.NewError(stanza.Modify, stanza.BadRequest, text)
	err.App = stanza.NewElement(nsCommands, condition)
	return err
}
