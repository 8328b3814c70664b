package xmpptest

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing/synctest"
	"time"

	"github.com/muster-im/muster/jid"
	"github.com/muster-im/muster/stanza"
)

const (
	domain   = "localhost"
	password = "secret"
	// loginTimeout bounds a login in virtual time.
	loginTimeout = time.Minute
)

// runner runs the steps of one script. Only the script's goroutine uses it.
type runner struct {
	system   System
	peers    map[string]*peer
	accounts map[jid.JID]bool // those made
	captures map[string]string
}

func newRunner(s System) *runner {
	return &runner{
		system: s, peers: make(map[string]*peer), accounts: make(map[jid.JID]bool),
		captures: make(map[string]string),
	}
}

// settle waits until nobody can go on without time passing. With a system in real
// time that cannot be known: what clients are sent before an answer of the rooms
// has then arrived.
func (r *runner) settle() {
	system, ok := r.system.(interface{ Fence() string })
	if !ok {
		synctest.Wait()
		return
	}
	for _, p := range r.peers {
		p.fence(system.Fence())
	}
}

// await waits until somebody has received something, if he is to receive
// anything.
func (r *runner) await(p *peer) {
	if _, ok := r.system.(interface{ Fence() string }); !ok {
		synctest.Wait()
		return
	}
	p.await()
}

// do runs one step.
func (r *runner) do(s step) error {
	switch s.verb {
	case verbClient:
		return r.say(s)
	case verbServer:
		return r.expect(s)
	case verbAny:
		return r.expectAny(s.block)
	case verbWait:
		time.Sleep(s.pause) // virtual
		return nil
	case verbConnect:
		account, resource := s.name, s.name
		if len(s.args) > 0 {
			account = s.args[0]
		}
		if len(s.args) > 1 {
			resource = s.args[1]
		}
		return r.connect(s.name, account, resource)
	case verbOpen:
		return r.open(s.name)
	case verbRemote:
		return r.remote(s.name)
	case verbDelete:
		return r.deleteUser(s.name)
	case verbDisconnect, verbDrop:
		return r.disconnect(s)
	case verbRestart:
		return r.restart()
	case verbGroup:
		return r.group(s.args)
	case verbReplace, verbReload:
		return r.administrate(s)
	}
	return fmt.Errorf("no such step: %s", s.verb)
}

func (r *runner) peer(name string) (*peer, error) {
	p := r.peers[name]
	if p == nil {
		return nil, fmt.Errorf("%s is not connected", name)
	}
	return p, nil
}

// connect logs a client in under a name.
func (r *runner) connect(name, account, resource string) error {
	if r.peers[name] != nil {
		return fmt.Errorf("%s is connected already", name)
	}
	if !strings.Contains(account, "@") {
		account += "@" + domain
	}
	user, err := jid.Parse(account)
	if err != nil {
		return err
	}
	if err := r.account(user); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), loginTimeout)
	defer cancel()
	p, err := login(ctx, r.system.Dial(), user, resource)
	if err != nil {
		return fmt.Errorf("log in as %s: %w", account, err)
	}
	r.peers[name] = p
	r.settle() // the client knows of its session before all of the server does
	return nil
}

// open connects a client that does not log in.
func (r *runner) open(name string) error {
	if r.peers[name] != nil {
		return fmt.Errorf("%s is connected already", name)
	}
	p, err := open(r.system.Dial())
	if err != nil {
		return fmt.Errorf("open a stream: %w", err)
	}
	r.peers[name] = p
	return nil
}

// remote gives a name to the server of Far.
func (r *runner) remote(name string) error {
	if r.peers[name] != nil {
		return fmt.Errorf("%s is connected already", name)
	}
	system, ok := r.system.(interface{ Far() *Remote })
	if !ok {
		return errors.New("this system knows no other servers")
	}
	r.peers[name] = system.Far().peer()
	return nil
}

// deleteUser removes an account. Its clients are still there to listen.
func (r *runner) deleteUser(name string) error {
	system, ok := r.system.(interface{ DeleteUser(account jid.JID) error })
	if !ok {
		return errors.New("this system cannot remove accounts")
	}
	account, err := jid.New(name, domain, "")
	if err != nil {
		return err
	}
	delete(r.accounts, account)
	return system.DeleteUser(account)
}

// group changes a group of people.
func (r *runner) group(args []string) error {
	system, ok := r.system.(interface{ Group(args []string) error })
	if !ok {
		return errors.New("this system has no groups")
	}
	refused := args[0] == "refused"
	if refused {
		args = args[1:]
	}
	if args[0] == "add" && !refused {
		for _, name := range args[2:] {
			user, err := person(name)
			if err == nil {
				err = r.account(user)
			}
			if err != nil {
				return err
			}
		}
	}
	err := system.Group(args)
	if refused {
		if err == nil {
			return fmt.Errorf("group %s is not refused", strings.Join(args, " "))
		}
		err = nil
	}
	r.settle()
	return err
}

