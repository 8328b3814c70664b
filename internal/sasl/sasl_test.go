package sasl

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/xdg-go/scram"

	"github.com/muster-im/muster/jid"
)

const (
	password = "pencil, with \"spice\" = säure"
	host     = "example.org"
)

// directory is the accounts of a test.
type directory map[jid.JID][]Keys

func (d directory) lookup(_ context.Context, account jid.JID) ([]Keys, error) {
	if account.Local() == "broken" {
		return nil, errors.New("the disk is on fire")
	}
	keys, ok := d[account]
	switch {
	case !ok:
		return nil, ErrNoAccount
	case account.Local() == "disabled":
		return keys, ErrDisabled
	}
	return keys, nil
}

func newTestServer(t testing.TB, change func(*Options)) *Server {
	t.Helper()
	hasher := NewHasher(minIterations, 1)
	keys, err := hasher.Keys(t.Context(), password)
	if err != nil {
		t.Fatal(err)
	}
	d := directory{}
	for _, name := range []string{"romeo", "disabled", "a=b"} {
		d[jid.MustParse(name+"@"+host)] = keys
	}
	o := Options{Lookup: d.lookup, DecoyKey: []byte("0123456789abcdef"), Hasher: hasher, Settle: -1}
	if change != nil {
		change(&o)
	}
	s, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

var exporter = Binding{TLSExporter, []byte("exported keying material")} //nolint:gochecknoglobals // a constant

func condition(err error) Condition {
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Condition
	}
	return ""
}

// TestRFC7677Vector replays the exchange of RFC 7677 §3.
func TestRFC7677Vector(t *testing.T) {
	t.Parallel()
	salt, _ := base64.StdEncoding.DecodeString("W22ZaJ0SNY7soEsUEjb6gQ==")
	hasher := NewHasher(minIterations, 1)
	k := Keys{Hash: SHA256, Salt: salt, Iterations: 4096}
	var err error
	if k.StoredKey, k.ServerKey, err = hasher.derive(t.Context(), k, "pencil"); err != nil {
		t.Fatal(err)
	}
	s := newTestServer(t, func(o *Options) {
		o.Lookup = directory{jid.MustParse("user@" + host): {k}}.lookup
	})
	s.random = func() string { return "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0" }
	x, err := s.Start(ScramSHA256, host, Channel{Secure: true})
	if err != nil {
		t.Fatal(err)
	}
	steps := []struct{ in, out string }{
		{"n,,n=user,r=rOprNGfwEbeRWgbNEkqO", "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"},
		{"c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=", "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="},
	}
	for i, step := range steps {
		out, done, err := x.Next(t.Context(), []byte(step.in))
		if err != nil || string(out) != step.out || done != (i == 1) {
			t.Fatalf("step %d: got %q, %v, %v, want %q", i, out, done, err, step.out)
		}
	}
	if x.Account() != jid.MustParse("user@"+host) {
		t.Errorf("account is %s", x.Account())
	}
}

// TestRFC5802Vector replays the exchange of RFC 5802 §5.
func TestRFC5802Vector(t *testing.T) {
	t.Parallel()
	salt, _ := base64.StdEncoding.DecodeString("QSXCR+Q6sek8bf92")
	k := Keys{Hash: SHA1, Salt: salt, Iterations: 4096}
	var err error
	if k.StoredKey, k.ServerKey, err = NewHasher(0, 1).derive(t.Context(), k, "pencil"); err != nil {
		t.Fatal(err)
	}
	s := newTestServer(t, func(o *Options) { o.Lookup = directory{jid.MustParse("user@" + host): {k}}.lookup })
	s.random = func() string { return "3rfcNHYJY1ZVvWVs7j" }
	x, _ := s.Start(ScramSHA1, host, Channel{})
	if _, _, err := x.Next(t.Context(), []byte("n,,n=user,r=fyko+d2lbbFgONRv9qkxdawL")); err != nil {
		t.Fatal(err)
	}
	out, done, err := x.Next(t.Context(), []byte("c=biws,r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,p=v0X8v3Bz2T0CJGbJQyF0X+HI4Ts="))
	if err != nil || !done || string(out) != "v=rmF9pqV8S7suAoZWja4dJRkFsKQ=" {
		t.Fatalf("got %q, %v, %v", out, done, err)
	}
}

