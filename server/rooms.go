package server

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/muster-im/muster/config"
	"github.com/muster-im/muster/internal/roomadmin"
	"github.com/muster-im/muster/internal/roomfeatures"
	"github.com/muster-im/muster/internal/s2s"
	"github.com/muster-im/muster/jid"
	"github.com/muster-im/muster/muc"
)

// occupantSecret is the name of the stored key behind occupant ids.
const occupantSecret = "occupant-id"

// roomsEnd is what rooms may take to say goodbye and commit.
const roomsEnd = 4 * time.Second

// buildRooms makes a room service for each domain that has rooms.
func (s *Server) buildRooms(cfg *config.Config, archive muc.Archive) error {
	s.roomAdmin = roomadmin.New(roomadmin.Options{
		Services: func() []*muc.Service { return s.rooms }, Store: s.db, Archive: archive, Send: s.router.Send, Exists: s.accountExists,
		Reaches: s.reaches,
		Logger:  s.logger("roomadmin"), Registerer: s.registry,
	})
	if !cfg.HasRooms() {
		return nil
	}
	ctx, cancel := context.WithTimeout(s.serving, time.Minute)
	defer cancel()
	key, err := s.db.Secret(ctx, occupantSecret, func() []byte { return []byte(rand.Text()) })
	if err != nil {
		return err
	}
	population := newPopulation(s.registry)
	var preload []*muc.Service
	users := roomfeatures.NewRoomsPerUser() // which all hosts share
	for _, at := range s.roomServices(cfg) {
		nicknames, err := s.loadNicknames(ctx, at.Domain)
		if err != nil {
			return err
		}
		features := roomfeatures.Options{
			OccupantIDKey: key, RoomsPerUser: users.Limited(int(at.MUC.MaxUserConferences)), Nicknames: nicknames,
			Pace: s.roomPace(at), Passwords: s.externalPasswords(at.MUC), Keeps: s.roomsKeep,
			MayProtect: s.roomRule(at, func(m *config.MUC) string { return m.AccessPassword }),
		}
		service, err := s.buildRoomService(cfg, at, features, archive)
		if err != nil {
			return err
		}
		if at.MUC.LoadPermanentRooms {
			preload = append(preload, service)
		}
		population.add(at, service)
	}
	s.accounts.OnDeleted("nicknames in rooms", s.releaseNicks)
	s.runLinks()
	s.onEnd("rooms", roomsEnd, s.endRooms)
	s.onStart(func() {
		s.wg.Go(func() { population.probe(s.serving, time.Duration(cfg.Instrumentation.ProbeInterval)*time.Second) })
		for _, service := range preload {
			service.Preload()
		}
	})
	return nil
}

// roomServices are the domains with rooms here. What is attached to another server
// has no groups.
func (s *Server) roomServices(cfg *config.Config) []config.RoomService {
	list := cfg.RoomServices()
	if s.opts.Attach != nil {
		list = slices.DeleteFunc(list, func(at config.RoomService) bool { return at.Groups })
	}
	return list
}

// buildRoomService makes the rooms of one domain.
func (s *Server) buildRoomService(cfg *config.Config, at config.RoomService, features roomfeatures.Options,
	archive muc.Archive,
) (*muc.Service, error) {
	o, err := roomOptions(&cfg.Modules, at, features, s.roomExtensions(at.Domain))
	if err != nil {
		return nil, err
	}
	s.setRoomAccess(&o, at)
	s.setDeferTimeout(&o, at.MUC)
	o.Extensions = append(o.Extensions, s.roomAdmin.Commands(o.Domain))
	var service *muc.Service
	s.logRooms(&o, at, func() []muc.Setting { return service.Settings() })
	if g := cfg.Modules.GroupsInternal; g != nil && s.groupChats != nil && g.GroupsMUCHost == at.Domain {
		o.Extensions = append(o.Extensions, s.groupChats.feature)
	}
	var link *s2s.Link
	if o.Router, link, err = s.roomRouter(o.Domain); err != nil {
		return nil, err
	}
	o.Store, o.Archive = s.db, archive
	o.Logger, o.Registerer = s.log, s.registry
	if service, err = muc.New(o); err != nil {
		return nil, err
	}
	s.rooms = append(s.rooms, service)
	if link != nil {
		link.Attach(attachedRooms{service, s})
		s.links = append(s.links, link)
	}
	s.router.AddService(service.Domain().Domain(), service)
	return service, nil
}

// accountExists reports whether there is an account; of other servers nothing
// is known.
func (s *Server) accountExists(ctx context.Context, account jid.JID) (bool, error) {
	if !s.router.IsHost(account.Domain()) {
		return true, nil
	}
	return s.router.Exists(ctx, account)
}

