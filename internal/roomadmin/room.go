package roomadmin

import (
	"context"
	"errors"
	"log/slog"
	"slices"

	"github.com/muster-im/muster/jid"
	"github.com/muster-im/muster/muc"
	"github.com/muster-im/muster/stanza"
)

// Show returns a room with its settings. A sleeping one goes on sleeping, unless
// somebody is named who wants to see it: the settings are the owners' alone, and
// others get none.
func (a *Admin) Show(ctx context.Context, room, as jid.JID) (d Details, err error) {
	defer func() { err = a.finish("show", room, err) }()
	s, err := a.at(room)
	if err != nil {
		return d, err
	}
	v, err := s.View(ctx, room)
	if err != nil {
		return d, err
	}
	d = Details{
		Room: Room{
			JID: v.JID, Title: v.Name, Public: v.Public, Persistent: v.Persistent, Awake: v.Awake,
			Occupants: v.Occupants, Created: v.Created,
		},
		Locked: v.Locked, Config: config(settings(s), v.Settings),
	}
	if !v.Subject.Time.IsZero() {
		d.Subject = &Subject{Text: v.Subject.Text, Nick: v.Subject.Author.Resource(), Time: v.Subject.Time}
	}
	if as.IsZero() {
		return d, nil
	}
	err = a.do(ctx, room, func(r *muc.Room) error {
		rank := r.Affiliation(as)
		if !r.Public() && (rank < muc.Member && r.Session(inside(r, as)) == nil) {
			return muc.ErrNoRoom
		}
		if rank < muc.Owner {
			d.Config = nil
		}
		if !r.MayRead(inside(r, as)) {
			d.Subject = nil
		}
		return nil
	})
	return d, err
}

// Config returns the settings of a room.
func (a *Admin) Config(ctx context.Context, room, as jid.JID) (Config, error) {
	d, err := a.Show(ctx, room, as)
	if err == nil && d.Config == nil {
		err = fail(Forbidden, "%s does not own %s", as, room)
	}
	return d.Config, err
}

// Create makes a room as it is wanted before anybody can enter it. It is
// persistent: one that is not would end at once, since nobody is in it.
func (a *Admin) Create(ctx context.Context, n NewRoom) (err error) {
	defer func() { err = a.finish("create", n.JID, err) }()
	s, err := a.at(n.JID)
	if err != nil {
		return err
	}
	if persistent, told := n.Config["persistent"]; told && persistent == false {
		return invalid("persistent", "a room that nobody is in ends at once unless it is persistent")
	}
	people, err := a.newPeople(ctx, &n)
	if err != nil {
		return err
	}
	list := settings(s)
	h, err := s.CreateRoom(ctx, n.JID, func(r *muc.Room) error {
		f, err := form(list, r.Settings(), with(n.Config, "persistent", true))
		if err != nil {
			return err
		}
		if _, err := r.Configure(muc.System, f); err != nil {
			return err
		}
		for i := range people {
			if err := a.set(&people[i], r, muc.System); err != nil {
				return err
			}
		}
		if n.Subject != "" {
			r.SetSubject(muc.Subject{Text: n.Subject, Author: r.JID(), Time: r.Created()}, "")
		}
		return nil
	})
	if err != nil {
		return err
	}
	a.note(ctx, "room created", h.JID(), n.Owner)
	return nil
}

// newPeople are the affiliations of a room that is to be created.
func (a *Admin) newPeople(ctx context.Context, n *NewRoom) ([]change, error) {
	list, err := changes(n.Affiliations)
	if err != nil || n.Owner.IsZero() {
		return list, err
	}
	switch ok, err := a.Exists(ctx, n.Owner.Bare()); {
	case err != nil:
		return nil, err
	case !ok || n.Owner.Local() == "":
		return nil, invalid("owner", "there is no account %s", n.Owner)
	}
	owner := change{Affiliation: Affiliation{JID: n.Owner, Affiliation: muc.Owner.String()}, to: muc.Owner}
	return append([]change{owner}, list...), nil
}

// Configure changes settings: all that are given or, if one is wrong, none. It
// returns the settings as they are then.
func (a *Admin) Configure(ctx context.Context, room, as jid.JID, c Config) (now Config, err error) {
	defer func() { err = a.finish("configure", room, err) }()
	s, err := a.at(room)
	if err != nil {
		return nil, err
	}
	list := settings(s)
	err = a.do(ctx, room, func(r *muc.Room) error {
		if err := mustOwn(r, as); err != nil {
			return err
		}
		f, err := form(list, shown(r, as), c)
		if err != nil {
			return err
		}
		if _, err := r.Configure(actor(as), f); err != nil {
			return err
		}
		now = config(list, r.Settings())
		return nil
	})
	if err != nil {
		return nil, err
	}
	keys := make([]string, 0, len(c))
	for k := range c {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	a.note(ctx, "room configured", room, as, slog.Any("settings", keys))
	return now, nil
}

// shown are the settings that somebody may see and set.
func shown(r *muc.Room, as jid.JID) map[string][]string {
	all := r.Settings()
	if as.IsZero() {
		return all
	}
	f := r.Form(muc.By(as))
	for variable := range all {
		if f.Field(variable) == nil {
			delete(all, variable)
		}
	}
	return all
}

// Ensure creates a room or, if there is one, changes the settings that are given
// and adds the affiliations. It reports whether it has been created.
func (a *Admin) Ensure(ctx context.Context, n NewRoom) (created bool, err error) {
	err = a.Create(ctx, n)
	if e, ok := errors.AsType[*Error](err); !ok || e.Kind != Conflict {
		return err == nil, err
	}
	defer func() { err = a.finish("ensure", n.JID, err) }()
	s, err := a.at(n.JID)
	if err != nil {
		return false, err
	}
	people, err := a.newPeople(ctx, &n)
	if err != nil {
		return false, err
	}
	list := settings(s)
	err = a.do(ctx, n.JID, func(r *muc.Room) error {
		f, err := form(list, r.Settings(), n.Config)
		if err != nil {
			return err
		}
		if _, err := r.Configure(muc.System, f); err != nil {
			return err
		}
		for i := range people {
			if err := a.set(&people[i], r, muc.System); err != nil {
				return err
			}
		}
		if n.Subject == "" || n.Subject == r.Subject().Text {
			return nil
		}
		return r.Post(subjectChange(n.Subject))
	})
	if err == nil {
		a.note(ctx, "room configured", n.JID, jid.JID{})
	}
	return false, err
}

func subjectChange(text string) stanza.Stanza {
	return stanza.Stanza{Kind: stanza.Message, Type: stanza.TypeGroupchat}.
		With(stanza.NewElement(stanza.NSClient, "subject").AddText(text))
}

// Destroy ends a room for good. To destroy one that was destroyed already is no
// error as long as it is known.
func (a *Admin) Destroy(ctx context.Context, room, as jid.JID, d Destruction) (err error) {
	defer func() { err = a.finish("destroy", room, err) }()
	if d.Alternative == room && !room.IsZero() {
		return invalid("alternative", "want another room than the one that ends")
	}
	err = a.do(ctx, room, func(r *muc.Room) error {
		if err := mustOwn(r, as); err != nil {
			return err
		}
		return r.Destroy(actor(as), d.Reason, d.Alternative)
	})
	if errors.Is(err, muc.ErrNoRoom) && as.IsZero() {
		if rec, e := a.Store.Room(ctx, room); e == nil && rec.Tombstone != nil {
			return nil
		}
	}
	if err == nil {
		a.note(ctx, "room destroyed", room, as)
	}
	return err
}
