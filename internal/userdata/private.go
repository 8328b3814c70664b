package userdata

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/muster-im/muster/internal/store"
	"github.com/muster-im/muster/stanza"
)

const (
	// maxPrivateName bounds the bytes of namespace and name of an element:
	// databases have indexes over them and the address of an account.
	maxPrivateName = 512
	// maxPrivateNames bounds the names in one request, each of which is a query.
	maxPrivateNames = 64
)

// GetPrivate answers a request for what somebody has stored for himself
// (XEP-0049 §2.3): what is there under the name of each element in the query,
// or else that element, empty.
func (s *Service) GetPrivate(ctx context.Context, iq *stanza.Stanza) (*stanza.Element, error) {
	query, err := privateQuery(iq)
	if err != nil {
		return nil, err
	}
	result := stanza.NewElement(stanza.NSPrivate, "query")
	asked := make(map[stanza.Name]bool)
	for e := range query.Elements() {
		switch {
		case e.Name.Space != query.FirstElement().Name.Space:
			return nil, badRequest("One request is for one namespace.")
		case asked[e.Name]:
			continue
		}
		asked[e.Name] = true
		data, err := s.store.PrivateData(ctx, iq.To.Bare(), e.Name.Space, e.Name.Local)
		if err != nil {
			return nil, err
		}
		if len(data) == 0 {
			result.Add(stanza.NewElement(e.Name.Space, e.Name.Local))
			continue
		}
		stored, err := readPrivate(data)
		if err != nil {
			return nil, fmt.Errorf("read private data of %s: %w", iq.To.Bare(), err)
		}
		result.Children = append(result.Children, stored...)
	}
	return result, nil
}

// SetPrivate stores the elements in the query (XEP-0049 §2.3), all of them or
// none. They replace what was stored under their names; an empty one removes it.
func (s *Service) SetPrivate(ctx context.Context, iq *stanza.Stanza) (*stanza.Element, error) {
	query, err := privateQuery(iq)
	if err != nil {
		return nil, err
	}
	err = s.store.PutPrivateData(ctx, iq.To.Bare(), collectPrivate(query), s.limits)
	if errors.Is(err, store.ErrFull) {
		err = notAcceptable(fmt.Sprintf("There is room for %d bytes in one namespace, and for %d bytes and %d names in all.",
			s.limits.Space, s.limits.Total, s.limits.Names))
	}
	return nil, orUnavailable(err)
}

// privateQuery returns the query of a request that may be answered (XEP-0049
// §2.3, §3).
func privateQuery(iq *stanza.Stanza) (*stanza.Element, error) {
	query := iq.Payload()
	switch {
	case !isOwn(iq):
		return nil, forbidden("Private data is its owner's alone.")
	case !query.Is(stanza.NSPrivate, "query"):
		return nil, badRequest("The element for private data is <query/>.")
	case query.FirstElement() == nil:
		// The text of §2.3 has two names for this error, with one code, 406.
		return nil, notAcceptable("Which data? The query is empty.")
	}
	names := make(map[stanza.Name]bool)
	for e := range query.Elements() {
		names[e.Name] = true
		switch {
		case e.Name.Space == "" || e.Name.Space == stanza.NSPrivate:
			return nil, notAcceptable("Each element in the query needs a namespace of its own.")
		case isReserved(e.Name.Space):
			return nil, notAcceptable("The namespace " + e.Name.Space + " is reserved.")
		case len(e.Name.Space)+len(e.Name.Local) > maxPrivateName:
			return nil, notAcceptable(fmt.Sprintf("Namespace and name may have %d bytes together.", maxPrivateName))
		case len(names) > maxPrivateNames:
			return nil, notAcceptable(fmt.Sprintf("One request may be for %d names.", maxPrivateNames))
		}
	}
	return query, nil
}

// isReserved reports whether a namespace is XMPP's own (XEP-0049 §2.3).
func isReserved(space string) bool {
	return strings.HasPrefix(space, "jabber:") || strings.HasPrefix(space, "http://jabber.org/") || space == stanza.NSVCard
}

// collectPrivate returns what is to be stored, elements of the same name
// together.
func collectPrivate(query *stanza.Element) []store.PrivateData {
	var list []store.PrivateData
	at := make(map[stanza.Name]int)
	for e := range query.Elements() {
		i, ok := at[e.Name]
		if !ok {
			i = len(list)
			at[e.Name] = i
			list = append(list, store.PrivateData{Space: e.Name.Space, Name: e.Name.Local})
		}
		if len(e.Children) > 0 || len(e.Attrs) > 0 {
			list[i].XML = e.AppendXML(list[i].XML, "")
		}
	}
	return list
}

// readPrivate returns the elements that were stored together.
func readPrivate(data []byte) ([]stanza.Node, error) {
	wrapped := append(append([]byte("<list>"), data...), "</list>"...)
	list, err := stanza.ParseDocument(wrapped)
	if err != nil {
		return nil, err
	}
	return list.Children, nil
}
