package groups

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/muster-im/muster/internal/shared"
	"github.com/muster-im/muster/jid"
)

// plan is a change of a group that is being decided.
type plan struct {
	by     Cause
	past   bool // a deleted group may be changed
	before Record
	record Record // as it becomes
	stored StoredChange
	effect effect
	task   []byte // effect as it is stored; nil: none

	changed bool // there is something to store
	refresh bool // contact lists are to be brought up to the group in any case
	rows    map[jid.JID][]MemberRecord
}

// seal completes what is stored.
func (p *plan) seal() ([]byte, error) {
	p.changed = true
	p.effect.Actor, p.effect.Info = p.by.Actor, p.record.info()
	p.stored.Group, p.stored.Expected = p.record, p.record.Revision
	if p.effect.isNothing() {
		return nil, nil
	}
	for _, c := range p.effect.Opened {
		p.stored.Open = append(p.stored.Open, c.JID)
	}
	task, err := encodeEffect(&p.effect)
	p.stored.Task = task
	return task, err
}

// put stores rows of somebody, whose rows all are.
func (p *plan) put(all []MemberRecord, row *MemberRecord) {
	p.stored.Put = append(p.stored.Put, *row)
	p.note(row.User, all)
}

// drop removes a row of somebody; rest are the others.
func (p *plan) drop(row *MemberRecord, rest []MemberRecord) {
	p.stored.Drop = append(p.stored.Drop, *row)
	p.note(row.User, rest)
}

func (p *plan) note(user jid.JID, rows []MemberRecord) {
	if p.rows == nil {
		p.rows = make(map[jid.JID][]MemberRecord)
	}
	p.rows[user] = rows
	p.changed = true
}

// last returns people with those last whom the change is about.
func (p *plan) last(people []jid.JID) []jid.JID {
	var others, about []jid.JID
	for _, j := range people {
		if _, ok := p.rows[j]; ok {
			about = append(about, j)
			continue
		}
		others = append(others, j)
	}
	return append(others, about...)
}

// entries returns what contact lists need of the rows that are different.
func (p *plan) entries() (list []shared.Entry) {
	for user, rows := range p.rows {
		rows = slices.Clone(rows)
		for i := range rows {
			rows[i].resolve(p.record.Revision)
		}
		if e := entries(spans(rows)); len(e) > 0 {
			list = append(list, e[0])
		} else {
			list = append(list, shared.Entry{JID: user})
		}
	}
	return list
}

func (p *plan) setInfo(u Update) error {
	if u.Name != nil {
		name, err := checkName(*u.Name, maxName)
		if err != nil {
			return err
		}
		p.rename(name)
	}
	if u.Contract != nil && *u.Contract != p.record.Contract {
		if err := checkContract(*u.Contract); err != nil {
			return err
		}
		p.record.Contract, p.changed = *u.Contract, true
		p.stored.DropPast = p.record.Contract == Overlay
	}
	if u.MUCJID != nil {
		if !p.makeDefault(*u.MUCJID) {
			return fmt.Errorf("%w: %s", ErrChatNotFound, *u.MUCJID)
		}
		p.renameChat(*u.MUCJID)
	}
	return nil
}

// rename gives the group a name, and the default chat if it had the group's.
func (p *plan) rename(name string) {
	old := p.record.Name
	if name == old {
		return
	}
	p.record.Name, p.changed = name, true
	p.effect.OldName = old
	for i := range p.record.Chats {
		if c := &p.record.Chats[i]; c.Default && c.Name == old {
			p.renameChat(c.JID)
		}
	}
}

// renameChat gives a chat the group's name.
func (p *plan) renameChat(room jid.JID) {
	for i := range p.record.Chats {
		if c := &p.record.Chats[i]; c.JID == room && c.Name != p.record.Name {
			c.Name, p.changed = p.record.Name, true
			p.effect.Renamed = append(p.effect.Renamed, *c)
		}
	}
}

// makeDefault makes one of the chats the default one, and reports whether it is
// one of them.
func (p *plan) makeDefault(room jid.JID) bool {
	i := slices.IndexFunc(p.record.Chats, func(c ChatRecord) bool { return c.JID == room })
	if i < 0 {
		return false
	}
	for k := range p.record.Chats {
		if c := &p.record.Chats[k]; c.Default != (k == i) {
			c.Default, p.changed = k == i, true
		}
	}
	return true
}

