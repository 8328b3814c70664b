// Package groups holds groups of people: teams whose members are in each
// other's contact lists, and whose chats come with the group. A Service keeps
// groups that are managed while the server runs; other sources, a file for
// instance, bring groups to contact lists in the same way, see Source.
//
// What is stored of a membership is one row, never one per pair of members:
// contact lists are computed from it (package shared). Operations on one group
// happen one after the other, each in one transaction of the Store; what follows
// from it, contact lists, chats and events, is done afterwards and, but for
// contact lists, which are computed anew anyway, survives a crash: a task is
// stored with the change and removed when it is done.
//
// A Service has one goroutine, for tasks that have failed, from Start to Close.
// Its methods block on the Store, on Chats and on hooks.
package groups

import (
	"context"
	"errors"
	"iter"
	"slices"
	"time"

	"github.com/muster-im/muster/internal/shared"
	"github.com/muster-im/muster/jid"
)

// Errors of a Service, wrapped. Nothing has changed when one is returned.
var (
	ErrGroupNotFound = errors.New("there is no such group")
	ErrChatNotFound  = errors.New("the group has no such chat")
	ErrUserNotFound  = errors.New("there is no such user")
	ErrConflict      = errors.New("there is a group with this id")
	ErrChatConflict  = errors.New("this chat is somebody else's")
	ErrNameRequired  = errors.New("a name is required")
	ErrInvalid       = errors.New("invalid")
	ErrNoChatHost    = errors.New("there is no host for group chats")
	ErrRevision      = errors.New("the group has been changed meanwhile")
	// ErrRefused is what Chats wrap when to try again does not help.
	ErrRefused = errors.New("the room's host refuses it")
)

// ItemError says which one of a list of people is at fault. It is found in the
// errors of SetMembers and ChangeMembers; see ItemErrors.
type ItemError struct {
	Index int
	Err   error
}

// Error says what is wrong with him.
func (e *ItemError) Error() string { return e.Err.Error() }

// Unwrap returns what is wrong with him.
func (e *ItemError) Unwrap() error { return e.Err }

// ItemErrors are all the ItemErrors in err, in the order of the list.
func ItemErrors(err error) []*ItemError {
	switch e := err.(type) { //nolint:errorlint // this is what takes errors apart
	case *ItemError:
		return []*ItemError{e}
	case interface{ Unwrap() []error }:
		var list []*ItemError
		for _, inner := range e.Unwrap() {
			list = append(list, ItemErrors(inner)...)
		}
		return list
	case interface{ Unwrap() error }:
		return ItemErrors(e.Unwrap())
	}
	return nil
}

// ID names a group. It is compared byte by byte.
type ID string

// Role is what a member may do in the group's chats.
type Role string

// The roles.
const (
	RoleMember Role = "member"
	RoleAdmin  Role = "admin"
	RoleOwner  Role = "owner"
)

// Contract says how long a group makes its members contacts of each other.
type Contract = shared.Contract

// The contracts.
const (
	// Permanent groups make contacts that stay when a membership ends.
	Permanent = shared.Permanent
	// Overlay groups make contacts while both are members.
	Overlay = shared.Overlay
)

// A Source brings groups to contact lists. Package server joins the sources.
type (
	Source          = shared.Source
	Snapshot        = shared.Snapshot
	Span            = shared.Span
	Change          = shared.Change
	SnapshotOptions = shared.SnapshotOptions
	Entry           = shared.Entry
	Key             = shared.Key
)

// NewSnapshot returns what a group means to contact lists at one moment. It does not
// keep o.Entries.
func NewSnapshot(o SnapshotOptions) *Snapshot {
	o.Entries = slices.Clone(o.Entries)
	return shared.NewSnapshot(o)
}

// Info is what is known of a group besides its members.
type Info struct {
	ID       ID        `json:"id"`
	Name     string    `json:"name"`
	Contract Contract  `json:"contract"`
	MUCJID   jid.JID   `json:"muc_jid,omitzero"` // the default chat; zero: none
	MUCs     []jid.JID `json:"mucs,omitempty"`   // all chats
	Revision int64     `json:"revision"`         // rises with each change
	Created  time.Time `json:"created"`
}

// Member is a member of a group.
type Member struct {
	User    jid.JID // bare
	Role    Role
	Since   time.Time
	Delayed bool // nobody's contact through the group until Sync
}

// Chat is a chat of a group.
type Chat struct {
	ID      string // the local part of JID
	JID     jid.JID
	Name    string
	Default bool // the group's default chat
	Deleted bool // the room is gone
}

// NewGroup describes a group to be.
type NewGroup struct {
	ID          ID // "": 12 random characters
	Name        string
	Contract    Contract // "": Permanent
	DefaultChat bool     // with a chat of the group's name
}

