// Package admin is the administration of a running server over HTTP: the
// handlers, the request types and the typed Client that the command line uses,
// one set of types for both sides. It is served on the local socket
// DATA_DIR/admin.sock, whose mode says who may administrate: whoever can open
// it has full authority. The package owns no goroutine; handlers block on the
// services they call, clients on the socket.
package admin

import (
	"time"

	"github.com/muster-im/muster/jid"
)

// SocketName is the local socket's name in the data directory.
const SocketName = "admin.sock"

// Info says what the server is and where it can be reached.
type Info struct {
	Version string    `json:"version"`
	PID     int       `json:"pid"`
	Started time.Time `json:"started"`
	Hosts   []string  `json:"hosts"`
	// RoomHosts are the domains of the rooms.
	RoomHosts []string `json:"room_hosts"`
	// Listeners are the addresses that accept clients, in the order of the
	// configuration.
	Listeners []Listener `json:"listeners"`
}

// Health says whether the server can do its work.
type Health struct {
	Status  string `json:"status"`  // "ok", "failing"
	Storage string `json:"storage"` // "ok", or what is wrong
}

// Listener is one address that the server listens on.
type Listener struct {
	Kind    string `json:"kind"`    // "c2s", "http"
	Address string `json:"address"` // host:port
	TLS     string `json:"tls"`     // "starttls", "starttls_required", "tls", "none"
}

// Account is a user as a listing shows him.
type Account struct {
	JID     jid.JID   `json:"jid"`
	Created time.Time `json:"created"`
}

// AccountPage is one page of a listing; Next asks for the following page, ""
// says that there is none.
type AccountPage struct {
	Accounts []Account `json:"accounts"`
	Next     string    `json:"next,omitempty"`
}

// NewAccount asks for an account.
type NewAccount struct {
	JID      jid.JID `json:"jid"`
	Password string  `json:"password"`
}

// NewPassword replaces an account's password.
type NewPassword struct {
	Password string `json:"password"`
}

// BackupProgress is one line of the answer to a request for a backup. The last
// line has Size or Error; behind one with Size comes the backup itself.
type BackupProgress struct {
	Step  string `json:"step,omitempty"`
	Done  int64  `json:"done,omitempty"` // bytes
	Total int64  `json:"total,omitempty"`
	// Size is the size of what is in the backup, which has some more.
	Size  int64  `json:"size,omitempty"`
	Error string `json:"error,omitempty"`
}

// problem is the body of every answer that is an error (RFC 9457).
type problem struct {
	Title  string `json:"title"`
	Status int    `json:"status"`
	Detail string `json:"detail"`
}

// Error is what the server answered instead of doing what was asked.
type Error struct {
	Status int // HTTP status code
	Detail string
}

// Error returns the server's words.
func (e *Error) Error() string { return e.Detail }
