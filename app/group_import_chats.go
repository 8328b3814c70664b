package app

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"net/url"
	"slices"

	"github.com/muster-im/muster/groups"
	"github.com/muster-im/muster/internal/admin"
	"github.com/muster-im/muster/internal/prosody"
	"github.com/muster-im/muster/internal/roomadmin"
	"github.com/muster-im/muster/jid"
)

// chatsOfGroups returns whose the chats are that groups have.
func chatsOfGroups(ctx context.Context, client *admin.Client) (map[jid.JID]string, error) {
	chats := make(map[jid.JID]string)
	for g, err := range admin.List[admin.GroupInfo](ctx, client, "/groups", url.Values{"brief": {"true"}}) {
		if err != nil {
			return nil, err
		}
		for _, room := range g.MUCs {
			chats[room] = string(g.ID)
		}
	}
	return chats, nil
}

// planChats keeps those of a group's chats that are to be made.
func (im *groupImport) planChats(ctx context.Context, g *importedGroup, there []admin.GroupChat) error {
	var opening []prosody.Chat
	for _, chat := range g.chats {
		room, problem, err := im.placeOf(ctx, g, &chat)
		if err != nil {
			return err
		}
		if problem != "" {
			im.problem("group %s: the chat %s %s", g.ID, chat.JID, problem)
			continue
		}
		im.rooms[room] = true
		if slices.ContainsFunc(there, func(c admin.GroupChat) bool { return c.JID == room }) {
			continue
		}
		if room != chat.JID {
			im.note("group %s: the chat %s becomes %s", g.ID, chat.JID, room)
		}
		chat.JID, chat.Name = room, cmp.Or(chat.Name, g.Name)
		opening = append(opening, chat)
		g.Chats = append(g.Chats, room.String())
	}
	g.chats = opening
	return nil
}

// placeOf returns where a chat is to be, or why it cannot be there.
func (im *groupImport) placeOf(ctx context.Context, g *importedGroup, chat *prosody.Chat) (room jid.JID, problem string, err error) {
	host, local := im.info.GroupChatHost, chat.JID.Local()
	if host == "" {
		return room, "has no place, there are no group chats: set modules.mod_groups_internal.groups_muc_host", nil
	}
	room, malformed := jid.New(local, host, "")
	owner, taken := im.chats[room]
	switch {
	case malformed != nil:
		return room, fmt.Sprintf("cannot be %s@%s: %v", local, host, malformed), nil
	case im.rooms[room] || taken && owner != g.ID:
		return room, fmt.Sprintf("cannot be %s, which another group has", room), nil
	case im.info.MaxGroupChatID > 0 && len(room.Local()) > im.info.MaxGroupChatID:
		return room, fmt.Sprintf("cannot be %s: at most %d bytes may stand before the @ there (max_room_id)", room, im.info.MaxGroupChatID), nil
	}
	if err := (&groups.NewGroup{Name: cmp.Or(chat.Name, g.Name)}).Check(); err != nil {
		return room, fmt.Sprintf("has no name that it can have: %v", err), nil
	}
	if !taken {
		problem, err = im.ownedByPeople(ctx, room)
	}
	return room, problem, err
}

// ownedByPeople says so of a room.
func (im *groupImport) ownedByPeople(ctx context.Context, room jid.JID) (problem string, err error) {
	owners := admin.List[roomadmin.Affiliation](ctx, im.client, admin.Path("rooms", room.String(), "affiliations"), url.Values{"affiliation": {"owner"}})
	for a, err := range owners {
		switch {
		case isStatus(err, http.StatusNotFound):
			return "", nil
		case err != nil:
			return "", fmt.Errorf("who owns the room %s: %w", room, err)
		}
		return fmt.Sprintf("cannot be %s, a room of %s", room, a.JID), nil
	}
	return "", nil
}
