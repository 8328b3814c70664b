package roomfeatures

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/muster-im/muster/jid"
	"github.com/muster-im/muster/muc"
	"github.com/muster-im/muster/stanza"
)

const (
	nsHats       = "urn:xmpp:hats:0"
	hatsCommands = "urn:xmpp:hats:commands" // FORM_TYPE, and beginning of the nodes
	// hatsKey is where the hats of somebody stand in his affiliation's data:
	// URIs with spaces between.
	hatsKey = "hats"

	maxHats     = 100 // of a room
	maxHatTitle = 128 // bytes
	maxHatURI   = 512 // bytes
)

// hats are titles that owners of a room give to people, for show (XEP-0317).
// Which there are is a setting of the room that no form has; who wears one is
// kept with affiliations, and stays when those change.
type hats struct {
	commands *commands
	on       *muc.Field[bool]
	defined  *muc.Field[string] // JSON of a list of hat
	parsed   *muc.Slot[parsedHats]
}

// hat is one that a room has.
type hat struct {
	URI   string `json:"uri"`
	Title string `json:"title"`
	Hue   string `json:"hue,omitempty"`
}

// parsedHats remembers what a setting means.
type parsedHats struct {
	from string
	list []hat
}

func (f *hats) Register(h *muc.Hooks) {
	f.parsed = muc.NewSlot[parsedHats](h)
	f.defined = muc.NewTextField(h, muc.FieldSpec{Var: "hats", Section: muc.SectionOther}, "")
	f.on = muc.NewBoolField(h, muc.FieldSpec{
		Var: "enable_hats", Section: muc.SectionOther, Order: 40, Label: "Occupants may wear hats",
	}, true)
	h.BuildPresence.Add("hats", 0, func(ev *muc.BuildPresenceEvent) {
		if worn := f.worn(ev.Room, ev.Occupant.RealJID()); len(worn) > 0 {
			e := stanza.NewElement(nsHats, "hats")
			for _, w := range worn {
				e.Add(w.element())
			}
			ev.Add(e)
		}
	})
	h.Configured.Add("hats", 0, func(ev *muc.ConfiguredEvent) {
		if !ev.Changed(f.on.Key()) && !ev.Changed(f.defined.Key()) {
			return
		}
		for o := range ev.Room.Occupants() {
			if ev.Room.AffiliationData(o.RealJID(), hatsKey) != "" {
				ev.Room.Announce(o)
			}
		}
	})
	h.SetHats.Add("hats", 0, f.byCode)
	h.Hibernating.Add("hats", 0, func(ev *muc.RoomEvent) { f.parsed.Drop(ev.Room) })
	h.Disco.Add("hats", 0, func(ev *muc.DiscoEvent) {
		if !f.on.Get(ev.Room) {
			return
		}
		ev.Feature(nsHats)
		if defined := f.defined.Get(ev.Room); defined != "" {
			sum := sha256.Sum256([]byte(defined))
			ev.Field("hats#hash", hex.EncodeToString(sum[:20]))
		}
	})
	f.commands.list = append(f.commands.list,
		command{hatsCommands + ":list", "List hats", f.on.Get, muc.None, nil, f.list},
		command{hatsCommands + ":create", "Create or change a hat", f.on.Get, muc.Owner, createHatForm, f.create},
		command{hatsCommands + ":destroy", "Destroy a hat", f.on.Get, muc.Owner, f.destroyForm, f.destroy},
		command{hatsCommands + ":assign", "Give somebody a hat", f.on.Get, muc.Owner, f.assignForm, f.assign},
		command{hatsCommands + ":unassign", "Take a hat from somebody", f.on.Get, muc.Owner, f.assignForm, f.unassign},
		command{hatsCommands + ":list-assigned", "List who wears which hat", f.on.Get, muc.Owner, nil, f.listAssigned},
	)
}

// of returns the hats that a room has, in the order of their URIs.
func (f *hats) of(r *muc.Room) []hat {
	p, defined := f.parsed.In(r), f.defined.Get(r)
	if p.from != defined {
		*p = parsedHats{from: defined}
		if err := json.Unmarshal([]byte(defined), &p.list); err != nil {
			p.list = nil // nobody but set writes it
		}
	}
	return p.list
}

