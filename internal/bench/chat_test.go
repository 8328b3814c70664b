package bench

import (
	"os"
	"strings"
	"testing"
	"time"
)

func TestChat(t *testing.T) {
	for _, bare := range []bool{false, true} {
		s := startServer(t, &roomServer{})
		o := ChatOptions{LoadOptions: LoadOptions{
			Options: s.options(), Window: 3, Body: 80, Warmup: 20 * time.Millisecond, Messages: 100,
		}, Users: 4, Bare: bare}
		o.PIDs = []int{os.Getpid()}
		r, err := Chat(t.Context(), o)
		if err != nil {
			t.Fatal(err)
		}
		const slack = 4 * 3 // under way when measuring begins and ends
		if r.Messages < 100 || r.Messages > 100+2*slack {
			t.Errorf("%d messages, want 100 and what was under way", r.Messages)
		}
		if r.LatencyP50 <= 0 || r.LatencyP50 > r.LatencyP90 || r.LatencyP90 > r.LatencyP99 || r.LatencyP99 > r.LatencyMax {
			t.Errorf("latency %+v", r.Latency)
		}
		if r.Server == nil || r.Server.RSSAfter == 0 || r.Errors != 0 || r.MessagesPerSecond <= 0 {
			t.Errorf("report %+v", r)
		}
	}
}

// TestChatAcknowledges: with stream management the server hears how many
// stanzas have come.
func TestChatAcknowledges(t *testing.T) {
	s := startServer(t, &roomServer{})
	o := ChatOptions{LoadOptions: LoadOptions{Options: s.options(), Window: 1, Body: 64, Messages: 1000}, Users: 2, Acks: true}
	if _, err := Chat(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	s.mu.Lock()
	for user, n := range s.acked {
		if n < 1 || n > s.said {
			t.Errorf("%s has acknowledged %d of at most %d", user, n, s.said)
		}
	}
	if len(s.acked) != 2 {
		t.Errorf("acknowledged by %v", s.acked)
	}
	s.mu.Unlock()
	o.Options = startServer(t, &roomServer{refuse: 1}).options()
	if _, err := Chat(t.Context(), o); err == nil || !strings.Contains(err.Error(), "stream management is refused") {
		t.Errorf("a server without stream management: %v", err)
	}
}

func TestChatCountsRefusals(t *testing.T) {
	s := startServer(t, &roomServer{refuse: 10})
	r, err := Chat(t.Context(), ChatOptions{LoadOptions: LoadOptions{Options: s.options(), Window: 2, Body: 64, Messages: 30}, Users: 2})
	if err != nil {
		t.Fatal(err)
	}
	if r.Errors == 0 || !strings.Contains(r.FirstError, "error") {
		t.Errorf("%d errors, the first %q", r.Errors, r.FirstError)
	}
}

func TestChatFails(t *testing.T) {
	s := startServer(t, &roomServer{})
	for name, tt := range map[string]struct {
		change func(*ChatOptions)
		want   string
	}{
		"alone":          {func(o *ChatOptions) { o.Users = 1 }, "users: "},
		"odd":            {func(o *ChatOptions) { o.Users = 3 }, "users: "},
		"no window":      {func(o *ChatOptions) { o.Window = 0 }, "window: "},
		"wrong password": {func(o *ChatOptions) { o.Password = "guess" }, "login refused"},
	} {
		t.Run(name, func(t *testing.T) {
			o := ChatOptions{LoadOptions: LoadOptions{Options: s.options(), Window: 1, Body: 64, Messages: 1}, Users: 2}
			tt.change(&o)
			if r, err := Chat(t.Context(), o); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("report %+v, error %v, want %q", r, err, tt.want)
			}
		})
	}
}

func TestLogin(t *testing.T) {
	s := startServer(t, &roomServer{})
	o := LoginOptions{Options: s.options(), Users: 3, Warmup: 10 * time.Millisecond, Count: 20}
	o.PIDs = []int{os.Getpid()}
	r, err := Login(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	if r.Logins != 20 || r.Refused != 0 || r.Server == nil || r.Server.RSSAfter == 0 || r.LoginsPerSecond <= 0 || r.LatencyP50 <= 0 {
		t.Errorf("report %+v", r)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.logins <= 20 || len(s.sessions) != 3 {
		t.Errorf("the server saw %d logins of %d accounts, want those of the warm-up too, and 3", s.logins, len(s.sessions))
	}
}

func TestLoginForATime(t *testing.T) {
	s := startServer(t, &roomServer{})
	r, err := Login(t.Context(), LoginOptions{Options: s.options(), Users: 1, Duration: 50 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	if r.Seconds < 0.05 || r.Logins == 0 || r.Server != nil {
		t.Errorf("report %+v", r)
	}
}

// TestLoginCountsRefusals: who is refused now and then is counted, who always
// is ends the run.
func TestLoginCountsRefusals(t *testing.T) {
	s := startServer(t, &roomServer{turnAway: 4})
	r, err := Login(t.Context(), LoginOptions{Options: s.options(), Users: 2, Count: 40})
	if err != nil {
		t.Fatal(err)
	}
	if r.Refused == 0 || r.Logins+r.Refused != 40 || !strings.Contains(r.FirstError, "log in as bench") {
		t.Errorf("%d logins, %d refused, the first with %q", r.Logins, r.Refused, r.FirstError)
	}
	o := LoginOptions{Options: s.options(), Users: 2, Warmup: time.Second, Duration: time.Second}
	o.Password = "guess"
	if r, err := Login(t.Context(), o); err == nil || !strings.Contains(err.Error(), "login refused") {
		t.Errorf("report %+v, error %v", r, err)
	}
	o.Users = 0
	if _, err := Login(t.Context(), o); err == nil {
		t.Error("a login of nobody was accepted")
	}
}
