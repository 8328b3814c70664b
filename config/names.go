package config

import (
	"github.com/muster-im/muster/internal/access"
	"github.com/muster-im/muster/internal/httppool"
)

// What a configuration is made into, by names that extensions can use.
type (
	// Rules are the access rules of [acl] and [access].
	Rules = access.Rules
	// RuleValue is what a rule says of somebody.
	RuleValue = access.Value
	// PoolOptions describe a pool of [outgoing_pools.http].
	PoolOptions = httppool.Options
	// PoolTLS is how its connections are encrypted.
	PoolTLS = httppool.TLS
	// PoolVerify is what is asked of the certificates of services.
	PoolVerify = httppool.Verify
)
