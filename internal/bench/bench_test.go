package bench

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/muster-im/muster/internal/stream"
	"github.com/muster-im/muster/stanza"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// roomServer is a server with one room that whoever logs in may enter. It drops
// or refuses messages if told so.
type roomServer struct {
	// Set at construction.
	listener net.Listener
	wg       sync.WaitGroup
	refuse   int // every n-th message is answered with an error; 0: none
	lose     bool
	turnAway int  // every n-th login is refused; 0: none
	shows    bool // occupants are told of each other
	full     int  // so many may enter; 0: any number

	mu         sync.Mutex
	occupants  map[string]map[string]*stream.Stream // by room and account
	sessions   map[string]*stream.Stream            // by account
	logins     int
	streams    []*stream.Stream
	said       int
	destroyed  bool
	acked      map[string]int // by account, what it has acknowledged
	settings   []string       // of the configuration form
	registered []string       // who has asked for an account
}

func startServer(t *testing.T, s *roomServer) *roomServer {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s.listener, s.occupants, s.sessions = l, make(map[string]map[string]*stream.Stream), make(map[string]*stream.Stream)
	s.wg.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			st := stream.New(conn, stream.Options{})
			s.mu.Lock()
			s.streams = append(s.streams, st)
			s.mu.Unlock()
			s.wg.Go(func() {
				defer st.Release()
				_ = s.serve(st)
			})
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		s.mu.Lock()
		for _, st := range s.streams {
			st.Close()
		}
		s.mu.Unlock()
		s.wg.Wait()
	})
	return s
}

func (s *roomServer) options() Options {
	return Options{
		Addr: s.listener.Addr().String(), Domain: "localhost", TLS: "none",
		UsersPrefix: "bench", Password: "bench", Logins: 4,
	}
}

func (s *roomServer) serve(st *stream.Stream) error {
	open := func(feature *stanza.Element) error {
		if _, err := st.ReadHeader(); err != nil {
			return err
		}
		return errors.Join(st.SendHeader(stream.Header{ID: "1", Version: "1.0"}),
			st.Send(stanza.NewElement(stanza.NSStream, "features").Add(feature)))
	}
	if err := open(stanza.NewElement(stanza.NSSASL, "mechanisms").AddTextElement("mechanism", "PLAIN")); err != nil {
		return err
	}
	auth, err := st.Next()
	if err != nil {
		return err
	}
	if q := auth.Child(stanza.NSRegister, "query"); q != nil {
		return s.register(st, auth, q.ChildText(stanza.NSRegister, "username"))
	}
	data, err := base64.StdEncoding.DecodeString(auth.Text())
	if err != nil {
		return err
	}
	user, password, _ := strings.Cut(strings.TrimPrefix(string(data), "\x00"), "\x00")
	if password != "bench" {
		return st.Send(stanza.NewElement(stanza.NSSASL, "failure").Add(stanza.NewElement(stanza.NSSASL, "not-authorized")))
	}
	if err := st.Send(stanza.NewElement(stanza.NSSASL, "success")); err != nil {
		return err
	}
	st.Restart()
	if err := open(stanza.NewElement(stanza.NSBind, "bind")); err != nil {
		return err
	}
	for {
		e, err := st.Next()
		if err != nil {
			return err
		}
		if err := s.handle(st, user, e); err != nil {
			return err
		}
	}
}

// register answers a registration; bench2 is there already, and bench9 may not
// be.
func (s *roomServer) register(st *stream.Stream, e *stanza.Element, user string) error {
	s.mu.Lock()
	s.registered = append(s.registered, user)
	s.mu.Unlock()
	answer := stanza.NewElement(stanza.NSClient, "iq", "type", "result", "id", e.Attr("id"))
	switch user {
	case "bench2":
		answer.SetAttr("type", "error").Add(stanza.NewError(stanza.Cancel, stanza.Conflict, "").Element())
	case "bench9":
		answer.SetAttr("type", "error").Add(stanza.NewError(stanza.Cancel, stanza.NotAllowed, "").Element())
	}
	return st.Send(answer)
}

