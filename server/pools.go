package server

import (
	"context"
	"maps"
	"net"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/muster-im/muster/config"
	"github.com/muster-im/muster/internal/httppool"
	"github.com/muster-im/muster/internal/roomfeatures"
	"github.com/muster-im/muster/muc"
)

// deferredWait is how long a check of a room may wait for its turn, besides the
// time that it takes.
const deferredWait = 5 * time.Second

// pools are those of [outgoing_pools.http], by name.
type pools map[string]*httppool.Pool

type dialFunc func(ctx context.Context, network, address string) (net.Conn, error)

// newPools makes the pools of a configuration.
func newPools(cfg *config.Config, dial dialFunc, metrics prometheus.Registerer) (pools, config.Problems) {
	list := make(pools)
	var problems config.Problems
	for _, name := range slices.Sorted(maps.Keys(cfg.OutgoingPools.HTTP)) {
		o := cfg.HTTPPool(name)
		o.Dial, o.Registerer = dial, metrics
		pool, err := httppool.New(o)
		if err != nil {
			problems = append(problems, cfg.HTTPPoolProblem(name, err))
			continue
		}
		list[name] = pool
	}
	return list, problems
}

func (p pools) close(context.Context) error {
	for _, pool := range p {
		pool.Close()
	}
	return nil
}

// passwordsBy is how a service that decides on passwords is asked.
type passwordsBy struct{ pool, method string }

// externalPasswords lets a service decide on the passwords of rooms, if m names
// one. Hosts that ask the same in the same way share it.
func (s *Server) externalPasswords(m *config.MUC) *roomfeatures.PasswordService {
	pool, by := s.pools[m.HTTPAuthPool], passwordsBy{m.HTTPAuthPool, m.HTTPAuthMethod}
	if pool == nil || s.passwords[by] != nil {
		return s.passwords[by]
	}
	if s.passwords == nil {
		s.passwords = make(map[passwordsBy]*roomfeatures.PasswordService)
	}
	s.passwords[by] = roomfeatures.NewPasswordService(roomfeatures.PasswordServiceOptions{
		Pool: pool, Post: by.method == "post", Logger: s.logger("passwords"), Registerer: s.registry,
	})
	return s.passwords[by]
}

// setDeferTimeout gives checks of rooms the time that their pool has.
func (s *Server) setDeferTimeout(o *muc.Options, m *config.MUC) {
	if pool := s.pools[m.HTTPAuthPool]; pool != nil {
		o.DeferTimeout = max(2*deferredWait, pool.CallTimeout()+deferredWait)
	}
}
