package roster

import (
	"context"
	"slices"

	"github.com/muster-im/muster/internal/shared"
	"github.com/muster-im/muster/internal/store"
	"github.com/muster-im/muster/jid"
)

// marks say what of groups does not count for a contact, see store.RosterItem.
type marks struct {
	hidden, ended int64
	groups        []string // in which the account has removed him
}

// marksOf returns what an item says of groups.
func marksOf(item *store.RosterItem) marks {
	m := marks{hidden: item.Hidden, ended: item.Ended}
	if item.Hidden != 0 {
		m.groups = item.LeftOut
	}
	return m
}

func (m marks) equal(o marks) bool {
	return m.hidden == o.hidden && m.ended == o.ended && slices.Equal(m.groups, o.groups)
}

// shows reports whether somebody is shown whom the account may have removed: if there
// is a reason that is newer, or a group that was none then.
func (m marks) shows(c *shared.Contact) bool {
	return c.Since >= m.hidden || len(m.groups) > 0 && slices.ContainsFunc(c.Labels, func(l shared.Label) bool {
		return !slices.Contains(m.groups, string(l.Group))
	})
}

// unhide notes that a contact who may have been removed is one again.
func unhide(item *store.RosterItem) {
	if item.Hidden != 0 {
		item.Hidden, item.LeftOut = 0, nil
	}
}

// half is one of the two items that people have for each other.
type half struct {
	owner        jid.JID
	before, item store.RosterItem
}

// endPast ends what times together in groups mean to two people, for good: each
// roster has then of its own what groups have left (RFC 6121 §2.5, §3.2, §3.3 do the
// rest), and nothing looks different. While both are in a group together nothing is
// left yet; if the owner removes the contact, nothing will be. The pair is locked.
func (s *Service) endPast(ctx context.Context, owner, contact jid.JID, removes bool) error {
	if s.opts.Groups == nil || !s.isLocal(contact) || owner == contact {
		return nil
	}
	defer s.lockBoth(owner, contact)()
	c, shown, err := s.sharedContact(ctx, owner, contact)
	left := c.Past != 0 && !c.Together
	if err != nil || !left && !(removes && shown && c.Since != 0) {
		return err
	}
	pair, err := s.halves(ctx, owner, contact)
	if err != nil {
		return err
	}
	for i := range pair {
		item := &pair[i].item
		item.Ended = max(item.Ended, c.Since+1)
		if item.Hidden <= c.Since { // that he is shown must not rest on what has ended
			unhide(item)
		}
		if left {
			both.set(item)
			item.InRoster, item.Approved = true, false
		}
	}
	return s.notePair(ctx, &pair)
}

// addedAgain is takenBack of two who are not locked.
func (s *Service) addedAgain(ctx context.Context, owner, contact jid.JID) {
	defer s.lockPair(owner, contact)()
	s.takenBack(ctx, owner, contact)
}

// takenBack notes that the owner has a contact again whom he had removed. The pair is
// locked.
func (s *Service) takenBack(ctx context.Context, owner, contact jid.JID) {
	if err := s.resume(ctx, owner, contact); err != nil {
		s.logError(ctx, "take a removal back", owner, err)
	}
}

// resume lets the time that two people are together in groups count once it is over,
// if neither has removed the other. The pair is locked.
func (s *Service) resume(ctx context.Context, owner, contact jid.JID) error {
	if !s.isLocal(contact) {
		return nil
	}
	defer s.lockBoth(owner, contact)()
	c, _, err := s.sharedContact(ctx, owner, contact)
	if err != nil || !c.Together || c.Since == 0 {
		return err
	}
	pair, err := s.halves(ctx, owner, contact)
	if err != nil || pair[0].item.Ended <= c.Since || max(pair[0].item.Hidden, pair[1].item.Hidden) > c.Since {
		return err
	}
	for i := range pair {
		pair[i].item.Ended = c.Since
	}
	return s.notePair(ctx, &pair)
}

// halves returns the items of two people for each other. Both are locked.
func (s *Service) halves(ctx context.Context, one, other jid.JID) (pair [2]half, err error) {
	pair[0].owner, pair[1].owner = one, other
	for i := range pair {
		h := &pair[i]
		if h.before, err = s.item(ctx, h.owner, pair[1-i].owner); err != nil {
			return pair, err
		}
		h.item = h.before
	}
	return pair, nil
}

// notePair stores both items at once. The two are locked.
func (s *Service) notePair(ctx context.Context, pair *[2]half) error {
	err := s.opts.Store.NoteRosterPair(ctx, pair[0].item, pair[1].item)
	for i := range pair {
		s.stored(pair[i].owner, &pair[i].before, &pair[i].item, 0, err)
	}
	return err
}
