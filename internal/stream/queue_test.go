package stream

import (
	"bytes"
	"errors"
	"io"
	"net"
	"sync"
	"syscall"
	"testing"
	"time"
)

// deadlines remembers the write deadline that a connection has.
type deadlines struct {
	net.Conn
	set  int
	last time.Time
}

func (d *deadlines) SetWriteDeadline(t time.Time) error {
	d.set, d.last = d.set+1, t
	return d.Conn.SetWriteDeadline(t)
}

// TestDeadlineEnds: the deadline of a batch that had to wait for the peer must
// not end a later one, which tries without.
func TestDeadlineEnds(t *testing.T) {
	t.Parallel()
	s, client := loopback(t)
	conn := &deadlines{Conn: s.base}
	data := bytes.Repeat([]byte("x"), 32<<20) // more than any socket buffers
	var got int64
	var wg sync.WaitGroup
	wg.Go(func() { got, _ = io.Copy(io.Discard, client) })
	if err := write(conn, s.raw, data, time.Minute); err != nil {
		t.Fatal(err)
	}
	if conn.set == 0 {
		t.Error("a write that must wait had no deadline")
	}
	if !conn.last.IsZero() {
		t.Errorf("the deadline %v is left for the next batch", conn.last)
	}
	s.Release()
	wg.Wait()
	_ = client.Close()
	if got < int64(len(data)) {
		t.Errorf("the peer got %d of %d bytes", got, len(data))
	}
}

// TestSlowConsumerIsReset: what a peer that does not read has not taken must
// not stay in the kernel until it does.
func TestSlowConsumerIsReset(t *testing.T) {
	t.Parallel()
	s, client := loopback(t)
	block := bytes.Repeat([]byte("x"), 1<<20)
	var err error
	for sent := 0; sent < 64 && err == nil; sent++ {
		err = s.SendRaw(block)
	}
	if !errors.Is(err, ErrSlowConsumer) {
		t.Fatalf("got %v, want ErrSlowConsumer", err)
	}
	s.Release()
	if _, err := io.Copy(io.Discard, client); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("the peer's connection ended with %v, want a reset", err)
	}
	_ = client.Close()
}
