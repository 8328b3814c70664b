package c2s

import (
	"crypto/tls"
	"net"
	"testing"

	"github.com/muster-im/muster/internal/client"
	"github.com/muster-im/muster/internal/sasl"
	"github.com/muster-im/muster/jid"
	"github.com/muster-im/muster/stanza"
)

// TestOwnClient: our client and our server understand each other by every
// mechanism and way to TLS.
func TestOwnClient(t *testing.T) {
	t.Parallel()
	for _, mode := range []Mode{StartTLS, StartTLSRequired, DirectTLS} {
		for _, m := range append(sasl.Mechanisms(), "") {
			t.Run(map[Mode]string{StartTLS: "starttls", StartTLSRequired: "required", DirectTLS: "direct"}[mode]+" "+string(m), func(t *testing.T) {
				t.Parallel()
				inTLSWorld(t, mode, func(w *world) {
					a, b := net.Pipe()
					w.wg.Go(func() { w.listener.ServeConn(w.t.Context(), addressed{a, &net.TCPAddr{IP: net.IPv4zero}}) })
					c, err := client.Dial(w.t.Context(), client.Options{
						Conn: b, Domain: "a.test", DirectTLS: mode == DirectTLS, TLSConfig: &tls.Config{InsecureSkipVerify: true},
						Username: "romeo", Password: password, Resource: "x", Mechanism: string(m),
					})
					if err != nil {
						t.Fatal(err)
					}
					if c.JID() != jid.MustParse("romeo@a.test/x") {
						t.Errorf("bound %s", c.JID())
					}
					w.told()
					if err := c.Send(stanza.Stanza{Kind: stanza.Presence}); err != nil {
						t.Error(err)
					}
					w.wantTold("outbound <presence from='romeo@a.test/x' xml:lang='en'/>")
					if err := c.Close(); err != nil {
						t.Error(err)
					}
				})
			})
		}
	}
}
