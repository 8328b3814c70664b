package roomfeatures

import (
	"strconv"
	"time"

	"github.com/muster-im/muster/muc"
)

// retention says how long and how many messages a room keeps, where that is less
// than its service does. What is over is removed within about an hour, whether
// anybody is in the room or not: see Retention.
type retention struct{}

const (
	fieldKeepDays     = "muc#roomconfig_archivedays"
	fieldKeepMessages = "muc#roomconfig_archivemessages"
	maxKeepDays       = 36500
)

func (retention) Register(h *muc.Hooks) {
	muc.NewIntField(h, muc.FieldSpec{
		Var: fieldKeepDays, Section: muc.SectionOther, Order: 22, Label: "Days for which messages are kept (0: as long as the service keeps them)", Max: maxKeepDays,
	}, 0)
	muc.NewIntField(h, muc.FieldSpec{
		Var: fieldKeepMessages, Section: muc.SectionOther, Order: 24, Label: "Messages that are kept (0: as many as the service keeps)",
	}, 0)
}

// Retention reads from a room's stored settings how long and how many messages
// it keeps itself; 0 is without end.
func Retention(settings map[string][]string) (age time.Duration, messages int) {
	number := func(key string) int {
		if v := settings[key]; len(v) == 1 {
			if n, err := strconv.Atoi(v[0]); err == nil && n > 0 {
				return n
			}
		}
		return 0
	}
	return time.Duration(min(number(fieldKeepDays), maxKeepDays)) * 24 * time.Hour, number(fieldKeepMessages)
}