func (s *roomServer) handle(st *stream.Stream, user string, e *stanza.Element) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch e.Name.Local {
	case "enable":
		if s.refuse > 0 {
			return st.Send(stanza.NewElement("urn:xmpp:sm:3", "failed"))
		}
		if s.acked == nil { // another session may have acknowledged something
			s.acked = map[string]int{}
		}
		return st.Send(stanza.NewElement("urn:xmpp:sm:3", "enabled"))
	case "a":
		h, err := strconv.Atoi(e.Attr("h"))
		s.acked[user] = h
		return err
	case "iq":
		result := stanza.NewElement(stanza.NSClient, "iq", "type", "result", "id", e.Attr("id"))
		if b := e.Child(stanza.NSBind, "bind"); b != nil {
			if s.logins++; s.turnAway > 0 && s.logins%s.turnAway == 0 {
				return st.Send(result.SetAttr("type", "error").Add(stanza.NewError(stanza.Wait, stanza.ResourceConstraint, "").Element()))
			}
			s.sessions[user] = st
			full := user + "@localhost/x" + b.ChildText(stanza.NSBind, "resource")
			result.Add(stanza.NewElement(stanza.NSBind, "bind").AddTextElement("jid", full))
		}
		query := e.Child(stanza.NSMUCOwner, "query")
		s.destroyed = s.destroyed || query.Child(stanza.NSMUCOwner, "destroy") != nil
		for field := range query.Child(stanza.NSData, "x").Elements() {
			s.settings = append(s.settings, field.Attr("var")+"="+field.ChildText(stanza.NSData, "value"))
		}
		return st.Send(result)
	case "presence":
		if e.Attr("to") == "" {
			return nil
		}
		room, _, _ := strings.Cut(e.Attr("to"), "/")
		if e.Attr("type") == "unavailable" {
			delete(s.occupants[room], user)
			return nil
		}
		x := stanza.NewElement(stanza.NSMUCUser, "x").Add(stanza.NewElement(stanza.NSMUCUser, "status", "code", "110"))
		if len(s.occupants[room]) == 0 {
			s.occupants[room] = make(map[string]*stream.Stream)
			x.Add(stanza.NewElement(stanza.NSMUCUser, "status", "code", "201"))
		}
		if s.full > 0 && len(s.occupants[room]) >= s.full {
			return st.Send(e.Clone().SetAttr("type", "error").Add(stanza.NewError(stanza.Wait, stanza.ServiceUnavailable, "full").Element()))
		}
		if s.shows {
			for other, o := range s.occupants[room] {
				_ = o.Send(stanza.NewElement(stanza.NSClient, "presence", "from", e.Attr("to")))
				_ = st.Send(stanza.NewElement(stanza.NSClient, "presence", "from", other))
			}
		}
		s.occupants[room][user] = st
		return st.Send(stanza.NewElement(stanza.NSClient, "presence", "from", e.Attr("to")).Add(x))
	}
	s.said++
	if s.refuse > 0 && s.said%s.refuse == 0 {
		return st.Send(e.Clone().SetAttr("type", "error"))
	}
	if s.lose {
		return nil
	}
	if e.Attr("type") == "chat" {
		to, _, _ := strings.Cut(e.Attr("to"), "@")
		if err := s.sessions[to].Send(e); err != nil || s.acked == nil {
			return err
		}
		return s.sessions[to].Send(stanza.NewElement("urn:xmpp:sm:3", "r"))
	}
	for _, o := range s.occupants[e.Attr("to")] {
		_ = o.Send(e)
	}
	return nil
}

