package roster

import (
	"github.com/muster-im/muster/internal/store"
	"github.com/muster-im/muster/stanza"
)

// state is where a contact and the account stand, seen from the account: one
// of the nine states of RFC 6121 §A.1, as the set of what is true.
type state uint8

const (
	pendOut state = 1 << iota // the account has asked
	pendIn                    // the contact has asked
	to                        // the account sees the contact
	from                      // the contact sees the account

	none    = state(0)
	outIn   = pendOut | pendIn
	toIn    = to | pendIn
	fromOut = from | pendOut
	both    = to | from
)

// stateOf returns the state that an item is in.
func stateOf(item *store.RosterItem) state {
	s := none
	switch item.Subscription {
	case store.SubTo:
		s = to
	case store.SubFrom:
		s = from
	case store.SubBoth:
		return both
	}
	if item.PendingOut && s != to {
		s |= pendOut
	}
	if item.PendingIn && s&from == 0 {
		s |= pendIn
	}
	return s
}

// set brings item into the state.
func (s state) set(item *store.RosterItem) {
	switch s & both {
	case none:
		item.Subscription = store.SubNone
	case to:
		item.Subscription = store.SubTo
	case from:
		item.Subscription = store.SubFrom
	case both:
		item.Subscription = store.SubBoth
	}
	item.PendingOut, item.PendingIn = s&pendOut != 0, s&pendIn != 0
	if !item.PendingIn {
		item.Request = nil
	}
}

// cell says what a stanza does in one state: whether it is passed on, to the
// contact or to the account's clients, and the state afterwards.
type cell struct {
	pass bool
	next state
}

// column says what one stanza does in each state.
type column map[state]cell

// sentTable is what the account's own stanzas do (RFC 6121 §A.2).
//
//nolint:gochecknoglobals // a table
var sentTable = map[stanza.Type]column{
	stanza.TypeSubscribe: { // §A.2.1
		none:    {true, pendOut},
		pendOut: {true, pendOut},
		pendIn:  {true, outIn},
		outIn:   {true, outIn},
		to:      {true, to},
		toIn:    {true, toIn},
		from:    {true, fromOut},
		fromOut: {true, fromOut},
		both:    {true, both},
	},
	stanza.TypeUnsubscribe: { // §A.2.2
		none:    {true, none},
		pendOut: {true, none},
		pendIn:  {true, pendIn},
		outIn:   {true, pendIn},
		to:      {true, none},
		toIn:    {true, pendIn},
		from:    {true, from},
		fromOut: {true, from},
		both:    {true, from},
	},
	stanza.TypeSubscribed: { // §A.2.3
		none:    {false, none}, // pre-approval, as in the other two that do not see us
		pendOut: {false, pendOut},
		pendIn:  {true, from},
		outIn:   {true, fromOut},
		to:      {false, to},
		toIn:    {true, both},
		from:    {false, from},
		fromOut: {false, fromOut},
		both:    {false, both},
	},
	stanza.TypeUnsubscribed: { // §A.2.4
		none:    {false, none},
		pendOut: {false, pendOut},
		pendIn:  {true, none},
		outIn:   {true, pendOut},
		to:      {false, to},
		toIn:    {true, to},
		from:    {true, none},
		fromOut: {true, pendOut},
		both:    {true, to},
	},
}

// receivedTable is what the contact's stanzas do (RFC 6121 §A.3).
//
//nolint:gochecknoglobals // a table
var receivedTable = map[stanza.Type]column{
	stanza.TypeSubscribe: { // §A.3.1
		none:    {true, pendIn},
		pendOut: {true, outIn},
		pendIn:  {false, pendIn},
		outIn:   {false, outIn},
		to:      {true, toIn},
		toIn:    {false, toIn},
		from:    {false, from}, // answered for the account, as in the other two that see us
		fromOut: {false, fromOut},
		both:    {false, both},
	},
	stanza.TypeUnsubscribe: { // §A.3.2
		none:    {false, none},
		pendOut: {false, pendOut},
		pendIn:  {true, none},
		outIn:   {true, pendOut},
		to:      {false, to},
		toIn:    {true, to},
		from:    {true, none},
		fromOut: {true, pendOut},
		both:    {true, to},
	},
	stanza.TypeSubscribed: { // §A.3.3
		none:    {false, none},
		pendOut: {true, to},
		pendIn:  {false, pendIn},
		outIn:   {true, toIn},
		to:      {false, to},
		toIn:    {false, toIn},
		from:    {false, from},
		fromOut: {true, both},
		both:    {false, both},
	},
	stanza.TypeUnsubscribed: { // §A.3.4
		none:    {false, none},
		pendOut: {true, none},
		pendIn:  {false, pendIn},
		outIn:   {true, pendIn},
		to:      {true, none},
		toIn:    {true, pendIn},
		from:    {false, from},
		fromOut: {true, from},
		both:    {true, from},
	},
}

// outcome is what one subscription stanza leads to.
type outcome struct {
	pass     bool        // to the contact, or to the account's clients
	answer   stanza.Type // what the server answers for the account; received only
	appeared bool        // the contact sees the account from now on
	vanished bool        // or not any more
	look     bool        // the account asks for what groups give it already
}

// applySent changes item by what the account sends (RFC 6121 §3, §A.2).
func applySent(item *store.RosterItem, t stanza.Type) outcome {
	before := stateOf(item)
	c := sentTable[t][before]
	c.next.set(item)
	switch t {
	case stanza.TypeSubscribe:
		item.InRoster = true // §3.1.2
	case stanza.TypeSubscribed:
		if !c.pass && before&from == 0 {
			item.Approved = true // §3.4.2
		}
		item.InRoster = item.InRoster || c.pass || item.Approved
	case stanza.TypeUnsubscribed:
		item.Approved = false // §3.4.2
	}
	return outcome{pass: c.pass}.seen(before, c.next)
}

// applyReceived changes item by what the contact sends (RFC 6121 §3, §A.3).
func applyReceived(item *store.RosterItem, t stanza.Type) outcome {
	before := stateOf(item)
	c := receivedTable[t][before]
	o := outcome{pass: c.pass}
	if t == stanza.TypeSubscribe {
		switch {
		case before&from != 0:
			o.answer = stanza.TypeSubscribed // §3.1.3
		case item.Approved:
			o.pass, o.answer = false, stanza.TypeSubscribed // §3.4.2: not asked again
			c.next = before&^pendIn | from
		}
	}
	c.next.set(item)
	return o.seen(before, c.next)
}

// seen notes whether the contact has begun or ceased to see the account.
func (o outcome) seen(before, after state) outcome {
	o.appeared = after&^before&from != 0
	o.vanished = before&^after&from != 0
	return o
}

// sameShown reports whether two items look the same to the owner's clients.
func sameShown(a, b *store.RosterItem) bool {
	return a.InRoster == b.InRoster && a.Subscription == b.Subscription && a.PendingOut == b.PendingOut &&
		a.Approved == b.Approved
}

// isEmpty reports whether nothing is left that is worth remembering.
func isEmpty(item *store.RosterItem) bool {
	return !item.InRoster && !item.PendingIn && !item.Approved && item.Subscription == store.SubNone &&
		!item.PendingOut && item.Hidden == 0 && item.Ended == 0 && item.Name == "" && len(item.Groups)+len(item.LeftOut) == 0
}