// planChat adds a chat with an address of its own. Where those must be short, one
// may be taken.
func (s *Service) planChat(ctx context.Context, p *plan, name string) (c ChatRecord, err error) {
	for range attempts {
		id := strings.ToLower(rand.Text()[:chatIDSize])
		if most := s.opts.MaxChatID; most > 0 {
			id = id[:min(most, len(id))]
		}
		if c, err = s.planNewChat(ctx, p, NewChat{ID: id, Name: name}); !errors.Is(err, ErrChatConflict) {
			break
		}
	}
	return c, err
}

// chatIDSize is the length of an address that nobody has given.
const chatIDSize = 16

// planNewChat adds a chat, unless the group has it.
func (s *Service) planNewChat(ctx context.Context, p *plan, chat NewChat) (ChatRecord, error) {
	name := chat.Name
	if name == "" && chat.Default {
		name = p.record.Name
	}
	name, err := s.checkName(name)
	if err != nil {
		return ChatRecord{}, err
	}
	if s.opts.Chats == nil || s.opts.ChatHost == "" {
		return ChatRecord{}, ErrNoChatHost
	}
	room, err := s.chatAddress(chat.ID)
	if err != nil {
		return ChatRecord{}, err
	}
	state, err := s.opts.Chats.State(ctx, room, p.record.ID)
	if err != nil {
		return ChatRecord{}, err
	}
	known := p.record.chat(room)
	switch {
	case known != nil && state.Exists:
		return *known, nil
	case state.Foreign:
		return ChatRecord{}, fmt.Errorf("%w: %s", ErrChatConflict, room)
	}
	c := ChatRecord{JID: room, Name: name}
	if known == nil {
		p.record.Chats = append(p.record.Chats, c)
	} else {
		c = *known // its room is gone
	}
	p.effect.Opened = append(p.effect.Opened, c)
	p.changed = true
	return c, nil
}

// chatAddress is the address of a chat by what stands before the @.
func (s *Service) chatAddress(local string) (jid.JID, error) {
	room, err := jid.New(local, s.opts.ChatHost, "")
	if err != nil || local == "" {
		return room, fmt.Errorf("%w: %q is no name of a room", ErrInvalid, local)
	}
	if most := s.opts.MaxChatID; most > 0 && len(room.Local()) > most {
		return room, fmt.Errorf("%w: the name of a room has at most %d bytes there, %q has %d", ErrInvalid, most, room.Local(), len(room.Local()))
	}
	return room, nil
}

// removeChat removes a chat by the local part of its address.
func (p *plan) removeChat(local string) error {
	i := slices.IndexFunc(p.record.Chats, func(c ChatRecord) bool { return c.JID.Local() == local })
	if i < 0 {
		return fmt.Errorf("%w: %s", ErrChatNotFound, local)
	}
	p.effect.Closed = append(p.effect.Closed, p.record.Chats[i])
	p.record.Chats = slices.Delete(p.record.Chats, i, i+1)
	p.changed = true
	return nil
}

func (s *Service) planJoining(ctx context.Context, p *plan, j Joining) error {
	if err := s.checkJoining(ctx, &j); err != nil {
		return err
	}
	rows, err := s.opts.Store.GroupMembers(ctx, p.record.Number, j.User)
	if err == nil {
		p.join(rows, &j)
	}
	return err
}

// join makes somebody, whose rows are these, a member.
func (p *plan) join(rows []MemberRecord, j *Joining) {
	m := current(rows)
	if m == nil {
		row := MemberRecord{User: j.User, Role: j.Role, Entered: This, Joined: This, Since: time.Now()}
		if row.Role == "" {
			row.Role = RoleMember
		}
		if j.Delayed {
			row.Joined = 0
		}
		p.effect.Added = append(p.effect.Added, memberEffect{row.User, row.Role})
		p.stored.Newcomers = append(p.stored.Newcomers, row.User)
		p.put(append(rows, row), &row)
		return
	}
	before := *m
	if j.Role != "" && j.Role != m.Role {
		m.Role = j.Role
		p.effect.Changed = append(p.effect.Changed, memberEffect{m.User, m.Role})
	}
	if m.Joined == 0 && !j.Delayed {
		m.Joined = This
	}
	if *m != before {
		p.put(rows, m)
	}
}

