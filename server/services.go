package server

import (
	"context"
	"crypto/rand"
	"slices"
	"time"

	"github.com/muster-im/muster/config"
	"github.com/muster-im/muster/internal/account"
	"github.com/muster-im/muster/internal/adhoc"
	"github.com/muster-im/muster/internal/blocking"
	"github.com/muster-im/muster/internal/c2s"
	"github.com/muster-im/muster/internal/entity"
	"github.com/muster-im/muster/internal/offline"
	"github.com/muster-im/muster/internal/roster"
	"github.com/muster-im/muster/internal/router"
	"github.com/muster-im/muster/internal/sasl"
	"github.com/muster-im/muster/internal/userdata"
	"github.com/muster-im/muster/jid"
	"github.com/muster-im/muster/stanza"
)

// decoySecret is the name of the stored key behind the salts of accounts that
// do not exist.
const decoySecret = "sasl-decoy"

// buildServices makes everything that people use but the rooms, and connects
// it through the router.
func (s *Server) buildServices(cfg *config.Config) error {
	hasher := sasl.NewHasher(0, 0)
	s.accounts = account.New(account.Options{
		Store: s.db, Hosts: s.hosts(cfg), Hasher: hasher, Registerer: s.registry,
		Logger: s.logger("account"),
	})
	s.router = router.New(router.Options{Accounts: s.accounts, Logger: s.logger("router"), Registerer: s.registry})
	s.onEnd("router", routerEnd, func(context.Context) error { s.router.Close(); return nil })
	s.onEnd("accounts", accountsEnd, s.accounts.Close)
	for _, host := range s.hosts(cfg) {
		s.router.AddHost(host)
	}
	waiting := offline.New(offline.Options{Store: s.db, Logger: s.logger("offline"), Registerer: s.registry})
	s.router.SetOffline(waiting)
	s.activity = entity.NewActivity(entity.ActivityOptions{
		Store: s.db, Router: s.router, Logger: s.logger("entity"), Registerer: s.registry,
		MaySee: func(ctx context.Context, who, account jid.JID) (bool, error) {
			return s.contacts.Sees(ctx, who, account)
		},
	})
	s.onEnd("last activity", activityEnd, s.activity.Close)
	s.blocks = blocking.New(blocking.Options{Store: s.db, Router: s.router, Logger: s.logger("blocking"), Registerer: s.registry})
	s.router.SetBlocking(s.blocks)
	s.userData = userdata.New(userdata.Options{Store: s.db})
	contactGroups, err := s.buildGroups(cfg)
	if err != nil {
		return err
	}
	s.contacts = roster.New(roster.Options{
		Store: s.db, Router: s.router, Offline: waiting, Blocks: s.blocks, Left: s.activity.Left, Groups: contactGroups,
		Invited: s.acceptInvitation,
		Logger:  s.logger("roster"), Registerer: s.registry,
	})
	s.router.SetContacts(s.contacts)
	s.blocks.SetPresence(s.contacts)
	s.about = s.describe(cfg)
	s.keepUserData()
	s.onAccountDeleted(waiting)
	s.buildInvites(cfg)
	s.buildCommands()
	s.buildRegistration(cfg)
	if err := s.buildClients(cfg, hasher); err != nil {
		return err
	}
	s.buildComponents(cfg, s.s2sMetrics, s.streamMetrics)
	return nil
}

// onAccountDeleted lists, in order, who has to do something when an account is
// gone; buildRooms adds the reserved nicknames. What is stored under its name
// goes afterwards, in one transaction; see sqlstore.DB.PurgeAccount. Rooms keep the affiliations, as they do for people
// of other servers.
func (s *Server) onAccountDeleted(waiting *offline.Service) {
	for _, part := range []struct {
		name    string
		deleted func(ctx context.Context, account jid.JID) error
	}{
		{"sessions", func(ctx context.Context, j jid.JID) error { s.clients.EndAccount(ctx, j); return nil }},
		{"groups", s.leaveGroups},
		{"contacts", s.contacts.AccountDeleted},
		{"block list", s.blocks.AccountDeleted},
		{"offline messages", func(_ context.Context, j jid.JID) error { waiting.AccountDeleted(j); return nil }},
		{"last activity", func(ctx context.Context, j jid.JID) error { s.activity.AccountDeleted(ctx, j); return nil }},
	} {
		s.accounts.OnDeleted(part.name, part.deleted)
	}
}

// buildClients makes the service for client streams.
func (s *Server) buildClients(cfg *config.Config, hasher *sasl.Hasher) error {
	ctx, cancel := context.WithTimeout(s.serving, time.Minute)
	defer cancel()
	decoy, err := s.db.Secret(ctx, decoySecret, func() []byte { return []byte(rand.Text()) })
	if err != nil {
		return err
	}
	mechanisms := make([]sasl.Mechanism, len(cfg.Auth.SASLMechanisms))
	for i, m := range cfg.Auth.SASLMechanisms {
		mechanisms[i] = sasl.Mechanism(m)
	}
	auth, err := sasl.New(sasl.Options{
		Lookup: s.accounts.Keys, DecoyKey: decoy, Mechanisms: mechanisms, Hasher: hasher,
		AllowPlainWithoutTLS: cfg.Auth.AllowPlainWithoutTLS,
	})
	if err != nil {
		return err
	}
	o := c2s.Options{
		Hosts: cfg.General.Hosts, SASL: auth, Accounts: s.accounts, Router: s.router, Contacts: s.contacts, Blocks: s.blocks,
		Features: append(s.contacts.Features(), s.about.Caps()), LimitLoopback: cfg.General.LimitLoopback,
		Registration: s.beforeLogin(),
		Logger:       s.logger("c2s"), Registerer: s.registry, StreamMetrics: s.streamMetrics,
	}
	setSessionLimits(&o, &cfg.Modules)
	s.clients, err = c2s.New(o)
	if err != nil {
		return err
	}
	s.onEnd("client streams", clientsEnd, func(ctx context.Context) error {
		err := s.clients.Shutdown(ctx)
		s.endServe() // whoever is left waits for the database
		s.wg.Wait()
		return err
	})
	return nil
}

