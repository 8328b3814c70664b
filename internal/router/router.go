// Package router decides where a stanza goes: to a session of a local account,
// to a local service such as the rooms, to a handler of the server or an
// account itself, or nowhere, which is answered (RFC 6120 §10, RFC 6121 §8). It
// owns the session table. It has no goroutines but those that work off what
// must not wait; see Send.
package router

import (
	"context"
	"errors"
	"hash/maphash"
	"log/slog"
	"maps"
	"runtime/debug"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/muster-im/muster/jid"
	"github.com/muster-im/muster/stanza"
)

// Target takes the stanzas of one full JID.
type Target = stanza.Target

// Session is a bound client session as routing sees it.
type Session interface {
	Target
	// JID is the full JID, fixed for the session's life.
	JID() jid.JID
	// State is the session's presence state: sessions own one by value.
	State() *PresenceState
	// Replace ends the session because another one binds its resource
	// (RFC 6120 §7.7.2.2, stream error conflict).
	Replace()
}

// Service is something local that has a whole domain, such as a room service.
type Service interface {
	// Handle takes a stanza with valid addresses. It never waits. A non-nil
	// channel asks the caller to read no more from the sender until it closes.
	Handle(st stanza.Stanza) (busy <-chan struct{})
}

// SharedService is a Service that takes stanzas from a stream that carries those
// of many people and must not stop for one of them: he gets an error instead.
type SharedService interface {
	HandleShared(st stanza.Stanza)
}

// Remote knows the domains that are not local: it finds what takes the stanzas for
// one, nil if nothing does. It does not wait.
type Remote interface {
	Service(domain string) Service
}

// IQHandler answers one IQ request. The result payload may be nil; an error
// becomes the answer, as internal-server-error if it is no *stanza.Error.
type IQHandler func(ctx context.Context, iq *stanza.Stanza) (*stanza.Element, error)

// Guard may keep an IQ request from the session that it is addressed to: its
// error becomes the answer.
type Guard func(ctx context.Context, iq *stanza.Stanza) error

// ErrAnswered is what an IQHandler returns that has sent the result itself,
// because something else must not get in between.
var ErrAnswered = errors.New("answered")

// Accounts tells which local accounts there are.
type Accounts interface {
	Exists(ctx context.Context, bare jid.JID) (bool, error)
}

// Offline takes messages for accounts without an available session.
type Offline interface {
	// Store keeps a message for the account that it is addressed to. A
	// *stanza.Error refuses it. Before it does, and with no delivery of stored
	// messages to that account under way, it calls deliver, which reports
	// whether somebody has come who takes the message at once. since is when
	// the message arrived, zero for now.
	Store(ctx context.Context, st stanza.Stanza, since time.Time, deliver func() bool) error
}

// Contacts takes presence that is addressed to a local account and not to one
// of its sessions: subscriptions, probes and what comes from contacts.
type Contacts interface {
	Inbound(ctx context.Context, st stanza.Stanza)
}

// Blocking stops what accounts do not want (XEP-0191).
type Blocking interface {
	// Stops reports whether a message or IQ comes from somebody whom the account
	// that it is addressed to has blocked; it has been answered then if it may
	// be.
	Stops(ctx context.Context, st stanza.Stanza) (bool, error)
}

// Options configure a Router; zero fields are defaults.
type Options struct {
	Accounts   Accounts // required to route to accounts
	Logger     *slog.Logger
	Registerer prometheus.Registerer
}

type iqKey struct {
	space string
	typ   stanza.Type
}

// Router routes stanzas.
type Router struct {
	// Set before start.
	accounts  Accounts
	log       *slog.Logger
	metrics   *metrics
	hosts     map[string]struct{}
	services  map[string]Service
	hostIQ    map[iqKey]IQHandler
	accountIQ map[iqKey]IQHandler
	nobodyIQ  map[iqKey]IQHandler
	guards    map[iqKey]Guard
	offline   Offline
	contacts  Contacts
	blocking  Blocking
	remote    Remote

	sessions sessionTable
	later    laterQueue
}

// New returns a router that knows nobody yet.
func New(o Options) *Router {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	r := &Router{
		accounts: o.Accounts, log: o.Logger, metrics: newMetrics(o.Registerer),
		hosts: make(map[string]struct{}), services: make(map[string]Service),
		hostIQ: make(map[iqKey]IQHandler), accountIQ: make(map[iqKey]IQHandler),
		nobodyIQ: make(map[iqKey]IQHandler), guards: make(map[iqKey]Guard),
	}
	r.sessions.seed = maphash.MakeSeed()
	r.later.init(r.routeLater)
	return r
}

