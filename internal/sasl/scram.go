package sasl

import (
	"context"
	"crypto/subtle"
	"encoding/base64"
	"fmt"
	"strconv"

	"github.com/muster-im/muster/jid"
)

type scramState uint8

const (
	scramBegun scramState = iota
	scramAsked            // an empty challenge has been sent
	scramChallenged
	scramOver
)

// scramExchange is SCRAM (RFC 5802) with any hash.
type scramExchange struct {
	// Set at construction.
	server      *Server
	host        string
	hash        Hash
	plus        bool // the mechanism's name ends in -PLUS
	plusOffered bool // such a mechanism has been offered
	bindings    []Binding

	state       scramState
	account     jid.JID
	cred        credentials
	first       clientFirst
	nonce       string // both halves
	serverFirst string
}

// Account returns who the client claims to be.
func (x *scramExchange) Account() jid.JID { return x.account }

// Next takes the client's first or final message.
func (x *scramExchange) Next(ctx context.Context, message []byte) ([]byte, bool, error) {
	switch {
	case x.state == scramBegun && message == nil:
		x.state = scramAsked
		return []byte{}, false, nil
	case x.state == scramBegun, x.state == scramAsked:
		reply, err := x.challenge(ctx, message)
		x.state = scramChallenged
		if err != nil {
			x.state = scramOver
		}
		return reply, false, err
	case x.state == scramChallenged:
		x.state = scramOver
		reply, err := x.finish(message)
		return reply, err == nil, err
	}
	return nil, false, malformed("The exchange is over.")
}

// challenge answers the client's first message (RFC 5802 §5).
func (x *scramExchange) challenge(ctx context.Context, message []byte) ([]byte, error) {
	m, err := parseClientFirst(message)
	if err != nil {
		return nil, err
	}
	if err := x.checkFlag(m); err != nil {
		return nil, err
	}
	if err := authorize(m.authzid, x.host, m.name); err != nil {
		return nil, err
	}
	if x.cred, err = x.server.find(ctx, x.host, m.name, x.hash); err != nil {
		return nil, err
	}
	x.account = claimed(x.cred.account, x.host, m.name)
	x.first, x.nonce = m, m.nonce+x.server.random()
	k := &x.cred.keys
	x.serverFirst = "r=" + x.nonce + ",s=" + base64.StdEncoding.EncodeToString(k.Salt) + ",i=" + strconv.Itoa(k.Iterations)
	return []byte(x.serverFirst), nil
}

// checkFlag applies the rules of channel binding (RFC 5802 §6).
func (x *scramExchange) checkFlag(m clientFirst) error {
	switch {
	case x.plus != (m.flag == 'p'):
		return malformed("The channel binding flag does not fit the mechanism.")
	case m.flag == 'y' && x.plusOffered:
		// The client would bind and believes that we do not: somebody between
		// us has changed the list of mechanisms.
		return &Error{Condition: NotAuthorized, Text: "The server does support channel binding.", Err: fmt.Errorf("%w: stripped", ErrBinding)}
	case m.flag == 'p' && x.data(m.binding) == nil:
		return &Error{Condition: NotAuthorized, Text: "The channel binding type is not supported.", Err: fmt.Errorf("%w: %.40q is not supported", ErrBinding, m.binding)}
	}
	return nil
}

// data returns the binding of that type, nil if there is none.
func (x *scramExchange) data(kind string) []byte {
	for _, b := range x.bindings {
		if b.Type == kind {
			return b.Data
		}
	}
	return nil
}

// finish checks the client's proof and returns ours (RFC 5802 §3).
func (x *scramExchange) finish(message []byte) ([]byte, error) {
	m, err := parseClientFinal(message)
	if err != nil {
		return nil, err
	}
	want := append([]byte(x.first.header), x.data(x.first.binding)...)
	bound := subtle.ConstantTimeCompare(m.binding, want) == 1
	fresh := subtle.ConstantTimeCompare([]byte(m.nonce), []byte(x.nonce)) == 1

	k := &x.cred.keys
	authMessage := []byte(x.first.bare + "," + x.serverFirst + "," + m.withoutProof)
	clientKey := k.Hash.hmac(k.StoredKey, authMessage) // ClientSignature, turned into ClientKey below
	right := false
	if len(m.proof) == len(clientKey) {
		subtle.XORBytes(clientKey, clientKey, m.proof)
		right = subtle.ConstantTimeCompare(k.Hash.sum(clientKey), k.StoredKey) == 1
	}
	signature := k.Hash.hmac(k.ServerKey, authMessage)
	if err := verdict(x.cred, right && bound && fresh); err != nil {
		return nil, err
	}
	return []byte("v=" + base64.StdEncoding.EncodeToString(signature)), nil
}
