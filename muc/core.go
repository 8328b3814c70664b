package muc

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/muster-im/muster/internal/settings"
	"github.com/muster-im/muster/stanza"
)

// coreFields are the settings that this package itself acts on. All others
// belong to features.
type coreFields struct {
	name, description, language *Field[string]
	persistent, public          *Field[bool]
	whois                       *Field[string]
	maxUsers                    *Field[int]
	multiSession                *Field[bool]
}

// Variables of the configuration form that this package owns (XEP-0045
// §15.5.3, and those of MongooseIM where the XEP has none).
const (
	FieldName         = "muc#roomconfig_roomname"
	FieldDescription  = "muc#roomconfig_roomdesc"
	FieldLanguage     = "muc#roomconfig_lang"
	FieldPersistent   = "muc#roomconfig_persistentroom"
	FieldPublic       = "muc#roomconfig_publicroom"
	FieldWhois        = "muc#roomconfig_whois"
	FieldMaxUsers     = "muc#roomconfig_maxusers"
	FieldMultiSession = "muc#roomconfig_allowmultisessions"
)

// Variables of settings that the built-in features own, for Configure and Set.
const (
	FieldMembersOnly       = "muc#roomconfig_membersonly"
	FieldPassword          = "muc#roomconfig_roomsecret" //nolint:gosec // the name of a field
	FieldPasswordProtected = "muc#roomconfig_passwordprotectedroom"
	FieldAllowInvites      = "muc#roomconfig_allowinvites"
	FieldModerated         = "muc#roomconfig_moderatedroom"
	FieldChangeSubject     = "muc#roomconfig_changesubject"
	FieldPrivateMessages   = "muc#roomconfig_allowpm"
	FieldPresenceBroadcast = "muc#roomconfig_presencebroadcast"
	FieldHistoryLength     = "muc#roomconfig_historylength"
	FieldArchiving         = "muc#roomconfig_enablelogging" // enablearchiving where rooms are logged, too
	FieldRegistration      = "allow_unaffiliated_register"
	FieldHats              = "enable_hats"
)

func addCoreFields(h *Hooks, o *Options) coreFields {
	f := coreFields{
		name:        NewTextField(h, FieldSpec{Var: FieldName, Section: SectionRoom, Order: 10, Label: "Name", Check: atMost(o.MaxName, ReasonMaxRoomName)}, ""),
		description: NewTextField(h, FieldSpec{Var: FieldDescription, Section: SectionRoom, Order: 20, Label: "Description", Check: atMost(o.MaxDesc, ReasonMaxRoomDesc)}, ""),
		language:    NewTextField(h, FieldSpec{Var: FieldLanguage, Section: SectionRoom, Order: 30, Label: "Language of the conversation (like en or de)", Max: 35}, ""),
		persistent: NewBoolField(h, FieldSpec{
			Var: FieldPersistent, Section: SectionRoom, Order: 40, Label: "Keep the room when everybody has left",
			Allowed: func(_ *Room, actor Actor) bool { return actor.system || o.MayPersist == nil || o.MayPersist(actor.jid) },
		}, false),
		public: NewBoolField(h, FieldSpec{Var: FieldPublic, Section: SectionRoom, Order: 50, Label: "List the room publicly"}, true),
		whois: NewChoiceField(h, FieldSpec{
			Var: FieldWhois, Section: SectionPermissions, Order: 10, Label: "Who may see real addresses",
			Choices: []stanza.Option{{Label: "Moderators", Value: "moderators"}, {Label: "Everybody", Value: "anyone"}},
			Announce: func(r *Room) int {
				if r.NonAnonymous() {
					return StatusNonAnonymous
				}
				return StatusSemiAnonymous
			},
			Alias: Alias{Var: "anonymous", True: "moderators", False: "anyone"},
		}, "moderators"),
		multiSession: NewBoolField(h, FieldSpec{
			Var: FieldMultiSession, Section: SectionAccess, Order: 50, Label: "One person may enter under one nickname with several clients",
		}, true),
	}
	f.maxUsers = addMaxUsers(h, o)
	for _, address := range []struct {
		variable, label string
		affiliation     Affiliation
		lower           Affiliation
	}{
		{"muc#roomconfig_roomowners", "Owners", Owner, Admin},
		{"muc#roomconfig_roomadmins", "Admins", Admin, Member},
	} {
		AddComputed(h, FieldSpec{Var: address.variable, Section: SectionPermissions, Order: 90, Label: address.label},
			stanza.FieldJIDMulti, affiliationList(address.affiliation, address.lower))
	}
	return f
}

// atMost refuses texts of more bytes; 0 is no limit, less than that allows none.
func atMost(limit int, reason string) func(values []string) error {
	if limit == 0 {
		return nil
	}
	return func(values []string) error {
		if n := len(strings.Join(values, "\n")); n > max(limit, 0) {
			return stanza.NewError(stanza.Modify, stanza.NotAcceptable, fmt.Sprintf("at most %d bytes, got %d", max(limit, 0), n)).Because(reason)
		}
		return nil
	}
}

// addMaxUsers adds the limit of occupants: a number up to the service's, or
// "none" for the service's.
func addMaxUsers(h *Hooks, o *Options) *Field[int] {
	spec := FieldSpec{Var: FieldMaxUsers, Section: SectionAccess, Order: 40, Label: "Most occupants", Max: o.MaxUsers}
	for _, n := range []int{5, 10, 20, 30, 50, 100, 200, 500, 1000, 2000, 5000} {
		if n < o.MaxUsers {
			spec.Choices = append(spec.Choices, stanza.Option{Label: strconv.Itoa(n), Value: strconv.Itoa(n)})
		}
	}
	most := strconv.Itoa(o.MaxUsers)
	spec.Choices = append(spec.Choices, stanza.Option{Label: most, Value: most})
	spec.Check = func(values []string) error { // of what was set when more were allowed, so many remain
		if n, err := strconv.Atoi(strings.Join(values, "")); err == nil && n > o.MaxUsers {
			return fmt.Errorf("at most %d, got %d", o.MaxUsers, n)
		}
		return nil
	}
	return addField(h, spec, settings.UpTo(o.MaxUsers), o.MaxUsers)
}
