package server_test

import (
	"context"
	"errors"
	"net"
	"strings"
	"testing"

	"github.com/muster-im/muster/config"
	"github.com/muster-im/muster/server"
)

// A socket that the service manager has opened is used, whatever else listens.
func TestGivenListeners(t *testing.T) {
	t.Parallel()
	cfg := onNetwork(t)
	l := listener(t)
	cfg.Listen.C2S[1].Port = config.Port(l.Addr().(*net.TCPAddr).Port)
	s := start(t, cfg, server.Options{Listeners: []net.Listener{l}})
	if got := s.Info().Listeners[1]; got.Address != l.Addr().String() || got.TLS != "tls" {
		t.Errorf("listener %+v, want the given one at %s", got, l.Addr())
	}
	if shown(t, l.Addr().String(), "localhost") == 0 {
		t.Error("nobody answers")
	}
	shutdown(t, s)
	if _, err := l.Accept(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("after the end: %v", err)
	}
}

func TestGivenListenerThatNobodyWants(t *testing.T) {
	t.Parallel()
	cfg := onNetwork(t)
	l := listener(t)
	s, err := server.New(cfg, server.Options{Listeners: []net.Listener{l}})
	if err != nil {
		t.Fatal(err)
	}
	defer shutdown(t, s)
	err = s.Start(context.Background())
	if err == nil || !strings.Contains(err.Error(), "has opened "+l.Addr().String()+", which is no listener of development settings") {
		t.Errorf("got %v, want the address", err)
	}
	if _, err := l.Accept(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("the socket is still open: %v", err)
	}
}

func listener(t *testing.T) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // a test
	if err != nil {
		t.Fatal(err)
	}
	return l
}