// converse lets the oracle's client authenticate.
func converse(t testing.TB, s *Server, m Mechanism, ch Channel, c *scram.ClientConversation) error {
	t.Helper()
	x, err := s.Start(m, host, ch)
	if err != nil {
		return err
	}
	var reply []byte
	for {
		message, err := c.Step(string(reply))
		if err != nil {
			t.Fatalf("client refuses %q: %v", reply, err)
		}
		if c.Done() {
			break
		}
		done := false
		if reply, done, err = x.Next(t.Context(), []byte(message)); err != nil {
			return err
		}
		if done && !c.Valid() {
			if _, err := c.Step(string(reply)); err != nil {
				t.Fatalf("client refuses the server's proof: %v", err)
			}
			break
		}
	}
	if !c.Valid() {
		t.Fatal("client has not verified the server")
	}
	return nil
}

func TestScramAgainstOracle(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name      string
		mechanism Mechanism
		user      string
		password  string
		authzid   string
		client    *Binding // what the client believes that it has
		want      Condition
	}{
		{"right", ScramSHA256, "romeo", password, "", nil, ""},
		{"right with SHA-1", ScramSHA1, "romeo", password, "", nil, ""},
		{"name in capitals", ScramSHA256, "ROMEO", password, "", nil, ""},
		{"name that must be escaped", ScramSHA256, "a=b", password, "", nil, ""},
		{"own address as authzid", ScramSHA256, "romeo", password, "romeo@example.org", nil, ""},
		{"full address as authzid", ScramSHA256, "romeo", password, "romeo@example.org/x", nil, InvalidAuthzid},
		{"other authzid", ScramSHA256, "romeo", password, "juliet@example.org", nil, InvalidAuthzid},
		{"malformed authzid", ScramSHA256, "romeo", password, "@", nil, InvalidAuthzid},
		{"wrong password", ScramSHA256, "romeo", "pencil", "", nil, NotAuthorized},
		{"unknown", ScramSHA256, "nobody", password, "", nil, NotAuthorized},
		{"unknown with SHA-1", ScramSHA1, "nobody", password, "", nil, NotAuthorized},
		{"no name at all", ScramSHA256, "a@b", password, "", nil, NotAuthorized},
		{"disabled", ScramSHA256, "disabled", password, "", nil, AccountDisabled},
		{"disabled and wrong password", ScramSHA256, "disabled", "x", "", nil, NotAuthorized},
		{"store broken", ScramSHA256, "broken", password, "", nil, TemporaryAuthFailure},
		{"bound", ScramSHA256Plus, "romeo", password, "", &exporter, ""},
		{"bound with SHA-1", ScramSHA1Plus, "romeo", password, "", &exporter, ""},
		{"bound to another channel", ScramSHA256Plus, "romeo", password, "", &Binding{TLSExporter, []byte("other")}, NotAuthorized},
		{"bound by an unknown type", ScramSHA256Plus, "romeo", password, "", &Binding{"tls-unique", []byte("x")}, NotAuthorized},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := newTestServer(t, nil)
			hash := scram.SHA256
			if h, _, _ := tt.mechanism.hash(); h == SHA1 {
				hash = scram.SHA1
			}
			prepared, err := Prepare(tt.password)
			if err != nil {
				t.Fatal(err)
			}
			c, err := hash.NewClientUnprepped(tt.user, prepared, tt.authzid)
			if err != nil {
				t.Fatal(err)
			}
			conv := c.NewConversation()
			ch := Channel{Secure: true}
			if tt.client != nil {
				conv = c.NewConversationWithChannelBinding(scram.ChannelBinding{Type: scram.ChannelBindingType(tt.client.Type), Data: tt.client.Data})
				ch.Bindings = []Binding{exporter, {TLSServerEndPoint, []byte("hash")}}
			}
			if err := converse(t, s, tt.mechanism, ch, conv); condition(err) != tt.want || (err == nil) != (tt.want == "") {
				t.Errorf("got %v, want condition %q", err, tt.want)
			}
		})
	}
}

