package xmpptest

import (
	"context"
	"fmt"
	"sync"

	"github.com/muster-im/muster/jid"
	"github.com/muster-im/muster/server"
	"github.com/muster-im/muster/stanza"
)

// Far is a domain that is not the server's and that it can reach.
const Far = "far.test"

// Remote is the server of Far: nothing but what a script makes it say.
type Remote struct {
	mu sync.Mutex
	// Guarded by mu.
	server  *server.Server
	current *peer // nil: nobody listens
}

// attach connects the domain before the server starts.
func (f *Remote) attach(s *server.Server) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.server, f.current = s, nil
	s.AddService(Far, f)
}

// Handle takes what is routed to the domain.
func (f *Remote) Handle(st stanza.Stanza) (busy <-chan struct{}) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.current != nil {
		f.current.add(string(st.AppendXML(nil)))
	}
	return nil
}

// peer begins to listen, for a script.
func (f *Remote) peer() *peer {
	p := &peer{done: make(chan struct{}), write: f.send}
	p.stop = func() { p.ended(nil) }
	f.mu.Lock()
	defer f.mu.Unlock()
	f.current = p
	return p
}

// send routes a stanza as if another server had sent it.
func (f *Remote) send(data []byte) error {
	st, err := stanza.Parse(data)
	if err != nil {
		return err
	}
	if st.From.Domain() != Far || st.To == (jid.JID{}) {
		return fmt.Errorf("a stanza of %s has from there, and to", Far)
	}
	f.mu.Lock()
	s := f.server
	f.mu.Unlock()
	s.Route(context.Background(), st)
	return nil
}
