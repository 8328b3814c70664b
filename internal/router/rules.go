package router

import (
	"context"
	"time"

	"github.com/muster-im/muster/jid"
	"github.com/muster-im/muster/stanza"
)

// toHost handles stanzas to the server itself (RFC 6120 §10.5.2, §10.5.4).
func (r *Router) toHost(ctx context.Context, st stanza.Stanza) {
	switch st.Kind {
	case stanza.IQ:
		r.handleIQ(ctx, r.hostIQ, st)
	case stanza.Message:
		r.refuse(ctx, &st, stanza.NewError(stanza.Cancel, stanza.ServiceUnavailable, "The server takes no messages."))
	case stanza.Presence: // nobody subscribes to a server
		r.metrics.presence.Inc()
	}
}

// stopped reports whether a stanza to an account ends here, because the account
// has blocked its sender (XEP-0191 §3.3). Presence is for the roster service and
// for sessions to stop.
func (r *Router) stopped(ctx context.Context, st *stanza.Stanza) bool {
	if r.blocking == nil || st.Kind == stanza.Presence {
		return false
	}
	stops, err := r.blocking.Stops(ctx, *st) // by value: a pointer would put every message on the heap
	if err != nil {
		r.refuse(ctx, st, err)
	}
	return stops || err != nil
}

// toResource handles stanzas to a full JID of a local account (RFC 6121
// §8.5.3). IQ requests are delivered whoever asks, though §8.5.3.1 would have
// only those who share presence get an answer: who knows a resource has been
// shown it, and people who meet in a room that shows real addresses expect
// their clients to reach each other, as they do on other servers.
func (r *Router) toResource(ctx context.Context, st stanza.Stanza) {
	if !isForSession(&st) { // §8.5.3.1, §8.5.3.2.2: as RFC 6121 §3 and §4.3 have it
		r.contacts.Inbound(ctx, st)
		return
	}
	if st.IsRequest() && len(r.guards) > 0 {
		if err := r.guard(ctx, st); err != nil {
			r.refuse(ctx, &st, err)
			return
		}
	}
	if s := r.sessions.get(st.To); s != nil {
		r.deliver(s, st)
		return
	}
	switch st.Kind {
	case stanza.Message:
		r.toAbsentResource(ctx, st, time.Time{})
	case stanza.Presence: // §8.5.3.2.2
		r.metrics.presence.Inc()
	case stanza.IQ: // §8.5.3.2.3; an answer is dropped
		r.refuse(ctx, &st, stanza.NewError(stanza.Cancel, stanza.ServiceUnavailable, ""))
	}
}

// guard asks the guard of a request to a full JID, if there is one.
func (r *Router) guard(ctx context.Context, st stanza.Stanza) error {
	payload := st.Payload()
	if payload == nil {
		return nil
	}
	g := r.guards[iqKey{payload.Name.Space, st.Type}]
	if g == nil {
		return nil
	}
	return g(ctx, &st) // whether there is such an account or not: nobody learns that
}

// toAbsentResource handles messages to a resource that is not there (RFC 6121
// §8.5.3.2.1): a conversation goes on at the account, the rest is refused.
func (r *Router) toAbsentResource(ctx context.Context, st stanza.Stanza, since time.Time) {
	switch st.MessageType() {
	case stanza.TypeChat:
		r.messageToAccount(ctx, st, since)
	case stanza.TypeError:
		r.metrics.strayError.Inc()
	default:
		r.refuse(ctx, &st, stanza.NewError(stanza.Cancel, stanza.ServiceUnavailable, ""))
	}
}

// toAccount handles stanzas to the bare JID of a local account (RFC 6121
// §8.5.1, §8.5.2).
func (r *Router) toAccount(ctx context.Context, st stanza.Stanza) {
	switch st.Kind {
	case stanza.Message:
		r.messageToAccount(ctx, st, time.Time{})
	case stanza.Presence:
		r.contacts.Inbound(ctx, st)
	case stanza.IQ:
		if !st.IsRequest() {
			r.metrics.strayAnswer.Inc()
			return
		}
		switch ok, err := r.Exists(ctx, st.To); {
		case err != nil:
			r.refuse(ctx, &st, err)
		case ok:
			r.handleIQ(ctx, r.accountIQ, st)
		default: // service-unavailable for all but a few
			r.handleIQ(ctx, r.nobodyIQ, st)
		}
	}
}

// Exists reports whether there is an account. Who has a session has one.
func (r *Router) Exists(ctx context.Context, account jid.JID) (bool, error) {
	account = account.Bare()
	if len(r.sessions.of(account)) > 0 {
		return true, nil
	}
	return r.accounts.Exists(ctx, account)
}

// orUnavailable is the refusal for an account that does not exist: the same as
// for one that takes nothing, so that nobody learns which accounts there are.
func orUnavailable(err error) error {
	if err != nil {
		return err
	}
	return stanza.NewError(stanza.Cancel, stanza.ServiceUnavailable, "")
}

// messageToAccount handles messages to an account (RFC 6121 §8.5.2.1.1,
// §8.5.2.2.1). The RFC leaves open whether the most available session or all
// with a priority that is not negative get it; all do, for a person expects to
// find his conversations on every device. Without one, what people write is
// stored. since is when the message arrived, zero for now.
func (r *Router) messageToAccount(ctx context.Context, st stanza.Stanza, since time.Time) {
	switch st.MessageType() {
	case stanza.TypeError:
		r.metrics.strayError.Inc()
		return
	case stanza.TypeGroupchat:
		r.refuse(ctx, &st, stanza.NewError(stanza.Cancel, stanza.ServiceUnavailable, ""))
		return
	case stanza.TypeHeadline: // news of the moment
		if !r.deliverAvailable(st) {
			r.metrics.headline.Inc()
		}
		return
	}
	if r.deliverAvailable(st) {
		return
	}
	ok, err := r.Exists(ctx, st.To)
	switch {
	case err != nil || !ok: // §8.5.1
		r.refuse(ctx, &st, orUnavailable(err))
	case r.offline == nil:
		r.refuse(ctx, &st, stanza.NewError(stanza.Cancel, stanza.ServiceUnavailable, ""))
	default:
		r.store(ctx, st, since)
	}
}

// store keeps a message for an account without an available session, unless one
// comes. Sessions that want carbons are connected, though not available, and get
// theirs at once.
func (r *Router) store(ctx context.Context, st stanza.Stanza, since time.Time) {
	kept := st
	if !since.IsZero() { // offline says the same again when it delivers
		kept.Children = st.Children[:len(st.Children)-1]
	}
	taken := false
	err := r.offline.Store(ctx, kept, since, func() bool {
		taken = r.deliverAvailable(st)
		return taken
	})
	switch {
	case err != nil:
		r.refuse(ctx, &kept, err)
	case !taken:
		r.copyStored(&st)
	}
}

func isSubscription(t stanza.Type) bool {
	switch t {
	case stanza.TypeSubscribe, stanza.TypeSubscribed, stanza.TypeUnsubscribe, stanza.TypeUnsubscribed:
		return true
	}
	return false
}
