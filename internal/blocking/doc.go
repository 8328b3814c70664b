// Package blocking lets people block others (XEP-0191). It answers the requests
// of clients, keeps the lists, and says what of a stanza becomes of it. What a
// client sends to somebody it has blocked is refused by its session; what
// somebody blocked sends is stopped by Stops on its way through the router, and
// by Screen where a session takes it; presence is withheld by the roster
// service. All of them ask the router.BlockList that an account's sessions
// share.
//
// The service has no goroutines. Its methods wait for the store, and, while a
// list changes, for the roster service; Screen never waits.
package blocking
