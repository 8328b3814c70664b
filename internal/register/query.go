package register

import (
	"math"

	"github.com/muster-im/muster/internal/sasl"
	"github.com/muster-im/muster/stanza"
)

// query is what a request says.
type query struct {
	remove             bool
	username, password string
	hasUsername        bool // it is there, if only empty
}

// bad is a request that is no good.
func bad(text string) error { return stanza.NewError(stanza.Modify, stanza.BadRequest, text) }

// parseQuery reads a request, in fields of its own or in a data form
// (XEP-0077 §4, §6).
func parseQuery(q *stanza.Element) (query, error) {
	var r query
	x := q.Child(stanza.NSData, "x")
	username, password := q.Child(stanza.NSRegister, "username"), q.Child(stanza.NSRegister, "password")
	if q.Child(stanza.NSRegister, "remove") != nil {
		n := 0
		for range q.Elements() {
			n++
		}
		if n != 1 { // §3.2
			return r, bad("<remove/> must be alone.")
		}
		return query{remove: true}, nil
	}
	if x == nil {
		return query{username: username.Text(), hasUsername: username != nil, password: password.Text()}, nil
	}
	if username != nil || password != nil { // §6: MUST NOT submit both
		return r, bad("Send the form or the fields, not both.")
	}
	form, err := stanza.ParseForm(x)
	if err != nil {
		return r, bad(err.Error())
	}
	if form.Type != stanza.FormSubmit {
		return r, bad("A submitted form was expected.")
	}
	if t := form.FormType(); t != stanza.NSRegister && t != stanza.NSRegister+":changepassword" {
		return r, bad("The form is not the one that was asked for.")
	}
	return query{
		username: form.Value("username"), hasUsername: form.Field("username") != nil, password: form.Value("password"),
	}, nil
}

// fields are what is wanted of somebody who has no account: for old clients and,
// in the same words, as a form (XEP-0077 §3.1, §6). username is the one that he is invited as, or "".
func fields(username string) *stanza.Element {
	const instructions = "Choose a username and a password."
	q := stanza.NewElement(stanza.NSRegister, "query").AddTextElement("instructions", instructions).
		AddTextElement("username", username).AddTextElement("password", "")
	form := stanza.NewForm(stanza.FormForm, stanza.NSRegister)
	name := stanza.Field{Var: "username", Type: stanza.FieldTextSingle, Label: "Username", Required: true}
	if username != "" {
		name.Values = []string{username}
	}
	form.Title, form.Instructions = "Registration", []string{instructions}
	form.Add(
		name,
		stanza.Field{Var: "password", Type: stanza.FieldTextPrivate, Label: "Password", Required: true},
	)
	return q.Add(form.Element())
}

// current is what is on file for somebody who has an account (XEP-0077 §3.1).
// There is no password to tell.
func current(username string) *stanza.Element {
	return stanza.NewElement(stanza.NSRegister, "query").AddTextElement("registered", "").
		AddTextElement("instructions", "You are registered. Send a new password to change yours, or remove your account.").
		AddTextElement("username", username).AddTextElement("password", "")
}

// checkPassword refuses what cannot be a password (RFC 8265 §4) or is too easy
// to guess.
func checkPassword(password string, bits int) error {
	refuse := func(text string) error { return stanza.NewError(stanza.Modify, stanza.NotAcceptable, text) }
	prepared, err := sasl.Prepare(password)
	switch {
	case password == "":
		return refuse("A password is required.")
	case err != nil:
		return refuse("This cannot be a password: " + err.Error() + ".")
	case entropy(prepared) < float64(bits):
		return refuse("The password is too weak: make it longer, or use more kinds of characters.")
	}
	return nil
}

// entropy reckons the bits in a password as MongooseIM does: by its length and
// the kinds of bytes in it.
func entropy(password string) float64 {
	var lower, upper, digit, printable, other float64
	for _, b := range []byte(password) {
		switch {
		case b >= 'a' && b <= 'z':
			lower = 26
		case b >= 'A' && b <= 'Z':
			upper = 26
		case b >= '0' && b <= '9':
			digit = 9
		case b >= 0x21 && b <= 0x7e:
			printable = 33
		default:
			other = 128
		}
	}
	if password == "" {
		return 0
	}
	return float64(len(password)) * math.Log2(lower+upper+digit+printable+other)
}
