package c2s

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"log/slog"
	"time"

	"github.com/muster-im/muster/internal/stream"
	"github.com/muster-im/muster/jid"
	"github.com/muster-im/muster/stanza"
)

// bind takes stanzas until one binds a resource (RFC 6120 §7).
func (n *negotiation) bind(ctx context.Context) (*Session, error) {
	n.stream.SetLimits(n.listener.opts.MaxStanza)
	for {
		e, err := n.stream.Next()
		if err != nil {
			return nil, err
		}
		if e.Is(stanza.NSTLS, "starttls") {
			return nil, n.startTLS(true) // refused: its time is over
		}
		st, ok, malformed := stanza.FromElement(e)
		if !ok {
			return nil, &stream.Error{Condition: stream.UnsupportedStanzaType}
		}
		if malformed == nil {
			malformed = checkIQ(&st)
		}
		if malformed != nil {
			if err := n.reply(&st, malformed); err != nil {
				return nil, err
			}
			continue
		}
		s, err := n.bindBy(ctx, &st)
		if s != nil || err != nil {
			return s, err
		}
	}
}

// bindBy handles one stanza before there is a session.
func (n *negotiation) bindBy(ctx context.Context, st *stanza.Stanza) (*Session, error) {
	own := st.To.IsZero() || st.To == n.account || st.To == n.account.DomainOnly()
	payload := st.Payload()
	switch {
	case !own:
		// RFC 6120 §7.1: to anybody else there is no way before binding.
		return nil, &stream.Error{Condition: stream.NotAuthorized, Text: "Bind a resource first."}
	case !st.IsRequest():
		if st.Type == stanza.TypeError || st.Type == stanza.TypeResult {
			return nil, nil
		}
		return nil, &stream.Error{Condition: stream.NotAuthorized, Text: "Bind a resource first."}
	case !payload.Is(stanza.NSBind, "bind"):
		return nil, n.reply(st, stanza.NewError(stanza.Wait, stanza.UnexpectedRequest, "Bind a resource first."))
	case st.Type != stanza.TypeSet:
		return nil, n.reply(st, stanza.NewError(stanza.Modify, stanza.BadRequest, ""))
	}
	resource := payload.ChildText(stanza.NSBind, "resource")
	if resource == "" {
		resource = rand.Text() // RFC 6120 §7.6; 130 random bits
	}
	full, err := n.account.WithResource(resource)
	if err != nil {
		// RFC 6120 §7.7.2.1.
		return nil, n.reply(st, stanza.NewError(stanza.Modify, stanza.BadRequest, "The resource is malformed."))
	}
	if !n.allows(full) { // RFC 6120 §7.6.2.2
		n.srv.metrics.refuse(refusedAccess)
		return nil, n.reply(st, stanza.NewError(stanza.Cancel, stanza.NotAllowed, textAccess))
	}
	refused, err := n.claim(ctx, full.Resource())
	switch {
	case err != nil:
		return nil, err
	case refused != nil:
		n.srv.metrics.refuse(refusedResource)
		return nil, n.reply(st, refused)
	}
	return n.bound(ctx, st, full)
}

// claim gets a resource. A session that has it ends first (RFC 6120 §7.7.2.2):
// what it leaves behind must not reach anybody after what the new one does.
func (n *negotiation) claim(ctx context.Context, resource string) (*stanza.Error, error) {
	for {
		other, ok := n.srv.claim(n.link, resource)
		switch {
		case ok:
			return nil, nil
		case other == nil:
			// RFC 6120 §7.6.2.1.
			return stanza.NewError(stanza.Wait, stanza.ResourceConstraint, "The account has too many sessions."), nil
		}
		other.replace()
		select {
		case <-other.gone:
		case <-n.done:
			return nil, errEnded
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// bound makes the session. The client learns of it before the router does, so
// that nothing is delivered to it earlier.
func (n *negotiation) bound(ctx context.Context, st *stanza.Stanza, full jid.JID) (*Session, error) {
	s := &Session{link: n.link, srv: n.srv, jid: full, to: stream.StanzaTo(full), lang: n.lang}
	result := st.Result(stanza.NewElement(stanza.NSBind, "bind").AddTextElement("jid", full.String()))
	if err := n.stream.SendStanza(&result); err != nil {
		return nil, err
	}
	n.setReadDeadline(time.Time{})
	n.shape(full)
	secured := "none"
	if state := n.stream.TLS(); state != nil {
		secured = tls.VersionName(state.Version)
	}
	s.link.log(ctx, slog.LevelInfo, "session bound", slog.String("jid", full.String()), slog.String("session", n.streamID),
		slog.String("mechanism", string(n.mechanism)), slog.String("tls", secured))
	return s, nil
}

// reply refuses a stanza.
func (n *negotiation) reply(st *stanza.Stanza, refused *stanza.Error) error {
	answer, ok := st.ErrorReply(refused)
	if !ok {
		return nil
	}
	answer.To = jid.JID{} // it has no address yet
	return n.stream.SendStanza(&answer)
}