// set stages the hats that a room has.
func (f *hats) set(r *muc.Room, list []hat) error {
	if len(list) == 0 {
		f.defined.Set(r, "")
		return nil
	}
	slices.SortFunc(list, func(a, b hat) int { return cmp.Compare(a.URI, b.URI) })
	data, err := json.Marshal(list)
	if err != nil {
		return err
	}
	f.defined.Set(r, string(data))
	return nil
}

func (f *hats) find(r *muc.Room, uri string) (hat, bool) {
	list := f.of(r)
	i := slices.IndexFunc(list, func(h hat) bool { return h.URI == uri })
	if i < 0 {
		return hat{}, false
	}
	return list[i], true
}

// worn returns the hats that somebody wears for all to see.
func (f *hats) worn(r *muc.Room, j jid.JID) []hat {
	data := r.AffiliationData(j, hatsKey)
	if data == "" || !f.on.Get(r) {
		return nil
	}
	var list []hat
	for uri := range strings.FieldsSeq(data) {
		if h, ok := f.find(r, uri); ok {
			list = append(list, h)
		}
	}
	return list
}

// element is a hat in presence (§3.1).
func (h hat) element() *stanza.Element {
	e := stanza.NewElement(nsHats, "hat", "title", h.Title, "uri", h.URI)
	if h.Hue != "" {
		e.SetAttr("hue", h.Hue)
	}
	return e
}

// list answers with all hats (§3.4).
func (f *hats) list(ev *muc.RequestEvent, _ *stanza.Form) (*stanza.Element, error) {
	var rows [][]string
	for _, h := range f.of(ev.Room) {
		rows = append(rows, []string{h.Title, h.URI, h.Hue})
	}
	return hatTable("Hats List", []string{"hats#title", "hats#uri", "hats#hue"}, rows), nil
}

// listAssigned answers with who wears what (§3.7).
func (f *hats) listAssigned(ev *muc.RequestEvent, _ *stanza.Form) (*stanza.Element, error) {
	var rows [][]string
	for rec := range ev.Room.Affiliations() {
		for _, h := range f.worn(ev.Room, rec.JID) {
			rows = append(rows, []string{rec.JID.String(), h.URI, h.Title, h.Hue})
		}
	}
	slices.SortFunc(rows, slices.Compare)
	return hatTable("Assigned Hats List", []string{"hats#jid", "hats#uri", "hats#title", "hats#hue"}, rows), nil
}

// hatTable is a form of several items (XEP-0004 §3.4).
func hatTable(title string, columns []string, rows [][]string) *stanza.Element {
	field := func(i int) *stanza.Element { return stanza.NewElement(stanza.NSData, "field", "var", columns[i]) }
	x := stanza.NewElement(stanza.NSData, "x", "type", string(stanza.FormResult)).AddTextElement("title", title)
	reported := stanza.NewElement(stanza.NSData, "reported")
	for i := range columns {
		reported.Add(field(i))
	}
	x.Add(reported)
	for _, row := range rows {
		item := stanza.NewElement(stanza.NSData, "item")
		for i, value := range row {
			item.Add(field(i).AddTextElement("value", value))
		}
		x.Add(item)
	}
	return x
}

func hatForm(title, instructions string) *stanza.Form {
	form := stanza.NewForm(stanza.FormForm, hatsCommands)
	form.Title, form.Instructions = title, []string{instructions}
	return form
}

func createHatForm(*muc.Room) *stanza.Form {
	return hatForm("Creating a Hat", "Fill out this form to create a hat, or to change the one with this URI.").Add(
		stanza.Field{Var: "hats#title", Type: stanza.FieldTextSingle, Label: "Hat Title", Required: true},
		stanza.Field{Var: "hats#uri", Type: stanza.FieldTextSingle, Label: "Hat URI", Required: true},
		stanza.Field{Var: "hats#hue", Type: stanza.FieldTextSingle, Label: "Hat Hue"},
	)
}

func (f *hats) destroyForm(r *muc.Room) *stanza.Form {
	return hatForm("Destroying a Hat", "Fill out this form to destroy a hat.").Add(f.choice(r))
}

func (f *hats) assignForm(r *muc.Room) *stanza.Form {
	return hatForm("Assigning a Hat", "Say who, and which hat.").Add(
		stanza.Field{Var: "hats#jid", Type: stanza.FieldJIDSingle, Label: "User Address", Required: true}, f.choice(r))
}

