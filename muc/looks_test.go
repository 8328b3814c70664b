package muc_test

import (
	"errors"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/muster-im/muster/jid"
	"github.com/muster-im/muster/muc"
	"github.com/muster-im/muster/stanza"
)

// TestHatsByCode: who wears which hats is everybody's to see, stays after a change
// of affiliation, and what changes nothing says so.
func TestHatsByCode(t *testing.T) {
	run(t, muc.Options{Store: &cabinet{}}, func(w *world) {
		w.askedWorld()
		w.clear()
		ctx, h, vera := w.t.Context(), w.coven(), jid.MustParse("vera@test")
		host, cook := muc.Hat{URI: "urn:x:host", Title: "Host", Hue: "120"}, muc.Hat{URI: "urn:x:cook", Title: "Cook"}
		set := func(want bool, sees string, hats ...muc.Hat) {
			t.Helper()
			if changed := only[bool](t)(h.SetHats(ctx, muc.By(jid.MustParse("anna@test/r")), vera, hats...)); changed != want {
				t.Errorf("changed %v, want %v", changed, want)
			}
			synctest.Wait()
			got := strings.Join(w.take("anna@test/r"), "")
			if !strings.Contains(got, sees) || sees == "" && strings.Contains(got, "<presence") {
				t.Errorf("anna got %s, want %s", got, sees)
			}
		}
		set(true, "title='Host' uri='urn:x:host' hue='120'", host)
		set(false, "", host)
		set(true, "title='Cook'", host, cook)
		host.Title = "Hostess"
		set(true, "title='Hostess'", host, cook)
		if err := h.SetAffiliation(ctx, muc.System, vera, muc.Member, muc.AffiliationOptions{}); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		w.expect("anna@test/r", "affiliation='member'", "Hostess", "Cook")
		set(true, "<presence")
		set(false, "")
		for name, err := range map[string]error{
			"a visitor may not":    refusalOf(h.SetHats(ctx, muc.By(jid.MustParse("vera@test/r")), vera, cook)),
			"no URI":               refusalOf(h.SetHats(ctx, muc.System, vera, muc.Hat{URI: "cook", Title: "Cook"})),
			"a domain has no head": refusalOf(h.SetHats(ctx, muc.System, jid.MustParse("test"), cook)),
		} {
			if _, ok := errors.AsType[*stanza.Error](err); !ok {
				t.Errorf("%s: %v", name, err)
			}
		}
		only[bool](t)(h.Set(ctx, muc.System, muc.FieldHats, "0"))
		if _, err := h.SetHats(ctx, muc.System, vera, cook); err == nil || !strings.Contains(err.Error(), "enable_hats") {
			t.Errorf("hats are off: %v", err)
		}
	})
}

func refusalOf(_ bool, err error) error { return err }

// TestAvatarByCode: everybody is told of a picture, gets it with the room's vCard,
// and what changes nothing says so.
func TestAvatarByCode(t *testing.T) {
	run(t, muc.Options{Store: &cabinet{}}, func(w *world) {
		w.askedWorld()
		w.clear()
		ctx, h, picture := w.t.Context(), w.coven(), []byte("GIF89a and so on")
		if !only[bool](t)(h.SetAvatar(ctx, muc.System, picture, "image/gif")) {
			t.Error("a picture: not changed")
		}
		synctest.Wait()
		w.expect("vera@test/r", "<photo>", "code='104'")
		w.clear()
		if only[bool](t)(h.SetAvatar(ctx, muc.System, picture, "image/gif")) {
			t.Error("the same picture: changed")
		}
		synctest.Wait()
		w.expectNothing("vera@test/r")
		const get = "<iq type='get' id='v' from='vera@test/r' to='coven@conf.test'><vCard xmlns='vcard-temp'/></iq>"
		w.send(get)
		synctest.Wait()
		w.expect("vera@test/r", "<TYPE>image/gif</TYPE>", "R0lGODlh")
		for name, err := range map[string]error{
			"others may not":   refusalOf(h.SetAvatar(ctx, muc.By(jid.MustParse("vera@test/r")), nil, "")),
			"not what it says": refusalOf(h.SetAvatar(ctx, muc.System, picture, "image/png")),
			"of no type":       refusalOf(h.SetAvatar(ctx, muc.System, picture, "text/plain")),
		} {
			if _, ok := errors.AsType[*stanza.Error](err); !ok {
				t.Errorf("%s: %v", name, err)
			}
		}
		if !only[bool](t)(h.SetAvatar(ctx, muc.System, nil, "")) {
			t.Error("no picture any more: not changed")
		}
		w.clear()
		w.send(get)
		synctest.Wait()
		w.expect("vera@test/r", "item-not-found")
	})
}