// Check returns what is wrong with a group to be: with its id, its name or its
// contract.
func (g *NewGroup) Check() error {
	if g.ID != "" {
		if err := checkID(g.ID); err != nil {
			return err
		}
	}
	if g.Contract != "" {
		if err := checkContract(g.Contract); err != nil {
			return err
		}
	}
	_, err := checkName(g.Name, maxName)
	return err
}

// Update changes what is set.
type Update struct {
	Name     *string
	Contract *Contract
	// MUCJID makes one of the group's chats the default one, which has the
	// group's name.
	MUCJID *jid.JID
}

// Joining is somebody who becomes, or stays, a member.
type Joining struct {
	User jid.JID
	// Role, if set, is what he has from now on; newcomers are RoleMember.
	Role Role
	// Delayed makes a newcomer nobody's contact until Sync.
	Delayed bool
}

// Cause says who changes a group, and what he believes it to be.
type Cause struct {
	Actor string // whatever names him in events; "" the server
	// Revision, if not 0, must be the group's, or the change fails with
	// ErrRevision.
	Revision int64
	// Number, if not 0, must be the group's, see Service.Number, or the change
	// fails with ErrGroupNotFound.
	Number int64
}

// Create makes a group.
func (s *Service) Create(ctx context.Context, g NewGroup, by Cause) (Info, error) {
	return s.create(ctx, g, by)
}

// Info returns what is known of a group.
func (s *Service) Info(ctx context.Context, id ID) (Info, error) {
	r, err := s.record(ctx, id)
	return r.info(), err
}

// SetInfo changes a group's name, contract or default chat. Contact lists show
// the new name at once; the default chat is renamed if it had the group's name.
func (s *Service) SetInfo(ctx context.Context, id ID, u Update, by Cause) (Info, error) {
	return s.change(ctx, id, by, func(_ context.Context, p *plan) error { return p.setInfo(u) })
}

// Members returns a group's members, ordered by address.
func (s *Service) Members(ctx context.Context, id ID) ([]Member, error) {
	r, err := s.record(ctx, id)
	if err != nil {
		return nil, err
	}
	rows, err := s.opts.Store.GroupMembers(ctx, r.Number, jid.JID{})
	if err != nil {
		return nil, err
	}
	list := make([]Member, 0, len(rows))
	for i := range rows {
		if rows[i].Left == 0 {
			list = append(list, rows[i].member())
		}
	}
	return list, nil
}

// Exists reports whether there is a group.
func (s *Service) Exists(ctx context.Context, id ID) (bool, error) {
	_, err := s.record(ctx, id)
	if errors.Is(err, ErrGroupNotFound) {
		return false, nil
	}
	return err == nil, err
}

// Number returns what names a group for good: when it has been deleted, another
// group may have its id. ErrGroupNotFound says that there is none.
func (s *Service) Number(ctx context.Context, id ID) (int64, error) {
	r, err := s.record(ctx, id)
	return r.Number, err
}

// UserGroups returns the groups that somebody is a member of.
func (s *Service) UserGroups(ctx context.Context, user jid.JID) ([]ID, error) {
	records, err := s.opts.Store.GroupsOf(ctx, user.Bare(), true)
	list := make([]ID, 0, len(records))
	for i := range records {
		list = append(list, records[i].ID)
	}
	return list, err
}

// Groups iterates over all groups, ordered by id. An error ends it.
func (s *Service) Groups(ctx context.Context) iter.Seq2[Info, error] { return s.GroupsAfter(ctx, "") }

// GroupsAfter iterates over the groups whose ids are behind one.
func (s *Service) GroupsAfter(ctx context.Context, after ID) iter.Seq2[Info, error] {
	const page = 200
	return func(yield func(Info, error) bool) {
		for {
			records, err := s.opts.Store.Groups(ctx, after, page)
			if err != nil {
				yield(Info{}, err)
				return
			}
			for i := range records {
				if !yield(records[i].info(), nil) {
					return
				}
				after = records[i].ID
			}
			if len(records) < page {
				return
			}
		}
	}
}

// Delete deletes a group with its chats. Whether its members stay contacts is
// said by its contract.
func (s *Service) Delete(ctx context.Context, id ID, by Cause) error {
	_, err := s.change(ctx, id, by, s.planDeletion)
	return err
}

// AddMember makes somebody a member, or gives a member another role. For who is
// what he is asked to be, nothing changes.
func (s *Service) AddMember(ctx context.Context, id ID, j Joining, by Cause) (Info, error) {
	return s.change(ctx, id, by, func(ctx context.Context, p *plan) error { return s.planJoining(ctx, p, j) })
}

