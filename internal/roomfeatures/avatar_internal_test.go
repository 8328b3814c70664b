package roomfeatures

import (
	"encoding/base64"
	"errors"
	"strings"
	"testing"

	"github.com/muster-im/muster/muc"
	"github.com/muster-im/muster/stanza"
)

// TestAvatarLimits: a room keeps no more of a vCard than anybody has to fetch
// (XEP-0486 §6).
func TestAvatarLimits(t *testing.T) {
	t.Parallel()
	photo := func(image string) string {
		return "<PHOTO><TYPE>image/svg+xml</TYPE><BINVAL>" + base64.StdEncoding.EncodeToString([]byte(image)) + "</BINVAL></PHOTO>"
	}
	for _, tt := range []struct{ name, vcard string }{
		{"too many bytes of a picture", photo("<svg>" + strings.Repeat(" ", maxRoomVCard) + "</svg>")},
		{"too many bytes of something else", "<DESC>" + strings.Repeat("x", maxRoomVCard) + "</DESC>"},
		{"too many pictures", strings.Repeat(photo("<svg/>"), maxPhotos+1)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			st, err := stanza.Parse([]byte("<iq type='set' id='s'><vCard xmlns='vcard-temp'>" + tt.vcard + "</vCard></iq>"))
			if err != nil {
				t.Fatal(err)
			}
			ev := &muc.RequestEvent{Stanza: &st, Affiliation: muc.Owner}
			want := stanza.NewError(stanza.Modify, stanza.NotAcceptable, "")
			if err := (&avatar{}).set(ev); !errors.Is(err, want) {
				t.Errorf("got %v, want %v", err, want)
			}
		})
	}
}