// AddHost makes a domain's accounts local. Before start.
func (r *Router) AddHost(domain string) { r.hosts[domain] = struct{}{} }

// AddService gives a domain to a service. Before start.
func (r *Router) AddService(domain string, s Service) { r.services[domain] = s }

// Services returns the domains of services, sorted.
func (r *Router) Services() []string { return slices.Sorted(maps.Keys(r.services)) }

// HandleHost answers IQs of a type (get or set) with a payload of that
// namespace to served hosts. Before start.
func (r *Router) HandleHost(namespace string, typ stanza.Type, h IQHandler) {
	r.hostIQ[iqKey{namespace, typ}] = h
}

// HandleAccount answers IQs to the bare JIDs of accounts, one's own and
// others': the handler looks at From. Before start.
func (r *Router) HandleAccount(namespace string, typ stanza.Type, h IQHandler) {
	r.accountIQ[iqKey{namespace, typ}] = h
}

// HandleNobody answers IQs to the bare JIDs of accounts that do not exist, for
// protocols that ask for more than service-unavailable (RFC 6121 §8.5.1).
// Before start.
func (r *Router) HandleNobody(namespace string, typ stanza.Type, h IQHandler) {
	r.nobodyIQ[iqKey{namespace, typ}] = h
}

// GuardSessions lets g look at IQs of a type with a payload of that namespace
// that are addressed to a full JID of an account, whether it has such a session
// or not. Before start.
func (r *Router) GuardSessions(namespace string, typ stanza.Type, g Guard) {
	r.guards[iqKey{namespace, typ}] = g
}

// SetOffline connects the service that keeps messages for accounts without an
// available session. Before start.
func (r *Router) SetOffline(o Offline) { r.offline = o }

// SetContacts connects the roster service. Before start.
func (r *Router) SetContacts(c Contacts) { r.contacts = c }

// SetBlocking connects the blocking service. Before start.
func (r *Router) SetBlocking(b Blocking) { r.blocking = b }

// SetRemote connects what brings stanzas to domains that are not local. Before
// start.
func (r *Router) SetRemote(remote Remote) { r.remote = remote }

// service returns what takes the stanzas for a domain, nil if nothing does but
// perhaps the router itself.
func (r *Router) service(domain string) Service {
	if s := r.services[domain]; s != nil {
		return s
	}
	if r.remote == nil || r.IsHost(domain) {
		return nil
	}
	return r.remote.Service(domain)
}

// Reaches reports whether stanzas for a domain go anywhere.
func (r *Router) Reaches(domain string) bool { return r.IsHost(domain) || r.service(domain) != nil }

// IsLocal reports whether a domain is a host's or a service's.
func (r *Router) IsLocal(domain string) bool { return r.IsHost(domain) || r.services[domain] != nil }

// IsHost reports whether a domain is served.
func (r *Router) IsHost(domain string) bool {
	_, ok := r.hosts[domain]
	return ok
}

// Route brings a stanza of a local client to where it is addressed, and copies
// of it to those of the client's own account who want them. It may wait for
// storage, so it is for the goroutine of the stanza's sender. From must be true.
// A non-nil channel asks the caller to read no more from the sender until it
// closes.
func (r *Router) Route(ctx context.Context, st stanza.Stanza) (busy <-chan struct{}) {
	defer r.recoverFor(ctx, &st)
	r.copySent(&st) // first, so that it comes before what the recipient says to it
	return r.route(ctx, st)
}

// recoverFor turns a panic into the answer to one stanza. It is to be deferred.
func (r *Router) recoverFor(ctx context.Context, st *stanza.Stanza) {
	v := recover()
	if v == nil {
		return
	}
	r.metrics.panics.Inc()
	r.log.LogAttrs(ctx, slog.LevelError, "panic", slog.Any("panic", v), slog.String("stack", string(debug.Stack())))
	r.refuse(ctx, st, stanza.NewError(stanza.Cancel, stanza.InternalServerError, ""))
}

// route brings a stanza to where it is addressed.
func (r *Router) route(ctx context.Context, st stanza.Stanza) (busy <-chan struct{}) {
	if s := r.service(st.To.Domain()); s != nil {
		return s.Handle(st)
	}
	switch {
	case !r.IsHost(st.To.Domain()):
		r.refuse(ctx, &st, stanza.NewError(stanza.Cancel, stanza.RemoteServerNotFound, "This server does not talk to other servers."))
	case st.To.Local() == "":
		r.toHost(ctx, st)
	case r.stopped(ctx, &st):
	case !st.To.IsBare():
		r.toResource(ctx, st)
	default:
		r.toAccount(ctx, st)
	}
	return nil
}