// reaches reports whether stanzas for a domain go anywhere. An attached server
// leaves that to the others.
func (s *Server) reaches(domain string) bool { return len(s.links) > 0 || s.router.Reaches(domain) }

// loadNicknames returns the nicknames that are reserved in the rooms of a
// domain. Those of accounts end with them.
func (s *Server) loadNicknames(ctx context.Context, domain string) (*roomfeatures.Nicknames, error) {
	service, err := jid.Parse(domain)
	if err != nil {
		return nil, fmt.Errorf("modules.mod_muc.host: %w", err)
	}
	nicknames, err := roomfeatures.LoadNicknames(ctx, s.db, service)
	if err != nil {
		return nil, err
	}
	s.accounts.OnDeleted("nicknames in "+domain, nicknames.AccountDeleted)
	return nicknames, nil
}

// releaseNicks takes away what rooms have reserved for an account that is gone:
// first what is stored, so that no room that wakes finds it.
func (s *Server) releaseNicks(ctx context.Context, account jid.JID) error {
	errs := []error{s.db.ReleaseRoomNicks(ctx, account)}
	for _, service := range s.rooms {
		errs = append(errs, service.ReleaseNicks(ctx, account))
	}
	return errors.Join(errs...)
}

// endRooms ends all room services at once.
func (s *Server) endRooms(ctx context.Context) error {
	errs := make([]error, len(s.rooms))
	var wg sync.WaitGroup
	for i, r := range s.rooms {
		wg.Go(func() { errs[i] = r.Shutdown(ctx) })
	}
	wg.Wait()
	return errors.Join(errs...)
}

// roomsNow are the settings of the rooms of a domain as they are now.
func (s *Server) roomsNow(at config.RoomService) *config.MUC {
	if m := s.config.Load().MUCOf(at.Host); m != nil || !at.Groups {
		return m
	}
	return at.MUC
}

// setRoomAccess says who may do what in the rooms of a domain, by the rules as
// they are when it is asked.
func (s *Server) setRoomAccess(o *muc.Options, at config.RoomService) {
	o.MayUse = s.roomRule(at, func(m *config.MUC) string { return m.Access })
	o.MayCreate = s.roomRule(at, func(m *config.MUC) string { return m.AccessCreate })
	if at.Groups {
		o.MayCreate = func(jid.JID) bool { return false }
	}
	o.IsAdmin = s.roomRule(at, func(m *config.MUC) string { return m.AccessAdmin })
	o.MayPersist = s.roomRule(at, func(m *config.MUC) string { return m.AccessPersistent })
}

// roomRule asks the rule that the settings of a domain's rooms name.
func (s *Server) roomRule(at config.RoomService, rule func(*config.MUC) string) func(jid.JID) bool {
	return func(who jid.JID) bool {
		m := s.roomsNow(at)
		return m != nil && s.policies.Load().rules.Allows(rule(m), at.Host, who)
	}
}

// roomPace returns the limits of pace of the rooms of a domain as they are when
// it is asked.
func (s *Server) roomPace(at config.RoomService) func() roomfeatures.Pace {
	return func() roomfeatures.Pace {
		cfg, m := s.config.Load(), s.roomsNow(at)
		if m == nil {
			return roomfeatures.Pace{}
		}
		rate := func(name string) int { return int(cfg.Shaper[name].MaxRate) }
		return roomfeatures.Pace{
			MessageInterval: time.Duration(m.MinMessageInterval), PresenceInterval: time.Duration(m.MinPresenceInterval),
			RoomRate: rate(m.RoomShaper), MessageRate: rate(m.UserMessageShaper), PresenceRate: rate(m.UserPresenceShaper),
		}
	}
}

