package userdata

import (
	"context"
	"errors"
	"fmt"

	"github.com/muster-im/muster/internal/store"
	"github.com/muster-im/muster/stanza"
)

// GetVCard answers a request for a vCard, one's own or somebody else's
// (XEP-0054 §3.1, §3.3): vCards are for everybody to read (§5).
func (s *Service) GetVCard(ctx context.Context, iq *stanza.Stanza) (*stanza.Element, error) {
	data, err := s.store.VCard(ctx, iq.To.Bare())
	switch {
	case errors.Is(err, store.ErrNotFound) && isOwn(iq):
		err = stanza.NewError(stanza.Cancel, stanza.ItemNotFound, "")
	case errors.Is(err, store.ErrNotFound):
		return nil, unavailable()
	}
	if !iq.Payload().Is(stanza.NSVCard, "vCard") { // looked at now, so that it tells no more than the above
		return nil, badRequest("The element for vCards is <vCard/>.")
	}
	if err != nil {
		return nil, err
	}
	vcard, err := stanza.ParseDocument(data)
	if err != nil {
		return nil, fmt.Errorf("read vcard of %s: %w", iq.To.Bare(), err)
	}
	return vcard, nil
}

// SetVCard replaces one's own vCard (XEP-0054 §3.2), whole: an empty one
// removes it.
func (s *Service) SetVCard(ctx context.Context, iq *stanza.Stanza) (*stanza.Element, error) {
	vcard := iq.Payload()
	switch {
	case !isOwn(iq):
		return nil, forbidden("A vCard is changed by its owner.") // §3.2
	case !vcard.Is(stanza.NSVCard, "vCard"):
		return nil, badRequest("The element for vCards is <vCard/>.")
	}
	var data []byte
	if vcard.FirstElement() != nil {
		data = vcard.AppendXML(nil, "")
	}
	if len(data) > s.maxVCard {
		return nil, notAcceptable(fmt.Sprintf("A vCard may have %d bytes.", s.maxVCard))
	}
	return nil, orUnavailable(s.store.PutVCard(ctx, iq.To.Bare(), data))
}
