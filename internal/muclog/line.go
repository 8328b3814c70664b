package muclog

import (
	"fmt"
	"html"
	"net/url"
	"regexp"
	"strings"
	"time"
)

// kind is what has happened.
type kind int

const (
	message kind = iota
	action
	subject
	joined
	left
	kicked
	banned
	unaffiliated
	membersOnly
	shutdown
	vanished
	renamed
	created
	started
	stopped
	destroyed
	configured
	loggingOn
	loggingOff
)

// The parts of a line's form that stand for what people wrote.
const (
	theNick = 'N'
	theText = 'T'
)

// form is how an event reads.
type form struct {
	class string // of the line in HTML; those of ejabberd and MongooseIM
	line  string // with %N for the nickname and %T for the text
	// suffix follows if there is a text.
	suffix string
}

const because = ": %T"

var forms = [...]form{ //nolint:gochecknoglobals // a table
	message:      {"mn", "[%N] %T", ""},
	action:       {"mne", "* %N %T", ""},
	subject:      {"msc", "%N has set the subject to: %T", ""},
	joined:       {"mj", "%N joins the room", ""},
	left:         {"ml", "%N leaves the room", because},
	kicked:       {"mk", "%N has been kicked", because},
	banned:       {"mb", "%N has been banned", because},
	unaffiliated: {"mk", "%N has been removed because of an affiliation change", because},
	membersOnly:  {"mk", "%N has been removed because the room is for members only now", because},
	shutdown:     {"mk", "%N has been removed", because},
	vanished:     {"ml", "%N has been removed because he could not be reached", because},
	renamed:      {"mnc", "%N is now known as %T", ""},
	created:      {"mrcm", "Chatroom is created", ""},
	started:      {"mrcm", "Chatroom is started", ""},
	stopped:      {"mrcm", "Chatroom is stopped", ""},
	destroyed:    {"mrcm", "Chatroom is destroyed", because},
	configured:   {"mrcm", "Chatroom configuration modified", ""},
	loggingOn:    {"mrcm", "Logging is switched on", ". Occupants: %T"},
	loggingOff:   {"mrcm", "Logging is switched off", ""},
}

// of returns the form of an event. Who speaks without a nickname is the room.
func (e *entry) form() string {
	f := forms[e.kind]
	switch {
	case e.nick == "" && e.kind == message:
		return "%T"
	case e.nick == "" && e.kind == subject:
		return "The subject is now: %T"
	case e.text != "" && f.suffix != "":
		return f.line + f.suffix
	}
	return f.line
}

// appendLine appends an event as a line.
func (l *Log) appendLine(dst []byte, e *entry) []byte {
	write := e.appendText
	if l.opts.HTML {
		write = func(dst []byte, part rune) []byte { return l.appendHTML(dst, e, part) }
		dst = e.appendAnchor(dst)
	} else {
		dst = e.at.AppendFormat(dst, "[15:04:05] ")
	}
	dst = expand(dst, e.form(), write)
	if l.opts.HTML {
		dst = append(dst, "</p>"...)
	}
	dst = append(dst, '\n')
	if e.about != nil && (e.kind == configured || e.kind == loggingOn) {
		dst = appendAbout(dst, e.about)
	}
	return dst
}

// expand appends a form, with what write makes of its parts. What is inserted is
// not looked at again.
func expand(dst []byte, form string, write func([]byte, rune) []byte) []byte {
	for {
		before, after, found := strings.Cut(form, "%")
		dst = append(dst, before...)
		if !found {
			return dst
		}
		dst = write(dst, rune(after[0]))
		form = after[1:]
	}
}

// isName reports whether a part holds one nickname, or several.
func (e *entry) isName(part rune) bool {
	return part == theNick || e.kind == renamed || e.kind == loggingOn
}

func (e *entry) part(part rune) string {
	if part == theNick {
		return e.nick
	}
	return e.text
}