// TestStrippedBinding: a client that could bind the channel, and has been made
// to believe that we cannot, is refused (RFC 5802 §6).
func TestStrippedBinding(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name       string
		mechanisms []Mechanism
		want       Condition
	}{
		{"plus offered", nil, NotAuthorized},
		{"plus offered with another hash", []Mechanism{ScramSHA256, ScramSHA1Plus}, NotAuthorized},
		{"plus switched off", []Mechanism{ScramSHA256}, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := newTestServer(t, func(o *Options) { o.Mechanisms = tt.mechanisms })
			c, _ := scram.SHA256.NewClientUnprepped("romeo", password, "")
			err := converse(t, s, ScramSHA256, Channel{Secure: true, Bindings: []Binding{exporter}}, c.NewConversationAdvertisingChannelBinding())
			if condition(err) != tt.want {
				t.Errorf("got %v, want condition %q", err, tt.want)
			}
		})
	}
}

func TestScramSyntax(t *testing.T) {
	t.Parallel()
	good := func(nonce string) string {
		return "c=biws,r=" + nonce + ",p=" + base64.StdEncoding.EncodeToString(make([]byte, 32))
	}
	for _, tt := range []struct {
		name      string
		mechanism Mechanism
		first     string
		final     func(nonce string) string
		want      Condition
	}{
		{"empty", ScramSHA256, "", nil, MalformedRequest},
		{"no header", ScramSHA256, "n=romeo,r=x", nil, MalformedRequest},
		{"unknown flag", ScramSHA256, "x,,n=romeo,r=x", nil, MalformedRequest},
		{"flag p without plus", ScramSHA256, "p=tls-exporter,,n=romeo,r=x", nil, MalformedRequest},
		{"flag n with plus", ScramSHA256Plus, "n,,n=romeo,r=x", nil, MalformedRequest},
		{"flag y with plus", ScramSHA256Plus, "y,,n=romeo,r=x", nil, MalformedRequest},
		{"binding without name", ScramSHA256Plus, "p=,,n=romeo,r=x", nil, MalformedRequest},
		{"no name", ScramSHA256, "n,,r=x", nil, MalformedRequest},
		{"empty name", ScramSHA256, "n,,n=,r=x", nil, MalformedRequest},
		{"bad escape", ScramSHA256, "n,,n=ro=meo,r=x", nil, MalformedRequest},
		{"small escape", ScramSHA256, "n,,n=ro=2cmeo,r=x", nil, MalformedRequest},
		{"bad escape at the end", ScramSHA256, "n,,n=romeo=3,r=x", nil, MalformedRequest},
		{"empty nonce", ScramSHA256, "n,,n=romeo,r=", nil, MalformedRequest},
		{"nonce with space", ScramSHA256, "n,,n=romeo,r=a b", nil, MalformedRequest},
		{"no nonce", ScramSHA256, "n,,n=romeo", nil, MalformedRequest},
		{"mandatory extension", ScramSHA256, "n,,m=x,n=romeo,r=x", nil, MalformedRequest},
		{"malformed extension", ScramSHA256, "n,,n=romeo,r=x,yes", nil, MalformedRequest},
		{"not UTF-8", ScramSHA256, "n,,n=rom\xff,r=x", nil, MalformedRequest},
		{"NUL", ScramSHA256, "n,,n=rom\x00eo,r=x", nil, MalformedRequest},
		{"authzid without a=", ScramSHA256, "n,romeo@example.org,n=romeo,r=x", nil, MalformedRequest},
		{"too long", ScramSHA256, "n,,n=romeo,r=" + strings.Repeat("x", maxMessage), nil, MalformedRequest},
		{"extension is ignored", ScramSHA256, "n,,n=romeo,r=x,z=1", good, NotAuthorized},
		{"wrong proof", ScramSHA256, "n,,n=romeo,r=x", good, NotAuthorized},
		{"empty final", ScramSHA256, "n,,n=romeo,r=x", func(string) string { return "" }, MalformedRequest},
		{"no proof", ScramSHA256, "n,,n=romeo,r=x", func(n string) string { return "c=biws,r=" + n }, MalformedRequest},
		{"short proof", ScramSHA256, "n,,n=romeo,r=x", func(n string) string { return "c=biws,r=" + n + ",p=AAAA" }, NotAuthorized},
		{"proof is no base64", ScramSHA256, "n,,n=romeo,r=x", func(n string) string { return "c=biws,r=" + n + ",p=!" }, MalformedRequest},
		{"proof with line end", ScramSHA256, "n,,n=romeo,r=x", func(n string) string { return good(n) + "\n" }, MalformedRequest},
		{"binding is no base64", ScramSHA256, "n,,n=romeo,r=x", func(n string) string { return "c=b,r=" + n + ",p=AAAA" }, MalformedRequest},
		{"no binding", ScramSHA256, "n,,n=romeo,r=x", func(n string) string { return "r=" + n + ",p=AAAA" }, MalformedRequest},
		{"own nonce only", ScramSHA256, "n,,n=romeo,r=x", func(string) string { return good("x") }, NotAuthorized},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := newTestServer(t, nil)
			ch := Channel{Secure: true}
			if strings.HasSuffix(string(tt.mechanism), "-PLUS") {
				ch.Bindings = []Binding{exporter}
			}
			x, err := s.Start(tt.mechanism, host, ch)
			if err != nil {
				t.Fatal(err)
			}
			reply, done, err := x.Next(t.Context(), []byte(tt.first))
			if tt.final != nil {
				if err != nil || done {
					t.Fatalf("first message: %v, %v", done, err)
				}
				nonce, _, _ := strings.Cut(strings.TrimPrefix(string(reply), "r="), ",")
				reply, done, err = x.Next(t.Context(), []byte(tt.final(nonce)))
			}
			if condition(err) != tt.want || done || reply != nil {
				t.Errorf("got %q, %v, %v, want condition %q", reply, done, err, tt.want)
			}
			if _, _, err := x.Next(t.Context(), []byte("n,,n=romeo,r=x")); condition(err) != MalformedRequest {
				t.Errorf("the exchange goes on after it has failed: %v", err)
			}
		})
	}
}

