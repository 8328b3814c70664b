// Package entity is what the server and its accounts say about themselves:
// discovery (XEP-0030), contact addresses (XEP-0157), version (XEP-0092), ping
// (XEP-0199). It has no state that changes and no goroutines.
package entity

import (
	"context"
	"maps"
	"slices"

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
	// itself and those who get its presence (RFC 6121 §8.5.1 hides the rest).
	MaySee func(ctx context.Context, who, account jid.JID) (bool, error)
}

// Item is a service in discovery.
type Item struct {
	JID  jid.JID
	Name string
}

// Service answers.
type Service struct{ opts Options }

// New returns the service.
func New(o Options) *Service {
	if o.Name == "" {
		o.Name = "Muster"
	}
	o.Features = sorted(append(slices.Clone(o.Features), stanza.NSDiscoInfo, stanza.NSDiscoItems, stanza.NSVersion, stanza.NSPing))
	o.Account = sorted(append(slices.Clone(o.Account), stanza.NSDiscoInfo, stanza.NSDiscoItems, stanza.NSPing))
	return &Service{o}
}

func sorted(features []string) []string {
	slices.Sort(features)
	return slices.Compact(features)
}

// HostInfo answers disco#info to the server.
func (s *Service) HostInfo(_ context.Context, iq *stanza.Stanza) (*stanza.Element, error) {
	if node := iq.Payload().Attr("node"); node != "" {
		return nil, stanza.NewError(stanza.Cancel, stanza.ItemNotFound, "The server has no such node.")
	}
	q := info("server", "im", s.opts.Name, s.opts.Features)
	if len(s.opts.Contacts) > 0 {
		form := stanza.NewForm(stanza.FormResult, "http://jabber.org/network/serverinfo")
		for _, kind := range slices.Sorted(maps.Keys(s.opts.Contacts)) {
			form.Add(stanza.Field{Var: kind, Type: stanza.FieldListMulti, Values: s.opts.Contacts[kind]})
		}
		q.Add(form.Element())
	}
	return q, nil
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
	q := stanza.NewElement(stanza.NSDiscoItems, "query")
	if node := iq.Payload().Attr("node"); node != "" {
		return nil, stanza.NewError(stanza.Cancel, stanza.ItemNotFound, "The server has no such node.")
	}
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

// AccountInfo answers disco#info to an account, for those who may know it.
func (s *Service) AccountInfo(ctx context.Context, iq *stanza.Stanza) (*stanza.Element, error) {
	if err := s.mayAsk(ctx, iq); err != nil {
		return nil, err
	}
	if node := iq.Payload().Attr("node"); node != "" {
		return nil, stanza.NewError(stanza.Cancel, stanza.ItemNotFound, "The account has no such node.")
	}
	return info("account", "registered", "", s.opts.Account), nil
}

// AccountItems answers disco#items to an account: nothing yet has items.
func (s *Service) AccountItems(ctx context.Context, iq *stanza.Stanza) (*stanza.Element, error) {
	if err := s.mayAsk(ctx, iq); err != nil {
		return nil, err
	}
	if node := iq.Payload().Attr("node"); node != "" {
		return nil, stanza.NewError(stanza.Cancel, stanza.ItemNotFound, "The account has no such node.")
	}
	return stanza.NewElement(stanza.NSDiscoItems, "query"), nil
}

func (s *Service) mayAsk(ctx context.Context, iq *stanza.Stanza) error {
	if iq.From.Bare() == iq.To.Bare() {
		return nil
	}
	if s.opts.MaySee != nil {
		ok, err := s.opts.MaySee(ctx, iq.From.Bare(), iq.To.Bare())
		if err != nil || ok {
			return err
		}
	}
	return stanza.NewError(stanza.Cancel, stanza.ServiceUnavailable, "")
}

// AccountPing answers urn:xmpp:ping to an account, which is also where a ping
// without address goes (XEP-0199 §4.2).
func (s *Service) AccountPing(ctx context.Context, iq *stanza.Stanza) (*stanza.Element, error) {
	return nil, s.mayAsk(ctx, iq)
}

// HostVersion answers jabber:iq:version.
func (s *Service) HostVersion(context.Context, *stanza.Stanza) (*stanza.Element, error) {
	return stanza.NewElement(stanza.NSVersion, "query").
		AddTextElement("name", s.opts.Name).AddTextElement("version", s.opts.Version), nil
}

// Ping answers urn:xmpp:ping.
func (s *Service) Ping(context.Context, *stanza.Stanza) (*stanza.Element, error) { return nil, nil } //nolint:nilnil // an empty result
