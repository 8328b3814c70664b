package muc

import (
	"slices"
	"strconv"

	"github.com/muster-im/muster/stanza"
)

// Features of rooms and services in discovery (XEP-0045 §15.3, §6).
const (
	featureStableID  = "http://jabber.org/protocol/muc#stable_id"
	featureSelfPing  = "http://jabber.org/protocol/muc#self-ping-optimization"
	roomInfoFormType = "http://jabber.org/protocol/muc#roominfo"
	nodeTraffic      = "http://jabber.org/protocol/muc#traffic"
)

// infoCommand is a question about the room: what it is (XEP-0045 §6.4), who is
// in it (§6.5), whether it answers.
type infoCommand struct {
	request
	answer *stanza.Element
}

func (c *infoCommand) decide(r *Room) error {
	query := c.st.Payload()
	switch {
	case query.Is(stanza.NSDiscoInfo, "query"):
		return c.info(r, query)
	case query.Is(stanza.NSDiscoItems, "query"):
		return c.items(r, query)
	}
	return nil // a ping
}

func (c *infoCommand) apply(r *Room) { r.reply(c.st.Result(c.answer)) }

func (c *infoCommand) info(r *Room, query *stanza.Element) error {
	node := query.Attr("node")
	c.answer = stanza.NewElement(stanza.NSDiscoInfo, "query")
	switch node {
	case "":
	case nodeReservedNick:
		c.answer = reservedNickInfo(r.reservedNick(c.st.From))
		return nil
	case nodeTraffic: // XEP-0045 §18.1.1: nothing is discarded, so there is no list of what is not
		return stanza.NewError(stanza.Cancel, stanza.ServiceUnavailable, "The room passes everything on.")
	default:
		if c.answer = c.node(r, node, false); c.answer == nil {
			return stanza.NewError(stanza.Cancel, stanza.ItemNotFound, "The room has no such node.")
		}
		return nil
	}
	name := r.Name()
	if name == "" {
		name = r.jid.Local()
	}
	c.answer.Add(stanza.NewElement(stanza.NSDiscoInfo, "identity", "category", "conference", "type", "text", "name", name))
	ev := &DiscoEvent{Room: r}
	r.describe(ev)
	r.notify(r.svc.hooks.Disco.Run(&r.watch, ev))
	slices.Sort(ev.features)
	for _, f := range slices.Compact(ev.features) {
		c.answer.Add(stanza.NewElement(stanza.NSDiscoInfo, "feature", "var", f))
	}
	form := stanza.NewForm(stanza.FormResult, roomInfoFormType)
	c.answer.Add(form.Add(ev.fields...).Element())
	return nil
}

// node asks features for a node; nil if they do not know it.
func (c *infoCommand) node(r *Room, node string, items bool) *stanza.Element {
	q := NodeQuestion{Room: r, RealJID: c.st.From, Affiliation: r.Affiliation(c.st.From), Node: node, Items: items}
	answer, err := r.svc.hooks.DiscoNode.Run(&r.watch, &q, nil)
	r.notify(err)
	return answer
}

// describe says what this package knows of the room.
func (r *Room) describe(ev *DiscoEvent) {
	for _, f := range []string{stanza.NSMUC, stanza.NSDiscoInfo, stanza.NSDiscoItems, stanza.NSPing, stanza.NSRSM, stanza.NSStanzaID, featureStableID, featureSelfPing, roomConfig, roomInfoFormType} {
		ev.Feature(f)
	}
	for _, pair := range []struct {
		is      bool
		yes, no string
	}{
		{r.Public(), "muc_public", "muc_hidden"},
		{r.Persistent(), "muc_persistent", "muc_temporary"},
		{r.NonAnonymous(), "muc_nonanonymous", "muc_semianonymous"},
	} {
		if pair.is {
			ev.Feature(pair.yes)
		} else {
			ev.Feature(pair.no)
		}
	}
	ev.Field("muc#roominfo_description", r.svc.core.description.Get(r))
	ev.Field("muc#roominfo_occupants", strconv.Itoa(len(r.occupants)))
	if lang := r.svc.core.language.Get(r); lang != "" {
		ev.Field("muc#roominfo_lang", lang)
	}
	if name := r.Name(); name != "" { // clients look for settings here, too
		ev.Field(FieldName, name)
	}
}

// items lists the occupants to those who may know of them: unless a feature
// says otherwise everybody in a public room, else those inside and those with
// an affiliation.
func (c *infoCommand) items(r *Room, query *stanza.Element) error {
	c.answer = stanza.NewElement(stanza.NSDiscoItems, "query")
	if node := query.Attr("node"); node != "" {
		if answer := c.node(r, node, true); answer != nil {
			c.answer = answer
		}
		c.answer.SetAttr("node", node)
		return nil
	}
	inside, rank := r.sessions[c.st.From] != nil, r.Affiliation(c.st.From)
	if !inside {
		q := OccupantsQuestion{Room: r, RealJID: c.st.From, Affiliation: rank}
		may, err := r.svc.hooks.MaySeeOccupants.Run(&r.watch, &q, r.Public() || rank >= Member)
		r.notify(err)
		if !may || rank == Outcast {
			return stanza.NewError(stanza.Auth, stanza.Forbidden, "You may not see who is in the room.").Because(ReasonRank)
		}
	}
	everybody := r.sortedOccupants(func(*Occupant) bool { return true })
	return listOccupants(c.answer, query, everybody, func(o *Occupant) *stanza.Element {
		return stanza.NewElement(stanza.NSDiscoItems, "item", "jid", o.jid.String(), "name", o.nick)
	})
}
