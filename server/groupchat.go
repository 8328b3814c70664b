package server

import (
	"context"
	"errors"

	"github.com/muster-im/muster/groups"
	"github.com/muster-im/muster/jid"
	"github.com/muster-im/muster/muc"
	"github.com/muster-im/muster/stanza"
)

// groupChats keeps the chats of groups in a room service.
type groupChats struct {
	rooms func(domain string) *muc.Service
	send  func(stanza.Stanza)
}

// groupChats returns where the chats of groups are, nil if groups have none.
func (s *Server) groupChats(domain string) groups.Chats {
	if domain == "" || s.opts.Attach != nil {
		return nil
	}
	return &groupChats{rooms: s.Rooms, send: s.router.Send}
}

// Create makes a room; one that is there becomes what it should be.
func (c *groupChats) Create(ctx context.Context, chat groups.GroupChat) error {
	service := c.rooms(chat.Room.Domain())
	if service == nil {
		return groups.ErrNoChatHost
	}
	var invited []jid.JID
	configure := func(r *muc.Room) (err error) {
		if _, err := r.Configure(muc.System, chatSettings(chat.Name)); err != nil {
			return err
		}
		invited, err = affiliate(r, chat.Members)
		return err
	}
	_, err := service.CreateRoom(ctx, chat.Room, configure)
	if errors.Is(err, muc.ErrRoomExists) {
		err = c.inside(ctx, chat.Room, configure)
	}
	if err != nil {
		return err
	}
	c.invite(chat.Room, invited)
	return nil
}

// Rename gives a room another name, which it announces (XEP-0045 §10.2.1).
func (c *groupChats) Rename(ctx context.Context, room jid.JID, name string) error {
	err := c.inside(ctx, room, func(r *muc.Room) error {
		_, err := r.Configure(muc.System, map[string][]string{muc.FieldName: {name}})
		return err
	})
	return unlessGone(err)
}

// Affiliate brings members to what they are in the group. A room for members
// only puts out who is none any more (XEP-0045 §9.4).
func (c *groupChats) Affiliate(ctx context.Context, room jid.JID, changes []groups.Affiliation) error {
	var invited []jid.JID
	err := c.inside(ctx, room, func(r *muc.Room) (err error) {
		invited, err = affiliate(r, changes)
		return err
	})
	if err == nil {
		c.invite(room, invited)
	}
	return unlessGone(err)
}

// Destroy deletes a room.
func (c *groupChats) Destroy(ctx context.Context, room jid.JID, reason string) error {
	err := c.inside(ctx, room, func(r *muc.Room) error { return r.Destroy(muc.System, reason, jid.JID{}) })
	return unlessGone(err)
}

// State looks at a room without waking it.
func (c *groupChats) State(ctx context.Context, room jid.JID) (groups.ChatState, error) {
	service := c.rooms(room.Domain())
	if service == nil {
		return groups.ChatState{}, nil
	}
	v, err := service.View(ctx, room)
	if err != nil {
		return groups.ChatState{}, unlessGone(err)
	}
	return groups.ChatState{Exists: true, Name: v.Name}, nil
}

// inside runs fn in a room, muc.ErrNoRoom if there is none.
func (c *groupChats) inside(ctx context.Context, room jid.JID, fn func(*muc.Room) error) error {
	service := c.rooms(room.Domain())
	if service == nil {
		return muc.ErrNoRoom
	}
	h, err := service.Room(ctx, room)
	if err != nil {
		return err
	}
	return h.Do(ctx, fn)
}

// unlessGone is err, nil if it says that a room is gone.
func unlessGone(err error) error {
	if errors.Is(err, muc.ErrNoRoom) {
		return nil
	}
	return err
}

// invite tells people of a room that they are members of (XEP-0249 §2).
func (c *groupChats) invite(room jid.JID, people []jid.JID) {
	for _, to := range people {
		x := stanza.NewElement(stanza.NSConference, "x", "jid", room.String())
		c.send(stanza.Stanza{Kind: stanza.Message, From: room, To: to}.With(x))
	}
}

// affiliate makes people in a room what they are in the group, and returns who
// is to be invited: who was nothing before. Who has been banned and is still a
// member of the group comes in again.
func affiliate(r *muc.Room, changes []groups.Affiliation) (invited []jid.JID, err error) {
	for i := range changes {
		c := &changes[i]
		before, now := r.Affiliation(c.User), chatAffiliation(c.Role)
		if before == now {
			continue
		}
		if err := r.SetAffiliation(muc.System, c.User, now, muc.AffiliationOptions{Told: true}); err != nil {
			return nil, err
		}
		if c.Invite && before <= muc.None {
			invited = append(invited, c.User)
		}
	}
	return invited, nil
}

// chatAffiliation is what a role in a group means in its chats.
func chatAffiliation(role groups.Role) muc.Affiliation {
	switch role {
	case groups.RoleOwner:
		return muc.Owner
	case groups.RoleAdmin:
		return muc.Admin
	case groups.RoleMember:
		return muc.Member
	}
	return muc.None
}

// chatSettings are what the room of a group should be.
func chatSettings(name string) map[string][]string {
	return map[string][]string{
		muc.FieldName:                  {name},
		muc.FieldPersistent:            {"1"},
		muc.FieldPublic:                {"0"},
		muc.FieldWhois:                 {"anyone"},
		"muc#roomconfig_membersonly":   {"1"},
		"muc#roomconfig_allowinvites":  {"0"},
		"muc#roomconfig_moderatedroom": {"0"},
	}
}
