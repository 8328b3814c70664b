package muc_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/muster-im/muster/muc"
)

// diary is a cabinet that counts when it is told that rooms were used.
type diary struct {
	cabinet
	notes chan muc.RoomUse
}

func (d *diary) NoteUse(_ context.Context, list []muc.RoomUse) error {
	for _, u := range list {
		d.notes <- u
	}
	return nil
}

// TestUseIsNoted: that a room is used is stored once in an hour, and its first
// use with its creation.
func TestUseIsNoted(t *testing.T) {
	d := &diary{}
	o := sleepy(muc.Hibernation{})
	o.Store = d
	run(t, o, func(w *world) {
		d.notes = make(chan muc.RoomUse, 10)
		w.send(enter("anna"))
		w.send(accept)
		w.send(say("anna", "hello"))
		synctest.Wait()
		if n := len(d.notes); n != 0 {
			t.Errorf("%d notes of a new room", n)
		}
		time.Sleep(time.Hour)
		w.send(say("anna", "still here"))
		w.send(say("anna", "really"))
		synctest.Wait()
		if n := len(d.notes); n != 1 {
			t.Errorf("%d notes after an hour, want one", n)
		}
	})
}
