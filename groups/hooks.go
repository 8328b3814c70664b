package groups

import (
	"log/slog"

	"github.com/muster-im/muster/hook"
	"github.com/muster-im/muster/jid"
)

// Hooks are the extension points of groups. They run after what they tell of has
// been stored and contact lists show it, events of one group in their order.
// After a crash an event may come again. A function that panics costs the
// others nothing. Functions may call the Service.
type Hooks struct {
	// Created runs after a group has been made.
	Created hook.Notify[GroupEvent]
	// Renamed runs after a group's name has changed.
	Renamed hook.Notify[RenameEvent]
	// Deleted runs after a group has been deleted, and after MemberRemoved for
	// each of its members.
	Deleted hook.Notify[GroupEvent]
	// MemberAdded runs after somebody has become a member, and for everybody when
	// EmitMemberEvents asks for it.
	MemberAdded hook.Notify[MemberEvent]
	// MemberRemoved runs after somebody has ceased to be a member.
	MemberRemoved hook.Notify[MemberEvent]
	// ChatAdded runs after a chat has been made.
	ChatAdded hook.Notify[ChatEvent]
	// ChatRemoved runs after a chat has been removed.
	ChatRemoved hook.Notify[ChatEvent]
}

func (h *Hooks) seal() {
	h.Created.Seal()
	h.Renamed.Seal()
	h.Deleted.Seal()
	h.MemberAdded.Seal()
	h.MemberRemoved.Seal()
	h.ChatAdded.Seal()
	h.ChatRemoved.Seal()
}

// GroupEvent tells of a group.
type GroupEvent struct {
	Group ID
	Info  Info
	Actor string
}

// RenameEvent tells of a group's new name.
type RenameEvent struct {
	Group ID
	Info  Info
	Old   string
	Actor string
}

// MemberEvent tells of a membership.
type MemberEvent struct {
	Group    ID
	User     jid.JID // bare
	Role     Role
	Info     Info // of the group
	Actor    string
	Repeated bool // by EmitMemberEvents
}

// ChatEvent tells of a chat.
type ChatEvent struct {
	Group ID
	Info  Info // of the group
	Chat  Chat
	Actor string
}

func (s *Service) fireMember(h *hook.Notify[MemberEvent], ev *MemberEvent) { s.failed(h.Run(nil, ev)) }

// failed notes what hooks panicked with.
func (s *Service) failed(err error) {
	if err != nil {
		s.metrics.panics.Inc()
		s.log.Error("hook of groups panicked", slog.Any("err", err))
	}
}
