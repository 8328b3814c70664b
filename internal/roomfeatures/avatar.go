package roomfeatures

import (
	"bytes"
	"context"
	"crypto/sha1" //nolint:gosec // XEP-0153 §3.1 wants this hash; nothing secret depends on it
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"strings"

	"github.com/muster-im/muster/hook"
	"github.com/muster-im/muster/muc"
	"github.com/muster-im/muster/stanza"
)

const (
	nsVCardUpdate = "vcard-temp:x:update"
	vcardKey      = "vcard"
	maxRoomVCard  = 128 << 10 // bytes, as for accounts
	maxPhotos     = 8
)

// avatar lets owners give their room a vCard with a picture (XEP-0486), which
// everybody may read who may see the room.
type avatar struct{ hashes *muc.Field[string] } // of the pictures, with spaces between

func (f *avatar) Register(h *muc.Hooks) {
	vcard := stanza.Name{Space: stanza.NSVCard, Local: "vCard"}
	// The field has no label, so no form shows it; a change is announced (104).
	f.hashes = muc.NewTextField(h, muc.FieldSpec{Var: "avatar_hash", Section: muc.SectionOther}, "")
	h.OnRequest("avatar", stanza.TypeGet, vcard, f.get)
	h.OnRequest("avatar", stanza.TypeSet, vcard, f.set)
	h.SetAvatar.Add("avatar", 0, f.byCode)
	h.Disco.Add("avatar", 0, func(ev *muc.DiscoEvent) {
		ev.Feature(stanza.NSVCard)
		if hashes := f.hashes.Get(ev.Room); hashes != "" {
			ev.Field("muc#roominfo_avatarhash", strings.Fields(hashes)...)
		}
	})
	h.ServiceDisco.Add("avatar", 0, func(ev *muc.ServiceDiscoEvent) { ev.Feature(stanza.NSVCard) })
	// §5.2: clients from before the XEP look for a presence of the room.
	h.SessionJoined.Add("avatar", 10, func(ev *muc.JoinedEvent) {
		if f.hashes.Get(ev.Room) != "" {
			ev.Room.SendTo(ev.Session, f.update(ev.Room))
		}
	})
	h.Configured.Add("avatar", 0, func(ev *muc.ConfiguredEvent) {
		if !ev.Changed(f.hashes.Key()) {
			return
		}
		update := []*stanza.Encoded{stanza.Encode(f.update(ev.Room))}
		for o := range ev.Room.Occupants() {
			for s := range o.Sessions() {
				ev.Room.SendEncoded(s, update)
			}
		}
	})
}

// update is the room's presence with the first hash, or none.
func (f *avatar) update(r *muc.Room) stanza.Stanza {
	first, _, _ := strings.Cut(f.hashes.Get(r), " ")
	photo := stanza.NewElement(nsVCardUpdate, "photo").AddText(first)
	return stanza.Stanza{Kind: stanza.Presence, From: r.JID()}.With(stanza.NewElement(nsVCardUpdate, "x").Add(photo))
}

// get answers with the room's vCard (§3.4).
func (f *avatar) get(ev *muc.RequestEvent) error {
	read := ev.Room.Data(vcardKey)
	ev.AnswerLater(func(ctx context.Context) (muc.Answer, error) {
		data, err := read(ctx)
		if err != nil {
			return muc.Answer{}, err
		}
		if len(data) == 0 { // XEP-0054 §3.1
			return muc.Answer{}, stanza.NewError(stanza.Cancel, stanza.ItemNotFound, "The room has no vCard.")
		}
		vcard, err := stanza.ParseDocument(data)
		if err != nil {
			return muc.Answer{}, fmt.Errorf("read vcard: %w", err)
		}
		return muc.Answer{Payload: vcard}, nil
	})
	return nil
}

// set replaces the room's vCard (§3.2); an empty one removes it.
func (f *avatar) set(ev *muc.RequestEvent) error {
	if ev.Affiliation < muc.Owner {
		return stanza.NewError(stanza.Auth, stanza.Forbidden, "Only owners are allowed to set avatars.").Because(muc.ReasonRank) // §3.2, §6
	}
	if err := f.replace(ev.Room, ev.Stanza.Payload()); err != nil {
		return err
	}
	ev.Answer(nil)
	return nil
}

