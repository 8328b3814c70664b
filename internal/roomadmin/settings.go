package roomadmin

import (
	"encoding/json"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/muster-im/muster/internal/nearest"
	"github.com/muster-im/muster/jid"
	"github.com/muster-im/muster/muc"
	"github.com/muster-im/muster/stanza"
)

// Config is the settings of a room by their names. A value is a bool, a whole
// number, a text or a list of words.
type Config map[string]any

// Types of settings.
const (
	TypeBool   = "bool"
	TypeNumber = "number"
	TypeText   = "text"
	TypeChoice = "choice"
	TypeList   = "list"
)

// Setting describes one of them.
type Setting struct {
	Name    string   `json:"name"`
	Type    string   `json:"type"`
	Label   string   `json:"label"`
	Choices []string `json:"choices,omitempty"` // of a choice or a list
	Max     int      `json:"max,omitempty"`     // of a number; 0: no bound
	Secret  bool     `json:"secret,omitempty"`

	variable string // of the form
	inverse  bool   // of a bool that stands for the words of the form
}

const roomConfig = "muc#roomconfig_"

// names are the names of settings where they are not what follows
// muc#roomconfig_ in the form: those that default_room has in the configuration.
var names = map[string]string{ //nolint:gochecknoglobals // a table
	muc.FieldName:                         "title",
	muc.FieldDescription:                  "description",
	muc.FieldLanguage:                     "language",
	muc.FieldPersistent:                   "persistent",
	muc.FieldPublic:                       "public",
	muc.FieldWhois:                        "anonymous",
	muc.FieldMaxUsers:                     "max_users",
	muc.FieldMultiSession:                 "allow_multiple_sessions",
	roomConfig + "membersonly":            "members_only",
	roomConfig + "moderatedroom":          "moderated",
	roomConfig + "passwordprotectedroom":  "password_protected",
	roomConfig + "roomsecret":             "password",
	roomConfig + "changesubject":          "allow_change_subj",
	roomConfig + "allowpm":                "allow_private_messages",
	roomConfig + "allowinvites":           "allow_user_invites",
	roomConfig + "allowvisitorstatus":     "allow_visitor_status",
	roomConfig + "allowvisitornickchange": "allow_visitor_nickchange",
	roomConfig + "getmemberlist":          "maygetmemberlist",
	roomConfig + "historylength":          "history_length",
	roomConfig + "presencebroadcast":      "presence_broadcast",
	roomConfig + "enablearchiving":        "archiving",
	roomConfig + "enablelogging":          "logging",
	roomConfig + "archivedays":            "archive_days",
	roomConfig + "archivemessages":        "archive_messages",
}

// settings describes the settings of the rooms of a service.
func settings(s *muc.Service) []Setting {
	all := s.Settings()
	logs := slices.ContainsFunc(all, func(m muc.Setting) bool { return m.Var == roomConfig+"enablearchiving" })
	list := make([]Setting, len(all))
	for i := range all {
		m := &all[i]
		t := Setting{Name: names[m.Var], Type: TypeText, Label: m.Label, Secret: m.Private, variable: m.Var}
		switch {
		case m.Var == roomConfig+"enablelogging" && !logs: // there is no other log than the archive
			t.Name = "archiving"
		case t.Name == "":
			t.Name = strings.TrimPrefix(m.Var, roomConfig)
		}
		switch {
		case m.Var == muc.FieldWhois:
			t.Type, t.inverse, t.Label = TypeBool, true, "Only moderators see real addresses"
		case m.Number:
			t.Type, t.Max = TypeNumber, m.Max
		case m.Type == stanza.FieldBoolean:
			t.Type = TypeBool
		case m.Type == stanza.FieldListSingle:
			t.Type, t.Choices = TypeChoice, words(m.Choices)
		case m.Type == stanza.FieldListMulti:
			t.Type, t.Choices = TypeList, words(m.Choices)
		}
		list[i] = t
	}
	return list
}

func words(choices []stanza.Option) []string {
	list := make([]string, len(choices))
	for i, c := range choices {
		list[i] = c.Value
	}
	return list
}

// Settings describes what can be set in the rooms of a host, the first if it is
// "".
func (a *Admin) Settings(host string) ([]Setting, error) {
	s, err := a.service(host)
	if err != nil {
		return nil, err
	}
	return settings(s), nil
}

// settingName is the name of a form variable.
func (a *Admin) settingName(room jid.JID, variable string) string {
	if s, err := a.service(room.Domain()); err == nil {
		for _, t := range settings(s) {
			if t.variable == variable {
				return t.Name
			}
		}
	}
	return variable
}

// config is what the values of the form mean.
func config(list []Setting, values map[string][]string) Config {
	c := make(Config, len(list))
	for i := range list {
		if v, ok := values[list[i].variable]; ok {
			c[list[i].Name] = list[i].value(v)
		}
	}
	return c
}

// value is what the values of a field mean.
func (t *Setting) value(values []string) any {
	text := strings.Join(values, "\n")
	switch {
	case t.inverse:
		return text == "moderators"
	case t.Type == TypeBool:
		return text == "1" || text == "true"
	case t.Type == TypeNumber:
		if n, err := strconv.Atoi(text); err == nil {
			return n
		}
	case t.Type == TypeList:
		return append([]string{}, values...)
	}
	return text
}

