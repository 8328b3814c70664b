package main

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

const (
	sectionsBegin = "<!-- xep-0045:begin -->\n"
	sectionsEnd   = "<!-- xep-0045:end -->\n"

	muc = "XEP-0045"
)

// section is a use case of XEP-0045 1.35.5, and why nothing proves it if it is
// not ours.
type section struct{ number, title, notOurs string }

// mucUseCases are the sections: number, title, and why not if it is not ours.
const mucUseCases = `6.1|Discovering a MUC service
6.2|Discovering the features supported by a MUC service
6.3|Discovering rooms
6.4|Querying for room information
6.5|Querying for room items
6.6|Querying a room occupant
6.7|Discovering client support for MUC|between clients, which servers pass on
7.1|Order of events
7.2.1|Basic MUC protocol
7.2.2|Presence broadcast
7.2.3|Non-anonymous rooms
7.2.4|Semi-anonymous rooms
7.2.5|Password-protected rooms
7.2.6|Members-only rooms
7.2.7|Banned users
7.2.8|Nickname conflict
7.2.9|Max users
7.2.10|Locked room
7.2.11|Nonexistent room
7.2.12|Room logging
7.2.13|Discussion history
7.2.14|Managing discussion history
7.2.15|Room subject
7.2.16|Live messages
7.2.17|Error conditions
7.2.18|Groupchat 1.0 protocol
7.3|Occupant modification of the room subject
7.4|Sending a message to all occupants
7.5|Sending a private message
7.6|Changing nickname
7.7|Changing availability status
7.8.1|Direct invitation
7.8.2|Mediated invitation
7.9|Converting a one-to-one chat into a multi-user conference
7.10|Registering with a room
7.11|Getting the member list
7.12|Discovering reserved room nickname
7.13|Requesting voice
7.14|Exiting a room
8.1|Modifying the room subject
8.2|Kicking an occupant
8.3|Granting voice to a visitor
8.4|Revoking voice from a participant
8.5|Modifying the voice list
8.6|Approving voice requests
9.1|Banning a user
9.2|Modifying the ban list
9.3|Granting membership
9.4|Revoking membership
9.5|Modifying the member list
9.6|Granting moderator status
9.7|Revoking moderator status
9.8|Modifying the moderator list
9.9|Approving registration requests
10.1.1|Creating a room: general considerations
10.1.2|Creating an instant room
10.1.3|Creating a reserved room
10.2|Subsequent room configuration
10.2.1|Notification of configuration changes
10.3|Granting owner status
10.4|Revoking owner status
10.5|Modifying the owner list
10.6|Granting admin status
10.7|Revoking admin status
10.8|Modifying the admin list
10.9|Destroying a room
11.1|Service removes user because of error response
11.2|Service removes user because of service shut down
13|Internationalization: xml:lang is kept
14.4|Information leaks
16.5.1|The form muc#register
16.5.2|The form muc#request
16.5.3|The form muc#roomconfig
16.5.4|The form muc#roominfo
17.1|Business rules: addresses
17.2|Business rules: messages
17.3|Business rules: presence
17.4|Business rules: IQs
18.1.1|Allowable traffic|optional; extended presence and IQs pass as §17.4 allows`

func mucSections() []section {
	var list []section
	for line := range strings.Lines(mucUseCases) {
		cells := append(strings.Split(strings.TrimSpace(line), "|"), "")
		list = append(list, section{cells[0], cells[1], cells[2]})
	}
	return list
}

// sections returns the document as it is and as it should be, with the table of
// XEP-0045's sections against the tests that cite them.
func sections(root string) (is, should string, err error) {
	data, err := os.ReadFile(filepath.Join(root, protocolFile))
	if err != nil {
		return "", "", err
	}
	is = string(data)
	before, rest, ok := strings.Cut(is, sectionsBegin)
	_, after, ok2 := strings.Cut(rest, sectionsEnd)
	if !ok || !ok2 {
		return is, is, nil
	}
	cited, err := citations(root)
	if err != nil {
		return "", "", err
	}
	var b strings.Builder
	b.WriteString("| Section | What | Proof |\n|---|---|---|\n")
	for _, s := range mucSections() {
		proof := strings.Join(slices.Sorted(maps.Keys(cited[s.number])), ", ")
		if proof == "" && s.notOurs != "" {
			s.title += ": " + s.notOurs
			proof = nothing
		}
		fmt.Fprintf(&b, "| %s | %s | %s |\n", s.number, s.title, proof)
	}
	return is, before + sectionsBegin + b.String() + sectionsEnd + after, nil
}

// citations returns the tests that cite each section of XEP-0045.
func citations(root string) (map[string]map[string]bool, error) {
	cited := make(map[string]map[string]bool)
	add := func(test string, numbers []string) {
		for _, n := range numbers {
			if cited[n] == nil {
				cited[n] = make(map[string]bool)
			}
			cited[n]["`"+test+"`"] = true
		}
	}
	scripts, err := filepath.Glob(filepath.Join(root, "testdata/script/*.txt"))
	if err != nil {
		return nil, err
	}
	for _, path := range scripts {
		data, err := os.ReadFile(path)
		if err != nil {
			return nil, err
		}
		add("testdata/script/"+filepath.Base(path), citedByScript(string(data)))
	}
	for _, pattern := range []string{"*_test.go", "muc/*_test.go", "internal/roomfeatures/*_test.go", "server/*_test.go"} {
		paths, err := filepath.Glob(filepath.Join(root, pattern))
		if err != nil {
			return nil, err
		}
		for _, path := range paths {
			data, err := os.ReadFile(path)
			if err != nil {
				return nil, err
			}
			pkg := strings.TrimSuffix(strings.TrimSuffix(pattern, "*_test.go"), "/")
			for name, numbers := range citedByTests(string(data)) {
				add(pkg+"."+name, numbers)
			}
		}
	}
	return cited, nil
}

var (
	citation = regexp.MustCompile(`(XEP-\d{4}|RFC \d{4})|§(\d+(?:\.\d+)*)`)
	test     = regexp.MustCompile(`(?m)((?:^//.*\n)+)func (Test\w+)\(`)
)

// citedByScript returns the sections that a transcript's comments cite. A
// number belongs to the specification named before it in its line, else to the
// first that the transcript names.
func citedByScript(text string) []string {
	var numbers []string
	def := ""
	for line := range strings.Lines(text) {
		comment, ok := strings.CutPrefix(strings.TrimSpace(line), "#")
		if !ok {
			continue
		}
		if def == "" {
			def = regexp.MustCompile(`XEP-\d{4}|RFC \d{4}`).FindString(comment)
		}
		numbers = append(numbers, citedIn(comment, def)...)
	}
	return numbers
}

// citedByTests returns the sections that the comments of tests cite, by test.
func citedByTests(source string) map[string][]string {
	found := make(map[string][]string)
	for _, m := range test.FindAllStringSubmatch(source, -1) {
		found[m[2]] = citedIn(m[1], "")
	}
	return found
}

func citedIn(comment, specification string) []string {
	var numbers []string
	for _, m := range citation.FindAllStringSubmatch(comment, -1) {
		switch {
		case m[1] != "":
			specification = m[1]
		case specification == muc:
			numbers = append(numbers, m[2])
		}
	}
	return numbers
}
