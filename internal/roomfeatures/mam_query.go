package roomfeatures

import (
	"fmt"
	"slices"
	"time"

	"github.com/muster-im/muster/jid"
	"github.com/muster-im/muster/muc"
	"github.com/muster-im/muster/stanza"
)

// maxMAMIDs bounds the messages that a query names.
const maxMAMIDs = 200

// mamQuery is what somebody wants to read (XEP-0313 §4).
type mamQuery struct {
	filter   muc.ArchiveQuery
	created  time.Time // of the room
	afterID  string    // the message that it begins behind, "" for none
	beforeID string    // the message that it ends before, "" for none
	ids      []string  // nil: not only these
	page     stanza.Page
	max      int // messages of the page
	queryID  string
	flip     bool
	showReal bool // the room shows who its occupants are

	named []muc.ArchivedMessage // those of filter, page and ids
}

// mamFields are the fields of the form with their types (XEP-0313 §4.1.5).
var mamFields = []stanza.Field{ //nolint:gochecknoglobals // a table
	{Var: "with", Type: stanza.FieldJIDSingle},
	{Var: "start", Type: stanza.FieldTextSingle},
	{Var: "end", Type: stanza.FieldTextSingle},
	{Var: "before-id", Type: stanza.FieldTextSingle},
	{Var: "after-id", Type: stanza.FieldTextSingle},
	{Var: "ids", Type: stanza.FieldListMulti},
}

// mamForm is the form that tells clients what they may ask for. Any id is
// welcome, and the list of them too long to be given (XEP-0313 §4.1.5).
func mamForm() *stanza.Element {
	x := stanza.NewForm(stanza.FormForm, nsMAM).Add(mamFields...).Element()
	for field := range x.Elements() {
		if field.Attr("var") == "ids" {
			field.Add(stanza.NewElement(nsValidate, "validate", "datatype", "xs:string").Add(stanza.NewElement(nsValidate, "open")))
		}
	}
	return x
}

func badQuery(format string, args ...any) error {
	return stanza.NewError(stanza.Modify, stanza.BadRequest, fmt.Sprintf(format, args...))
}

// parseMAMQuery reads a <query/>.
func parseMAMQuery(r *muc.Room, query *stanza.Element) (*mamQuery, error) {
	q := &mamQuery{
		filter: wholeArchive(r), page: stanza.Page{Max: -1, Index: -1},
		queryID: query.Attr("queryid"), flip: query.Child(nsMAM, "flip-page") != nil,
	}
	q.created = r.Created().Truncate(time.Millisecond)
	page, err := stanza.ParsePage(query)
	if err != nil {
		return nil, badQuery("%v", err)
	}
	if page != nil {
		q.page = *page
	}
	x := query.Child(stanza.NSData, "x")
	if x == nil {
		return q, nil
	}
	form, err := stanza.ParseForm(x)
	switch {
	case err != nil:
		return nil, badQuery("%v", err)
	case form.Type != stanza.FormSubmit:
		return nil, badQuery("Submit the form.")
	case form.FormType() != nsMAM:
		return nil, badQuery("The FORM_TYPE is not %s.", nsMAM)
	}
	seen := make(map[string]bool)
	for i := range form.Fields {
		f := &form.Fields[i]
		if f.Var == "FORM_TYPE" || f.Type == stanza.FieldFixed {
			continue
		}
		if seen[f.Var] {
			return nil, badQuery("%s: given twice", f.Var)
		}
		seen[f.Var] = true
		if err := q.take(f); err != nil {
			return nil, err
		}
	}
	return q, nil
}

// take reads one field. One without a value is as if it were not there.
func (q *mamQuery) take(f *stanza.Field) error {
	known := slices.IndexFunc(mamFields, func(k stanza.Field) bool { return k.Var == f.Var })
	if known < 0 { // XEP-0313 §4.1.5
		return stanza.NewError(stanza.Cancel, stanza.FeatureNotImplemented, fmt.Sprintf("The archive has no field %s.", f.Var))
	}
	if f.Var == "ids" {
		return q.takeIDs(f.Values)
	}
	switch {
	case len(f.Values) == 0 || len(f.Values) == 1 && f.Values[0] == "":
		return nil
	case len(f.Values) > 1:
		return badQuery("%s: want one value, got %d", f.Var, len(f.Values))
	}
	value := f.Values[0]
	switch f.Var {
	case "with":
		with, err := jid.Parse(value)
		if err != nil {
			return badQuery("with: %v", err)
		}
		if with != q.filter.Room { // everybody speaks through the room (XEP-0313 §4.1.1)
			q.filter.With = with
		}
	case "start", "end":
		t, err := stanza.ParseTime(value)
		if err != nil {
			return badQuery("%s: %v", f.Var, err)
		}
		if f.Var == "end" {
			q.filter.End = t
		} else {
			q.filter.Start = t
		}
	case "before-id":
		q.beforeID = value
	case "after-id":
		q.afterID = value
	}
	return nil
}

func (q *mamQuery) takeIDs(values []string) error {
	for _, id := range values {
		if id != "" && !slices.Contains(q.ids, id) {
			q.ids = append(q.ids, id)
		}
	}
	if len(q.ids) > maxMAMIDs {
		return stanza.NewError(stanza.Modify, stanza.PolicyViolation, fmt.Sprintf("ids: at most %d, got %d", maxMAMIDs, len(q.ids)))
	}
	return nil
}
