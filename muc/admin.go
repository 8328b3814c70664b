package muc

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/muster-im/muster/jid"
	"github.com/muster-im/muster/stanza"
)

// adminCommand is an IQ with a muc#admin query: lists are read, affiliations
// and roles changed (XEP-0045 §8, §9, §10). Several items are changed
// together or not at all.
type adminCommand struct {
	request
	answer *stanza.Element
	named  map[jid.JID]bool // whose affiliation an item has said already
}

func (c *adminCommand) decide(r *Room) error {
	query := c.st.Payload()
	var items []*stanza.Element
	for e := range query.Elements() {
		if e.Is(stanza.NSMUCAdmin, "item") {
			items = append(items, e)
		}
	}
	if len(items) == 0 {
		return stanza.NewError(stanza.Modify, stanza.BadRequest, "The query has no item.")
	}
	if c.st.Type == stanza.TypeGet {
		return c.decideList(r, items)
	}
	c.named = make(map[jid.JID]bool, len(items)) // anew, if it has been decided before
	for i, item := range items {
		if err := c.decideItem(r, item); err != nil {
			return itemError(err, i, len(items))
		}
	}
	if err := r.checkOneEach(); err != nil {
		return err
	}
	return r.checkOwnerRemains()
}

// checkOneEach refuses staged changes that give somebody a role and an
// affiliation at once, of which one would contradict the other.
func (r *Room) checkOneEach() error {
	for i, c := range r.staged.roles {
		concerned := func(a affiliationChange) bool {
			return a.record.JID == c.occupant.bare || a.record.JID == c.occupant.bare.DomainOnly()
		}
		again := func(other roleChange) bool { return other.occupant == c.occupant }
		if slices.ContainsFunc(r.staged.affiliations, concerned) || slices.ContainsFunc(r.staged.roles[:i], again) {
			return stanza.NewError(stanza.Modify, stanza.BadRequest, "Two items are of "+c.occupant.nick+".")
		}
	}
	return nil
}

// itemError names the item of several that is refused.
func itemError(err error, i, n int) error {
	se := stanza.AsError(err)
	if n == 1 || se == nil {
		return err
	}
	named := *se
	named.Text = fmt.Sprintf("Item %d: %s", i+1, se.Text)
	return &named
}

func (c *adminCommand) decideItem(r *Room, item *stanza.Element) error {
	reason := item.ChildText(stanza.NSMUCAdmin, "reason")
	affiliation, hasAffiliation := item.LookupAttr("affiliation")
	role, hasRole := item.LookupAttr("role")
	switch {
	case hasAffiliation && hasRole:
		return stanza.NewError(stanza.Modify, stanza.BadRequest, "An item has either an affiliation or a role.")
	case hasAffiliation:
		return c.decideAffiliation(r, item, affiliation, reason)
	case hasRole:
		return c.decideRole(r, item, role, reason)
	}
	return stanza.NewError(stanza.Modify, stanza.BadRequest, "An item needs an affiliation or a role.")
}

func (c *adminCommand) decideAffiliation(r *Room, item *stanza.Element, word, reason string) error {
	a, err := ParseAffiliation(word)
	if err != nil {
		return stanza.NewError(stanza.Modify, stanza.BadRequest, err.Error())
	}
	opts := AffiliationOptions{Reason: reason}
	var j jid.JID
	switch address := item.Attr("jid"); {
	case address != "":
		if j, err = jid.Parse(address); err != nil {
			return stanza.NewError(stanza.Modify, stanza.JIDMalformed, "The item's address is malformed.")
		}
		if nick, told := item.LookupAttr("nick"); a > None {
			opts.Nick, opts.ReleaseNick = nick, told && nick == ""
		}
	case item.Attr("nick") != "":
		o := r.Occupant(item.Attr("nick"))
		if o == nil {
			return stanza.NewError(stanza.Cancel, stanza.ItemNotFound, "Nobody in the room has this nickname.")
		}
		j = o.bare
	default:
		return stanza.NewError(stanza.Modify, stanza.BadRequest, "An item needs an address or a nickname.")
	}
	if c.named[j.Bare()] {
		return stanza.NewError(stanza.Modify, stanza.BadRequest, "Another item is of "+j.Bare().String()+", too.")
	}
	c.named[j.Bare()] = true
	if opts.Nick != "" {
		if err := r.MayReserve(j, opts.Nick); err != nil {
			return err
		}
	}
	if a == Outcast && j.Bare() == c.st.From.Bare() { // XEP-0045 §9.1
		return stanza.NewError(stanza.Cancel, stanza.Conflict, "You cannot ban yourself.")
	}
	return r.SetAffiliation(By(c.st.From), j, a, opts)
}

