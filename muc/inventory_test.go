package muc_test

import (
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/muster-im/muster/jid"
	"github.com/muster-im/muster/muc"
	"github.com/muster-im/muster/stanza"
)

// inventory are the functions and events of Prosody's room API, for developers of
// modules and beneath.
const inventory = `
create_room track_room forget_room delete_room get_room_from_jid live_rooms all_rooms each_room shutdown_component new_room room_mt restore_room
get_name set_name get_description set_description get_language set_language get_subject set_subject get_changesubject set_changesubject
get_moderated set_moderated get_members_only set_members_only get_allow_member_invites set_allow_member_invites get_password set_password
get_hidden set_hidden get_public set_public get_persistent set_persistent get_whois set_whois get_historylength set_historylength
get_presence_broadcast set_presence_broadcast get_valid_broadcast_roles get_allow_pm set_allow_pm get_allow_modpm set_allow_modpm
get_salt get_occupant_id get_registered_nick get_registered_jid
has_occupant each_occupant get_occupant_jid get_occupant_by_nick get_occupant_by_real_jid new_occupant save_occupant route_to_occupant is_anonymous_for
set_session remove_session each_session choose_new_primary get_presence
get_affiliation each_affiliation get_affiliation_data set_affiliation_data set_affiliation get_default_role get_role may_set_role set_role
handle_first_presence handle_normal_presence handle_presence_to_occupant handle_presence_to_room handle_message_to_room handle_groupchat_to_room
handle_message_to_occupant handle_iq_to_occupant handle_mediated_invite handle_mediated_decline handle_role_request handle_register_iq
handle_admin_query_set_command handle_admin_query_get_command handle_owner_query_get_to_room handle_owner_query_set_to_room
handle_disco_info_get_query handle_disco_items_get_query handle_kickable
route_stanza broadcast broadcast_message publicise_occupant_status send_occupant_list send_history send_subject respond_to_probe
build_unavailable_presence build_item_list send_form get_form_layout process_form get_disco_info get_disco_items freeze save clear destroy
muc-room-pre-create muc-room-created muc-room-pre-restore muc-room-restored muc-room-locked muc-room-unlocked muc-pre-room-destroy muc-room-destroyed
muc-occupant-pre-join muc-occupant-pre-change muc-occupant-pre-leave muc-occupant-joined muc-occupant-session-new muc-occupant-left muc-occupant-groupchat
muc-broadcast-message muc-message-is-historic muc-add-history muc-get-history muc-private-message muc-build-occupant-presence muc-broadcast-presence
muc-get-default-role muc-pre-set-affiliation muc-set-affiliation muc-set-affiliation-data/KEY muc-pre-set-role muc-config-form muc-config-submitted
muc-config-submitted/VAR muc-disco#info muc-disco#info/NODE muc-pre-invite muc-pre-decline muc-invite muc-decline muc-registration-submitted
muc-voice-request muc-voice-response muc-registration-field add_filtered_namespace only_with_min_role event.changed`

// TestInventory: each of the names has its row in docs/extending-names.md.
func TestInventory(t *testing.T) {
	text, err := os.ReadFile("../docs/extending-names.md")
	if err != nil {
		t.Fatal(err)
	}
	named := make(map[string]bool)
	for line := range strings.Lines(string(text)) {
		if !strings.HasPrefix(line, "| ") {
			continue
		}
		first, _, _ := strings.Cut(line[2:], " |")
		for _, name := range quoted(first) {
			name, _, _ = strings.Cut(name, "(")
			named[strings.TrimPrefix(name, "room:")] = true
			named[name] = true
		}
	}
	for name := range strings.FieldsSeq(inventory) {
		if !named[name] {
			t.Errorf("%s has no row", name)
		}
	}
}

// TestFormByCode: the form as somebody may see it, and what he submits.
func TestFormByCode(t *testing.T) {
	run(t, muc.Options{MayPersist: func(jid.JID) bool { return false }}, func(w *world) {
		w.open("ben")
		owner := muc.By(jid.MustParse("anna@test/r"))
		w.inside(func(r *muc.Room) error {
			form, all := r.Form(owner), r.Form(muc.System)
			if form.Field(muc.FieldName) == nil || form.Field(muc.FieldPersistent) != nil || all.Field(muc.FieldPersistent) == nil {
				t.Error("owners see what they may set, the system everything")
			}
			if choices := all.Field(muc.FieldPresenceBroadcast).Options; len(choices) < 3 {
				t.Errorf("roles whose presence is told are %v", choices)
			}
			_, err := r.Configure(owner, map[string][]string{muc.FieldName: {"Witches"}})
			return err
		})
		w.expect("ben@test/r", "<status code='104'/>")
	})
}

// TestFieldCheck: a field refuses by itself, and then nothing of the form counts.
func TestFieldCheck(t *testing.T) {
	changed := 0
	x := extension(func(h *muc.Hooks) {
		motto := muc.NewTextField(h, muc.FieldSpec{Var: "x-motto", Label: "Motto", Check: func(values []string) error {
			if strings.HasSuffix(values[0], "!") {
				return errors.New("do not shout")
			}
			return nil
		}}, "")
		h.Configured.Add("motto", 0, func(ev *muc.ConfiguredEvent) {
			if ev.Changed(motto.Key()) {
				changed++
			}
		})
	})
	run(t, muc.Options{Extensions: []muc.Extension{x}}, func(w *world) {
		w.open()
		h, ctx := w.coven(), w.t.Context()
		owner := muc.By(jid.MustParse("anna@test/r"))
		_, err := h.Configure(ctx, owner, map[string][]string{"x-motto": {"Double!"}, muc.FieldName: {"Witches"}})
		if field, ok := errors.AsType[*muc.FieldError](err); !ok || field.Var != "x-motto" || field.Text != "do not shout" {
			t.Errorf("got %v, want what Check says", err)
		}
		if info, err := h.Info(ctx); err != nil || info.Name != "" || changed != 0 {
			t.Errorf("called %q, %v, after %d changes", info.Name, err, changed)
		}
		if _, err := h.Set(ctx, owner, "x-motto", "Double"); err != nil || changed != 1 {
			t.Errorf("set: %v, %d changes", err, changed)
		}
	})
}

// TestPresenceByCode: what the room shows of somebody may be less than he says,
// and code may put him out.
func TestPresenceByCode(t *testing.T) {
	x := extension(func(h *muc.Hooks) {
		h.BuildPresence.Add("terse", 0, func(ev *muc.BuildPresenceEvent) {
			ev.Omit(stanza.Name{Space: stanza.NSClient, Local: "status"})
			ev.Add(stanza.NewElement("urn:terse", "terse"))
		})
	})
	run(t, muc.Options{Extensions: []muc.Extension{x}}, func(w *world) {
		w.open("ben")
		w.Handle(parsed(t, "<presence from='ben@test/r' to='coven@conf.test/ben'><show>away</show><status>lunch, at last</status></presence>"))
		got := strings.Join(w.take("anna@test/r"), "\n")
		if !strings.Contains(got, "<show>away</show>") || strings.Contains(got, "lunch") || !strings.Contains(got, "urn:terse") {
			t.Errorf("anna sees %s", got)
		}
		w.inside(func(r *muc.Room) error {
			r.RemoveOccupant(r.Occupant("ben"), 307, muc.System, "Lunch is over.")
			return nil
		})
		w.expect("anna@test/r", "type='unavailable'", "<status code='307'/>", "Lunch is over.")
		w.expect("ben@test/r", "<status code='110'/>", "<status code='307'/>")
	})
}
