// Package muc is a room service: multi-user chat by XEP-0045. It holds rooms,
// occupants, affiliations, roles, presence, the configuration form and the
// hooks that features and extensions are built on; whatever a room does beyond
// that lives in features, which use only what this package exports.
//
// # Two faces of a room
//
// *Room is the view from inside: hooks get it as ev.Room. It needs no context,
// never blocks and is valid during the call only. Handle, from Service.Room, is
// the view from outside: usable from any goroutine, valid while the room
// sleeps, every method takes a context and returns an error.
//
// # Concurrency
//
// A room is a mailbox without a resident goroutine. Commands are posted to it
// and never wait; a goroutine exists while there are some. Each command first
// decides (checks and hooks, changing nothing) and then applies, with exclusive
// access to the room. What a room says goes through one ordered outbox: a
// message that is archived waits there for its commit, and everything said
// later waits behind it. A change of settings or affiliations is committed
// before it is applied; until then the room does nothing else.
//
// Nothing in a room blocks. The service has one goroutine per room that has
// work, per running load, commit or deferred check, of which there are so many at
// a time, and one timer that puts idle rooms to sleep.
package muc