// leave ends the membership of somebody, whose rows these are. What has been is
// kept only where it means something.
func (p *plan) leave(rows []MemberRecord) {
	m := current(rows)
	if m == nil {
		return
	}
	p.effect.Removed = append(p.effect.Removed, memberEffect{m.User, m.Role})
	if m.Joined == 0 || p.record.Contract == Overlay {
		row := *m
		p.drop(&row, slices.DeleteFunc(rows, func(r MemberRecord) bool { return r == row }))
		return
	}
	m.Left = This
	p.put(rows, m)
}

// erase removes all that somebody has been.
func (p *plan) erase(user jid.JID, rows []MemberRecord) {
	if m := current(rows); m != nil {
		p.effect.Removed = append(p.effect.Removed, memberEffect{m.User, m.Role})
	}
	for i := range rows {
		p.drop(&rows[i], nil)
	}
	if len(rows) > 0 {
		p.note(user, nil)
	}
}

func (s *Service) planMembers(ctx context.Context, p *plan, members []Joining) error {
	first := make(map[jid.JID]Joining, len(members))
	err := checkEach(members, func(j *Joining) error {
		if err := s.checkJoining(ctx, j); err != nil {
			return err
		}
		if was, ok := first[j.User]; ok && was != *j {
			return fmt.Errorf("%w: %s is named twice, differently", ErrInvalid, j.User)
		}
		first[j.User] = *j
		return nil
	})
	if err != nil {
		return err
	}
	all, err := s.opts.Store.GroupMembers(ctx, p.record.Number, jid.JID{})
	if err != nil {
		return err
	}
	rows := byUser(all)
	stay := make(map[jid.JID]bool, len(members))
	for i := range members {
		if user := members[i].User; !stay[user] {
			stay[user] = true
			p.join(rows[user], &members[i])
		}
	}
	for i := range all {
		if user := all[i].User; all[i].Left == 0 && !stay[user] {
			p.leave(rows[user])
		}
	}
	return nil
}

// checkEach names every item that is at fault. A store in trouble is no fault of
// theirs.
func checkEach[T any](list []T, check func(*T) error) error {
	var errs []error
	for i := range list {
		switch err := check(&list[i]); {
		case errors.Is(err, ErrInvalid), errors.Is(err, ErrUserNotFound):
			errs = append(errs, &ItemError{i, err})
		case err != nil:
			return err
		}
	}
	return errors.Join(errs...)
}

func (s *Service) planChanges(ctx context.Context, p *plan, changes []MemberChange) error {
	all, err := s.opts.Store.GroupMembers(ctx, p.record.Number, jid.JID{})
	if err != nil {
		return err
	}
	rows := byUser(all)
	named := make(map[jid.JID]bool, len(changes))
	err = checkEach(changes, func(c *MemberChange) error {
		twice := named[c.User]
		switch named[c.User] = true; {
		case twice:
			return fmt.Errorf("%w: %s is named twice", ErrInvalid, c.User)
		case c.Remove:
			return s.checkLeaving(ctx, c.User, rows[c.User])
		}
		return s.checkJoining(ctx, &c.Joining)
	})
	if err != nil {
		return err
	}
	for i := range changes {
		if c := &changes[i]; c.Remove {
			p.leave(rows[c.User])
		} else {
			p.join(rows[c.User], &c.Joining)
		}
	}
	return nil
}

func (s *Service) planSync(ctx context.Context, p *plan) error {
	all, err := s.opts.Store.GroupMembers(ctx, p.record.Number, jid.JID{})
	if err != nil {
		return err
	}
	p.refresh = true
	for _, rows := range byUser(all) {
		if m := current(rows); m != nil && m.Joined == 0 {
			m.Joined = This
			p.put(rows, m)
		}
	}
	return nil
}

