package muc

import (
	"context"
	"errors"
	"log/slog"

	"github.com/muster-im/muster/hook"
	"github.com/muster-im/muster/stanza"
)

// ServiceRequestEvent is an IQ request to the service that a feature answers.
type ServiceRequestEvent struct {
	Context context.Context //nolint:containedctx // of the call; it ends after a while, or when the service does
	Stanza  *stanza.Stanza
	answer  *stanza.Element
}

// Answer sets the payload of the result.
func (ev *ServiceRequestEvent) Answer(payload *stanza.Element) { ev.answer = payload }

// OnServiceRequest lets answer take the IQ requests of a type to the service
// that have such a payload. It runs outside of rooms, several at once, and may
// block; who asks sends nothing more meanwhile. A *stanza.Error refuses the
// request. Nobody else may answer the same.
func (h *Hooks) OnServiceRequest(name string, kind stanza.Type, payload stanza.Name, answer func(*ServiceRequestEvent) error) {
	h.mustBeOpen(name)
	key := requestKind{kind, payload}
	if h.serviceRequests == nil {
		h.serviceRequests = make(map[requestKind]*hook.Filter[ServiceRequestEvent])
	}
	if h.serviceRequests[key] != nil {
		panic("muc: two features answer <" + payload.Local + " xmlns='" + payload.Space + "'/> for the service")
	}
	f := &hook.Filter[ServiceRequestEvent]{}
	f.Add(name, 0, answer)
	h.serviceRequests[key] = f
}

// featureRequest lets a feature answer a request to the service, if there is one
// for it. busy ends when it has.
func (s *Service) featureRequest(st stanza.Stanza) (busy <-chan struct{}) {
	var f *hook.Filter[ServiceRequestEvent]
	if payload := st.Payload(); payload != nil {
		f = s.hooks.serviceRequests[requestKind{st.Type, payload.Name}]
	}
	switch {
	case f == nil:
		s.answer(st, stanza.NewError(stanza.Cancel, stanza.ServiceUnavailable, "The service does not know this request."))
		return nil
	case s.asking.Load() >= maxAllQueries:
		s.answer(st, stanza.NewError(stanza.Wait, stanza.ResourceConstraint, "The service is too busy. Ask again later.").Because(ReasonBusy))
		return nil
	}
	done := make(chan struct{})
	st.Receipt.Hold()
	s.asking.Add(1)
	s.lookups[0].Run(func() {
		defer close(done)
		defer st.Receipt.Release()
		defer s.asking.Add(-1)
		s.runRequest(f, st)
	})
	return done
}

func (s *Service) runRequest(f *hook.Filter[ServiceRequestEvent], st stanza.Stanza) {
	ctx, cancel := context.WithTimeout(s.ioCtx, commitTimeout)
	defer cancel()
	ev := &ServiceRequestEvent{Context: ctx, Stanza: &st}
	err := f.Run(nil, ev)
	if err == nil {
		s.opts.Router.Send(st.Result(ev.answer))
		return
	}
	se := stanza.AsError(err)
	if se == nil {
		se = stanza.NewError(stanza.Wait, stanza.InternalServerError, "")
		attrs := []slog.Attr{slog.String("id", st.ID), slog.Any("err", err)}
		if p, ok := errors.AsType[*hook.Panic](err); ok {
			s.metrics.panics.Inc()
			attrs = append(attrs, slog.String("stack", string(p.Stack)))
		}
		s.log.LogAttrs(ctx, slog.LevelError, "answer a request to the service", attrs...)
	}
	s.answer(st, se)
}
