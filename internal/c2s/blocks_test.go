package c2s

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"

	"github.com/muster-im/muster/internal/router"
	"github.com/muster-im/muster/jid"
	"github.com/muster-im/muster/stanza"
)

// fakeBlocks keeps a list for everybody.
type fakeBlocks struct {
	err error

	mu   sync.Mutex
	open int // lists that have not been closed
	list *router.BlockList
}

func (b *fakeBlocks) Open(context.Context, jid.JID) (*router.BlockList, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.err != nil {
		return nil, b.err
	}
	b.open++
	return b.list, nil
}

func (b *fakeBlocks) Close(l *router.BlockList) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if l != nil {
		b.open--
	}
}

func (b *fakeBlocks) Screen(s router.Session, batch []*stanza.Encoded) []*stanza.Encoded {
	return slices.DeleteFunc(slices.Clone(batch), func(e *stanza.Encoded) bool {
		return s.State().BlockList().Blocks(e.Stanza.From)
	})
}

func (*fakeBlocks) Refusal() *stanza.Error {
	return stanza.NewError(stanza.Cancel, stanza.NotAcceptable, "")
}

func withBlocks(b *fakeBlocks) func(*config) {
	return func(c *config) { c.options.Blocks = b }
}

// TestBlockedAddress: what a client sends to somebody it has blocked goes
// nowhere (XEP-0191 §3.3), and nothing comes from there, not even what was held
// back when he was not blocked yet; but the refusal, which bears his address,
// comes.
func TestBlockedAddress(t *testing.T) {
	t.Parallel()
	b := &fakeBlocks{list: router.NewBlockList(jid.MustParse("romeo@a.test"), nil)}
	inWorld(t, withBlocks(b), func(w *world) {
		tybalt := jid.MustParse("tybalt@b.test/sword")
		p := w.join("romeo", "x")
		w.told()
		held := stanza.Stanza{Kind: stanza.Presence, ID: "held", From: tybalt}
		p.ask("<inactive xmlns='urn:xmpp:csi:0'/>")
		w.session("romeo@a.test/x").Deliver([]*stanza.Encoded{stanza.Encode(held)})
		b.list.Block([]jid.JID{tybalt.Bare()})
		if got := p.ask("<active xmlns='urn:xmpp:csi:0'/>"); got != "" {
			t.Errorf("of what was held back there is %s", got)
		}
		p.ask("<message to='tybalt@b.test' id='1'/>",
			"<message type='error' id='1' from='tybalt@b.test' to='romeo@a.test/x'><error type='cancel'><not-acceptable ")
		p.ask("<presence to='tybalt@b.test/sword'/>", "<presence type='error' from='tybalt@b.test/sword' to='romeo@a.test/x'><error type='cancel'><not-acceptable ")
		p.ask("<iq type='result' to='tybalt@b.test/sword' id='2'/>")
		w.session("romeo@a.test/x").Deliver([]*stanza.Encoded{
			stanza.Encode(stanza.Stanza{Kind: stanza.Message, ID: "3", From: tybalt}),
			stanza.Encode(stanza.Stanza{Kind: stanza.Message, ID: "4", From: jid.MustParse("nurse@b.test")}),
		})
		p.want("<message id='4' ")
		w.wantTold()
		if n := w.metric("refused_total", refusedBlocked); n != 3 {
			t.Errorf("%v refusals", n)
		}
		p.ask("</stream:stream>", "</stream:stream>")
		if b.open != 0 {
			t.Error("the list is open after the session")
		}
	})
}

// TestBlockListUnknown: without its list a session is not begun.
func TestBlockListUnknown(t *testing.T) {
	t.Parallel()
	b := &fakeBlocks{err: errors.New("the disk is on fire")}
	inWorld(t, withBlocks(b), func(w *world) {
		p := w.dial()
		p.login("romeo")
		p.send("%s", bindRequest("x"))
		p.wantError("internal-server-error")
		w.wantTold("unbind romeo@a.test/x", "ended romeo@a.test/x")
		w.event("bind romeo@a.test/x") // to please the world's balance
	})
}