func TestFanout(t *testing.T) {
	s := startServer(t, &roomServer{})
	var said []string
	o := FanoutOptions{
		LoadOptions: LoadOptions{Options: s.options(), Window: 3, Body: 80, Warmup: 20 * time.Millisecond, Messages: 50},
		Occupants:   7, Senders: 2, Set: map[string]string{"muc#roomconfig_persistentroom": "1"},
	}
	o.PIDs = []int{os.Getpid()}
	o.Progress = func(line string) { said = append(said, line) }
	r, err := Fanout(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	// What is under way when measuring begins and ends is part of it.
	slack := int64(2 * 3)
	if r.Messages < 50 || r.Messages > 50+2*slack {
		t.Errorf("%d messages, want 50 and what was under way", r.Messages)
	}
	if d := r.Deliveries - 7*r.Messages; d < -7*slack || d > 7*slack {
		t.Errorf("%d deliveries of %d messages to 7", r.Deliveries, r.Messages)
	}
	if r.LatencyP50 <= 0 || r.LatencyP50 > r.LatencyP99 || r.LatencyP99 > r.LatencyMax {
		t.Errorf("latency p50 %v, p99 %v, max %v", r.LatencyP50, r.LatencyP99, r.LatencyMax)
	}
	if r.Server == nil || r.Server.RSSAfter == 0 || r.Errors != 0 || r.DeliveriesPerSecond <= 0 {
		t.Errorf("report %+v", r)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.destroyed {
		t.Error("the room that was made for the run is left behind")
	}
	want := []string{"FORM_TYPE=" + roomConfig, "muc#roomconfig_persistentroom=1"}
	if !slices.Equal(s.settings, want) {
		t.Errorf("settings %q, want %q", s.settings, want)
	}
	if len(said) == 0 {
		t.Error("no progress was told")
	}
}

func TestFanoutForATime(t *testing.T) {
	s := startServer(t, &roomServer{})
	r, err := Fanout(t.Context(), FanoutOptions{
		LoadOptions: LoadOptions{Options: s.options(), Window: 1, Body: 64, Duration: 50 * time.Millisecond}, Occupants: 2, Senders: 1,
	})
	if err != nil {
		t.Fatal(err)
	}
	if r.Seconds < 0.05 || r.Messages == 0 || r.Server != nil {
		t.Errorf("report %+v", r)
	}
}

func TestFanoutSurvivesRefusals(t *testing.T) {
	s := startServer(t, &roomServer{refuse: 5})
	r, err := Fanout(t.Context(), FanoutOptions{
		LoadOptions: LoadOptions{Options: s.options(), Window: 2, Body: 64, Messages: 12}, Occupants: 2, Senders: 2,
	})
	if err != nil {
		t.Fatal(err)
	}
	if r.Errors == 0 || !strings.Contains(r.FirstError, "error") {
		t.Errorf("%d errors, the first %q", r.Errors, r.FirstError)
	}
}

func TestFanoutFails(t *testing.T) {
	s := startServer(t, &roomServer{})
	tests := []struct {
		name   string
		change func(*FanoutOptions)
		want   string
	}{
		{"nobody", func(o *FanoutOptions) { o.Occupants = 0 }, "occupants: "},
		{"more senders than people", func(o *FanoutOptions) { o.Senders = 3 }, "senders: "},
		{"no window", func(o *FanoutOptions) { o.Window = 0 }, "window: "},
		{"short body", func(o *FanoutOptions) { o.Body = 5 }, "body: "},
		{"no duration", func(o *FanoutOptions) { o.Messages = 0 }, "duration: "},
		{"unknown TLS", func(o *FanoutOptions) { o.TLS = "maybe" }, "tls: "},
		{"no logins", func(o *FanoutOptions) { o.Logins = 0 }, "logins: "},
		{"no such process", func(o *FanoutOptions) { o.PIDs = []int{1 << 30} }, "there is no process"},
		{"wrong password", func(o *FanoutOptions) { o.Password = "guess" }, "log in as bench1@localhost: login refused"},
		{"nobody listens", func(o *FanoutOptions) { o.Addr = "127.0.0.1:1" }, "refused"},
		{"bad room", func(o *FanoutOptions) { o.Room = "a b" }, "room: "},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			o := FanoutOptions{LoadOptions: LoadOptions{Options: s.options(), Window: 1, Body: 64, Messages: 1}, Occupants: 2, Senders: 1}
			o.Logins = 1
			tt.change(&o)
			if r, err := Fanout(t.Context(), o); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("report %+v, error %v, want %q", r, err, tt.want)
			}
		})
	}
}

func TestFanoutNoticesALostSession(t *testing.T) {
	s := startServer(t, &roomServer{lose: true})
	o := FanoutOptions{LoadOptions: LoadOptions{Options: s.options(), Window: 1, Body: 64, Messages: 1}, Occupants: 2, Senders: 1}
	o.Progress = func(line string) {
		if strings.Contains(line, "speak") {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.sessions["bench2"].Fail(&stream.Error{Condition: stream.Conflict})
		}
	}
	if r, err := Fanout(t.Context(), o); err == nil || !strings.Contains(err.Error(), "a session has ended") {
		t.Errorf("report %+v, error %v", r, err)
	}
}