// A right proof over a nonce or binding that is not ours is refused.
func TestProofIsBoundToNonceAndHeader(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name   string
		change func(final string) string
		want   Condition
	}{
		{"untouched", func(s string) string { return s }, ""},
		{"header replaced", func(s string) string { return strings.Replace(s, "c=biws", "c=eSws", 1) }, NotAuthorized},
		{"nonce replaced", func(s string) string { return strings.Replace(s, "r=mine", "r=mind", 1) }, NotAuthorized},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := newTestServer(t, nil)
			d, _ := s.opts.Lookup(t.Context(), jid.MustParse("romeo@"+host))
			x, _ := s.Start(ScramSHA256, host, Channel{Secure: true})
			first, _, err := x.Next(t.Context(), []byte("n,,n=romeo,r=mine"))
			if err != nil {
				t.Fatal(err)
			}
			nonce, _, _ := strings.Cut(string(first), ",")
			withoutProof := tt.change("c=biws," + nonce)
			prepared, _ := Prepare(password)
			// A client that signs what it sends, whatever that is.
			c, _ := scram.SHA256.NewClientUnprepped("romeo", prepared, "")
			stored, err := c.GetStoredCredentialsWithError(scram.KeyFactors{Salt: string(d[0].Salt), Iters: d[0].Iterations})
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(stored.StoredKey, d[0].StoredKey) || !bytes.Equal(stored.ServerKey, d[0].ServerKey) {
				t.Fatal("keys differ from the oracle's")
			}
			proof := clientProof(t, d[0], prepared, "n=romeo,r=mine,"+string(first)+","+withoutProof)
			_, done, err := x.Next(t.Context(), []byte(withoutProof+",p="+proof))
			if condition(err) != tt.want || done != (tt.want == "") {
				t.Errorf("got %v, %v, want condition %q", done, err, tt.want)
			}
		})
	}
}

