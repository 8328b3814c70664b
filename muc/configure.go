package muc

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/muster-im/muster/stanza"
)

// Settings returns the room's settings by form variable, those of all features
// among them, as they will be once the event at hand takes effect.
func (r *Room) Settings() map[string][]string {
	values := slices.Clone(r.values)
	for i, v := range r.staged.values {
		values[i] = v
	}
	return r.svc.schema.Shown(values)
}

// Configure stages settings by form variable: all, or with an error none that
// takes effect, if the caller returns it. What goes for somebody's form goes for
// them, too: each value is checked, the actor has to be an owner and allowed to
// set it, and BeforeConfigure may refuse. What is refused for one of them is a
// *FieldError. It returns the variables of the settings that differ, in the order
// of the form; lists of affiliations are not among them. They are stored and
// announced together, with one message (XEP-0045 §10.2.1).
func (r *Room) Configure(actor Actor, values map[string][]string) (changed []string, err error) {
	if !actor.system && r.Affiliation(actor.jid) < Owner {
		return nil, stanza.NewError(stanza.Auth, stanza.Forbidden, "Only owners may configure the room.").Because(ReasonRank)
	}
	form := stanza.NewForm(stanza.FormSubmit, roomConfig)
	for _, variable := range slices.Sorted(maps.Keys(values)) {
		if !r.svc.hasSetting(variable) {
			return nil, stanza.NewError(stanza.Modify, stanza.NotAcceptable, fmt.Sprintf("No feature of this service has a setting %q.", variable))
		}
		form.Add(stanza.Field{Var: variable, Values: values[variable]})
	}
	before := r.Settings()
	if err := r.decideForm(actor, form, &request{detached: true}); err != nil {
		return nil, err
	}
	for _, f := range r.svc.formOrder {
		old, ok := before[f.Var]
		if ok && !slices.Equal(old, f.Format(r.value(f))) {
			changed = append(changed, f.Var)
		}
	}
	return changed, nil
}

func (s *Service) hasSetting(variable string) bool {
	return slices.ContainsFunc(s.formOrder, func(f *fieldCore) bool { return f.spec.Var == variable && f.spec.Label != "" })
}

// Settings returns the room's settings; see Room.Settings.
func (h *Handle) Settings(ctx context.Context) (values map[string][]string, err error) {
	err = h.Do(ctx, func(r *Room) error {
		values = r.Settings()
		return nil
	})
	return values, err
}

// Configure changes settings; see Room.Configure. When it returns they are in effect,
// and stored if the room is.
func (h *Handle) Configure(ctx context.Context, actor Actor, values map[string][]string) (changed []string, err error) {
	err = h.Do(ctx, func(r *Room) (err error) {
		changed, err = r.Configure(actor, values)
		return err
	})
	if err != nil {
		return nil, err
	}
	return changed, nil
}

// Set changes one setting, as Configure does, and reports whether it differs.
func (h *Handle) Set(ctx context.Context, actor Actor, variable string, values ...string) (changed bool, err error) {
	list, err := h.Configure(ctx, actor, map[string][]string{variable: values})
	return len(list) > 0, err
}

// SetSubject changes the subject line as if the actor's client had done it, and
// reports whether it differs. The system sets it for the room itself.
func (h *Handle) SetSubject(ctx context.Context, actor Actor, text string) (changed bool, err error) {
	info, err := h.Info(ctx)
	if err != nil || info.Subject.Text == text && len(info.Subject.More) == 0 {
		return false, err
	}
	st := stanza.Stanza{Type: stanza.TypeGroupchat}.With(stanza.NewElement(stanza.NSClient, "subject").AddText(text))
	_, err = h.Send(ctx, actor, st)
	return err == nil, err
}
