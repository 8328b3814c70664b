// Command wordfilter is Muster with a filter for words that nobody is to say in
// rooms. Its table in muster.toml:
//
//	[modules.wordfilter]
//	words = ["darn", "heck"]
//	refuse = true
//
// It has no goroutines and blocks on nothing.
package main

import (
	"regexp"
	"strings"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/muster-im/muster/app"
	"github.com/muster-im/muster/muc"
	"github.com/muster-im/muster/server"
	"github.com/muster-im/muster/stanza"
)

func main() { app.Main(wordFilter{}) }

// settings are the table of the filter.
type settings struct {
	Words  []string `toml:"words" reload:"yes" doc:"Words that nobody says, in upper or lower case."`
	Refuse bool     `toml:"refuse" reload:"yes" doc:"Refuse what has such words in it, instead of putting stars in their place."`
}

// Check refuses what would be found everywhere.
func (s *settings) Check(problem func(key, text string)) {
	for _, w := range s.Words {
		if strings.TrimSpace(w) == "" {
			problem("words", "want words, not blanks")
		}
	}
}

// pattern matches the words; nil matches nothing.
func (s *settings) pattern() *regexp.Regexp {
	if len(s.Words) == 0 {
		return nil
	}
	quoted := make([]string, len(s.Words))
	for i, w := range s.Words {
		quoted[i] = regexp.QuoteMeta(w)
	}
	return regexp.MustCompile(`(?i)` + strings.Join(quoted, "|"))
}

type wordFilter struct{}

func (wordFilter) Name() string { return "wordfilter" }
func (wordFilter) Doc() string  { return "Keeps words out of rooms." }

func (wordFilter) Register(r *server.Registrar) error {
	table, err := server.ReadSettings(r, settings{Words: []string{"darn"}})
	if err != nil {
		return err
	}
	found := prometheus.NewCounter(prometheus.CounterOpts{Name: "messages_total", Help: "Messages with such words."})
	filter := func(st *stanza.Stanza) error {
		s := table.Load()
		words := s.pattern()
		if words == nil || !words.MatchString(st.Body()) {
			return nil
		}
		found.Inc()
		if s.Refuse {
			return stanza.NewError(stanza.Modify, stanza.NotAcceptable, "Mind your language.")
		}
		clean := words.ReplaceAllStringFunc(st.Body(), func(w string) string { return strings.Repeat("*", len([]rune(w))) })
		*st = st.Without(func(e *stanza.Element) bool { return e.Name.Local == "body" || e.Name.Local == "html" }).
			With(stanza.NewElement(stanza.NSClient, "body").AddText(clean))
		return nil
	}
	r.AddRoomHooks(func(h *muc.Hooks) {
		h.BeforeMessage.Add("wordfilter", 0, func(ev *muc.MessageEvent) error { return filter(ev.Stanza) })
		h.BeforePrivateMessage.Add("wordfilter", 0, func(ev *muc.PrivateMessageEvent) error { return filter(ev.Stanza) })
	})
	return r.Metrics.Register(found)
}
