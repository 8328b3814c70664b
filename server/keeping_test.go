package server_test

import (
	"bytes"
	"context"
	"errors"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/muster-im/muster/config"
	"github.com/muster-im/muster/internal/pgtest"
	"github.com/muster-im/muster/jid"
	"github.com/muster-im/muster/muc"
	"github.com/muster-im/muster/server"
	"github.com/muster-im/muster/stanza"
)

// keeper keeps of each room what is said in it, and refuses some of it.
type keeper struct {
	store *server.Store
	notes *muc.Notes
}

func (*keeper) Name() string { return "keeper" }

func (k *keeper) Register(r *server.Registrar) error {
	k.store = r.Store
	r.AddRoomHooks(func(h *muc.Hooks) {
		k.notes = muc.NewNotes(h, "keeper")
		h.BeforeMessage.Add("keeper", 0, func(ev *muc.MessageEvent) error {
			if err := k.notes.Set(ev.Room, "last", ev.Stanza.Body()); err != nil {
				return err
			}
			if strings.HasPrefix(ev.Stanza.Body(), "refused") {
				return errors.New("no")
			}
			return nil
		})
	})
	return nil
}

// all are the notes of a room.
func (k *keeper) all(t *testing.T, room *muc.Handle) (notes map[string]string) {
	t.Helper()
	err := room.Do(t.Context(), func(r *muc.Room) error {
		notes = maps.Collect(k.notes.All(r))
		return nil
	})
	if err != nil {
		t.Error(err)
	}
	return notes
}

// TestExtensionsKeepThings: the notes and the store of an extension are there
// after a restart, on both engines.
func TestExtensionsKeepThings(t *testing.T) {
	t.Parallel()
	engines := map[string]func(t *testing.T, cfg *config.Config){
		"sqlite": func(*testing.T, *config.Config) {},
		"postgres": func(t *testing.T, cfg *config.Config) {
			cfg.Storage.Driver, cfg.Storage.URL = "postgres", config.Secret(pgtest.SchemaAddress(t))
		},
	}
	for name, use := range engines {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cfg := offNetwork(t)
			use(t, cfg)
			long := bytes.Repeat([]byte{0, 255, '\'', '%'}, server.MaxKeyValue/4)
			told := strings.Repeat("ü", 4000)
			with := func(fn func(k *keeper, room *muc.Handle)) {
				k := new(keeper)
				s := start(t, cfg, server.Options{NoListen: true, Extensions: []server.Extension{k}})
				defer shutdown(t, s)
				fn(k, stayingRoom(t, s, "vault@conference.localhost"))
			}
			with(func(k *keeper, room *muc.Handle) {
				keep(t, k, room, long, told)
			})
			with(func(k *keeper, room *muc.Handle) {
				checkKept(t, k, room, long, told)
				err := errors.Join(room.Destroy(t.Context(), "", jid.JID{}), k.store.Set(t.Context(), "long", nil))
				if err != nil {
					t.Error(err)
				}
			})
			with(func(k *keeper, room *muc.Handle) { // another one of that name
				if notes := k.all(t, room); len(notes) != 0 {
					t.Errorf("a new room has the notes %q of the one before", notes)
				}
				if v, err := k.store.Get(t.Context(), "long"); err != nil || v != nil {
					t.Errorf("what is removed is %d bytes, %v", len(v), err)
				}
			})
		})
	}
}

// stayingRoom returns a room that is stored, made if it is not there.
func stayingRoom(t *testing.T, s *server.Server, address string) *muc.Handle {
	t.Helper()
	j := jid.MustParse(address)
	rooms := s.Rooms(j.Domain())
	room, err := rooms.Room(t.Context(), j)
	if errors.Is(err, muc.ErrNoRoom) {
		room, err = rooms.CreateRoom(t.Context(), j, func(r *muc.Room) error {
			_, err := r.Configure(muc.System, map[string][]string{muc.FieldPersistent: {"1"}})
			return err
		})
	}
	if err != nil {
		t.Fatal(err)
	}
	return room
}