// form is what makes c of a room with these values, of which all are in it: so what c leaves out stays.
func form(list []Setting, now map[string][]string, c Config) (map[string][]string, error) {
	all := make(map[string][]string, len(list))
	if _, told := c["password_protected"]; !told {
		if secret, ok := c["password"].(string); ok {
			c = with(c, "password_protected", secret != "")
		}
	}
	known := make(map[string]bool, len(list))
	var wrong []*Error
	for i := range list {
		t := &list[i]
		known[t.Name] = true
		v, given := c[t.Name]
		if !given && (t.variable == muc.FieldName || t.variable == muc.FieldDescription) {
			continue // stays, though it may be longer than anybody may make it today
		}
		values, ok := now[t.variable]
		if given {
			var err *Error
			if values, err = t.values(v); err != nil {
				wrong = append(wrong, err)
			}
		}
		if given || ok {
			all[t.variable] = values
		}
	}
	for _, name := range slices.Sorted(maps.Keys(c)) {
		if !known[name] {
			wrong = append(wrong, unknownSetting(name, list))
		}
	}
	if len(wrong) > 0 {
		wrong[0].More = wrong[1:]
		return nil, wrong[0]
	}
	return all, nil
}

func with(c Config, name string, value any) Config {
	more := maps.Clone(c)
	if more == nil {
		more = Config{}
	}
	more[name] = value
	return more
}

// unknownSetting names what there is that looks like it.
func unknownSetting(name string, list []Setting) *Error {
	names := make([]string, len(list))
	for i := range list {
		names[i] = list[i].Name
		if list[i].variable == name || strings.ReplaceAll(names[i], "_", "") == strings.ReplaceAll(strings.ToLower(name), "_", "") {
			return invalid(name, "rooms have no such setting (did you mean %q?)", names[i])
		}
	}
	if near := nearest.Word(name, names); near != "" {
		return invalid(name, "rooms have no such setting (did you mean %q?)", near)
	}
	slices.Sort(names)
	return invalid(name, "rooms have no such setting; there are %s", strings.Join(names, ", "))
}

// values are the values of the field that mean v, as JSON has it.
func (t *Setting) values(v any) ([]string, *Error) {
	want := map[string]string{
		TypeBool: "true or false", TypeNumber: "a whole number", TypeText: "a text",
		TypeChoice: "one of " + strings.Join(t.Choices, ", "), TypeList: "a list of " + strings.Join(t.Choices, ", "),
	}[t.Type]
	if t.variable == roomConfig+"allowpm" && (v == "true" || v == "false") { // from the command line
		v = v == "true"
	}
	if n, ok := number(v); ok && t.Max > 0 && n > t.Max {
		return nil, invalid(t.Name, "at most %d, got %d", t.Max, n)
	}
	wrong := func() *Error {
		got, err := json.Marshal(v)
		if err != nil {
			got = []byte("something else")
		}
		return invalid(t.Name, "want %s, got %s", want, got)
	}
	switch x := v.(type) {
	case raw:
		return x, nil
	case bool:
		switch {
		case t.inverse && x:
			return []string{"moderators"}, nil
		case t.inverse:
			return []string{"anyone"}, nil
		case t.Type == TypeBool:
			return []string{strconv.FormatBool(x)}, nil
		case t.variable == roomConfig+"allowpm" && x: // as default_room has it
			return []string{"anyone"}, nil
		case t.variable == roomConfig+"allowpm":
			return []string{"none"}, nil
		}
	case float64:
		if t.Type == TypeNumber && x == float64(int(x)) {
			return []string{strconv.Itoa(int(x))}, nil
		}
	case int:
		if t.Type == TypeNumber {
			return []string{strconv.Itoa(x)}, nil
		}
	case string:
		if t.Type == TypeText || t.Type == TypeChoice || t.variable == muc.FieldMaxUsers && x == "none" {
			return []string{x}, nil
		}
	case []string:
		if t.Type == TypeList {
			return x, nil
		}
	case []any:
		if list, ok := texts(x); ok && t.Type == TypeList {
			return list, nil
		}
	}
	return nil, wrong()
}

// number is v, if it is a whole number.
func number(v any) (int, bool) {
	switch x := v.(type) {
	case float64:
		return int(x), x == float64(int(x))
	case int:
		return x, true
	case raw:
		n, err := strconv.Atoi(strings.Join(x, ","))
		return n, err == nil
	}
	return 0, false
}

// Secrets are the names of the settings that not everybody may read who may
// read the others.
func (a *Admin) Secrets(room jid.JID) []string {
	s, err := a.at(room)
	if err != nil {
		return nil
	}
	var names []string
	for _, t := range settings(s) {
		if t.Secret {
			names = append(names, t.Name)
		}
	}
	return names
}

// texts are the elements of a list, if all of them are texts.
func texts(list []any) ([]string, bool) {
	words := make([]string, len(list))
	for i, e := range list {
		word, ok := e.(string)
		if !ok {
			return nil, false
		}
		words[i] = word
	}
	return words, true
}
