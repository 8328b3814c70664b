package bench

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// IRCOptions say how one channel of an IRC server is filled and how it talks:
// the same load as Fanout's, for a comparison with what needs no XML. Senders
// are not sent what they say themselves.
type IRCOptions struct {
	LoadOptions `embed:""`
	Channel     string `help:"The channel." default:"#bench"`
	Occupants   int    `help:"People in the channel." default:"100"`
	Senders     int    `help:"How many of them speak." default:"4"`
}

func (o *IRCOptions) check() error {
	switch {
	case o.TLS != "none":
		return errors.New("tls: IRC is measured without, want none")
	case o.Occupants < 2:
		return errors.New("occupants: want at least 2")
	case o.Senders < 1 || o.Senders > o.Occupants:
		return errors.New("senders: want at least 1, and no more than there are occupants")
	}
	return o.LoadOptions.check()
}

// Channel is filled with people who can be made to talk, more than once.
type Channel struct {
	// Set at construction.
	rooms  Rooms // for the report
	o      IRCOptions
	people []*chatter
}

// IRC fills a channel, lets it talk and measures.
func IRC(ctx context.Context, o IRCOptions) (*FanoutReport, error) {
	c, err := FillChannel(ctx, o)
	if err != nil {
		return nil, err
	}
	defer c.Leave()
	return c.Talk(ctx)
}

// FillChannel connects everybody, and lets them enter.
func FillChannel(ctx context.Context, o IRCOptions) (*Channel, error) {
	if err := o.check(); err != nil {
		return nil, err
	}
	c := &Channel{o: o, people: make([]*chatter, o.Occupants)}
	c.rooms.o = FanoutOptions{LoadOptions: o.LoadOptions, Occupants: o.Occupants, Senders: o.Senders, Rooms: 1}
	c.rooms.load = newLoad(&o.LoadOptions, o.Occupants-1, o.Senders, func(sender int, body string) error {
		return c.people[sender].write("PRIVMSG " + o.Channel + " :" + body)
	})
	for i := range c.people {
		c.people[i] = &chatter{receiver: receiver{load: c.rooms.load}, ready: make(chan struct{})}
		c.rooms.load.people = append(c.rooms.load.people, &c.people[i].receiver)
	}
	o.Progress.say("%d people enter %s", o.Occupants, o.Channel)
	err := each(ctx, o.Occupants, o.Logins, func(ctx context.Context, i int) error { return c.people[i].enter(ctx, &o, i) })
	if err != nil {
		c.Leave()
		return nil, err
	}
	return c, nil
}

// Talk lets them talk and measures.
func (c *Channel) Talk(ctx context.Context) (*FanoutReport, error) { return c.rooms.Talk(ctx) }

// Leave ends all connections.
func (c *Channel) Leave() {
	c.rooms.load.stop()
	c.rooms.load.leaving.Store(true)
	for _, p := range c.people {
		p.close()
	}
}

// chatter is one IRC connection.
type chatter struct {
	receiver
	ready   chan struct{} // closed when the channel has been entered
	reading sync.WaitGroup
	conn    atomic.Pointer[net.Conn]

	writing sync.Mutex // lines stay whole
}

// enter connects, registers and joins (RFC 2812 §3.1, §3.2.1).
func (p *chatter) enter(ctx context.Context, o *IRCOptions, n int) error {
	ctx, cancel := context.WithTimeoutCause(ctx, loginTimeout, errors.New("entering took too long"))
	defer cancel()
	var d net.Dialer
	conn, err := d.DialContext(ctx, "tcp", o.Addr)
	if err != nil {
		return err
	}
	p.conn.Store(&conn)
	p.reading.Go(func() { p.read(o.Channel) })
	if err := p.write("NICK " + o.user(n) + "\r\nUSER " + o.user(n) + " 0 * :bench"); err != nil {
		return err
	}
	select {
	case <-p.ready:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("enter as %s: %w", o.user(n), context.Cause(ctx))
	}
}

// read takes lines until the connection ends.
func (p *chatter) read(channel string) {
	lines := bufio.NewReaderSize(*p.conn.Load(), 64<<10)
	for {
		line, err := lines.ReadSlice('\n')
		if err != nil {
			if !p.load.leaving.Load() {
				p.load.fail(fmt.Errorf("a connection has ended: %w", err))
			}
			return
		}
		if err := p.line(line, channel); err != nil {
			p.load.fail(err)
			return
		}
	}
}

// line handles what the server says.
func (p *chatter) line(line []byte, channel string) error {
	if rest, ok := bytes.CutPrefix(line, []byte("PING ")); ok {
		return p.write("PONG " + string(bytes.TrimSpace(rest)))
	}
	_, rest, _ := bytes.Cut(line, []byte(" "))
	command, _, _ := bytes.Cut(rest, []byte(" "))
	switch string(command) {
	case "PRIVMSG":
		p.message(line)
	case "001": // RPL_WELCOME
		return p.write("JOIN " + channel)
	case "366": // RPL_ENDOFNAMES: the list of a channel that one has entered
		close(p.ready)
	case "433", "464", "465", "471", "473", "474", "475":
		return fmt.Errorf("the server refuses: %s", bytes.TrimSpace(line))
	}
	return nil
}

func (p *chatter) write(line string) error {
	p.writing.Lock()
	defer p.writing.Unlock()
	conn := *p.conn.Load()
	if err := conn.SetWriteDeadline(time.Now().Add(stallTimeout)); err != nil {
		return err
	}
	_, err := conn.Write([]byte(line + "\r\n"))
	return err
}

func (p *chatter) close() {
	if conn := p.conn.Load(); conn != nil {
		_ = (*conn).Close() // how it ended does not matter any more
	}
	p.reading.Wait()
}