func (c *adminCommand) decideRole(r *Room, item *stanza.Element, word, reason string) error {
	role, err := ParseRole(word)
	if err != nil {
		return stanza.NewError(stanza.Modify, stanza.BadRequest, err.Error())
	}
	var o *Occupant
	if nick := item.Attr("nick"); nick != "" {
		o = r.Occupant(nick)
	} else if address := item.Attr("jid"); address != "" {
		j, err := jid.Parse(address)
		if err != nil {
			return stanza.NewError(stanza.Modify, stanza.JIDMalformed, "The item's address is malformed.")
		}
		if s := r.sessions[j]; s != nil {
			o = s.occupant
		}
	} else {
		return stanza.NewError(stanza.Modify, stanza.BadRequest, "An item with a role needs a nickname.")
	}
	if o == nil {
		return stanza.NewError(stanza.Cancel, stanza.ItemNotFound, "Nobody in the room has this nickname.")
	}
	return r.SetRole(By(c.st.From), o, role, reason)
}

func (c *adminCommand) apply(r *Room) { r.reply(c.st.Result(c.answer)) }

// decideList answers a request for a list of affiliations or roles.
func (c *adminCommand) decideList(r *Room, items []*stanza.Element) error {
	if len(items) > 1 {
		return stanza.NewError(stanza.Modify, stanza.BadRequest, "Ask for one list at a time.")
	}
	query := c.st.Payload()
	word, ofRoles := items[0].LookupAttr("role")
	if ofRoles {
		role, err := ParseRole(word)
		if err != nil {
			return stanza.NewError(stanza.Modify, stanza.BadRequest, err.Error())
		}
		if err := r.mayList(c.st.From, true, None); err != nil {
			return err
		}
		c.answer, err = r.listRole(query, c.st.From, role)
		return err
	}
	a, err := ParseAffiliation(items[0].Attr("affiliation"))
	if err != nil {
		return stanza.NewError(stanza.Modify, stanza.BadRequest, err.Error())
	}
	if err := r.mayList(c.st.From, false, a); err != nil {
		return err
	}
	c.answer, err = r.listAffiliation(query, a)
	return err
}

// mayList applies the rules for reading lists: role lists are for moderators,
// affiliation lists for admins and owners, those of admins and owners for owners
// alone if addresses are hidden (XEP-0045 §10.5, §10.8); features may widen them,
// but not for who is banned.
func (r *Room) mayList(who jid.JID, ofRoles bool, a Affiliation) error {
	q := &ListQuestion{Room: r, RealJID: who, Role: r.roleOf(who), Affiliation: r.Affiliation(who), OfRoles: ofRoles, List: a}
	least := Admin
	if a >= Admin && !r.NonAnonymous() {
		least = Owner
	}
	allowed := q.Affiliation >= least || ofRoles && q.Role == Moderator
	if !allowed && q.Affiliation != Outcast {
		var err error
		if allowed, err = r.svc.hooks.MayList.Run(&r.watch, q, false); err != nil {
			return err
		}
	}
	if !allowed {
		return stanza.NewError(stanza.Auth, stanza.Forbidden, "You may not read this list.").Because(ReasonRank)
	}
	return nil
}

