package shaper

import (
	"net"
	"testing"
	"testing/synctest"
	"time"
)

func address(s string) net.Addr { return &net.TCPAddr{IP: net.ParseIP(s), Port: 1} }

func TestAddressesForget(t *testing.T) {
	t.Parallel()
	l := NewAddresses(2, time.Hour, true)
	for i := range maxAddresses + 1000 {
		l.Take(&net.TCPAddr{IP: net.IPv4(10, byte(i>>16), byte(i>>8), byte(i)), Port: 1})
	}
	if len(l.buckets) > maxAddresses {
		t.Errorf("%d addresses are remembered", len(l.buckets))
	}
	debtor := address("192.0.2.7")
	l.Take(debtor)
	l.Take(debtor)
	if !l.Allowed(&net.UnixAddr{Name: "x"}) || l.Allowed(debtor) {
		t.Error("a socket without address is limited, or an address in debt is not")
	}
}

func TestAddresses(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := NewAddresses(1, time.Minute, false)
		a, b := address("192.0.2.1"), address("192.0.2.2")
		try := func(what string, addr net.Addr, want bool) {
			t.Helper()
			if got := l.Try(addr); got != want {
				t.Errorf("%s: got %v, want %v", what, got, want)
			}
		}
		try("the first go", a, true)
		try("at once again", a, false)
		try("somebody else", b, true)
		try("loopback", address("127.0.0.1"), true)
		try("loopback again", address("127.0.0.1"), true)
		l.Return(a)
		try("after one was given back", a, true)
		time.Sleep(59 * time.Second)
		try("too early", a, false)
		time.Sleep(time.Second)
		try("a minute later", a, true)
		l.SetEvery(10 * time.Second)
		time.Sleep(10 * time.Second)
		try("after the shorter wait", a, true)
		l.SetEvery(0)
		try("without limit", a, true)
		try("without limit, again", a, true)
		l.SetEvery(time.Minute)
		try("one of a network", address("2001:db8::1"), true)
		try("another of the same network", address("2001:db8::2"), false)
		try("one of another network", address("2001:db8:0:1::1"), true)
	})
}