// TestDecoys: what an unknown name is shown is like what a known one is, and
// the same each time, after a restart and in any spelling.
func TestDecoys(t *testing.T) {
	t.Parallel()
	challenge := func(s *Server, m Mechanism, name string) (salt, iterations string) {
		x, err := s.Start(m, host, Channel{Secure: true})
		if err != nil {
			t.Fatal(err)
		}
		reply, done, err := x.Next(t.Context(), []byte("n,,n="+name+",r=x"))
		if err != nil || done {
			t.Fatalf("%s: %v, %v", name, done, err)
		}
		fields := strings.Split(string(reply), ",")
		return fields[1], fields[2]
	}
	a, b := newTestServer(t, nil), newTestServer(t, nil)
	known, i1 := challenge(a, ScramSHA256, "romeo")
	unknown, i2 := challenge(a, ScramSHA256, "nobody")
	if len(known) != len(unknown) || i1 != i2 {
		t.Errorf("a known name gets %s,%s, an unknown %s,%s", known, i1, unknown, i2)
	}
	for _, tt := range []struct {
		name, user string
		mechanism  Mechanism
		server     *Server
		same       bool
	}{
		{"again", "nobody", ScramSHA256, a, true},
		{"after a restart", "nobody", ScramSHA256, b, true},
		{"in capitals", "NOBODY", ScramSHA256, a, true},
		{"another name", "nobody2", ScramSHA256, a, false},
		{"another hash", "nobody", ScramSHA1, a, false},
		{"another secret", "nobody", ScramSHA256, newTestServer(t, func(o *Options) { o.DecoyKey = []byte("fedcba9876543210") }), false},
	} {
		if got, _ := challenge(tt.server, tt.mechanism, tt.user); (got == unknown) != tt.same {
			t.Errorf("%s: salt %s, before %s", tt.name, got, unknown)
		}
	}
}

// TestSettle: the time of a lookup does not show.
func TestSettle(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"romeo", "nobody", "not@a-name"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := newTestServer(t, func(o *Options) {
					o.Settle = 0
					lookup := o.Lookup
					o.Lookup = func(ctx context.Context, account jid.JID) ([]Keys, error) {
						time.Sleep(time.Duration(len(account.Local())) * 100 * time.Microsecond)
						return lookup(ctx, account)
					}
				})
				x, _ := s.Start(ScramSHA256, host, Channel{Secure: true})
				began := time.Now()
				if _, _, err := x.Next(t.Context(), []byte("n,,n="+name+",r=x")); err != nil {
					t.Fatal(err)
				}
				if took := time.Since(began); took != defaultSettle {
					t.Errorf("answered after %v, want %v", took, defaultSettle)
				}
			})
		})
	}
}

func TestPlain(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, message string
		want          Condition
	}{
		{"right", "\x00romeo\x00" + password, ""},
		{"own authzid", "romeo@example.org\x00romeo\x00" + password, ""},
		{"other authzid", "juliet@example.org\x00romeo\x00" + password, InvalidAuthzid},
		{"wrong password", "\x00romeo\x00x", NotAuthorized},
		{"password that cannot be prepared", "\x00romeo\x00a\x07", NotAuthorized},
		{"unknown", "\x00nobody\x00" + password, NotAuthorized},
		{"disabled", "\x00disabled\x00" + password, AccountDisabled},
		{"broken", "\x00broken\x00" + password, TemporaryAuthFailure},
		{"empty password", "\x00romeo\x00", MalformedRequest},
		{"empty name", "\x00\x00" + password, MalformedRequest},
		{"one NUL", "romeo\x00" + password, MalformedRequest},
		{"three NULs", "\x00romeo\x00x\x00y", MalformedRequest},
		{"not UTF-8", "\x00romeo\x00\xff", MalformedRequest},
		{"empty", "", MalformedRequest},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			x, err := newTestServer(t, nil).Start(Plain, host, Channel{Secure: true})
			if err != nil {
				t.Fatal(err)
			}
			reply, done, err := x.Next(t.Context(), []byte(tt.message))
			if condition(err) != tt.want || done != (tt.want == "") || reply != nil {
				t.Errorf("got %q, %v, %v, want condition %q", reply, done, err, tt.want)
			}
			if done && x.Account() != jid.MustParse("romeo@example.org") {
				t.Errorf("account is %s", x.Account())
			}
		})
	}
}

func TestNoInitialResponse(t *testing.T) {
	t.Parallel()
	for _, m := range []Mechanism{ScramSHA256, Plain} {
		x, _ := newTestServer(t, nil).Start(m, host, Channel{Secure: true})
		reply, done, err := x.Next(t.Context(), nil)
		if err != nil || done || reply == nil || len(reply) != 0 {
			t.Errorf("%s: got %q, %v, %v, want an empty challenge", m, reply, done, err)
		}
		if _, _, err := x.Next(t.Context(), nil); condition(err) != MalformedRequest {
			t.Errorf("%s: a second empty message: %v", m, err)
		}
	}
}

