package c2s

import (
	"context"
	"encoding/base64"
	"errors"
	"log/slog"
	"strings"

	"github.com/muster-im/muster/internal/sasl"
	"github.com/muster-im/muster/internal/stream"
	"github.com/muster-im/muster/stanza"
)

// authenticate runs one authentication that auth begins (RFC 6120 §6.4). done
// says that the client is who it claims to be and begins a new stream; without
// it, it may try again.
func (n *negotiation) authenticate(ctx context.Context, auth *stanza.Element) (done bool, err error) {
	if !n.srv.failures.Allowed(n.conn.RemoteAddr()) {
		return false, n.tooMany(ctx)
	}
	x, err := n.begin(sasl.Mechanism(auth.Attr("mechanism")))
	if err != nil {
		return false, n.fail(ctx, err)
	}
	message, err := decode(auth)
	if err == nil && auth.Text() == "" {
		message = nil // RFC 6120 §6.4.2: no initial response, which is not an empty one
	}
	for err == nil {
		var reply []byte
		reply, done, err = x.Next(ctx, message)
		switch {
		case err != nil:
			continue
		case done:
			return n.succeed(ctx, x, sasl.Mechanism(auth.Attr("mechanism")), reply)
		}
		if err := n.stream.Send(stanza.NewElement(stanza.NSSASL, "challenge").AddText(base64.StdEncoding.EncodeToString(reply))); err != nil {
			return false, err
		}
		e, rerr := n.stream.Next()
		if rerr != nil {
			return false, rerr
		}
		if e.Name.Space != stanza.NSSASL {
			return false, notAuthorized()
		}
		message, err = response(e)
	}
	if account := x.Account(); !account.IsZero() {
		n.log(ctx, slog.LevelDebug, "authentication failed", slog.String("jid", account.String()), slog.Any("err", err))
	}
	return false, n.fail(ctx, err)
}

// begin starts a mechanism.
func (n *negotiation) begin(m sasl.Mechanism) (sasl.Exchange, error) {
	if n.listener.opts.Mode == StartTLSRequired && !n.channel.Secure {
		return nil, &sasl.Error{Condition: sasl.EncryptionRequired}
	}
	return n.srv.opts.SASL.Start(m, n.host, n.channel)
}

// response reads what answers a challenge.
func response(e *stanza.Element) ([]byte, error) {
	switch e.Name.Local {
	case "response":
		return decode(e)
	case "abort":
		return nil, &sasl.Error{Condition: sasl.Aborted} // RFC 6120 §6.4.4
	}
	return nil, &sasl.Error{Condition: sasl.MalformedRequest, Text: "A response was expected."}
}

// decode reads the base64 in e, without white space and with padding
// (RFC 6120 §6.4.2); "=" is no data at all. The result is never nil.
func decode(e *stanza.Element) ([]byte, error) {
	if e.FirstElement() != nil {
		return nil, &sasl.Error{Condition: sasl.MalformedRequest, Text: "There must be no elements here."}
	}
	text := e.Text()
	if text == "=" {
		return []byte{}, nil
	}
	data, err := base64.StdEncoding.Strict().DecodeString(text)
	if err != nil || strings.ContainsAny(text, "\r\n") { // which the decoder skips
		return nil, &sasl.Error{Condition: sasl.IncorrectEncoding, Text: "This is not base64."}
	}
	return data, nil
}

// succeed tells the client that it is authenticated. An account that was
// removed meanwhile is not: it is recorded first and looked for then, so that
// EndAccount or the look finds out.
func (n *negotiation) succeed(ctx context.Context, x sasl.Exchange, m sasl.Mechanism, reply []byte) (bool, error) {
	account := x.Account()
	n.srv.login(n.link, account)
	there, err := n.srv.opts.Accounts.Exists(ctx, account)
	switch {
	case err != nil:
		n.srv.logout(n.link)
		return false, n.fail(ctx, &sasl.Error{Condition: sasl.TemporaryAuthFailure, Err: err})
	case !there:
		n.srv.logout(n.link)
		return false, n.fail(ctx, &sasl.Error{Condition: sasl.NotAuthorized, Err: sasl.ErrNoAccount})
	}
	if !n.listener.allows(account) {
		n.srv.logout(n.link)
		n.srv.metrics.refuse(refusedAccess)
		// RFC 6120 §6.5.2: the password is right, and trying again is no use.
		return false, n.fail(ctx, &sasl.Error{Condition: sasl.AccountDisabled, Text: textAccess})
	}
	e := stanza.NewElement(stanza.NSSASL, "success")
	switch {
	case len(reply) > 0:
		e.AddText(base64.StdEncoding.EncodeToString(reply))
	case reply != nil:
		e.AddText("=") // RFC 6120 §6.4.6: additional data of no length
	}
	if err := n.stream.Send(e); err != nil {
		return false, err
	}
	n.account, n.mechanism = account, m
	n.srv.metrics.login(m)
	n.stream.Restart()
	return true, nil
}

// maxMismatches bounds the attempts of a stream that fail for their channel
// binding and do not count as failures.
const maxMismatches = 8

// fail answers a failed attempt. The client may try again a few times
// (RFC 6120 §6.4.5).
func (n *negotiation) fail(ctx context.Context, err error) error {
	se, ok := errors.AsType[*sasl.Error](err)
	if !ok {
		se = &sasl.Error{Condition: sasl.TemporaryAuthFailure, Err: err}
	}
	n.srv.metrics.failed(se.Condition)
	level := slog.LevelDebug
	if se.Condition == sasl.TemporaryAuthFailure && ctx.Err() == nil {
		level = slog.LevelError // it is ours
	}
	n.log(ctx, level, "authentication refused", slog.Any("err", se))
	if err := n.stream.Send(failure(se)); err != nil {
		return err
	}
	if errors.Is(err, sasl.ErrBinding) {
		// Clients with a channel binding that we do not have go through their
		// mechanisms until one fits: these are no guesses of a password.
		if n.mismatches++; n.mismatches <= maxMismatches {
			return nil
		}
	}
	if se.Condition == sasl.NotAuthorized { // who is kept out by a rule guesses nothing
		n.srv.failures.Take(n.conn.RemoteAddr())
	}
	if n.failures++; n.failures < n.srv.opts.MaxAuthFailures {
		return nil
	}
	n.log(ctx, slog.LevelWarn, "too many failed authentications", slog.Int("attempts", n.failures))
	return &stream.Error{Condition: stream.PolicyViolation, Text: "Too many failed authentications."}
}

// tooMany refuses an attempt because of the address it comes from.
func (n *negotiation) tooMany(ctx context.Context) error {
	n.srv.metrics.refuse(refusedLogins)
	n.log(ctx, slog.LevelWarn, "failed authentications of the address are limited")
	if err := n.stream.Send(failure(&sasl.Error{Condition: sasl.TemporaryAuthFailure, Text: "Too many failed attempts. Try again later."})); err != nil {
		return err
	}
	return &stream.Error{Condition: stream.PolicyViolation, Text: "Too many failed authentications."}
}

// failure is <failure/> (RFC 6120 §6.4.5).
func failure(se *sasl.Error) *stanza.Element {
	e := stanza.NewElement(stanza.NSSASL, "failure").Add(stanza.NewElement(stanza.NSSASL, string(se.Condition)))
	if se.Text != "" {
		t := stanza.NewElement(stanza.NSSASL, "text").AddText(se.Text)
		t.Attrs = []stanza.Attr{{Name: stanza.Name{Space: stanza.NSXML, Local: "lang"}, Value: "en"}}
		e.Add(t)
	}
	return e
}