// choice is the field for one of the room's hats.
func (f *hats) choice(r *muc.Room) stanza.Field {
	field := stanza.Field{Var: "hats#uri", Type: stanza.FieldListSingle, Label: "The hat", Required: true}
	for _, h := range f.of(r) {
		field.Options = append(field.Options, stanza.Option{Label: h.Title, Value: h.URI})
	}
	return field
}

// create makes a hat, or changes it (§3.2).
func (f *hats) create(ev *muc.RequestEvent, form *stanza.Form) (*stanza.Element, error) {
	h := hat{URI: form.Value("hats#uri"), Title: strings.TrimSpace(form.Value("hats#title")), Hue: form.Value("hats#hue")}
	if err := h.check(); err != nil {
		return nil, commandError("bad-payload", err.Error())
	}
	list := slices.DeleteFunc(slices.Clone(f.of(ev.Room)), func(old hat) bool { return old.URI == h.URI })
	if len(list) >= maxHats {
		return nil, stanza.NewError(stanza.Wait, stanza.ResourceConstraint, fmt.Sprintf("A room may have %d hats.", maxHats))
	}
	return nil, f.set(ev.Room, append(list, h))
}

func (h *hat) check() error {
	u, err := url.Parse(h.URI)
	hue, hueErr := strconv.ParseFloat(h.Hue, 64)
	switch {
	case err != nil, u.Scheme == "", len(h.URI) > maxHatURI, strings.ContainsAny(h.URI, " \t\n"):
		return fmt.Errorf("hats#uri: want a URI of at most %d bytes", maxHatURI)
	case h.Title == "", len(h.Title) > maxHatTitle:
		return fmt.Errorf("hats#title: want 1 to %d bytes", maxHatTitle)
	case h.Hue != "" && (hueErr != nil || !(hue >= 0 && hue <= 360)):
		return fmt.Errorf("hats#hue: want an angle from 0 to 360, got %q", h.Hue)
	}
	return nil
}

// chosen returns the hat that a form names.
func (f *hats) chosen(r *muc.Room, form *stanza.Form) (hat, error) {
	h, ok := f.find(r, form.Value("hats#uri"))
	if !ok {
		return hat{}, stanza.NewError(stanza.Cancel, stanza.ItemNotFound, "The room has no such hat.")
	}
	return h, nil
}

// destroy takes a hat away, from everybody who wears it too (§3.3).
func (f *hats) destroy(ev *muc.RequestEvent, form *stanza.Form) (*stanza.Element, error) {
	h, err := f.chosen(ev.Room, form)
	if err != nil {
		return nil, err
	}
	for _, rec := range slices.Collect(ev.Room.Affiliations()) {
		setHat(ev.Room, rec.JID, h.URI, false)
	}
	return nil, f.set(ev.Room, slices.DeleteFunc(slices.Clone(f.of(ev.Room)), func(old hat) bool { return old == h }))
}

// assign gives somebody a hat (§3.5).
func (f *hats) assign(ev *muc.RequestEvent, form *stanza.Form) (*stanza.Element, error) {
	return f.give(ev, form, true)
}

// unassign takes it from him (§3.6).
func (f *hats) unassign(ev *muc.RequestEvent, form *stanza.Form) (*stanza.Element, error) {
	return f.give(ev, form, false)
}

func (f *hats) give(ev *muc.RequestEvent, form *stanza.Form, wear bool) (*stanza.Element, error) {
	j, err := jid.Parse(form.Value("hats#jid"))
	if err != nil || j.Local() == "" {
		return nil, stanza.NewError(stanza.Modify, stanza.JIDMalformed, "hats#jid: want the address of an account.")
	}
	h, err := f.chosen(ev.Room, form)
	if err != nil {
		return nil, err
	}
	if !setHat(ev.Room, j.Bare(), h.URI, wear) && !wear {
		return nil, stanza.NewError(stanza.Cancel, stanza.ItemNotFound, "He does not wear that hat.")
	}
	return nil, nil //nolint:nilnil // there is nothing to say but that it is done
}

// setHat stages that somebody wears a hat or not, and reports whether that is
// new.
func setHat(r *muc.Room, j jid.JID, uri string, wear bool) bool {
	worn := make(map[string]bool)
	for u := range strings.FieldsSeq(r.AffiliationData(j, hatsKey)) {
		worn[u] = true
	}
	if worn[uri] == wear {
		return false
	}
	if delete(worn, uri); wear {
		worn[uri] = true
	}
	r.SetAffiliationData(j, hatsKey, strings.Join(slices.Sorted(maps.Keys(worn)), " "))
	return true
}