func TestOffer(t *testing.T) {
	t.Parallel()
	plain, secure := Channel{}, Channel{Secure: true}
	bound := Channel{Secure: true, Bindings: []Binding{exporter}}
	for _, tt := range []struct {
		name   string
		change func(*Options)
		ch     Channel
		want   []Mechanism
	}{
		{"all", nil, bound, Mechanisms()},
		{"no binding", nil, secure, []Mechanism{ScramSHA256, ScramSHA1, Plain}},
		{"no TLS", nil, plain, []Mechanism{ScramSHA256, ScramSHA1}},
		{"PLAIN without TLS", func(o *Options) { o.AllowPlainWithoutTLS = true }, plain, []Mechanism{ScramSHA256, ScramSHA1, Plain}},
		{"few", func(o *Options) { o.Mechanisms = []Mechanism{Plain, ScramSHA1} }, bound, []Mechanism{ScramSHA1, Plain}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if got := newTestServer(t, tt.change).Offer(tt.ch); !slices.Equal(got, tt.want) {
				t.Errorf("got %v, want %v", got, tt.want)
			}
		})
	}
	s := newTestServer(t, func(o *Options) { o.Mechanisms = []Mechanism{ScramSHA256Plus, Plain} })
	for m, want := range map[Mechanism]Condition{
		"": InvalidMechanism, "EXTERNAL": InvalidMechanism, ScramSHA1: MechanismTooWeak, Plain: EncryptionRequired, ScramSHA256Plus: InvalidMechanism,
	} {
		if _, err := s.Start(m, host, plain); condition(err) != want {
			t.Errorf("start %q: got %v, want %s", m, err, want)
		}
	}
}

func TestNewRefuses(t *testing.T) {
	t.Parallel()
	lookup := directory{}.lookup
	for name, o := range map[string]Options{
		"no lookup":         {},
		"unknown mechanism": {Lookup: lookup, Mechanisms: []Mechanism{"GSSAPI"}},
		"short decoy key":   {Lookup: lookup, DecoyKey: []byte("short")},
	} {
		if _, err := New(o); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func TestPrepare(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, in, want string
		ok             bool
	}{
		{"plain", "secret", "secret", true},
		{"spaces kept", " a  b ", " a  b ", true},
		{"other space", "a\u00a0b", "a b", true},
		{"composed", "e\u0301", "é", true},
		{"case kept", "SeCret", "SeCret", true},
		{"empty", "", "", false},
		{"control character", "a\x07", "", false},
		{"too long", strings.Repeat("x", maxPassword+1), "", false},
	} {
		got, err := Prepare(tt.in)
		if got != tt.want || (err == nil) != tt.ok || err != nil && !errors.Is(err, ErrPassword) {
			t.Errorf("%s: got %q, %v", tt.name, got, err)
		}
	}
}

func TestKeys(t *testing.T) {
	t.Parallel()
	x := NewHasher(0, 0)
	a, err := x.Keys(t.Context(), "secret")
	if err != nil || len(a) != 2 || a[0].Hash != SHA256 || a[1].Hash != SHA1 {
		t.Fatalf("got %v, %v", a, err)
	}
	for _, k := range a {
		if !k.valid() || k.Iterations != 10_000 || len(k.Salt) != saltSize {
			t.Errorf("weak keys: %+v", k)
		}
	}
	if b, _ := x.Keys(t.Context(), "secret"); bytes.Equal(a[0].Salt, b[0].Salt) || bytes.Equal(a[0].Salt, a[1].Salt) {
		t.Error("salts repeat")
	}
	if _, err := x.Keys(t.Context(), ""); !errors.Is(err, ErrPassword) {
		t.Errorf("empty password: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	full := NewHasher(0, 1)
	full.turns <- struct{}{}
	if _, err := full.Keys(ctx, "secret"); !errors.Is(err, context.Canceled) {
		t.Errorf("no turn: %v", err)
	}
}

// clientProof is what RFC 5802 §3 lets a client compute.
func clientProof(t testing.TB, k Keys, prepared, authMessage string) string {
	t.Helper()
	salted := pbkdf2SHA256(t, prepared, k.Salt, k.Iterations)
	clientKey := SHA256.hmac(salted, []byte("Client Key"))
	signature := SHA256.hmac(SHA256.sum(clientKey), []byte(authMessage))
	for i := range clientKey {
		clientKey[i] ^= signature[i]
	}
	return base64.StdEncoding.EncodeToString(clientKey)
}
