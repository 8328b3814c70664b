package c2s

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"log/slog"

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
		if e.Name.Space == nsSM {
			s, err := n.manage(ctx, e)
			if s != nil || err != nil {
				return s, err
			}
			continue
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

// manage handles an element of stream management before binding: only a former
// session can be resumed then (XEP-0198 §3).
func (n *negotiation) manage(ctx context.Context, e *stanza.Element) (*Session, error) {
	switch e.Name.Local {
	case "resume":
		return n.resume(ctx, e)
	case "enable", "r":
		return nil, n.stream.Send(failed(stanza.UnexpectedRequest))
	}
	return nil, &stream.Error{Condition: stream.UnsupportedStanzaType}
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
	if !n.listener.allows(full) { // RFC 6120 §7.6.2.2
		n.srv.metrics.refuse(refusedAccess)
		return nil, n.reply(st, stanza.NewError(stanza.Cancel, stanza.NotAllowed, textAccess))
	}
	session, refused, err := n.claim(ctx, full)
	switch {
	case err != nil:
		return nil, err
	case refused != nil:
		n.srv.metrics.refuse(refusedResource)
		return nil, n.reply(st, refused)
	}
	n.bound(ctx, st, session)
	return session, nil
}

// claim gets a session of an address. One that has it ends first (RFC 6120
// §7.7.2.2): what it leaves behind must not reach anybody after what the new
// one does.
func (n *negotiation) claim(ctx context.Context, full jid.JID) (*Session, *stanza.Error, error) {
	for {
		own, other := n.srv.claim(n.link, full)
		switch {
		case own != nil:
			return own, nil, nil
		case other == nil:
			// RFC 6120 §7.6.2.1.
			return nil, stanza.NewError(stanza.Wait, stanza.ResourceConstraint, "The account has too many sessions."), nil
		}
		if other.jid == full {
			other.Replace()
		} else if !other.giveUp(always) {
			continue // it has been resumed meanwhile
		}
		select {
		case <-other.gone:
		case <-n.done:
			return nil, nil, errEnded
		case <-ctx.Done():
			return nil, nil, ctx.Err()
		}
	}
}

// bound begins the session and tells the client of it.
func (n *negotiation) bound(ctx context.Context, st *stanza.Stanza, s *Session) {
	s.lang, s.reads = n.lang, n.stream.Reads()
	result := st.Result(stanza.NewElement(stanza.NSBind, "bind").AddTextElement("jid", s.jid.String()))
	n.shape(s.jid)
	n.watch()
	s.begin(context.WithoutCancel(ctx), &result)
	secured := "none"
	if state := n.stream.TLS(); state != nil {
		secured = tls.VersionName(state.Version)
	}
	s.link.log(ctx, slog.LevelInfo, "session bound", slog.String("jid", s.jid.String()), slog.String("session", n.streamID),
		slog.String("mechanism", string(n.mechanism)), slog.String("tls", secured))
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