// administrate replaces a file of the server, or lets it read its configuration
// again.
func (r *runner) administrate(s step) error {
	system, ok := r.system.(interface {
		Replace(file, by string) error
		Reload() error
	})
	switch {
	case !ok:
		return errors.New("this system has no files")
	case s.verb == verbReplace:
		return system.Replace(s.args[0], s.args[1])
	}
	err := system.Reload()
	r.settle()
	return err
}

// account makes an account unless it is there.
func (r *runner) account(user jid.JID) error {
	if r.accounts[user] {
		return nil
	}
	err := r.system.AddUser(user, password)
	r.accounts[user] = err == nil
	return err
}

func (r *runner) disconnect(s step) error {
	p, err := r.peer(s.name)
	if err != nil {
		return err
	}
	if err := r.nothing(s.name); err != nil {
		return err
	}
	p.end(s.verb == verbDisconnect)
	delete(r.peers, s.name)
	r.settle()
	return nil
}

func (r *runner) restart() error {
	for name := range r.peers {
		if err := r.nothing(name); err != nil {
			return err
		}
	}
	if err := r.system.Restart(); err != nil {
		return err
	}
	r.dropAll() // what the server said on its way down was theirs alone
	return nil
}

func (r *runner) dropAll() {
	for name, p := range r.peers {
		p.end(false)
		delete(r.peers, name)
	}
}

func (r *runner) say(s step) error {
	p, err := r.peer(s.name)
	if err != nil {
		return err
	}
	m := matcher{captures: r.captures}
	return p.say(m.fill(s.text))
}

// expect compares what a client received next with an S line.
func (r *runner) expect(s step) error {
	switch s.text {
	case "nothing":
		return r.nothing(s.name)
	case "closed":
		return r.closed(s.name)
	}
	p, err := r.peer(s.name)
	if err != nil {
		return err
	}
	want, err := parsePattern(s.text)
	if err != nil {
		return fmt.Errorf("the pattern: %w", err)
	}
	r.await(p)
	got, ok := p.peek()
	if !ok {
		return fmt.Errorf("%s received nothing%s\nwant %s", s.name, p.state(), s.text)
	}
	if diff := r.match(p, want, got); diff != "" {
		return fmt.Errorf("%s received something else: %s\n got %s\nwant %s", s.name, diff, got, s.text)
	}
	p.take()
	return nil
}

// expectAny compares what clients received next with S lines, in any order. A
// thing received is that of the first line left that it is like.
func (r *runner) expectAny(lines []step) error {
	for len(lines) > 0 {
		p, err := r.peer(lines[0].name)
		if err != nil {
			return err
		}
		r.await(p)
		got, ok := p.peek()
		if !ok {
			return fmt.Errorf("%s received nothing more%s\nwant %s", lines[0].name, p.state(), lines[0].text)
		}
		at, err := r.find(p, lines, got)
		if err != nil {
			return err
		}
		p.take()
		lines = append(lines[:at:at], lines[at+1:]...)
	}
	return nil
}

// find returns which of the lines about the same client as the first is like
// got.
func (r *runner) find(p *peer, lines []step, got string) (int, error) {
	var diffs strings.Builder
	for i, s := range lines {
		if s.name != lines[0].name {
			continue
		}
		want, err := parsePattern(s.text)
		if err != nil {
			return 0, fmt.Errorf("the pattern in line %d: %w", s.line, err)
		}
		diff := r.match(p, want, got)
		if diff == "" {
			return i, nil
		}
		fmt.Fprintf(&diffs, "\nnot line %d: %s", s.line, diff)
	}
	return 0, fmt.Errorf("%s received something else\n got %s%s", lines[0].name, got, diffs.String())
}

func (r *runner) match(p *peer, want *stanza.Element, got string) string {
	e, err := parseFragment(got)
	if err != nil {
		return err.Error()
	}
	system, ok := r.system.(interface{ AnyOrder() bool })
	m := matcher{captures: r.captures, self: p.self, unordered: ok && system.AnyOrder()}
	diff := m.match(want, e)
	r.captures = m.captures
	return diff
}

func (r *runner) nothing(name string) error {
	p, err := r.peer(name)
	if err != nil {
		return err
	}
	r.settle()
	if got, ok := p.peek(); ok {
		return fmt.Errorf("%s received something and should not have\n got %s", name, got)
	}
	if p.closed() {
		return fmt.Errorf("%s should have received nothing%s", name, p.state())
	}
	return nil
}

// closed expects that the server has ended a client's stream, who is then
// connected no more.
func (r *runner) closed(name string) error {
	p, err := r.peer(name)
	if err != nil {
		return err
	}
	r.await(p)
	if got, ok := p.peek(); ok {
		return fmt.Errorf("%s received something before the end\n got %s", name, got)
	}
	if !p.closed() {
		return fmt.Errorf("%s's stream is still open", name)
	}
	p.end(false)
	delete(r.peers, name)
	return nil
}