// describe connects what answers questions: rosters, and what the server says
// of itself and of accounts.
func (s *Server) describe(cfg *config.Config) *entity.Service {
	// What is the owner's alone is refused to others whether it is there or not.
	s.router.HandleAccount(stanza.NSRoster, stanza.TypeGet, s.contacts.Get)
	s.router.HandleAccount(stanza.NSRoster, stanza.TypeSet, s.contacts.Set)
	s.router.HandleNobody(stanza.NSRoster, stanza.TypeGet, s.contacts.Get)
	s.router.HandleNobody(stanza.NSRoster, stanza.TypeSet, s.contacts.Set)
	s.router.HandleAccount(stanza.NSBlocking, stanza.TypeGet, s.blocks.Get)
	s.router.HandleAccount(stanza.NSBlocking, stanza.TypeSet, s.blocks.Set)
	s.router.HandleAccount(stanza.NSCarbons, stanza.TypeSet, s.router.SetCarbons)
	s.router.HandleNobody(stanza.NSCarbons, stanza.TypeSet, s.router.SetCarbons)
	features := append(router.CarbonFeatures(), stanza.NSRoster, stanza.NSBlocking, stanza.NSVCard, stanza.NSPrivate, offline.Feature)
	if cfg.Modules.Register != nil {
		features = append(features, stanza.NSRegister) // XEP-0077 §10
	}
	if cfg.Modules.Invites != nil || cfg.Modules.GroupsInternal != nil {
		features = append(features, adhoc.NS) // XEP-0050 §2.1
	}
	about := entity.New(entity.Options{
		Version: Version(), Items: s.items, Contacts: contactAddresses(cfg),
		MaySee: s.contacts.Sees, Sessions: s.router.Sessions,
		Features: features, Nodes: s.describeCommand,
		Account: []string{stanza.NSVCard, stanza.NSPrivate},
	})
	s.router.HandleHost(stanza.NSDiscoInfo, stanza.TypeGet, about.HostInfo)
	s.router.HandleHost(stanza.NSDiscoItems, stanza.TypeGet, about.HostItems)
	s.router.HandleHost(stanza.NSVersion, stanza.TypeGet, about.HostVersion)
	s.router.HandleHost(stanza.NSPing, stanza.TypeGet, about.HostPing)
	s.router.HandleHost(stanza.NSTime, stanza.TypeGet, about.HostTime)
	s.router.HandleAccount(stanza.NSDiscoInfo, stanza.TypeGet, about.AccountInfo)
	s.router.HandleAccount(stanza.NSDiscoItems, stanza.TypeGet, about.AccountItems)
	s.router.HandleNobody(stanza.NSDiscoItems, stanza.TypeGet, about.NobodyItems)
	s.router.HandleAccount(stanza.NSPing, stanza.TypeGet, about.AccountPing)
	return about
}

// items are the services of a host in discovery.
func (s *Server) items(host jid.JID) []entity.Item {
	var list []entity.Item
	if m := s.config.Load().MUCOf(host.Domain()); m != nil {
		if rooms := s.Rooms(m.HostFor(host.Domain())); rooms != nil {
			list = append(list, entity.Item{JID: rooms.Domain(), Name: "Chat rooms"})
		}
	}
	if g := s.config.Load().Modules.GroupsInternal; g != nil {
		if rooms := s.Rooms(g.GroupsMUCHost); rooms != nil && !slices.ContainsFunc(list, func(i entity.Item) bool { return i.JID == rooms.Domain() }) {
			list = append(list, entity.Item{JID: rooms.Domain(), Name: "Group chats"})
		}
	}
	for _, domain := range s.components.Listed() {
		if j, err := jid.New("", domain, ""); err == nil {
			list = append(list, entity.Item{JID: j})
		}
	}
	return list
}

// contactAddresses are the addresses of modules.mod_disco (XEP-0157).
func contactAddresses(cfg *config.Config) map[string][]string {
	if cfg.Modules.Disco == nil {
		return nil
	}
	addresses := make(map[string][]string)
	for _, i := range cfg.Modules.Disco.ServerInfo {
		addresses[i.Name] = append(addresses[i.Name], i.URLs...)
	}
	return addresses
}

// setSessionLimits sets how long sessions wait, and for what.
func setSessionLimits(o *c2s.Options, m *config.Modules) {
	if sm := m.StreamManagement; sm != nil {
		o.MaxUnacked, o.ResumeTimeout = int(sm.BufferMax), seconds(int(sm.ResumeTimeout))
	}
	if p := m.Ping; p != nil {
		o.PingAfter, o.AckTimeout = seconds(int(p.PingInterval)), seconds(int(p.PingReqTimeout))
		if !p.SendPings {
			o.PingAfter = never
		}
	}
}

// never switches a timeout of c2s off.
const never = -1

// seconds is a timeout of c2s by its setting, 0 for never.
func seconds(n int) time.Duration {
	if n == 0 {
		return never
	}
	return time.Duration(n) * time.Second
}