// Send routes a stanza without ever waiting: for rooms. What goes to a live
// session or a service goes at once; what may need storage is queued, in order
// for each recipient, and refused if the queue is full.
func (r *Router) Send(st stanza.Stanza) {
	if s := r.service(st.To.Domain()); s != nil {
		s.Handle(st)
		return
	}
	if s := r.sessions.get(st.To); s != nil && isForSession(&st) && !r.later.waits(st.To) && !s.State().BlockList().Blocks(st.From) {
		r.deliver(s, st)
		return
	}
	if !r.later.add(st) {
		r.metrics.queueFull.Inc()
		r.bounce(&st)
	}
}

// SendShared is Send for what comes from a stream that carries the stanzas of many
// people.
func (r *Router) SendShared(ctx context.Context, st stanza.Stanza) {
	defer r.recoverFor(ctx, &st)
	if s, ok := r.services[st.To.Domain()].(SharedService); ok {
		s.HandleShared(st)
		return
	}
	r.Send(st)
}

// isForSession reports whether a stanza to a full JID is for its session, and
// not for the roster of its account.
func isForSession(st *stanza.Stanza) bool {
	return st.Kind != stanza.Presence || st.Type != stanza.TypeProbe && !isSubscription(st.Type)
}

// routeLater routes what Send has queued.
func (r *Router) routeLater(st stanza.Stanza) {
	ctx, cancel := context.WithTimeout(context.Background(), laterTimeout)
	defer cancel()
	defer r.recoverFor(ctx, &st)
	r.route(ctx, st)
}

// bounce tells the sender of a stanza that it could not be queued, if that
// needs no queue.
func (r *Router) bounce(st *stanza.Stanza) {
	reply, ok := st.ErrorReply(stanza.NewError(stanza.Wait, stanza.ResourceConstraint, ""))
	if !ok {
		return
	}
	if s := r.sessions.get(reply.To); s != nil {
		r.deliver(s, reply)
	} else if s := r.service(reply.To.Domain()); s != nil {
		s.Handle(reply)
	}
}

// Target returns where the stanzas of a full JID go: to its session, or, where
// there is none, wherever Send brings them.
func (r *Router) Target(full jid.JID) Target {
	if s := r.sessions.get(full); s != nil {
		return s
	}
	return detour{r, full}
}

// detour is the target of an address without a local session.
type detour struct {
	router *Router
	to     jid.JID
}

func (d detour) Deliver(batch []*stanza.Encoded) {
	for _, e := range batch {
		if st, alone := e.Missed(d.to); alone {
			d.router.Send(st)
		}
	}
}

// Close waits until everything that was queued has been routed; nothing more is
// queued then.
func (r *Router) Close() { r.later.close() }

// reply sends an answer back to where the request came from.
func (r *Router) reply(st stanza.Stanza) { r.Send(st) }

// refuse answers st with err, unless it must not be answered.
func (r *Router) refuse(ctx context.Context, st *stanza.Stanza, err error) {
	se := stanza.AsError(err)
	if se == nil {
		se = stanza.NewError(stanza.Wait, stanza.InternalServerError, "") // the database may come back
		r.log.LogAttrs(ctx, slog.LevelError, "handle stanza", slog.String("id", st.ID), slog.Any("err", err))
	}
	if reply, ok := st.ErrorReply(se); ok {
		r.metrics.refused(se.Condition)
		r.reply(reply)
	}
}

// handleIQ lets the handler for a request answer it.
func (r *Router) handleIQ(ctx context.Context, handlers map[iqKey]IQHandler, st stanza.Stanza) {
	if !st.IsRequest() {
		r.metrics.strayAnswer.Inc()
		return
	}
	payload := st.Payload()
	if payload == nil {
		r.refuse(ctx, &st, stanza.NewError(stanza.Modify, stanza.BadRequest, "The IQ has no payload."))
		return
	}
	h := handlers[iqKey{payload.Name.Space, st.Type}]
	if h == nil {
		r.refuse(ctx, &st, stanza.NewError(stanza.Cancel, stanza.ServiceUnavailable, ""))
		return
	}
	result, err := h(ctx, &st)
	switch {
	case errors.Is(err, ErrAnswered):
	case err != nil:
		r.refuse(ctx, &st, err)
	default:
		r.reply(st.Result(result))
	}
}
