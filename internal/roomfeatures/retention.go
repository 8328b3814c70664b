package roomfeatures

import (
	"strconv"
	"time"

	"github.com/muster-im/muster/muc"
)

// retention says how long and how many messages a room keeps, where that is less
// than its service does. What is over is removed within about an hour, whether
// anybody is in the room or not: see Retention. Who enters is not shown it even
// before.
type retention struct {
	service func() (age time.Duration, messages int) // nil: without end

	// Set by Register.
	days, messages *muc.Field[int]
}

const (
	fieldKeepDays     = "muc#roomconfig_archivedays"
	fieldKeepMessages = "muc#roomconfig_archivemessages"
	maxKeepDays       = 36500
)

func (f *retention) Register(h *muc.Hooks) {
	f.days = muc.NewIntField(h, muc.FieldSpec{
		Var: fieldKeepDays, Section: muc.SectionOther, Order: 22, Label: "Days for which messages are kept (0: as long as the service keeps them)", Max: maxKeepDays,
	}, 0)
	f.messages = muc.NewIntField(h, muc.FieldSpec{
		Var: fieldKeepMessages, Section: muc.SectionOther, Order: 24, Label: "Messages that are kept (0: as many as the service keeps)",
	}, 0)
}

// kept are those of a room's messages, oldest first, that are kept still.
func (f *retention) kept(r *muc.Room, list []past) []past {
	var age time.Duration
	var messages int
	if f.service != nil {
		age, messages = f.service()
	}
	age = stricter(age, days(f.days.Get(r)))
	messages = stricter(messages, f.messages.Get(r))
	if messages > 0 && messages < len(list) {
		list = list[len(list)-messages:]
	}
	if age > 0 {
		oldest := time.Now().Add(-age)
		for len(list) > 0 && list[0].message.Time.Before(oldest) {
			list = list[1:]
		}
	}
	return list
}

// Retention is how long and how many messages a room keeps whose service keeps
// them so long and so many, by the room's stored settings; 0 is without end.
func Retention(settings map[string][]string, age time.Duration, messages int) (time.Duration, int) {
	number := func(key string) int {
		if v := settings[key]; len(v) == 1 {
			if n, err := strconv.Atoi(v[0]); err == nil && n > 0 {
				return n
			}
		}
		return 0
	}
	return stricter(age, days(min(number(fieldKeepDays), maxKeepDays))), stricter(messages, number(fieldKeepMessages))
}

func days(n int) time.Duration { return time.Duration(n) * 24 * time.Hour }

// stricter is the smaller of two limits, of which 0 is none.
func stricter[T int | time.Duration](a, b T) T {
	if a == 0 || b == 0 {
		return max(a, b)
	}
	return min(a, b)
}