// roomOptions are the settings of one room service.
func roomOptions(modules *config.Modules, at config.RoomService, features roomfeatures.Options, extensions []muc.Extension) (muc.Options, error) {
	domain, m := at.Domain, at.MUC
	features.HistorySize, features.Logs, features.NoAbsent = int(m.HistorySize), modules.MUCLog != nil, !m.TellAbsent
	features.NoHats, features.NoAvatars = !m.Hats, !m.Avatars
	features.NoRetraction, features.NoModeration = !m.Retraction, !m.Moderation
	if !m.OccupantIDs {
		features.OccupantIDKey = nil
	}
	if mam := modules.MAM; mam != nil {
		features.DefaultPage, features.MaxPage = int(mam.MUC.DefaultResultLimit), int(mam.MUC.MaxResultLimit)
	}
	o := muc.Options{
		Domain:    domain,
		MaxRoomID: bound(m.MaxRoomID), MaxUsers: int(m.MaxUsers), AdminSeats: int(m.MaxUsersAdminThreshold),
		MaxName: bound(m.MaxRoomName), MaxDesc: bound(m.MaxRoomDesc), Recent: int(m.HistorySize),
		Defaults: roomDefaults(&m.DefaultRoom), Hibernation: hibernation(m),
		Extensions: append(roomfeatures.All(features), extensions...),
	}
	for _, a := range m.DefaultRoom.Affiliations {
		j, err := jid.New(a.User, a.Server, "")
		if err != nil {
			return o, fmt.Errorf("modules.mod_muc.default_room.affiliations: %w", err)
		}
		affiliation, err := muc.ParseAffiliation(a.Affiliation)
		if err != nil {
			return o, fmt.Errorf("modules.mod_muc.default_room.affiliations: %w", err)
		}
		o.Affiliations = append(o.Affiliations, muc.AffiliationRecord{JID: j, Affiliation: affiliation})
	}
	if room := &m.DefaultRoom; room.Subject != "" {
		o.Subject.Text = room.Subject
		if room.SubjectAuthor != "" {
			author, err := jid.New("", domain, room.SubjectAuthor)
			if err != nil {
				return o, fmt.Errorf("modules.mod_muc.default_room.subject_author: %w", err)
			}
			o.Subject.Author = author
		}
	}
	return o, nil
}

// bound is a limit of rooms by its setting.
func bound(b config.Bound) int {
	switch b {
	case config.Unbounded:
		return 0
	case 0:
		return -1
	}
	return int(b)
}

// hibernation says when rooms give memory back. Empty ones leave it without being
// stopped, unless all rooms are to be in memory.
func hibernation(m *config.MUC) muc.Hibernation {
	least := func(t config.Timeout) time.Duration { return max(time.Duration(t), time.Nanosecond) }
	var h muc.Hibernation
	if h.After = -1; m.HibernateTimeout != config.Never {
		h.After = least(m.HibernateTimeout)
	}
	if m.HibernatedCheck != config.Never && m.HibernatedTimeout != config.Never {
		h.CheckEvery, h.Timeout = least(m.HibernatedCheck), least(m.HibernatedTimeout)
	}
	if m.LoadPermanentRooms {
		h.EmptyAfter = -1
	}
	return h
}

// roomDefaults are the settings of new rooms, by form variable.
func roomDefaults(r *config.DefaultRoom) map[string][]string {
	text := func(s string) []string { return []string{s} }
	yes := func(b bool) []string { return text(strconv.FormatBool(b)) }
	choose := func(b bool, ifTrue, ifFalse string) []string {
		if b {
			return text(ifTrue)
		}
		return text(ifFalse)
	}
	return map[string][]string{
		muc.FieldName:         text(r.Title),
		muc.FieldDescription:  text(r.Description),
		muc.FieldPersistent:   yes(r.Persistent),
		muc.FieldPublic:       yes(r.Public),
		muc.FieldMaxUsers:     text(strconv.Itoa(int(r.MaxUsers))),
		muc.FieldMultiSession: yes(r.AllowMultipleSessions),
		muc.FieldWhois:        choose(r.Anonymous, "moderators", "anyone"),

		"muc#roomconfig_membersonly":            yes(r.MembersOnly),
		"muc#roomconfig_moderatedroom":          yes(r.Moderated),
		"members_by_default":                    yes(r.MembersByDefault),
		"muc#roomconfig_passwordprotectedroom":  yes(r.PasswordProtected),
		"muc#roomconfig_roomsecret":             text(string(r.Password)),
		"muc#roomconfig_changesubject":          yes(r.AllowChangeSubj),
		"muc#roomconfig_allowpm":                choose(r.AllowPrivateMessages, "anyone", "none"),
		"allow_query_users":                     yes(r.AllowQueryUsers),
		"public_list":                           yes(r.PublicList),
		"muc#roomconfig_allowinvites":           yes(r.AllowUserInvites),
		"muc#roomconfig_allowvisitorstatus":     yes(r.AllowVisitorStatus),
		"muc#roomconfig_allowvisitornickchange": yes(r.AllowVisitorNickchange),
		"muc#roomconfig_getmemberlist":          r.MayGetMemberList,
		"muc#roomconfig_presencebroadcast":      r.PresenceBroadcast,
		"presence_limit":                        text(strconv.Itoa(int(r.PresenceLimit))),
	}
}