func (s *Service) planDeletion(ctx context.Context, p *plan) error {
	all, err := s.opts.Store.GroupMembers(ctx, p.record.Number, jid.JID{})
	if err != nil {
		return err
	}
	for user, rows := range byUser(all) {
		if m := current(rows); m != nil {
			p.effect.Removed = append(p.effect.Removed, memberEffect{m.User, m.Role})
			m.Left = This
		}
		if p.record.Contract == Overlay {
			rows = nil
		} else {
			rows = slices.DeleteFunc(rows, func(r MemberRecord) bool { return r.Joined == 0 })
		}
		p.note(user, rows)
	}
	slices.SortFunc(p.effect.Removed, func(a, b memberEffect) int { return strings.Compare(a.User.String(), b.User.String()) })
	p.effect.Closed, p.record.Chats = p.record.Chats, nil
	p.effect.Deleted, p.record.Deleted, p.stored.EndAll, p.changed = true, true, true, true
	return nil
}

func checkPerson(j jid.JID) error {
	if j.Local() == "" || !j.IsBare() {
		return fmt.Errorf("%w: %s is not the address of a person", ErrInvalid, j)
	}
	return nil
}

// checkJoining refuses who cannot be a member.
func (s *Service) checkJoining(ctx context.Context, j *Joining) error {
	if err := checkPerson(j.User); err != nil {
		return err
	}
	switch {
	case !s.opts.Accounts.IsHost(j.User.Domain()):
		return fmt.Errorf("%w: %s has no account on this server", ErrInvalid, j.User)
	case j.Role != "" && !slices.Contains([]Role{RoleMember, RoleAdmin, RoleOwner}, j.Role):
		return fmt.Errorf("%w: %q is not a role: member, admin and owner are", ErrInvalid, j.Role)
	}
	exists, err := s.opts.Accounts.Exists(ctx, j.User)
	if err == nil && !exists {
		err = fmt.Errorf("%w: %s", ErrUserNotFound, j.User)
	}
	return err
}

// checkLeaving refuses who is no member, his rows being these, and cannot be one:
// a slip of the pen must not look like the end of a membership.
func (s *Service) checkLeaving(ctx context.Context, user jid.JID, rows []MemberRecord) error {
	if current(rows) != nil {
		return nil
	}
	return s.checkJoining(ctx, &Joining{User: user})
}

func (s *Service) checkName(name string) (string, error) { return checkName(name, s.opts.MaxName) }

// maxName is the most bytes of a name that clients take for a roster group.
const maxName = 1023

// checkName returns a name without space around it.
func checkName(name string, most int) (string, error) {
	name = strings.TrimSpace(name)
	switch {
	case !strings.ContainsFunc(name, leavesInk):
		return "", ErrNameRequired
	case len(name) > most:
		return "", fmt.Errorf("%w: the name is longer than %d bytes", ErrInvalid, most)
	case !utf8.ValidString(name) || strings.ContainsFunc(name, breaks):
		return "", fmt.Errorf("%w: the name has characters that cannot be shown", ErrInvalid)
	}
	return name, nil
}

// leavesInk reports whether a character can be seen.
func leavesInk(r rune) bool {
	const brailleBlank = '\u2800'
	return r != brailleBlank && !unicode.In(r, unicode.Z, unicode.Cc, unicode.Cf, unicode.Other_Default_Ignorable_Code_Point, unicode.Variation_Selector)
}

// breaks reports whether a character has no place within a line.
func breaks(r rune) bool { return unicode.IsControl(r) || unicode.In(r, unicode.Zl, unicode.Zp) }

func checkID(id ID) error {
	const most = 128
	bad := strings.ContainsFunc(string(id), func(r rune) bool {
		return unicode.IsControl(r) || unicode.IsSpace(r) || strings.ContainsRune(`/?#%\`, r) || r == utf8.RuneError
	})
	if bad || len(id) > most || id == "." || id == ".." {
		return fmt.Errorf("%w: an id has at most %d bytes and no space or any of /?#%%\\", ErrInvalid, most)
	}
	return nil
}

func checkContract(c Contract) error {
	if c != Permanent && c != Overlay {
		return fmt.Errorf("%w: %q is not a contract: permanent and overlay are", ErrInvalid, c)
	}
	return nil
}