// replace stages another vCard.
func (f *avatar) replace(r *muc.Room, vcard *stanza.Element) error {
	var data []byte
	if vcard.FirstElement() != nil {
		data = vcard.AppendXML(nil, "")
	}
	if len(data) > maxRoomVCard {
		return unusable(fmt.Sprintf("A vCard may have %d bytes.", maxRoomVCard))
	}
	hashes, err := photoHashes(vcard)
	if err != nil {
		return err
	}
	r.SetData(vcardKey, data)
	f.hashes.Set(r, strings.Join(hashes, " "))
	return nil
}

// byCode gives the room a vCard with a picture alone, unless it has that picture.
func (f *avatar) byCode(ev *muc.AvatarEvent) error {
	vcard := stanza.NewElement(stanza.NSVCard, "vCard")
	if len(ev.Image) > 0 {
		vcard.Add(stanza.NewElement(stanza.NSVCard, "PHOTO").
			AddTextElement("TYPE", ev.Type).AddTextElement("BINVAL", base64.StdEncoding.EncodeToString(ev.Image)))
	}
	hashes, err := photoHashes(vcard)
	if err != nil {
		return err
	}
	if strings.Join(hashes, " ") != f.hashes.Get(ev.Room) {
		ev.Changed = true
		err = f.replace(ev.Room, vcard)
	}
	if err != nil {
		return err
	}
	return hook.Handled
}

// photoHashes checks the pictures of a vCard and returns the hash of each
// (§3.3, §5.1).
func photoHashes(vcard *stanza.Element) ([]string, error) {
	var hashes []string
	for photo := range vcard.Elements() {
		if !photo.Is(stanza.NSVCard, "PHOTO") || photo.FirstElement() == nil {
			continue
		}
		image, err := photoImage(photo)
		if err != nil {
			return nil, err
		}
		sum := sha1.Sum(image) //nolint:gosec // see above
		hashes = append(hashes, hex.EncodeToString(sum[:]))
	}
	if len(hashes) > maxPhotos {
		return nil, unusable(fmt.Sprintf("A room may have its picture in %d formats.", maxPhotos))
	}
	return hashes, nil
}

// photoImage returns the picture in a PHOTO (XEP-0054 §2), which must be what
// it says.
func photoImage(photo *stanza.Element) ([]byte, error) {
	if photo.Child(stanza.NSVCard, "EXTVAL") != nil {
		return nil, unusable("The picture must be in the vCard, not elsewhere.")
	}
	encoded := strings.Join(strings.Fields(photo.ChildText(stanza.NSVCard, "BINVAL")), "")
	image, err := base64.StdEncoding.DecodeString(encoded)
	if err != nil || len(image) == 0 {
		return nil, stanza.NewError(stanza.Modify, stanza.BadRequest, "BINVAL: want a picture in base64.")
	}
	switch mime := photo.ChildText(stanza.NSVCard, "TYPE"); {
	case !knownImage(mime):
		return nil, unusable(fmt.Sprintf("TYPE: want the type of a picture that clients know, got %q.", mime))
	case !looksLike(mime, image):
		return nil, unusable("BINVAL: this is no " + mime + ".")
	}
	return image, nil
}

func unusable(text string) error { return stanza.NewError(stanza.Modify, stanza.NotAcceptable, text) }

func knownImage(mime string) bool {
	switch mime {
	case "image/png", "image/jpeg", "image/gif", "image/webp", "image/svg+xml": // §4, and what clients send
		return true
	}
	return false
}

// looksLike reports whether data begins like a picture of that type.
func looksLike(mime string, data []byte) bool {
	switch mime {
	case "image/png":
		return bytes.HasPrefix(data, []byte("\x89PNG\r\n\x1a\n"))
	case "image/jpeg":
		return bytes.HasPrefix(data, []byte("\xff\xd8\xff"))
	case "image/gif":
		return bytes.HasPrefix(data, []byte("GIF87a")) || bytes.HasPrefix(data, []byte("GIF89a"))
	case "image/webp":
		return len(data) > 12 && string(data[:4]) == "RIFF" && string(data[8:12]) == "WEBP"
	}
	return bytes.Contains(data, []byte("<svg")) || bytes.Contains(data, []byte(":svg"))
}
