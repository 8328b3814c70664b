package muc_test

import (
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/muster-im/muster/jid"
	"github.com/muster-im/muster/muc"
	"github.com/muster-im/muster/stanza"
)

// TestEverySetting changes each property of rooms through a handle, twice.
func TestEverySetting(t *testing.T) {
	settings := map[string]struct {
		value []string
		code  string // that announces it
	}{
		muc.FieldName:        {[]string{"Witches ☕"}, "104"},
		muc.FieldDescription: {[]string{"A dark cave"}, "104"},
		muc.FieldLanguage:    {[]string{"sv"}, "104"},
		muc.FieldPersistent:  {[]string{"1"}, "104"},
		muc.FieldPublic:      {[]string{"0"}, "104"},
		muc.FieldWhois:       {[]string{"anyone"}, "172"},
		muc.FieldMaxUsers:    {[]string{"50"}, "104"},

		muc.FieldChangeSubject:     {[]string{"0"}, "104"},
		muc.FieldModerated:         {[]string{"1"}, "104"},
		muc.FieldMembersOnly:       {[]string{"1"}, "104"},
		muc.FieldPassword:          {[]string{"cauldronburn"}, "104"},
		muc.FieldAllowInvites:      {[]string{"0"}, "104"},
		muc.FieldHistoryLength:     {[]string{"7"}, "104"},
		muc.FieldPresenceBroadcast: {[]string{"moderator"}, "104"},
		muc.FieldPrivateMessages:   {[]string{"moderators"}, "104"},
		muc.FieldArchiving:         {[]string{"0"}, "171"},
		muc.FieldRegistration:      {[]string{"everybody"}, "104"},
		muc.FieldHats:              {[]string{"0"}, "104"},
	}
	for variable, test := range settings {
		t.Run(variable, func(t *testing.T) {
			run(t, muc.Options{}, func(w *world) {
				w.send(enter("anna"))
				w.send(accept)
				w.take("anna@test/r")
				t := w.t
				h, err := w.Room(w.t.Context(), jid.MustParse("coven@conf.test"))
				if err != nil {
					t.Fatal(err)
				}
				before, err := h.Settings(w.t.Context())
				if err != nil || before[variable] == nil {
					t.Fatalf("values %v, %v: no %s", before, err, variable)
				}
				values := map[string][]string{variable: test.value}
				changed, err := h.Configure(w.t.Context(), muc.System, values)
				if err != nil || !slices.Contains(changed, variable) {
					t.Fatalf("changed %v, %v, want %s", changed, err, variable)
				}
				after, err := h.Settings(w.t.Context())
				if err != nil || !slices.Equal(after[variable], test.value) {
					t.Errorf("is %v, %v, want %v", after[variable], err, test.value)
				}
				w.expect("anna@test/r", "<status code='"+test.code+"'/>")
				if changed, err = h.Configure(w.t.Context(), muc.System, values); err != nil || len(changed) > 0 {
					t.Errorf("the same again: changed %v, %v, want nothing", changed, err)
				}
				w.expectNothing("anna@test/r")
			})
		})
	}
}

func TestConfigureIsAtomic(t *testing.T) {
	anna, bert := muc.By(jid.MustParse("anna@test/r")), muc.By(jid.MustParse("bert@test/r"))
	tests := []struct {
		name   string
		actor  muc.Actor
		values map[string][]string
		says   string
	}{
		{"a value that is none", anna, map[string][]string{muc.FieldPublic: {"perhaps"}}, muc.FieldPublic},
		{"a setting that is none", anna, map[string][]string{"weather": {"fine"}}, "weather"},
		{"too many values", muc.System, map[string][]string{muc.FieldWhois: {"anyone", "moderators"}}, muc.FieldWhois},
		{"somebody else", bert, nil, "owners"},
		{"nobody", muc.Actor{}, nil, "owners"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			run(t, muc.Options{}, func(w *world) {
				w.send(enter("anna"))
				w.send(accept)
				w.send(enter("bert"))
				w.take("anna@test/r")
				t := w.t
				h, err := w.Room(w.t.Context(), jid.MustParse("coven@conf.test"))
				if err != nil {
					t.Fatal(err)
				}
				values := map[string][]string{muc.FieldName: {"Another"}, muc.FieldLanguage: {"de"}}
				maps.Copy(values, test.values)
				changed, err := h.Configure(w.t.Context(), test.actor, values)
				var refused *stanza.Error
				if !errors.As(err, &refused) || !strings.Contains(err.Error(), test.says) || changed != nil {
					t.Errorf("changed %v, %v, want an error about %s", changed, err, test.says)
				}
				info, err := h.Info(w.t.Context())
				if err != nil || info.Name != "" {
					t.Errorf("name is %q, %v, want none", info.Name, err)
				}
				w.expectNothing("anna@test/r")
			})
		})
	}
}