// listRole answers with the occupants of a role, by the keys of their nicknames.
func (r *Room) listRole(query *stanza.Element, who jid.JID, role Role) (*stanza.Element, error) {
	full := r.NonAnonymous() || r.roleOf(who) == Moderator || r.Affiliation(who) >= Admin
	answer := stanza.NewElement(stanza.NSMUCAdmin, "query")
	return answer, listOccupants(answer, query, r.sortedOccupants(func(o *Occupant) bool { return o.role == role }), func(o *Occupant) *stanza.Element {
		item := stanza.NewElement(stanza.NSMUCAdmin, "item", "affiliation", r.Affiliation(o.bare).String(),
			"role", role.String(), "nick", o.nick)
		if full {
			item.SetAttr("jid", o.address().String())
		}
		return item
	})
}

// sortedOccupants returns those occupants who are wanted, by the keys of their
// nicknames.
func (r *Room) sortedOccupants(wanted func(*Occupant) bool) []*Occupant {
	var list []*Occupant
	for _, o := range r.occupants {
		if wanted(o) {
			list = append(list, o)
		}
	}
	slices.SortFunc(list, func(a, b *Occupant) int { return cmp.Compare(a.key, b.key) })
	return list
}

// listOccupants adds to answer the page of a list of occupants that is asked
// for. Its items are named by nickname.
func listOccupants(answer, query *stanza.Element, list []*Occupant, item func(*Occupant) *stanza.Element) error {
	place := func(id string) (int, bool, error) {
		key, err := jid.NickKey(id)
		if err != nil {
			return 0, false, stanza.NoPage()
		}
		i, there := slices.BinarySearchFunc(list, key, func(o *Occupant, key string) int { return cmp.Compare(o.key, key) })
		return i, there, nil
	}
	from, to, result, err := stanza.CutList(query, len(list), place, func(i int) string { return list[i].nick })
	if err != nil {
		return err
	}
	for _, o := range list[from:to] {
		answer.Add(item(o))
	}
	addPage(answer, result)
	return nil
}

func addPage(answer *stanza.Element, result *stanza.PageResult) {
	if result != nil {
		answer.Add(result.Element())
	}
}

// listAffiliation answers with the entries of an affiliation, by address; those
// with none are the occupants who have no other.
func (r *Room) listAffiliation(query *stanza.Element, a Affiliation) (*stanza.Element, error) {
	answer := stanza.NewElement(stanza.NSMUCAdmin, "query")
	if a == None {
		return answer, listOccupants(answer, query, r.sortedOccupants(func(o *Occupant) bool { return r.Affiliation(o.bare) == None }), func(o *Occupant) *stanza.Element {
			return stanza.NewElement(stanza.NSMUCAdmin, "item", "affiliation", a.String(), "jid", o.bare.String(), "nick", o.nick) // without role: §17.4
		})
	}
	list := r.index.of(a)
	place := func(id string) (int, bool, error) {
		j, err := jid.Parse(id)
		if err != nil {
			return 0, false, stanza.NoPage()
		}
		i, there := slices.BinarySearchFunc(list, j, compareJIDs)
		return i, there, nil
	}
	from, to, result, err := stanza.CutList(query, len(list), place, func(i int) string { return list[i].String() })
	if err != nil {
		return nil, err
	}
	for _, j := range list[from:to] {
		rec := r.affiliations[j]
		item := stanza.NewElement(stanza.NSMUCAdmin, "item", "affiliation", a.String(), "jid", rec.JID.String())
		if rec.Nick != "" {
			item.SetAttr("nick", rec.Nick)
		}
		if rec.Reason != "" {
			item.AddTextElement("reason", rec.Reason)
		}
		answer.Add(item)
	}
	addPage(answer, result)
	return answer, nil
}