// keep keeps things.
func keep(t *testing.T, k *keeper, room *muc.Handle, long []byte, told string) {
	t.Helper()
	ctx := t.Context()
	err := errors.Join(
		k.store.Set(ctx, "long", long), k.store.Set(ctx, "🦄/1", []byte("a")), k.store.Set(ctx, "🦄/2", []byte("b")),
		room.Post(ctx, text(t, told)),
		room.Do(ctx, func(r *muc.Room) error { return k.notes.Set(r, "🦄 'x' %", "kept") }),
	)
	if err != nil {
		t.Fatal(err)
	}
	if err := room.Post(ctx, text(t, "refused")); err == nil {
		t.Error("it is not refused")
	}
	var all sync.WaitGroup
	for range 20 {
		all.Go(func() {
			err := k.store.Update(context.WithoutCancel(ctx), "count", func(old []byte) ([]byte, error) {
				n, _ := strconv.Atoi(string(old))
				return strconv.AppendInt(nil, int64(n+1), 10), nil
			})
			if err != nil {
				t.Errorf("update: %v", err)
			}
		})
	}
	all.Wait()
}

func checkKept(t *testing.T, k *keeper, room *muc.Handle, long []byte, told string) {
	t.Helper()
	if got, want := k.all(t, room), (map[string]string{"last": told, "🦄 'x' %": "kept"}); !maps.Equal(got, want) {
		t.Errorf("notes are %.200q, want %.200q", got, want)
	}
	for key, want := range map[string]string{"long": string(long), "🦄/1": "a", "count": "20", "nothing": ""} {
		if v, err := k.store.Get(t.Context(), key); err != nil || string(v) != want {
			t.Errorf("%s: %.50q, %v; want %.50q", key, v, err, want)
		}
	}
	if keys, err := k.store.Keys(t.Context(), "🦄/"); err != nil || !slices.Equal(keys, []string{"🦄/1", "🦄/2"}) {
		t.Errorf("keys are %q, %v", keys, err)
	}
}

// TestServerInsideARoom: what waits for rooms says inside one that it cannot,
// before it does anything.
func TestServerInsideARoom(t *testing.T) {
	t.Parallel()
	cfg := offNetwork(t)
	s := start(t, cfg, server.Options{NoListen: true})
	defer shutdown(t, s)
	room := stayingRoom(t, s, "vault@conference.localhost")
	ctx, who := t.Context(), jid.MustParse("anna@localhost")
	if err := s.AddUser(ctx, who, "secret"); err != nil {
		t.Fatal(err)
	}
	for name, call := range map[string]func() error{
		"Shutdown":   func() error { return s.Shutdown(ctx) },
		"Reload":     func() error { return s.Reload(cfg) },
		"AddUser":    func() error { return s.AddUser(ctx, jid.MustParse("ben@localhost"), "secret") },
		"DeleteUser": func() error { return s.DeleteUser(ctx, who) },
		"Backup": func() error {
			_, err := s.Backup(ctx, nil)
			return err
		},
	} {
		if err := room.Do(ctx, func(*muc.Room) error { return call() }); !errors.Is(err, muc.ErrInRoom) {
			t.Errorf("%s: %v, want ErrInRoom", name, err)
		}
	}
	if _, err := room.Info(ctx); err != nil {
		t.Errorf("afterwards: %v", err)
	}
	if err := s.AddUser(ctx, who, "secret"); err == nil {
		t.Error("somebody has been deleted")
	}
}

// text is a message to everybody in a room.
func text(t *testing.T, body string) stanza.Stanza {
	t.Helper()
	return stanza.Stanza{Kind: stanza.Message, Type: stanza.TypeGroupchat}.With(stanza.NewElement(stanza.NSClient, "body").AddText(body))
}
