package muc

import (
	"context"
	"maps"
)

// SetData stages what a feature keeps of the room under a key, which may be
// large; nothing removes it.
func (r *Room) SetData(key string, data []byte) {
	if r.staged.data == nil {
		r.staged.data = make(map[string][]byte, 1)
	}
	r.staged.data[key] = data
}

// Data returns how to read what a feature keeps of the room: a function that may
// block, so it is for what runs away from the room. It returns nothing if there
// is nothing.
func (r *Room) Data(key string) func(ctx context.Context) ([]byte, error) {
	if !r.stored || r.svc.opts.Store == nil {
		data := r.data[key]
		return func(context.Context) ([]byte, error) { return data, nil }
	}
	store, room := r.svc.opts.Store, r.jid
	return func(ctx context.Context) ([]byte, error) {
		all, err := store.RoomData(ctx, room)
		return all[key], err
	}
}

// dataWith is what features keep of a room in memory, with what a change says.
func (r *Room) dataWith(ch *change) map[string][]byte {
	if len(r.data) == 0 {
		return ch.data
	}
	all := maps.Clone(r.data)
	maps.Copy(all, ch.data)
	return all
}
