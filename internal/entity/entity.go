// Package entity is what the server and its accounts say about themselves:
// discovery (XEP-0030) with contact addresses (XEP-0157) and capabilities
// (XEP-0115), version (XEP-0092), time (XEP-0202), ping (XEP-0199) and last
// activity (XEP-0012). Of these only last activity changes: see Activity, which
// has a goroutine while there is something to store. Answers about accounts may
// wait for the store.
package entity

import (
	"context"
	"maps"
	"slices"
	"time"

	"github.com/muster-im/muster/internal/router"
	"github.com/muster-im/muster/jid"
	"github.com/muster-im/muster/stanza"
)

// Options say what there is to say.
type Options struct {
	Name     string                    // of the software; "" is Muster
	Version  string                    // of the software
	Features []string                  // of the server, besides this package's own
	Account  []string                  // features of accounts, besides this package's own
	Items    func(host jid.JID) []Item // services of a host
	Contacts map[string][]string       // contact addresses by kind, like abuse-addresses
	// MaySee reports whether somebody may learn what an account is: the account
	// itself and those who get its presence (XEP-0030 §8).
	MaySee func(ctx context.Context, who, account jid.JID) (bool, error)
	// Nodes describes a node of a host (XEP-0030 §3.2), or lists what there is in it
	// (§4.2), nil if the host has no such node for somebody; nil: it has none.
	Nodes func(who, host jid.JID, node string, items bool) *stanza.Element
	// Sessions are an account's bound sessions.
	Sessions func(bare jid.JID) []router.Session
}

// Item is a service in discovery.
type Item struct {
	JID  jid.JID
	Name string
}

// Service answers.
type Service struct {
	opts        Options
	capsVersion string
}

// New returns the service.
func New(o Options) *Service {
	if o.Name == "" {
		o.Name = "Muster"
	}
	o.Features = sorted(append(slices.Clone(o.Features), stanza.NSDiscoInfo, stanza.NSDiscoItems,
		stanza.NSCaps, stanza.NSLast, stanza.NSPing, stanza.NSTime, stanza.NSVersion))
	o.Account = sorted(append(slices.Clone(o.Account), stanza.NSDiscoInfo, stanza.NSDiscoItems, stanza.NSLast, stanza.NSPing))
	s := &Service{opts: o}
	s.capsVersion = capsVersion(s.about())
	return s
}

func sorted(features []string) []string {
	slices.Sort(features)
	return slices.Compact(features)
}

// expect refuses a payload that is not the element that its namespace has for
// requests (RFC 6120 §8.3.3.1).
func expect(iq *stanza.Stanza, local string) error {
	if iq.Payload().Name.Local != local {
		return stanza.NewError(stanza.Modify, stanza.BadRequest, "The element for this request is <"+local+"/>.")
	}
	return nil
}

// HostInfo answers disco#info to the server. Its own node is that of its
// capabilities (XEP-0115 §6.2).
func (s *Service) HostInfo(_ context.Context, iq *stanza.Stanza) (*stanza.Element, error) {
	if err := expect(iq, "query"); err != nil {
		return nil, err
	}
	q := s.about()
	switch node := iq.Payload().Attr("node"); node {
	case "":
	case capsNode + "#" + s.capsVersion:
		q.SetAttr("node", node)
	default:
		return s.node(iq, node, false)
	}
	return q, nil
}

// node answers about a node that is none of this package's own.
func (s *Service) node(iq *stanza.Stanza, node string, items bool) (*stanza.Element, error) {
	if s.opts.Nodes != nil {
		if q := s.opts.Nodes(iq.From, iq.To, node, items); q != nil {
			return q, nil
		}
	}
	return nil, stanza.NewError(stanza.Cancel, stanza.ItemNotFound, "The server has no such node.")
}

// about is what the server is.
func (s *Service) about() *stanza.Element {
	q := info("server", "im", s.opts.Name, s.opts.Features)
	if len(s.opts.Contacts) > 0 {
		form := stanza.NewForm(stanza.FormResult, "http://jabber.org/network/serverinfo")
		for _, kind := range slices.Sorted(maps.Keys(s.opts.Contacts)) {
			form.Add(stanza.Field{Var: kind, Type: stanza.FieldListMulti, Values: s.opts.Contacts[kind]})
		}
		q.Add(form.Element())
	}
	return q
}

func info(category, typ, name string, features []string) *stanza.Element {
	q := stanza.NewElement(stanza.NSDiscoInfo, "query")
	identity := stanza.NewElement(stanza.NSDiscoInfo, "identity", "category", category, "type", typ)
	if name != "" {
		identity.SetAttr("name", name)
	}
	q.Add(identity)
	for _, f := range features {
		q.Add(stanza.NewElement(stanza.NSDiscoInfo, "feature", "var", f))
	}
	return q
}

// HostItems answers disco#items to the server: its services.
func (s *Service) HostItems(_ context.Context, iq *stanza.Stanza) (*stanza.Element, error) {
	if err := expect(iq, "query"); err != nil {
		return nil, err
	}
	if node := iq.Payload().Attr("node"); node != "" {
		return s.node(iq, node, true)
	}
	q := stanza.NewElement(stanza.NSDiscoItems, "query")
	if s.opts.Items != nil {
		for _, item := range s.opts.Items(iq.To) {
			e := stanza.NewElement(stanza.NSDiscoItems, "item", "jid", item.JID.String())
			if item.Name != "" {
				e.SetAttr("name", item.Name)
			}
			q.Add(e)
		}
	}
	return q, nil
}

// HostVersion answers jabber:iq:version. On what the server runs is nobody's
// business (XEP-0092 §5).
func (s *Service) HostVersion(_ context.Context, iq *stanza.Stanza) (*stanza.Element, error) {
	if err := expect(iq, "query"); err != nil {
		return nil, err
	}
	return stanza.NewElement(stanza.NSVersion, "query").
		AddTextElement("name", s.opts.Name).AddTextElement("version", s.opts.Version), nil
}

// HostTime answers urn:xmpp:time. A server lives in UTC, and where its machine
// stands is nobody's business (XEP-0202 §6).
func (s *Service) HostTime(_ context.Context, iq *stanza.Stanza) (*stanza.Element, error) {
	if err := expect(iq, "time"); err != nil {
		return nil, err
	}
	return stanza.NewElement(stanza.NSTime, "time").
		AddTextElement("tzo", "+00:00").AddTextElement("utc", stanza.FormatTime(time.Now())), nil
}

// HostPing answers urn:xmpp:ping.
func (s *Service) HostPing(_ context.Context, iq *stanza.Stanza) (*stanza.Element, error) {
	return nil, expect(iq, "ping")
}