// appendText appends a part to a line of plain text. Nothing begins a line of
// its own: further lines are indented. In nicknames the signs that tell kinds of
// lines apart have a backslash before them.
func (e *entry) appendText(dst []byte, part rune) []byte {
	text := visible(e.part(part))
	if e.isName(part) {
		text = strings.NewReplacer(`\`, `\\`, "[", `\[`, "]", `\]`, "*", `\*`).Replace(text)
	}
	return append(dst, strings.ReplaceAll(text, "\n", "\n\t")...)
}

// class is that of an event's line in HTML.
func (e *entry) class() string {
	if e.kind == message && e.nick == "" {
		return "msm"
	}
	return forms[e.kind].class
}

// appendAnchor begins a line of HTML with its time, a link to itself.
func (e *entry) appendAnchor(dst []byte) []byte {
	id := e.at.Format("15:04:05.000000")
	return fmt.Appendf(dst, `<p class="%s" id="%s"><a class="ts" href="#%s">[%s]</a> `, e.class(), id, id, id[:len("15:04:05")])
}

// appendHTML appends a part to a line of HTML.
func (l *Log) appendHTML(dst []byte, e *entry, part rune) []byte {
	text := visible(e.part(part))
	if e.isName(part) {
		return append(dst, "<b>"+html.EscapeString(text)+"</b>"...)
	}
	dst = append(dst, "<span>"...)
	for i, line := range strings.Split(text, "\n") {
		if i > 0 {
			dst = append(dst, "<br>"...)
		}
		dst = l.appendLinked(dst, line)
	}
	return append(dst, "</span>"...)
}

// addresses are what becomes a link.
var addresses = regexp.MustCompile(`(?i)\b(?:(?:https?|ftp)://[^\s<>"]+|(?:mailto|xmpp):[^\s<>"]+@[^\s<>"]+)`)

// appendLinked appends a text with its addresses made links.
func (l *Log) appendLinked(dst []byte, text string) []byte {
	rel := "noopener noreferrer"
	if l.opts.NoFollow {
		rel = "nofollow " + rel
	}
	end := 0
	for _, at := range addresses.FindAllStringIndex(text, -1) {
		address := strings.TrimRight(text[at[0]:at[1]], ".,;:!?)]}'")
		dst = append(dst, html.EscapeString(text[end:at[0]])...)
		escaped := html.EscapeString(address)
		dst = fmt.Appendf(dst, `<a href="%s" rel="%s">%s</a>`, escaped, rel, escaped)
		end = at[0] + len(address)
	}
	return append(dst, html.EscapeString(text[end:])...)
}

// visible is a text in which every end of a line is \n, and signs that are not
// seen, but change how others are, are named.
func visible(s string) string {
	var b strings.Builder
	s = strings.ReplaceAll(strings.ToValidUTF8(s, "\uFFFD"), "\r\n", "\n")
	for _, r := range s {
		switch {
		case r == '\n', r == '\r', r == '\v', r == '\f', r == 0x85, r == 0x2028, r == 0x2029:
			b.WriteByte('\n')
		case r < ' ' && r != '\t', r >= 0x7F && r < 0xA0, // controls
			r >= 0x202A && r <= 0x202E, r >= 0x2066 && r <= 0x2069, r == 0x200E, r == 0x200F, r == 0x061C: // direction
			fmt.Fprintf(&b, "⟨U+%04X⟩", r)
		default:
			b.WriteRune(r)
		}
	}
	return b.String()
}

const style = `<style>
body { font: 1em/1.4 sans-serif; margin: 1em auto; max-width: 60em; padding: 0 1em; }
nav { display: flex; justify-content: space-between; }
p { margin: 0; overflow-wrap: anywhere; }
details { color: #555; }
.ts { color: #777; text-decoration: none; }
.mj { color: #070; } .ml { color: #850; } .mk, .mb { color: #a00; } .mnc, .msc, .mrcm { color: #05a; } .mne { font-style: italic; }
</style>
`

// escaped is a text on one line of a page.
func escaped(s string) string {
	return html.EscapeString(strings.ReplaceAll(visible(s), "\n", " "))
}

// appendHead appends the beginning of a page: an HTML document is complete with
// every line that is appended, for its body needs no end. before is the page of
// the last day that has one, "" if none has.
func (l *Log) appendHead(dst []byte, e *entry, before string) []byte {
	title, day := escaped(e.room.String()), e.at.Format(time.DateOnly)
	sheet := style
	if l.opts.CSS != "" {
		sheet = fmt.Sprintf("<link rel=\"stylesheet\" href=\"%s\">\n", escaped(l.opts.CSS))
	}
	// Nothing of a page runs, whatever got into it.
	dst = fmt.Appendf(dst, `<!DOCTYPE html>
<html>
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src * 'unsafe-inline'">
<meta name="viewport" content="width=device-width">
<title>%s, %s</title>
%s</head>
<body>
`, title, day, sheet)
	dst = append(dst, "<nav>"...)
	if before != "" {
		dst = fmt.Appendf(dst, "<a href=\"%s\">&lt;</a> ", l.link(before))
	}
	dst = fmt.Appendf(dst, "<a href=\"%s\">^</a> <a href=\"%s\">%s</a></nav>\n", l.upLink(), escaped(l.opts.TopTarget), escaped(l.opts.TopText))
	address := url.URL{Scheme: "xmpp", Opaque: url.PathEscape(e.room.Local()) + "@" + e.room.Domain(), RawQuery: "join"}
	dst = fmt.Appendf(dst, "<h1><a href=\"%s\">%s</a></h1>\n", escaped(address.String()), title)
	if e.name != "" {
		dst = fmt.Appendf(dst, "<h2>%s</h2>\n", escaped(e.name))
	}
	dst = fmt.Appendf(dst, "<h3>%s, UTC%s</h3>\n", day, e.at.Format("-07:00"))
	if e.subject != "" {
		dst = fmt.Appendf(dst, "<h3 class=\"msc\">%s</h3>\n", escaped(e.subject))
	}
	if e.about != nil && e.kind != configured && e.kind != loggingOn {
		dst = appendAbout(dst, e.about)
	}
	return dst
}

// link leads from one day's page to another's, by its name below the room's
// directory.
func (l *Log) link(page string) string {
	if l.opts.Plain {
		return page
	}
	return "../../" + page
}

// upLink leads to the directory of a room's pages.
func (l *Log) upLink() string {
	if l.opts.Plain {
		return "."
	}
	return "../.."
}
