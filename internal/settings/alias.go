package settings

import (
	"errors"

	"github.com/muster-im/muster/stanza"
)

// Alias is a boolean by which clients made for other servers mean a list of
// words. It is taken, and not shown.
type Alias struct {
	Var         string
	True, False string // the words that it means
}

// Submitted returns what a form says of a setting, by its variable or else by the
// alias; ok is false if it says nothing. err is about the alias.
func (a *Alias) Submitted(form *stanza.Form, variable string) (values []string, ok bool, err error) {
	if field := form.Field(variable); field != nil {
		return field.Values, true, nil
	}
	if a.Var == "" || form.Field(a.Var) == nil {
		return nil, false, nil
	}
	yes, err := parseBool(form.Field(a.Var).Values)
	if err != nil {
		return nil, true, errors.New("want true or false")
	}
	if yes {
		return []string{a.True}, true, nil
	}
	return []string{a.False}, true, nil
}
