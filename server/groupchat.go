package server

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/muster-im/muster/config"
	"github.com/muster-im/muster/groups"
	"github.com/muster-im/muster/internal/roomfeatures"
	"github.com/muster-im/muster/internal/userdata"
	"github.com/muster-im/muster/jid"
	"github.com/muster-im/muster/muc"
	"github.com/muster-im/muster/stanza"
)

// groupChats keeps the chats of groups in a room service, and in people's
// bookmarks.
type groupChats struct {
	domain    string
	rooms     func(domain string) *muc.Service
	stored    func(ctx context.Context, room jid.JID) (*muc.RoomRecord, error)
	feature   *roomfeatures.GroupChats // of the room service
	bookmarks *userdata.Service
	send      func(stanza.Stanza)
	maxName   int // of a room's name; 0 any, -1 none
	maxID     int // of what stands before the @ of a room; 0 any
}

// newGroupChats returns where the chats of groups are, nil if groups have none.
func (s *Server) newGroupChats(cfg *config.Config, domain string) *groupChats {
	if domain == "" || s.opts.Attach != nil {
		return nil
	}
	c := &groupChats{domain: domain, rooms: s.Rooms, stored: s.db.Room, bookmarks: s.userData, send: s.router.Send}
	c.feature = &roomfeatures.GroupChats{Gone: func(group string) { s.groups.ChatGone(groups.ID(group)) }}
	for _, at := range cfg.RoomServices() {
		if at.Domain == domain {
			c.maxName, c.maxID = bound(at.MUC.MaxRoomName), max(0, bound(at.MUC.MaxRoomID))
		}
	}
	return c
}

// Serves reports whether groups have their chats at a domain.
func (c *groupChats) Serves(domain string) bool { return domain == c.domain }

// roomName is a chat's name as far as its room can have it: on a host that others
// make rooms on too, those may have to have short names.
func (c *groupChats) roomName(name string) string {
	most := max(c.maxName, 0)
	if c.maxName == 0 || len(name) <= most {
		return name
	}
	for most > 0 && !utf8.RuneStart(name[most]) {
		most--
	}
	return strings.TrimSpace(name[:most])
}

// Create makes a room; one that is there becomes what it should be.
func (c *groupChats) Create(ctx context.Context, chat groups.GroupChat) error {
	service := c.rooms(chat.Room.Domain())
	if service == nil {
		return groups.ErrNoChatHost
	}
	configure := func(r *muc.Room) error {
		return c.settle(r, &chat, map[string]string{muc.FieldName: c.roomName(chat.Name)})
	}
	_, err := service.CreateRoom(ctx, chat.Room, configure)
	if errors.Is(err, muc.ErrRoomExists) {
		err = c.inside(ctx, chat.Room, func(r *muc.Room) error {
			if c.feature.Of(r) == "" && owned(r.Affiliations()) {
				return groups.ErrChatConflict
			}
			return configure(r)
		})
	}
	if err != nil {
		return refused(err)
	}
	return c.tell(ctx, &chat)
}

// settle stages what a group says of its room.
func (c *groupChats) settle(r *muc.Room, chat *groups.GroupChat, values map[string]string) error {
	return c.feature.Act(r, string(chat.Group.ID), func() error {
		if err := c.feature.Configure(r, values); err != nil {
			return err
		}
		for _, change := range outdated(chat, r.Affiliations()) {
			if err := affiliate(r, &change); err != nil {
				return err
			}
		}
		return nil
	})
}

// tell brings bookmarks to what a group says of a room, and invites who has not
// been told of it.
func (c *groupChats) tell(ctx context.Context, chat *groups.GroupChat) error {
	member := make(map[jid.JID]bool, len(chat.Members))
	people := make([]jid.JID, len(chat.Members))
	for i, m := range chat.Members {
		people[i], member[m.User] = m.User, true
	}
	given, err := c.bookmarks.BookmarkHolders(ctx, chat.Room)
	if err != nil {
		return err
	}
	for _, j := range given {
		if member[j] {
			continue
		}
		if err := c.bookmarks.TakeBookmark(ctx, chat.Room, j); err != nil {
			return err
		}
	}
	return c.give(ctx, chat.Room, chat.Name, people)
}

// give invites people into a room and puts it into their bookmarks, once.
func (c *groupChats) give(ctx context.Context, room jid.JID, name string, people []jid.JID) error {
	return c.bookmarks.GiveBookmark(ctx, room, name, people, func(fresh []jid.JID) { c.invite(room, fresh) })
}

// Restore brings a room and bookmarks back to what the group says. A room that is
// so is not woken.
func (c *groupChats) Restore(ctx context.Context, chat groups.GroupChat) error {
	rec, err := c.stored(ctx, chat.Room)
	switch {
	case errors.Is(err, muc.ErrNoRoom) || err == nil && (rec.Tombstone != nil || c.peoples(rec)):
		return c.bookmarks.TakeBookmark(ctx, chat.Room)
	case err != nil:
		return err
	}
	if !c.feature.IsGroups(rec, string(chat.Group.ID)) || len(outdated(&chat, slices.Values(rec.Affiliations))) > 0 {
		if err := c.inside(ctx, chat.Room, func(r *muc.Room) error { return c.settle(r, &chat, nil) }); err != nil {
			return refused(err)
		}
	}
	return c.tell(ctx, &chat)
}

