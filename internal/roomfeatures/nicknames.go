package roomfeatures

import (
	"context"
	"errors"
	"maps"
	"sync"

	"github.com/muster-im/muster/internal/store"
	"github.com/muster-im/muster/jid"
	"github.com/muster-im/muster/muc"
	"github.com/muster-im/muster/stanza"
)

// maxNicknames bounds the reserved nicknames of a service, which are all in
// memory: about 300 bytes each, and 200 more where several scripts are in use.
const maxNicknames = 500_000

// NickStore keeps reserved nicknames. Its methods may block, and are safe for
// concurrent use.
type NickStore interface {
	// ReservedNicks returns all nicknames that are reserved in a service.
	ReservedNicks(ctx context.Context, service string) ([]store.ReservedNick, error)
	// ReserveNick stores a nickname in the place of the one that its owner has
	// had; store.ErrConflict if it is somebody else's.
	ReserveNick(ctx context.Context, service string, n store.ReservedNick) error
	// ReleaseNick removes the nickname that owner has reserved; none is no error.
	ReleaseNick(ctx context.Context, service string, owner jid.JID) error
}

// Nicknames are the nicknames that people have reserved in all rooms of a
// service, one each, by registering with the service (XEP-0077). Nobody else may
// use or reserve them there, unless a room has reserved one for him by itself:
// what a room's own admins have agreed to counts more. They are in memory, since
// every join asks for them.
type Nicknames struct {
	// Set at construction.
	store   NickStore
	service jid.JID

	mu sync.RWMutex
	// Guarded by mu.
	holders  map[string]jid.JID             // by key, those that are being stored too
	looks    jid.NickIndex                  // of holders
	reserved map[jid.JID]store.ReservedNick // by owner
	changing map[jid.JID]bool               // whose reservation is being stored
}

// LoadNicknames returns the nicknames that are reserved in a service.
func LoadNicknames(ctx context.Context, st NickStore, service jid.JID) (*Nicknames, error) {
	list, err := st.ReservedNicks(ctx, service.String())
	if err != nil {
		return nil, err
	}
	n := &Nicknames{
		store: st, service: service, changing: make(map[jid.JID]bool),
		holders: make(map[string]jid.JID, len(list)), reserved: make(map[jid.JID]store.ReservedNick, len(list)),
	}
	for _, r := range list {
		n.hold(r.Key, r.Owner)
		n.reserved[r.Owner] = r
	}
	n.looks.Alike("", maps.Keys(n.holders)) // if needed, the index is made now, not while a room waits
	return n, nil
}

// Register lets people reserve nicknames with the service.
func (n *Nicknames) Register(h *muc.Hooks) {
	query := stanza.Name{Space: stanza.NSRegister, Local: "query"}
	h.OnServiceRequest("nicknames", stanza.TypeGet, query, n.get)
	h.OnServiceRequest("nicknames", stanza.TypeSet, query, n.set)
	h.NickHolder.Add("nicknames", 0, func(q *muc.NickQuestion) (jid.JID, bool) {
		n.mu.Lock() // the index is made when it is first needed
		defer n.mu.Unlock()
		return n.holder(q.RealJID, q.Key)
	})
	h.ReservedNick.Add("nicknames", 0, func(q *muc.NickQuestion) (string, bool) {
		nick := n.of(q.RealJID)
		return nick, nick != ""
	})
	h.ServiceDisco.Add("nicknames", 0, func(ev *muc.ServiceDiscoEvent) { ev.Feature(stanza.NSRegister) })
}

// holder returns who has reserved a nickname; if that is nobody, who else than
// who has one that looks the same. n.mu is held.
func (n *Nicknames) holder(who jid.JID, key string) (jid.JID, bool) {
	if holder, ok := n.holders[key]; ok {
		return holder, true
	}
	for _, k := range n.looks.Alike(key, maps.Keys(n.holders)) {
		if holder := n.holders[k]; holder != who {
			return holder, true
		}
	}
	return jid.JID{}, false
}

// hold and drop change who has reserved a nickname. n.mu is held.
func (n *Nicknames) hold(key string, owner jid.JID) {
	if _, there := n.holders[key]; !there {
		n.looks.Add(key)
	}
	n.holders[key] = owner
}

func (n *Nicknames) drop(key string) {
	if _, there := n.holders[key]; there {
		n.looks.Remove(key)
		delete(n.holders, key)
	}
}

// of returns the nickname that somebody has reserved, "" if none.
func (n *Nicknames) of(owner jid.JID) string {
	n.mu.RLock()
	defer n.mu.RUnlock()
	return n.reserved[owner].Nick
}

// get tells somebody what he has reserved and how to change that, in fields for
// old clients and as a form (XEP-0077 §3.1, §4, §6).
func (n *Nicknames) get(ev *muc.ServiceRequestEvent) error {
	if err := mayReserve(ev.Stanza.From); err != nil {
		return err
	}
	nick := n.of(ev.Stanza.From.Bare())
	query := stanza.NewElement(stanza.NSRegister, "query")
	if nick != "" {
		query.AddTextElement("registered", "")
	}
	const instructions = "Choose the nickname that is to be yours in all rooms of this service."
	field := stanza.Field{Var: "nick", Type: stanza.FieldTextSingle, Label: "Nickname", Required: true}
	if nick != "" {
		field.Values = []string{nick}
	}
	form := stanza.NewForm(stanza.FormForm, stanza.NSRegister)
	form.Title, form.Instructions = "Registration with "+n.service.String(), []string{instructions}
	ev.Answer(query.AddTextElement("instructions", instructions).AddTextElement("nick", nick).Add(form.Add(field).Element()))
	return nil
}

