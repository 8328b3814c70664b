package bench

import (
	"bufio"
	"fmt"
	"net"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

func TestRoomsTalkApart(t *testing.T) {
	s := startServer(t, &roomServer{})
	o := RoomsOptions{
		LoadOptions: LoadOptions{Options: s.options(), Window: 2, Body: 64, Messages: 60}, Rooms: 3, Occupants: 2,
	}
	r, err := Fanout(t.Context(), o.Fanout())
	if err != nil {
		t.Fatal(err)
	}
	slack := int64(3 * 2 * 2)
	if d := r.Deliveries - 2*r.Messages; r.Messages < 60 || d < -2*slack || d > 2*slack {
		t.Errorf("%d messages in rooms of two came to %d deliveries", r.Messages, r.Deliveries)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.occupants) != 3 || len(s.sessions) != 6 {
		t.Errorf("%d people in %d rooms, want 6 in 3", len(s.sessions), len(s.occupants))
	}
}

// Two measurements of the same people: the second counts nothing of the first.
func TestRoomsTalkAgain(t *testing.T) {
	s := startServer(t, &roomServer{})
	rooms, err := FillRooms(t.Context(), FanoutOptions{
		LoadOptions: LoadOptions{Options: s.options(), Window: 1, Body: 64, Messages: 20}, Occupants: 3, Senders: 1,
	})
	if err != nil {
		t.Fatal(err)
	}
	defer rooms.Leave()
	for range 2 {
		r, err := rooms.Talk(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if r.Messages < 20 || r.Messages > 22 || r.LatencyP50 <= 0 {
			t.Errorf("report %+v", r)
		}
	}
}

func TestRate(t *testing.T) {
	s := startServer(t, &roomServer{})
	r, err := Fanout(t.Context(), FanoutOptions{
		LoadOptions: LoadOptions{Options: s.options(), Window: 1, Rate: 1000, Body: 64, Duration: 100 * time.Millisecond},
		Occupants:   2, Senders: 2,
	})
	if err != nil {
		t.Fatal(err)
	}
	if r.Messages == 0 || r.Rate != 1000 || float64(r.Messages) > 1000*r.Seconds*1.5 {
		t.Errorf("%d messages in %.2f s at 1000 a second", r.Messages, r.Seconds)
	}
}

// A server that answers nobody cannot keep up with a rate.
func TestRateIsTooMuch(t *testing.T) {
	s := startServer(t, &roomServer{lose: true})
	_, err := Fanout(t.Context(), FanoutOptions{
		LoadOptions: LoadOptions{Options: s.options(), Window: 1, Rate: 1000, Body: 64, Duration: time.Minute, backlog: 50 * time.Millisecond},
		Occupants:   2, Senders: 2,
	})
	if err == nil || !strings.Contains(err.Error(), "behind the rate") {
		t.Errorf("error %v, want that it is behind", err)
	}
}

func TestRoomMemory(t *testing.T) {
	s := startServer(t, &roomServer{})
	o := RoomMemoryOptions{Options: s.options(), Rooms: 5, Settle: time.Millisecond, Set: map[string]string{"muc#roomconfig_persistentroom": "1"}}
	o.PIDs = []int{os.Getpid()}
	r, err := RoomMemory(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	if r.Rooms != 5 || r.CreationsPerSecond <= 0 || r.Server == nil || r.Server.RSSAfter == 0 {
		t.Errorf("report %+v", r)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.occupants) != 5 || len(s.sessions) != 1 || !s.destroyed {
		t.Errorf("%d people made %d rooms, destroyed: %v", len(s.sessions), len(s.occupants), s.destroyed)
	}
	for room, people := range s.occupants {
		if len(people) != 0 {
			t.Errorf("somebody is still in %s", room)
		}
	}
}

func TestRegister(t *testing.T) {
	s := startServer(t, &roomServer{})
	o := s.options()
	o.Register = true
	if err := o.Prepare(t.Context(), 3); err != nil {
		t.Errorf("three accounts, one of which exists: %v", err)
	}
	s.mu.Lock()
	asked := slices.Sorted(slices.Values(s.registered))
	s.mu.Unlock()
	if want := []string{"bench1", "bench2", "bench3"}; !slices.Equal(asked, want) {
		t.Errorf("accounts %q, want %q", asked, want)
	}
	if err := o.Prepare(t.Context(), 9); err == nil || !strings.Contains(err.Error(), "bench9@localhost") {
		t.Errorf("an account that is refused: %v", err)
	}
}

// channelServer is an IRC server with one channel.
type channelServer struct {
	mu    sync.Mutex
	conns []net.Conn
}

func (s *channelServer) serve(conn net.Conn) {
	lines := bufio.NewScanner(conn)
	for lines.Scan() {
		command, rest, _ := strings.Cut(lines.Text(), " ")
		s.mu.Lock()
		switch command {
		case "USER":
			_, _ = fmt.Fprintf(conn, "PING :1\r\n:irc 001 x :hello\r\n")
		case "JOIN":
			s.conns = append(s.conns, conn)
			_, _ = fmt.Fprintf(conn, ":irc 353 x = %s :x\r\n:irc 366 x %s :end\r\n", rest, rest)
		case "PRIVMSG":
			for _, c := range s.conns {
				if c != conn {
					_, _ = fmt.Fprintf(c, ":x!x@x PRIVMSG %s\r\n", rest)
				}
			}
		}
		s.mu.Unlock()
	}
}

func TestIRC(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var s channelServer
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			wg.Go(func() { s.serve(conn) })
		}
	})
	defer wg.Wait()
	defer l.Close() //nolint:errcheck // the test is over
	o := IRCOptions{
		LoadOptions: LoadOptions{
			Options: Options{Addr: l.Addr().String(), TLS: "none", UsersPrefix: "bench", Logins: 2}, Window: 2, Body: 64, Messages: 30,
		},
		Channel: "#bench", Occupants: 4, Senders: 2,
	}
	r, err := IRC(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	slack := int64(2 * 2)
	if d := r.Deliveries - 3*r.Messages; r.Messages < 30 || d < -3*slack || d > 3*slack {
		t.Errorf("%d messages came to %d deliveries to three others", r.Messages, r.Deliveries)
	}
}

// TestMix: everybody is in as many rooms as he should be, all rooms have as many
// people, and in all of them people speak in turn.
func TestMix(t *testing.T) {
	s := startServer(t, &roomServer{})
	o := MixOptions{
		Options: s.options(), Users: 6, Rooms: 4, Occupants: 3, Every: 50 * time.Millisecond, Body: 64, Duration: 200 * time.Millisecond,
	}
	o.PIDs = []int{os.Getpid()}
	r, err := Mix(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	const slack = 3 * 8 // under way when measuring begins
	if d := r.Deliveries - 3*r.Messages; d < -slack || d > slack {
		t.Errorf("%d messages in rooms of three came to %d deliveries", r.Messages, r.Deliveries)
	}
	if r.Rooms != 8 || r.Messages < 8 || r.Server == nil || r.Server.RSSAfter == 0 {
		t.Errorf("report %+v", r)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	in := make(map[string]int)
	for room, people := range s.occupants {
		if len(people) != 3 {
			t.Errorf("%d people in %s", len(people), room)
		}
		for who := range people {
			in[who]++
		}
	}
	if len(s.occupants) != 8 || len(in) != 6 || in["bench1"] != 4 || in["bench6"] != 4 {
		t.Errorf("people in %d rooms: %v, want 8 and each in 4", len(s.occupants), in)
	}
	for name, o := range map[string]MixOptions{
		"one too many": {Options: s.options(), Users: 7, Rooms: 1, Occupants: 3, Every: time.Second},
		"no rooms":     {Options: s.options(), Users: 6, Occupants: 3, Every: time.Second},
		"no pace":      {Options: s.options(), Users: 6, Rooms: 1, Occupants: 3},
	} {
		if _, err := Mix(t.Context(), o); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

// TestMeterLimits: who reads a table is told when it shows the meter's limit.
func TestMeterLimits(t *testing.T) {
	for name, tt := range map[string]struct {
		meter, server float64
		want          bool
	}{
		"meter alone is busy": {meter: float64(runtime.NumCPU()), server: 0.1, want: true},
		"server is busier":    {meter: 0.1, server: float64(runtime.NumCPU())},
		"machine is idle":     {meter: 0.2, server: 0.1},
	} {
		var out strings.Builder
		r := FanoutReport{Seconds: 1, MeterCPU: tt.meter, Server: &ServerUsage{CPU: tt.server}}
		if err := r.WriteTable(&out); err != nil {
			t.Fatal(err)
		}
		if got := strings.Contains(out.String(), "the meter itself limits"); got != tt.want {
			t.Errorf("%s:\n%s", name, out.String())
		}
	}
}

// TestStalled: who reads nothing is waited for by nobody.
func TestStalled(t *testing.T) {
	s := startServer(t, &roomServer{})
	o := FanoutOptions{
		LoadOptions: LoadOptions{Options: s.options(), Window: 2, Body: 64, Messages: 12}, Occupants: 5, Senders: 2, Stalled: 2,
	}
	r, err := Fanout(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	if r.Stalled != 2 || r.Errors != 0 || r.Messages < 12 || r.Deliveries > 3*(r.Messages+8) {
		t.Errorf("report %+v", r)
	}
	o.Stalled = 4
	if _, err := Fanout(t.Context(), o); err == nil || !strings.Contains(err.Error(), "stalled") {
		t.Errorf("got %v of more who read nothing than there are", err)
	}
}
