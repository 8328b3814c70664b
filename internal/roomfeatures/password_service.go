package roomfeatures

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strconv"
	"strings"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/muster-im/muster/internal/httppool"
	"github.com/muster-im/muster/jid"
	"github.com/muster-im/muster/muc"
	"github.com/muster-im/muster/stanza"
)

// Outcomes of questions to a password service, besides httppool's reasons why
// there is no answer.
const (
	passwordAccepted  = "accepted"
	passwordRejected  = "rejected"
	passwordStatus    = "status"    // the answer is not 200
	passwordMalformed = "malformed" // nor what was agreed on
)

// maxVerdict bounds, in bytes, what somebody who is rejected is told.
const maxVerdict = 1024

// PasswordServiceOptions describe a PasswordService. Pool is required.
type PasswordServiceOptions struct {
	Pool       *httppool.Pool
	Post       bool                  // ask with a form, not with the address
	Logger     *slog.Logger          // nil: silent
	Registerer prometheus.Registerer // nil: no metrics
}

// PasswordService decides, by HTTP, who knows the password of a room. It may
// serve the rooms of several domains.
type PasswordService struct {
	pool   *httppool.Pool
	ask    func(context.Context, string, ...httppool.Param) (*httppool.Answer, error)
	log    *slog.Logger
	checks *prometheus.CounterVec // by outcome
}

// NewPasswordService returns a service.
func NewPasswordService(o PasswordServiceOptions) *PasswordService {
	method := "get"
	if o.Post {
		method = "post"
	}
	s := &PasswordService{
		pool: o.Pool, ask: o.Pool.Get, log: o.Logger,
		checks: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "muster_roomfeatures_password_checks_total", Help: "Passwords of rooms that an HTTP service was asked about, by outcome.",
			ConstLabels: prometheus.Labels{"pool": o.Pool.Name(), "method": method},
		}, []string{"outcome"}),
	}
	if o.Post {
		s.ask = o.Pool.Post
	}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	if o.Registerer != nil {
		o.Registerer.MustRegister(s.checks)
	}
	return s
}

// check asks whether somebody may enter a room with a password. Whatever is
// logged of it, the password and what came back are not.
func (s *PasswordService) check(ctx context.Context, from, room jid.JID, password string) error {
	answer, err := s.ask(ctx, "check_password",
		httppool.Param{Name: "from", Value: from.String()}, httppool.Param{Name: "to", Value: room.String()}, httppool.Param{Name: "pass", Value: password})
	if errors.Is(err, context.Canceled) { // he has left, or asks anew
		s.checks.WithLabelValues(string(httppool.Cancelled)).Inc()
		return err
	}
	var outcome string
	var refusal *stanza.Error
	if e, ok := errors.AsType[*httppool.Error](err); ok {
		outcome = string(e.Reason)
	} else {
		outcome, refusal, err = verdict(answer)
	}
	s.checks.WithLabelValues(outcome).Inc()
	switch {
	case err != nil:
		s.log.LogAttrs(ctx, slog.LevelWarn, "password service gives no answer", slog.String("pool", s.pool.Name()),
			slog.String("reason", outcome), slog.String("room", room.String()), slog.String("jid", from.String()), slog.Any("err", err))
		return stanza.NewError(stanza.Cancel, stanza.ServiceUnavailable, "The room's password cannot be checked at the moment.").Because(muc.ReasonPasswordService)
	case refusal != nil:
		return refusal
	}
	return nil
}

// verdict reads an answer: 200 with {"code": 0} lets somebody in, with another
// code its "msg" says why not. Everything else is an error.
func verdict(answer *httppool.Answer) (outcome string, refusal *stanza.Error, err error) {
	if answer.Status != http.StatusOK {
		return passwordStatus, nil, fmt.Errorf("status %d", answer.Status)
	}
	var fields map[string]json.RawMessage // whose keys, unlike a struct's, have to be as written
	if json.Unmarshal(answer.Body, &fields) != nil || fields == nil {
		return passwordMalformed, nil, errors.New("the answer is no JSON object")
	}
	code, err := strconv.ParseInt(string(fields["code"]), 10, 64) // which 1.0, "1" and null are not
	switch {
	case err != nil:
		return passwordMalformed, nil, errors.New(`"code" is no integer`)
	case code == 0:
		return passwordAccepted, nil, nil
	}
	var msg *string
	if json.Unmarshal(fields["msg"], &msg) != nil || msg == nil {
		return passwordMalformed, nil, errors.New(`"msg" is no string`)
	}
	text := fmt.Sprintf("%d %s", code, *msg)
	if len(text) > maxVerdict {
		text = strings.ToValidUTF8(text[:maxVerdict], "")
	}
	return passwordRejected, stanza.NewError(stanza.Auth, stanza.NotAuthorized, text).Because(muc.ReasonPassword), nil
}
