// Command affiliations is Muster that asks an HTTP service who is what in a new
// room, away from the room, which waits for nothing. The service answers with
// affiliations by address, such as {"juliet@example.org": "admin"}.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"

	"github.com/muster-im/muster/app"
	"github.com/muster-im/muster/jid"
	"github.com/muster-im/muster/muc"
	"github.com/muster-im/muster/server"
)

func main() { app.Main(affiliations{}) }

// settings are the table.
type settings struct {
	URL string `toml:"url" reload:"yes" doc:"Who is asked, with ?room=ADDRESS behind it; nobody if it is empty."`
}

// list is what the service has answered.
type list map[jid.JID]muc.Affiliation

type affiliations struct{}

func (affiliations) Name() string { return "affiliations" }
func (affiliations) Doc() string  { return "Asks an HTTP service who is what in a new room." }

func (affiliations) Register(r *server.Registrar) error {
	table, err := server.ReadSettings(r, settings{})
	if err != nil {
		return err
	}
	client := new(http.Client) // each request ends when the room's patience does
	r.OnStop(func(context.Context) error { client.CloseIdleConnections(); return nil })
	r.AddRoomHooks(func(h *muc.Hooks) {
		h.BeforeCreate.Add("affiliations", 0, func(ev *muc.JoinEvent) error {
			if table.Load().URL == "" {
				return nil
			}
			address := table.Load().URL + "?room=" + url.QueryEscape(ev.Room.JID().String())
			people, err := muc.Ask(&ev.Event, func(ctx context.Context) (list, error) { return ask(ctx, client, address) })
			if err != nil { // it has only just been asked, or it could not answer
				return err
			}
			for who, a := range people {
				if err := ev.Room.SetAffiliation(muc.System, who, a, muc.AffiliationOptions{}); err != nil {
					return err
				}
			}
			return nil
		})
	})
	return nil
}

// ask asks the service.
func ask(ctx context.Context, client *http.Client, address string) (list, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, http.NoBody)
	if err != nil {
		return nil, err
	}
	resp, err := client.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close() //nolint:errcheck // only read from
	var words map[string]string
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s: %s", address, resp.Status)
	} else if err := json.NewDecoder(io.LimitReader(resp.Body, 1<<20)).Decode(&words); err != nil {
		return nil, err
	}
	people := make(list, len(words))
	for address, word := range words {
		who, err := jid.Parse(address)
		if err == nil {
			people[who], err = muc.ParseAffiliation(word)
		}
		if err != nil {
			return nil, err
		}
	}
	return people, nil
}