// RemoveMember ends a membership. It succeeds for who is no member, and fails for
// who cannot be one: who has no account here.
func (s *Service) RemoveMember(ctx context.Context, id ID, user jid.JID, by Cause) (Info, error) {
	return s.change(ctx, id, by, func(ctx context.Context, p *plan) error {
		if err := checkPerson(user); err != nil {
			return err
		}
		rows, err := s.opts.Store.GroupMembers(ctx, p.record.Number, user)
		if err == nil {
			err = s.checkLeaving(ctx, user, rows)
		}
		if err == nil {
			p.leave(rows)
		}
		return err
	})
}

// SetMembers makes a group's members exactly those of a list, in one step. Of
// who is a member already, the role is kept unless another is given. Who is named
// twice is named alike.
func (s *Service) SetMembers(ctx context.Context, id ID, members []Joining, by Cause) (Info, error) {
	return s.change(ctx, id, by, func(ctx context.Context, p *plan) error { return s.planMembers(ctx, p, members) })
}

// MemberChange is what becomes of somebody.
type MemberChange struct {
	Joining

	Remove bool // ends his membership, if there is one; see RemoveMember
}

// ChangeMembers makes people members, or ends memberships, in one step. Each of
// them is named once.
func (s *Service) ChangeMembers(ctx context.Context, id ID, changes []MemberChange, by Cause) (Info, error) {
	return s.change(ctx, id, by, func(ctx context.Context, p *plan) error { return s.planChanges(ctx, p, changes) })
}

// Sync makes members who were added with delay contacts of the others.
func (s *Service) Sync(ctx context.Context, id ID, by Cause) (Info, error) {
	return s.change(ctx, id, by, s.planSync)
}

// AddGroupChat makes a chat of a group, whose members are the group's.
func (s *Service) AddGroupChat(ctx context.Context, id ID, name string, by Cause) (Chat, error) {
	var chat ChatRecord
	_, err := s.change(ctx, id, by, func(ctx context.Context, p *plan) (err error) {
		chat, err = s.planChat(ctx, p, name)
		return err
	})
	return chat.chat(), err
}

// NewChat describes a chat to be.
type NewChat struct {
	ID      string // the local part of its address
	Name    string // "": that of the group, if it becomes the default chat
	Default bool   // becomes the group's default chat
}

// PutGroupChat makes a chat of a group whose address is given, as AddGroupChat
// does. If the group has it already it stays as it is, but for a room that is
// gone: it is made again. What is another group's, or a room that people own,
// is an ErrChatConflict.
func (s *Service) PutGroupChat(ctx context.Context, id ID, chat NewChat, by Cause) (Chat, error) {
	var c ChatRecord
	_, err := s.change(ctx, id, by, func(ctx context.Context, p *plan) (err error) {
		before := len(p.record.Chats)
		if c, err = s.planNewChat(ctx, p, chat); err == nil && chat.Default && len(p.record.Chats) > before {
			c.Default = p.makeDefault(c.JID)
			p.effect.Opened[len(p.effect.Opened)-1].Default = true
		}
		return err
	})
	return c.chat(), err
}

// ChatHost returns the domain of group chats, "" if there are none.
func (s *Service) ChatHost() string {
	if s.opts.Chats == nil {
		return ""
	}
	return s.opts.ChatHost
}

// RemoveGroupChat removes a chat of a group by the local part of its address.
func (s *Service) RemoveGroupChat(ctx context.Context, id ID, chat string, by Cause) error {
	_, err := s.change(ctx, id, by, func(_ context.Context, p *plan) error { return p.removeChat(chat) })
	return err
}

// GroupChats returns a group's chats, and which of them somebody has deleted.
func (s *Service) GroupChats(ctx context.Context, id ID) ([]Chat, error) {
	r, err := s.record(ctx, id)
	if err != nil {
		return nil, err
	}
	chats := make([]Chat, 0, len(r.Chats))
	for i := range r.Chats {
		chat := r.Chats[i].chat()
		if s.serves(chat.JID) {
			state, err := s.opts.Chats.State(ctx, chat.JID, id)
			if err != nil {
				return nil, err
			}
			if chat.Deleted = !state.Exists; state.Name != "" {
				chat.Name = state.Name
			}
		}
		chats = append(chats, chat)
	}
	return chats, nil
}

// EmitMemberEvents fires Hooks.MemberAdded for every member, for whoever has
// lost what it made of that.
func (s *Service) EmitMemberEvents(ctx context.Context, id ID) error {
	r, err := s.record(ctx, id)
	if err != nil {
		return err
	}
	members, err := s.Members(ctx, id)
	if err != nil {
		return err
	}
	info := r.info()
	for i := range members {
		s.fireMember(&s.hooks.MemberAdded, &MemberEvent{Group: id, User: members[i].User, Role: members[i].Role, Info: info, Repeated: true})
	}
	return nil
}
