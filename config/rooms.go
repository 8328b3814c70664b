package config

import (
	"fmt"
	"slices"
	"strings"

	"github.com/muster-im/muster/internal/access"
)

// RoomService is a domain with rooms.
type RoomService struct {
	Host   string // one of general.hosts, whose people it is for
	Domain string
	MUC    *MUC
	// Groups says that modules.mod_groups_internal alone has brought it: nobody
	// but groups makes rooms there.
	Groups bool
}

// RoomServices returns all domains with rooms: those of the hosts, and that of
// group chats if it is none of them.
func (c *Config) RoomServices() []RoomService {
	var list []RoomService
	for _, host := range c.General.Hosts {
		if m := c.MUCOf(host); m != nil {
			list = append(list, RoomService{Host: host, Domain: m.HostFor(host), MUC: m})
		}
	}
	g := c.Modules.GroupsInternal
	if g == nil || g.GroupsMUCHost == "" || len(c.General.Hosts) == 0 ||
		slices.ContainsFunc(list, func(s RoomService) bool { return s.Domain == g.GroupsMUCHost }) {
		return list
	}
	host := c.General.Hosts[0]
	for _, h := range c.General.Hosts {
		if strings.HasSuffix(g.GroupsMUCHost, "."+h) {
			host = h
		}
	}
	return append(list, RoomService{Host: host, Domain: g.GroupsMUCHost, MUC: c.groupRooms(host), Groups: true})
}

// RoomsAt returns the rooms of a domain.
func (c *Config) RoomsAt(domain string) (RoomService, bool) {
	list := c.RoomServices()
	i := slices.IndexFunc(list, func(s RoomService) bool { return s.Domain == domain })
	if i < 0 {
		return RoomService{}, false
	}
	return list[i], true
}

// groupRooms are the settings of the rooms of groups where they have a domain of
// their own: the limits of a host's rooms, but new rooms are as groups want them.
func (c *Config) groupRooms(host string) *MUC {
	m := modernRooms()
	if own := c.MUCOf(host); own != nil {
		room := m.DefaultRoom
		*m = *own
		m.DefaultRoom, m.DefaultRoom.MaxUsers = room, m.MaxUsers
	}
	m.Host, m.AccessCreate, m.HTTPAuthPool = c.Modules.GroupsInternal.GroupsMUCHost, "none", NoPool
	m.MaxRoomID, m.MaxRoomName = Unbounded, Unbounded
	return m
}

// modernRooms are settings of rooms as people expect them today.
func modernRooms() *MUC {
	m := &MUC{}
	m.defaults()
	m.MaxUsers, m.MaxUserConferences = 1000, 1000
	room := &m.DefaultRoom
	room.MaxUsers, room.Persistent, room.Moderated, room.AllowMultipleSessions, room.AllowUserInvites = 1000, true, false, true, true
	return m
}

// openRooms warns of rooms that are likely more open than is meant.
func (c *Config) openRooms() Problems {
	var list Problems
	look := func(path string, m *MUC) {
		if m != nil && m.AccessAdmin == access.All {
			list = append(list, c.Problem(path+"access_admin", "everybody owns every room then, and nobody can be banned or made a member: want a rule that names the administrators"))
		}
		if m != nil && m.HTTPAuthPool != NoPool && !m.DefaultRoom.PasswordProtected {
			list = append(list, c.Problem(path+"http_auth_pool", "it is asked about rooms that need a password, and new rooms need none unless default_room.password_protected is true"))
		}
	}
	look("modules.mod_muc.", c.Modules.MUC)
	for i := range c.HostConfig {
		look(fmt.Sprintf("host_config[%d].modules.mod_muc.", i), c.HostConfig[i].Modules.MUC)
	}
	return list
}