func TestIdle(t *testing.T) {
	s := startServer(t, &roomServer{})
	o := IdleOptions{Options: s.options(), Sessions: 5, Users: 2, Presence: true, Settle: time.Millisecond}
	o.PIDs = []int{os.Getpid()}
	r, err := Idle(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	if r.Sessions != 5 || r.Users != 2 || r.LoginsPerSecond <= 0 || r.Server == nil || r.Server.RSSAfter == 0 {
		t.Errorf("report %+v", r)
	}
	o.Users = 6
	if _, err := Idle(t.Context(), o); err == nil {
		t.Error("more users than sessions were accepted")
	}
}

func TestReports(t *testing.T) {
	t.Parallel()
	reports := []struct {
		name   string
		report Report
		want   []string
	}{
		{"fanout", &FanoutReport{
			Address: "a:1", Occupants: 100, Deliveries: 5, Latency: Latency{LatencyP99: 1.25}, Errors: 2, FirstError: "wait",
			Server: &ServerUsage{CPUPerDelivery: 1.5, RSSAfter: 1 << 20},
		}, []string{"a:1", "100 occupants", "p99 1.25 ms", "1.50 µs per delivery", "1.0 MiB after", "2, the first: wait"}},
		{"chat", &ChatReport{
			Users: 50, Window: 8, Messages: 5, Latency: Latency{LatencyP90: 2.5}, Errors: 1, FirstError: "gone",
			Server: &ChatUsage{CPUPerMessage: 4.25},
		}, []string{"50 people in pairs, 8 messages", "p90 2.50 ms", "4.25 µs per message", "1, the first: gone"}},
		{"login", &LoginReport{
			Users: 3, Concurrent: 16, Logins: 7, Mechanism: "SCRAM-SHA-1", Refused: 2, FirstError: "wait",
			Server: &LoginUsage{CPUPerLogin: 300},
		}, []string{"16 at a time into 3 accounts, by SCRAM-SHA-1", "7 logins", "300 µs per login", "2, the first: wait"}},
		{"join", &JoinReport{Occupants: 9, Presences: 80, Server: &JoinUsage{CPUPerPresence: 1.25}}, []string{
			"9 people", "80 presences", "1.25 µs per presence",
		}},
		{"idle", &IdleReport{Sessions: 10, Server: &IdleUsage{RSSPerSession: 2048}}, []string{"10 of 0", "2.0 KiB per session"}},
	}
	for _, tt := range reports {
		t.Run(tt.name, func(t *testing.T) {
			var b bytes.Buffer
			if err := tt.report.WriteTable(&b); err != nil {
				t.Fatal(err)
			}
			for _, want := range tt.want {
				if !strings.Contains(b.String(), want) {
					t.Errorf("no %q in\n%s", want, &b)
				}
			}
			if data, err := json.Marshal(tt.report); err != nil || !bytes.Contains(data, []byte(`"server":{`)) {
				t.Errorf("JSON %s, %v", data, err)
			}
		})
	}
}

// TestHistogram compares with sorted values.
func TestHistogram(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(1, 2))
	var h, other histogram
	var all []time.Duration
	for i := range 10_000 {
		d := time.Duration(r.ExpFloat64() * float64(time.Millisecond))
		all = append(all, d)
		if i%2 == 0 {
			h.add(d)
		} else {
			other.add(d)
		}
	}
	h.merge(&other)
	slices.Sort(all)
	for _, q := range []float64{0, 0.5, 0.9, 0.99, 0.999} {
		want := all[int(q*float64(len(all)))]
		if got := h.quantile(q); got < want || float64(got) > 1.04*float64(want)+1 {
			t.Errorf("quantile %v is %v, want %v", q, got, want)
		}
	}
	if got := h.quantile(1); got != all[len(all)-1] {
		t.Errorf("the largest is %v, want %v", got, all[len(all)-1])
	}
}

func TestHistogramBuckets(t *testing.T) {
	t.Parallel()
	last := -1
	for _, v := range []uint64{0, 1, 31, 32, 63, 64, 65, 66, 127, 128, 1000, 1 << 20, 1<<63 - 1} {
		b := bucketOf(v)
		if b < last || b >= buckets || uint64(upperBound(b)) < v {
			t.Errorf("%d lies in bucket %d up to %d, the one before is %d", v, b, upperBound(b), last)
		}
		last = b
	}
	var h histogram
	if h.quantile(0.5) != 0 {
		t.Error("an empty histogram has a quantile")
	}
}

func TestParseStat(t *testing.T) {
	t.Parallel()
	line := "42 (a) b (c) S 7 1 1 0 -1 0 0 0 0 0 150 50 30 20 20 0 9 0 100 1000000 25 18446744073709551615"
	got, ok := parseStat(42, []byte(line))
	want := process{pid: 42, parent: 7, usage: usage{cpu: 2500 * time.Millisecond, rss: 25 * int64(os.Getpagesize())}}
	if !ok || got != want {
		t.Errorf("got %+v, %v, want %+v", got, ok, want)
	}
	for _, bad := range []string{"", "42 (a", "42 (a) S 7", "42 (a) S x 1"} {
		if p, ok := parseStat(42, []byte(bad)); ok {
			t.Errorf("%q is %+v", bad, p)
		}
	}
}

// TestMeasureCountsChildren starts a child and expects its memory in the sum.
func TestMeasureCountsChildren(t *testing.T) {
	self, err := measure([]int{os.Getpid()})
	if err != nil {
		t.Fatal(err)
	}
	child := exec.Command("sleep", "60")
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = child.Process.Kill()
		_ = child.Wait()
	}()
	alone, err := measure([]int{child.Process.Pid})
	if err != nil || alone.rss == 0 {
		t.Fatalf("the child uses %+v, %v", alone, err)
	}
	twice, err := measure([]int{os.Getpid(), child.Process.Pid})
	if err != nil {
		t.Fatal(err)
	}
	both, err := measure([]int{os.Getpid()})
	if err != nil || both.rss < alone.rss || self.rss == 0 {
		t.Errorf("both use %+v, the child %+v, %v", both, alone, err)
	}
	if d := twice.rss - both.rss; d > 8<<20 || d < -8<<20 {
		t.Errorf("a child that is named too counts twice: %d and %d", twice.rss, both.rss)
	}
}