// mayReserve refuses those who are nobody that could have a nickname.
func mayReserve(who jid.JID) error {
	if who.Local() == "" {
		return stanza.NewError(stanza.Cancel, stanza.NotAllowed, "Only people have nicknames.")
	}
	return nil
}

func (n *Nicknames) set(ev *muc.ServiceRequestEvent) error {
	if err := mayReserve(ev.Stanza.From); err != nil {
		return err
	}
	query, owner := ev.Stanza.Payload(), ev.Stanza.From.Bare()
	if query.Child(stanza.NSRegister, "remove") != nil {
		if elements(query) != 1 { // XEP-0077 §3.2
			return stanza.NewError(stanza.Modify, stanza.BadRequest, "<remove/> must be alone.")
		}
		return n.release(ev.Context, owner)
	}
	wish, err := wantedNick(query)
	if err != nil || wish == nil {
		return err
	}
	nick, err := preparedNick(n.service, *wish)
	if err != nil {
		return err
	}
	return n.reserve(ev.Context, owner, nick)
}

// wantedNick returns the nickname that a request asks for, in a field of its own
// or in a form; nil if the form is cancelled.
func wantedNick(query *stanza.Element) (*string, error) {
	field, x := query.Child(stanza.NSRegister, "nick"), query.Child(stanza.NSData, "x")
	var nick string
	switch {
	case field != nil && x != nil: // XEP-0077 §6
		return nil, stanza.NewError(stanza.Modify, stanza.BadRequest, "Send the form or the fields, not both.")
	case field != nil:
		nick = field.Text()
	default:
		form, err := registrationForm(query, stanza.NSRegister)
		if err != nil || form.Type == stanza.FormCancel {
			return nil, err
		}
		if f := form.Field("nick"); f != nil && len(f.Values) == 1 {
			nick = f.Value()
		}
	}
	if nick == "" { // XEP-0077 §3.1.1
		return nil, stanza.NewError(stanza.Modify, stanza.NotAcceptable, "nick: want one nickname.")
	}
	return &nick, nil
}

// reserve makes a nickname somebody's. It holds from now on, and the one that he
// has had until it is stored.
func (n *Nicknames) reserve(ctx context.Context, owner jid.JID, nick string) error {
	key, err := jid.NickKey(nick)
	if err != nil {
		return err
	}
	wanted := store.ReservedNick{Owner: owner, Nick: nick, Key: key}
	before, err := n.begin(wanted)
	if err != nil || before == wanted {
		return err
	}
	err = n.store.ReserveNick(ctx, n.service.String(), wanted)
	n.mu.Lock()
	defer n.mu.Unlock()
	delete(n.changing, owner)
	out := before.Key
	if err != nil {
		out = key
	} else {
		n.reserved[owner] = wanted
	}
	if before.Key != key {
		n.drop(out)
	}
	if errors.Is(err, store.ErrConflict) {
		return nickTaken()
	}
	return err
}

func nickTaken() error {
	return stanza.NewError(stanza.Cancel, stanza.Conflict, "This nickname, or one that looks the same, is reserved for somebody else.").Because(muc.ReasonNickReserved)
}

// begin claims a nickname until it is stored, and returns what its owner has had
// before; if that is the same there is nothing to store.
func (n *Nicknames) begin(wanted store.ReservedNick) (before store.ReservedNick, err error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	before = n.reserved[wanted.Owner]
	holder, taken := n.holder(wanted.Owner, wanted.Key)
	switch {
	case n.changing[wanted.Owner]:
		return before, underWay()
	case taken && holder != wanted.Owner:
		return before, nickTaken()
	case before.Key == "" && len(n.holders) >= maxNicknames:
		return before, stanza.NewError(stanza.Wait, stanza.ResourceConstraint, "Too many nicknames are reserved.").Because(muc.ReasonBusy)
	case before == wanted:
		return before, nil
	}
	n.changing[wanted.Owner] = true
	n.hold(wanted.Key, wanted.Owner)
	return before, nil
}

func underWay() error {
	return stanza.NewError(stanza.Wait, stanza.ResourceConstraint, "Your last request is not done yet.").Because(muc.ReasonBusy)
}

// release gives somebody's nickname back; it may be none.
func (n *Nicknames) release(ctx context.Context, owner jid.JID) error {
	n.mu.Lock()
	busy := n.changing[owner]
	n.changing[owner] = true
	n.mu.Unlock()
	if busy {
		return underWay()
	}
	err := n.store.ReleaseNick(ctx, n.service.String(), owner)
	n.mu.Lock()
	defer n.mu.Unlock()
	delete(n.changing, owner)
	if had, ok := n.reserved[owner]; ok && err == nil {
		delete(n.reserved, owner)
		n.drop(had.Key)
	}
	return err
}

// AccountDeleted gives back what an account has reserved that is gone.
func (n *Nicknames) AccountDeleted(ctx context.Context, account jid.JID) error {
	return n.release(ctx, account.Bare())
}
