package server

import (
	"github.com/muster-im/muster/stanza"
)

// keepUserData connects what people leave with their accounts: what they store,
// and when they were last seen.
func (s *Server) keepUserData() {
	data := s.userData
	s.router.HandleAccount(stanza.NSVCard, stanza.TypeGet, data.GetVCard)
	s.router.HandleAccount(stanza.NSVCard, stanza.TypeSet, data.SetVCard)
	s.router.HandleNobody(stanza.NSVCard, stanza.TypeSet, data.SetVCard)
	s.router.HandleAccount(stanza.NSPrivate, stanza.TypeGet, data.GetPrivate)
	s.router.HandleNobody(stanza.NSPrivate, stanza.TypeGet, data.GetPrivate)
	s.router.HandleAccount(stanza.NSPrivate, stanza.TypeSet, data.SetPrivate)
	s.router.HandleNobody(stanza.NSPrivate, stanza.TypeSet, data.SetPrivate)

	s.router.HandleHost(stanza.NSLast, stanza.TypeGet, s.activity.HostLast)
	s.router.HandleAccount(stanza.NSLast, stanza.TypeGet, s.activity.AccountLast)
	s.router.HandleNobody(stanza.NSLast, stanza.TypeGet, s.activity.AccountLast)
	s.router.GuardSessions(stanza.NSLast, stanza.TypeGet, s.activity.GuardSession)
}
