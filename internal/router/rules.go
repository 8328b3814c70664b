package router

import (
	"context"

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
	}
}

// toResource handles stanzas to a full JID of a local account (RFC 6121
// §8.5.3).
func (r *Router) toResource(ctx context.Context, st stanza.Stanza) {
	if st.Kind == stanza.Presence && isSubscription(st.Type) { // RFC 6121 §3.1.2: to the account
		st.To = st.To.Bare()
		r.toAccount(ctx, st)
		return
	}
	if s := r.sessions.get(st.To); s != nil {
		if st.Kind == stanza.Presence && st.Type == stanza.TypeProbe {
			r.contacts.Inbound(ctx, st)
			return
		}
		deliver(s, st)
		return
	}
	// No such session (RFC 6121 §8.5.3.2).
	switch st.Kind {
	case stanza.Message:
		r.toAbsentResource(ctx, st)
	case stanza.Presence:
		if st.Type == stanza.TypeProbe {
			r.contacts.Inbound(ctx, st)
		}
	case stanza.IQ:
		r.refuse(ctx, &st, stanza.NewError(stanza.Cancel, stanza.ServiceUnavailable, ""))
	}
}

// toAbsentResource handles messages to a resource that is not there (RFC 6121
// §8.5.3.2.1): people's words reach the account, the rest is refused.
func (r *Router) toAbsentResource(ctx context.Context, st stanza.Stanza) {
	switch st.Type {
	case "", stanza.TypeNormal, stanza.TypeChat:
		r.messageToAccount(ctx, st)
	case stanza.TypeError:
		r.metrics.drop(dropError)
	default:
		r.refuse(ctx, &st, stanza.NewError(stanza.Cancel, stanza.ServiceUnavailable, ""))
	}
}

// toAccount handles stanzas to the bare JID of a local account (RFC 6121
// §8.5.1, §8.5.2).
func (r *Router) toAccount(ctx context.Context, st stanza.Stanza) {
	switch st.Kind {
	case stanza.Message:
		r.messageToAccount(ctx, st)
	case stanza.Presence:
		r.contacts.Inbound(ctx, st)
	case stanza.IQ:
		if !st.IsRequest() {
			return
		}
		if ok, err := r.exists(ctx, st); err != nil || !ok {
			r.refuse(ctx, &st, orUnavailable(err))
			return
		}
		r.handleIQ(ctx, r.accountIQ, st)
	}
}

// exists reports whether a stanza's recipient is an account. Who has a session
// is.
func (r *Router) exists(ctx context.Context, st stanza.Stanza) (bool, error) {
	bare := st.To.Bare()
	if len(r.sessions.of(bare)) > 0 {
		return true, nil
	}
	return r.accounts.Exists(ctx, bare)
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
// §8.5.2.2.1): every available session with a priority that is not negative
// gets it, so that a person sees it on all devices. Without one, what people
// write is stored.
func (r *Router) messageToAccount(ctx context.Context, st stanza.Stanza) {
	switch st.Type {
	case stanza.TypeError:
		r.metrics.drop(dropError)
		return
	case stanza.TypeGroupchat:
		r.refuse(ctx, &st, stanza.NewError(stanza.Cancel, stanza.ServiceUnavailable, ""))
		return
	}
	if r.deliverAvailable(st) {
		return
	}
	ok, err := r.exists(ctx, st)
	switch {
	case err != nil || !ok:
		r.refuse(ctx, &st, orUnavailable(err))
	case st.Type == stanza.TypeHeadline: // §8.5.2.2.1: news of the moment
		r.metrics.drop(dropHeadline)
	case r.offline == nil:
		r.refuse(ctx, &st, stanza.NewError(stanza.Cancel, stanza.ServiceUnavailable, ""))
	default:
		if err := r.offline.Store(ctx, st); err != nil {
			r.refuse(ctx, &st, err)
		}
	}
}

// deliverAvailable hands a message to all available sessions with a priority
// that is not negative, and reports whether there are any.
func (r *Router) deliverAvailable(st stanza.Stanza) bool {
	var batch []*stanza.Encoded
	for _, s := range r.sessions.of(st.To.Bare()) {
		if _, priority, ok := s.State().Presence(); !ok || priority < 0 {
			continue
		}
		if batch == nil {
			batch = []*stanza.Encoded{stanza.EncodeAddressed(st)}
		}
		s.Deliver(batch)
	}
	return batch != nil
}

func isSubscription(t stanza.Type) bool {
	switch t {
	case stanza.TypeSubscribe, stanza.TypeSubscribed, stanza.TypeUnsubscribe, stanza.TypeUnsubscribed:
		return true
	}
	return false
}
