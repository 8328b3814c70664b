package server

import (
	"github.com/muster-im/muster/config"
	"github.com/muster-im/muster/internal/access"
	"github.com/muster-im/muster/internal/c2s"
	"github.com/muster-im/muster/jid"
)

// policies are the compiled access rules of a configuration, and what the
// listeners make of them. They are immutable; a reload makes new ones.
type policies struct {
	rules   *access.Rules
	clients []c2s.Policy // by listener
}

func newPolicies(cfg *config.Config) (*policies, error) {
	rules, err := cfg.Rules()
	if err != nil {
		return nil, err
	}
	p := &policies{rules: rules, clients: make([]c2s.Policy, len(cfg.Listen.C2S))}
	for i := range cfg.Listen.C2S {
		l := &cfg.Listen.C2S[i]
		p.clients[i] = c2s.Policy{Allows: allowedBy(rules, l.Access), Rate: rateBy(rules, cfg.Shaper, l.Shaper)}
	}
	return p, nil
}

// allowedBy says who may log in by a rule.
func allowedBy(rules *access.Rules, rule string) func(who jid.JID) bool {
	byResource := rules.ByResource(rule)
	return func(who jid.JID) bool {
		return who.IsBare() && byResource || rules.Allows(rule, who.Domain(), who)
	}
}

// rateBy says how fast somebody is read by a shaper, or by a rule that says
// which; none means no limit, and so does a rule that does not speak of him. A
// rule is what it means if it and a shaper have the same name, as in MongooseIM.
func rateBy(rules *access.Rules, shapers map[string]config.Shaper, name string) func(who jid.JID) int {
	if !rules.Has(name) || name == access.None {
		rate := int(shapers[name].MaxRate)
		return func(jid.JID) int { return rate }
	}
	return func(who jid.JID) int {
		return int(shapers[rules.Match(name, who.Domain(), who).String()].MaxRate)
	}
}

// listenerPolicy returns the policy of the i-th listener for clients as it is
// when it is asked for.
func (s *Server) listenerPolicy(i int) func() c2s.Policy {
	return func() c2s.Policy { return s.policies.Load().clients[i] }
}