// Rename gives a room another name, which it announces (XEP-0045 §10.2.1).
// Bookmarks come first: after a crash between the two it is done again.
func (c *groupChats) Rename(ctx context.Context, room jid.JID, name string) error {
	if err := c.bookmarks.RenameBookmark(ctx, room, name); err != nil {
		return err
	}
	return unlessGone(c.ours(ctx, room, func(r *muc.Room) error {
		short := c.roomName(name)
		if r.Name() == short {
			return nil
		}
		return c.feature.Act(r, "", func() error { return c.feature.Configure(r, map[string]string{muc.FieldName: short}) })
	}))
}

// Affiliate brings members to what they are in the group. A room for members
// only puts out who is none any more (XEP-0045 §9.4).
func (c *groupChats) Affiliate(ctx context.Context, room jid.JID, changes []groups.Affiliation) error {
	var name string
	err := c.ours(ctx, room, func(r *muc.Room) error {
		name = r.Name()
		return c.feature.Act(r, "", func() error {
			for i := range changes {
				if err := affiliate(r, &changes[i]); err != nil {
					return err
				}
			}
			return nil
		})
	})
	var come, gone []jid.JID
	for i := range changes {
		if changes[i].Role == "" {
			gone = append(gone, changes[i].User)
		} else {
			come = append(come, changes[i].User)
		}
	}
	if err == nil && len(come) > 0 {
		err = c.give(ctx, room, name, come)
	}
	if err = unlessGone(err); err == nil && len(gone) > 0 {
		err = c.bookmarks.TakeBookmark(ctx, room, gone...)
	}
	return err
}

// Destroy deletes a room.
func (c *groupChats) Destroy(ctx context.Context, room jid.JID, reason string) error {
	err := unlessGone(c.ours(ctx, room, func(r *muc.Room) error { return r.Destroy(muc.System, reason, jid.JID{}) }))
	if err == nil {
		err = c.bookmarks.TakeBookmark(ctx, room)
	}
	return err
}

// State looks at a room without waking it.
func (c *groupChats) State(ctx context.Context, room jid.JID, group groups.ID) (groups.ChatState, error) {
	service := c.rooms(room.Domain())
	if service == nil {
		return groups.ChatState{}, nil
	}
	v, err := service.View(ctx, room)
	if err != nil {
		return groups.ChatState{}, unlessGone(err)
	}
	rec, err := c.stored(ctx, room)
	switch {
	case errors.Is(err, muc.ErrNoRoom) || err == nil && rec.Tombstone != nil: // and people are in it
		return groups.ChatState{Foreign: true}, nil
	case err != nil:
		return groups.ChatState{}, err
	}
	return groups.ChatState{Exists: c.feature.OfRecord(rec) == string(group), Name: v.Name, Foreign: c.peoples(rec)}, nil
}

// peoples reports whether a room is no group's and people own it.
func (c *groupChats) peoples(rec *muc.RoomRecord) bool {
	return c.feature.OfRecord(rec) == "" && owned(slices.Values(rec.Affiliations))
}

func owned(list iter.Seq[muc.AffiliationRecord]) bool {
	for a := range list {
		if a.Affiliation == muc.Owner {
			return true
		}
	}
	return false
}

// ours runs fn in a room that is a group's, muc.ErrNoRoom if there is none.
func (c *groupChats) ours(ctx context.Context, room jid.JID, fn func(*muc.Room) error) error {
	return c.inside(ctx, room, func(r *muc.Room) error {
		if c.feature.Of(r) == "" {
			return muc.ErrNoRoom
		}
		return fn(r)
	})
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
	return refused(err)
}

// refused is err, which says so if to try again does not help: an extension says
// no, or the room is somebody's.
func refused(err error) error {
	refusal := stanza.AsError(err)
	if refusal != nil && refusal.Type != stanza.Wait || errors.Is(err, muc.ErrNoAddress) || errors.Is(err, groups.ErrChatConflict) {
		return fmt.Errorf("%w: %w", groups.ErrRefused, err)
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

// outdated returns what is to change in a room whose people are those in list:
// members are what they are in the group, and nobody else belongs to it.
func outdated(chat *groups.GroupChat, list iter.Seq[muc.AffiliationRecord]) (changes []groups.Affiliation) {
	roles := make(map[jid.JID]groups.Role, len(chat.Members))
	for _, m := range chat.Members {
		roles[m.User] = m.Role
	}
	for a := range list {
		role, member := roles[a.JID]
		switch {
		case member && chatAffiliation(role) == a.Affiliation:
			delete(roles, a.JID)
		case !member && a.Affiliation > muc.None:
			changes = append(changes, groups.Affiliation{User: a.JID})
		}
	}
	for _, m := range chat.Members {
		if _, ok := roles[m.User]; ok {
			changes = append(changes, m)
		}
	}
	return changes
}

// affiliate makes somebody in a room what he is in the group. Who has been banned
// and is a member of the group comes in again.
func affiliate(r *muc.Room, change *groups.Affiliation) error {
	now := chatAffiliation(change.Role)
	if before := r.Affiliation(change.User); before == now || before == muc.Outcast && now == muc.None {
		return nil
	}
	return r.SetAffiliation(muc.System, change.User, now, muc.AffiliationOptions{Told: true})
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
