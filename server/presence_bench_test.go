package server_test

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"path/filepath"
	"slices"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/muster-im/muster/config"
	"github.com/muster-im/muster/internal/client"
	"github.com/muster-im/muster/internal/sqlstore"
	"github.com/muster-im/muster/internal/store"
	"github.com/muster-im/muster/jid"
	"github.com/muster-im/muster/server"
	"github.com/muster-im/muster/stanza"
)

const benchContacts = 1000

// arrivals counts presence with <show/> that reaches sockets.
type arrivals struct {
	left atomic.Int64
	done chan struct{} // gets a value when left reaches 0
}

// counted is a client's connection that, once told to, only counts what comes:
// reading costs as little as it can.
type counted struct {
	net.Conn
	on       atomic.Bool
	arrivals *arrivals
}

func (c *counted) Read(p []byte) (int, error) {
	for {
		n, err := c.Conn.Read(p)
		if err != nil || !c.on.Load() {
			return n, err
		}
		if came := int64(bytes.Count(p[:n], []byte("<show>"))); came > 0 && c.arrivals.left.Add(-came) == 0 {
			c.arrivals.done <- struct{}{}
		}
	}
}

// fill makes the accounts c0 to c1000; all are c0's contacts and he theirs.
func fill(b *testing.B, cfg *config.Config) {
	b.Helper()
	s, err := server.New(cfg, server.Options{NoListen: true})
	if err != nil {
		b.Fatal(err)
	}
	for i := range benchContacts + 1 {
		if err := s.AddUser(b.Context(), benchJID(b, i), "secret"); err != nil {
			b.Fatal(err)
		}
	}
	if err := s.Shutdown(b.Context()); err != nil {
		b.Fatal(err)
	}
	dir := cfg.General.DataDir
	db, err := sqlstore.Open(b.Context(), sqlstore.Options{Driver: sqlstore.SQLite, Dir: dir, Durability: "process"})
	if err != nil {
		b.Fatal(err)
	}
	first := benchJID(b, 0)
	for i := 1; i <= benchContacts; i++ {
		item := store.RosterItem{Contact: benchJID(b, i), Subscription: store.SubBoth, InRoster: true}
		if _, err := db.PutRosterItem(b.Context(), first, item); err != nil {
			b.Fatal(err)
		}
		item.Contact = first
		if _, err := db.PutRosterItem(b.Context(), benchJID(b, i), item); err != nil {
			b.Fatal(err)
		}
	}
	if err := db.Close(); err != nil {
		b.Fatal(err)
	}
}

func benchJID(b *testing.B, i int) jid.JID {
	b.Helper()
	j, err := jid.New(fmt.Sprint("c", i), "localhost", "")
	if err != nil {
		b.Fatal(err)
	}
	return j
}

// BenchmarkPresence is what the server uses of the CPU when somebody with 1,000
// contacts online changes his presence: a whole server, TCP on loopback, and
// 1,001 clients that do no more than read their sockets, which is counted, too.
func BenchmarkPresence(b *testing.B) {
	cfg := config.Modern("localhost")
	cfg.Listen.C2S[0].TLS.Mode = "none"
	cfg.General.DataDir = filepath.Join(b.TempDir(), "data")
	cfg.Storage.Durability = "process"
	fill(b, cfg)
	s, err := server.New(cfg, server.Options{NoListen: true})
	if err != nil {
		b.Fatal(err)
	}
	if err := s.Start(b.Context()); err != nil {
		b.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	go func() {
		for conn, err := l.Accept(); err == nil; conn, err = l.Accept() {
			go s.ServeC2S(conn)
		}
	}()
	all := &arrivals{done: make(chan struct{}, 1)}
	var me *client.Client
	conns := make([]*counted, benchContacts+1)
	keys := client.NewKeys()
	for i := range slices.Backward(conns) {
		conn, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			b.Fatal(err)
		}
		conns[i] = &counted{Conn: conn, arrivals: all}
		me = comeOnline(b, client.Options{
			Conn: conns[i], Domain: "localhost", Username: fmt.Sprint("c", i), Password: "secret", PlainText: true, Keys: keys,
			RawHandler: func([]byte) bool { return true },
		})
	}
	for _, c := range conns {
		c.on.Store(true)
	}
	here := stanza.Stanza{Kind: stanza.Presence}
	here.Children = []stanza.Node{{Element: stanza.NewElement(stanza.NSClient, "show").AddText("away")}}
	change := func() {
		all.left.Store(benchContacts + 1)
		if err := me.Send(here); err != nil {
			b.Fatal(err)
		}
		select {
		case <-all.done:
		case <-time.After(time.Minute):
			b.Fatalf("%d clients have not got it", all.left.Load())
		}
	}
	b.Run("change", func(b *testing.B) {
		change()
		n, before := 0, cpuTime(b)
		for b.Loop() {
			change()
			n++
		}
		b.ReportMetric(float64(cpuTime(b)-before)/float64(n)/1e6, "cpu-ms/op")
	})
	if err := l.Close(); err != nil {
		b.Error(err)
	}
	for _, c := range conns {
		_ = c.Close() // the server has nothing left to say
	}
	ctx, cancel := context.WithTimeout(context.Background(), server.ShutdownTimeout)
	defer cancel()
	if err := s.Shutdown(ctx); err != nil {
		b.Error(err)
	}
}

// comeOnline logs a client in, which becomes available.
func comeOnline(b *testing.B, o client.Options) *client.Client {
	b.Helper()
	c, err := client.Dial(b.Context(), o)
	if err != nil {
		b.Fatal(err)
	}
	if err := c.Send(stanza.Stanza{Kind: stanza.Presence}); err != nil {
		b.Fatal(err)
	}
	return c
}

// cpuTime is what the process has used.
func cpuTime(b *testing.B) time.Duration {
	b.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
