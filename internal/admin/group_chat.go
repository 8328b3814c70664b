package admin

import (
	"context"
	"fmt"
	"hash/fnv"
	"net/http"
	"slices"
	"strconv"

	"github.com/muster-im/muster/groups"
	"github.com/muster-im/muster/internal/api"
)

// NewGroupChat asks for a chat.
type NewGroupChat struct {
	Name    string `json:"name,omitempty" max:"1023" doc:"Absent: the group's name, which only the default chat may have so."`
	ID      string `json:"id,omitempty" max:"1023" doc:"What stands before the @ in its address; absent: 16 random characters. A chat that the group has already stays as it is."`
	Default bool   `json:"default,omitempty" doc:"With an id: a new chat becomes the group's default one."`
}

// PutGroupChat describes a chat whose id is in the path.
type PutGroupChat struct {
	Name    string `json:"name,omitempty" max:"1023" doc:"Absent: the group's name, which only the default chat may have so."`
	Default bool   `json:"default,omitempty" doc:"A new chat becomes the group's default one."`
}

// GroupChatList is a group's chats.
type GroupChatList struct {
	Items []GroupChat `json:"items"`
}

func shownChats(chats []groups.Chat) []GroupChat {
	list := make([]GroupChat, len(chats))
	for i, c := range chats {
		list[i] = GroupChat(c)
	}
	return list
}

// chatsTag is different when chats look different: their rooms get other names, or
// are destroyed, without the group's revision rising. "" if there are none.
func chatsTag(chats []GroupChat) string {
	if len(chats) == 0 {
		return ""
	}
	h := fnv.New64a()
	for _, c := range chats {
		_, _ = fmt.Fprintf(h, "%s %q %v\n", c.JID, c.Name, c.Deleted) // never fails
	}
	return strconv.FormatUint(h.Sum64(), 36)
}

func (a *Admin) groupChats(ctx context.Context, r *api.Request, _ api.None) (list GroupChatList, err error) {
	chats, err := a.opts.Groups.GroupChats(ctx, groupID(r))
	if err != nil {
		return list, groupError(err)
	}
	list.Items = shownChats(chats)
	return list, nil
}

func (a *Admin) addGroupChat(ctx context.Context, r *api.Request, in NewGroupChat) (GroupChat, error) {
	if in.ID != "" {
		return a.putChat(ctx, r, groups.NewChat{ID: in.ID, Name: in.Name, Default: in.Default})
	}
	by, err := cause(r)
	if err != nil {
		return GroupChat{}, err
	}
	c, err := a.opts.Groups.AddGroupChat(ctx, groupID(r), in.Name, by)
	return a.chatAdded(ctx, r, c, err)
}

func (a *Admin) putGroupChat(ctx context.Context, r *api.Request, in PutGroupChat) (GroupChat, error) {
	chats, err := a.opts.Groups.GroupChats(ctx, groupID(r))
	if err != nil {
		return GroupChat{}, groupError(err)
	}
	c, err := a.putChat(ctx, r, groups.NewChat{ID: r.Path("chat"), Name: in.Name, Default: in.Default})
	if slices.ContainsFunc(chats, func(old groups.Chat) bool { return old.ID == c.ID }) {
		r.SetStatus(http.StatusOK)
	}
	return c, err
}

func (a *Admin) putChat(ctx context.Context, r *api.Request, chat groups.NewChat) (GroupChat, error) {
	by, err := cause(r)
	if err != nil {
		return GroupChat{}, err
	}
	c, err := a.opts.Groups.PutGroupChat(ctx, groupID(r), chat, by)
	return a.chatAdded(ctx, r, c, err)
}

func (a *Admin) chatAdded(ctx context.Context, r *api.Request, c groups.Chat, err error) (GroupChat, error) {
	if err != nil {
		return GroupChat{}, groupError(err)
	}
	a.logGroup(ctx, r, "chat added", groupID(r))
	r.Created("groups", string(groupID(r)), "chats", c.ID)
	return GroupChat(c), nil
}

func (a *Admin) groupChat(ctx context.Context, r *api.Request, _ api.None) (GroupChat, error) {
	chats, err := a.opts.Groups.GroupChats(ctx, groupID(r))
	if err != nil {
		return GroupChat{}, groupError(err)
	}
	i := slices.IndexFunc(chats, func(c groups.Chat) bool { return c.ID == r.Path("chat") })
	if i < 0 {
		return GroupChat{}, api.NotFound("the group has no such chat")
	}
	return GroupChat(chats[i]), nil
}

func (a *Admin) removeGroupChat(ctx context.Context, r *api.Request, _ api.None) (none api.None, err error) {
	by, err := cause(r)
	if err != nil {
		return none, err
	}
	return a.changed(ctx, r, "chat removed", groups.Info{}, a.opts.Groups.RemoveGroupChat(ctx, groupID(r), r.Path("chat"), by))
}
