package stream

import (
	"bytes"
	"errors"
	"io"
	"net"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
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

// TestOneThingMayBeLarge: what is larger than the bound goes out if nothing much
// waits before it, and only one such thing waits at a time.
func TestOneThingMayBeLarge(t *testing.T) {
	t.Parallel()
	s, client := pair(Options{QueueBytes: 1000})
	large := bytes.Repeat([]byte("x"), 5000)
	for range 2 {
		if err := s.SendRaw(large); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(client, make([]byte, len(large))); err != nil {
			t.Fatal(err)
		}
		s.Flush()
	}
	if err := s.SendRaw(large); err != nil {
		t.Fatal(err)
	}
	if err := s.SendRaw(make([]byte, 300)); err != nil {
		t.Errorf("what comes behind something large: %v", err)
	}
	if err := s.SendRaw(large); !errors.Is(err, ErrSlowConsumer) {
		t.Errorf("two large things wait: got %v, want ErrSlowConsumer", err)
	}
	_ = client.Close()
	s.Release()
}

// TestPressure: there is pressure while the peer does not read, and none when it
// has.
func TestPressure(t *testing.T) {
	t.Parallel()
	s, client := pair(Options{QueueBytes: 1000})
	if s.Pressure() != nil {
		t.Error("pressure on an idle stream")
	}
	if err := s.SendRaw(make([]byte, 600)); err != nil {
		t.Fatal(err)
	}
	eased := s.Pressure()
	if eased == nil {
		t.Fatal("no pressure with 600 of 1,000 bytes waiting")
	}
	select {
	case <-eased:
		t.Error("eased before anything was read")
	default:
	}
	if _, err := io.ReadFull(client, make([]byte, 600)); err != nil {
		t.Fatal(err)
	}
	<-eased
	if err := s.SendRaw(make([]byte, 600)); err != nil {
		t.Fatal(err)
	}
	eased = s.Pressure()
	_ = client.Close()
	<-eased // a broken stream keeps nobody waiting
	s.Release()
}

// TestGather: what is gathered is written at once when it is released, or when it is
// much, waited for, or the last.
func TestGather(t *testing.T) {
	tests := []struct {
		name string
		end  func(s *Stream, release func())
		want string
	}{
		{"released", func(_ *Stream, release func()) { release() }, "onetwo"},
		{"much", func(s *Stream, _ func()) { _ = s.SendRaw(make([]byte, writePart-6)) }, "onetwo" + string(make([]byte, writePart-6))},
		{"waited for", func(s *Stream, _ func()) { go s.Flush() }, "onetwo"},
		{"last", func(s *Stream, _ func()) { s.queue.end() }, "onetwo"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s, client := pair(Options{})
				var got bytes.Buffer
				writes := 0
				go func() {
					buf := make([]byte, 2*writePart)
					for {
						n, err := client.Read(buf)
						if err != nil {
							return
						}
						got.Write(buf[:n])
						writes++
					}
				}()
				first, release := s.Gather(), s.Gather()
				first() // the other still gathers
				for _, text := range []string{"one", "two"} {
					if err := s.SendRaw([]byte(text)); err != nil {
						t.Fatal(err)
					}
				}
				synctest.Wait()
				if got.Len() > 0 {
					t.Fatalf("%q was not gathered", got.String())
				}
				test.end(s, release)
				synctest.Wait()
				if got.String() != test.want || writes != 1 {
					t.Errorf("got %d bytes with %d writes, want %d with one", got.Len(), writes, len(test.want))
				}
				_ = client.Close()
				s.Release()
			})
		})
	}
}

// TestPeerThatDoesNotReadIsSlow: a write that meets its deadline is counted and
// named as what it is.
func TestPeerThatDoesNotReadIsSlow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, client := pair(Options{})
		if err := s.SendRaw([]byte("x")); err != nil {
			t.Fatal(err)
		}
		time.Sleep(defaultWriteLimit + time.Second)
		if err := s.Err(); !errors.Is(err, ErrSlowConsumer) {
			t.Errorf("got %v, want ErrSlowConsumer", err)
		}
		_ = client.Close()
		s.Release()
	})
}
