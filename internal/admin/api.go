// Package admin is the administration of a running server over HTTP: the
// operations, their types and the typed Client that the command line uses, one
// set of types for both sides. One table of routes (see package api) is served
// on the local socket DATA_DIR/admin.sock, whose mode says who may administrate:
// whoever can open it has full authority; and, but for what is local, on HTTP
// listeners for those who have a token. The package owns no goroutine; handlers
// block on the services they call, clients on the socket.
package admin

import (
	"time"

	"github.com/muster-im/muster/internal/api"
	"github.com/muster-im/muster/jid"
)

// SocketName is the local socket's name in the data directory.
const SocketName = "admin.sock"

// Info says what the server is and where it can be reached.
type Info struct {
	Version string    `json:"version"`
	PID     int       `json:"pid"`
	Started time.Time `json:"started"`
	Hosts   []string  `json:"hosts" doc:"The domains that have accounts."`
	// RoomHosts are the domains of the rooms.
	RoomHosts []string `json:"room_hosts" doc:"The domains of the rooms."`
	// GroupChatHost is the domain of group chats.
	GroupChatHost string `json:"group_chat_host,omitempty" doc:"The domain of group chats; absent: there are none."`
	// MaxGroupChatID is the most bytes before the @ in a group chat's address.
	MaxGroupChatID int `json:"max_group_chat_id,omitempty" doc:"Most bytes before the @ in the address of a group chat; absent: any number."`
	// Listeners are the addresses that accept clients, in the order of the
	// configuration.
	Listeners []Listener `json:"listeners" doc:"The addresses that accept clients."`
	// Problems are what an operator should mend while the server goes on.
	Problems []string `json:"problems,omitempty" doc:"What an operator should mend while the server goes on as it did: the lines of a groups file that are wrong."`
}

// Health says whether the server can do its work.
type Health struct {
	Status  string `json:"status"`  // "ok", "failing"
	Storage string `json:"storage"` // "ok", or what is wrong
}

// Listener is one address that the server listens on.
type Listener struct {
	Kind    string `json:"kind" enum:"c2s,component,http"`
	Address string `json:"address" doc:"Host and port."`
	TLS     string `json:"tls" enum:"starttls,starttls_required,tls,none"`
}

// Account is a user as a listing shows him.
type Account struct {
	JID     jid.JID   `json:"jid"`
	Created time.Time `json:"created" doc:"When the account was made."`
}

// AccountDetails is all that the API tells of a user.
type AccountDetails struct {
	Account

	Sessions []Session     `json:"sessions" doc:"Where the user is logged in."`
	LastSeen *LastActivity `json:"last_seen,omitempty" doc:"When the last session went; absent while there is one, and if that is not known."`
}

// LastActivity is when an account's last session went.
type LastActivity struct {
	Time   time.Time `json:"time"`
	Status string    `json:"status,omitempty" doc:"What the user said then."`
}

// Session is one client of a user.
type Session struct {
	JID       jid.JID   `json:"jid" doc:"The full address."`
	Resource  string    `json:"resource" doc:"What tells the user's clients apart."`
	Since     time.Time `json:"since"`
	Available bool      `json:"available" doc:"Contacts can see it."`
	Priority  int       `json:"priority,omitempty" min:"-128" max:"127"`
	Show      string    `json:"show,omitempty" doc:"away, chat, dnd or xa; absent for none of them."`
	Connected bool      `json:"connected" doc:"false: the connection is lost, and the session waits to be resumed."`
	Encrypted bool      `json:"encrypted"`
	Remote    string    `json:"remote,omitempty" doc:"Address and port of the client."`
}

// Sessions are the sessions of a user.
type Sessions struct {
	Items []Session `json:"items"`
}

// NewAccount asks for an account.
type NewAccount struct {
	Name     string `json:"name" min:"1" max:"1023" doc:"What stands before the @ in the address."`
	Password string `json:"password" min:"1" doc:"At most 1024 bytes, and no control characters."`
}

// NewPassword replaces an account's password.
type NewPassword struct {
	Password string `json:"password" min:"1" doc:"At most 1024 bytes, and no control characters."`
}

// NewToken asks for a token.
type NewToken struct {
	Name    string     `json:"name" pattern:"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$" doc:"What the token is called in lists and logs."`
	Scopes  []string   `json:"scopes" max:"100" doc:"What it is good for."`
	Hosts   []string   `json:"hosts,omitempty" max:"1000" doc:"The hosts that it is good for; absent: all."`
	Expires *time.Time `json:"expires,omitempty" doc:"When it ends; absent: never."`
}

// Token is a token as a listing shows it.
type Token struct {
	Name    string     `json:"name"`
	Scopes  []string   `json:"scopes"`
	Hosts   []string   `json:"hosts,omitempty"`
	Created time.Time  `json:"created"`
	Expires *time.Time `json:"expires,omitempty"`
	Used    *time.Time `json:"used,omitempty" doc:"The last use, give or take an hour; absent: never."`
	Expired bool       `json:"expired,omitempty"`
}

// IssuedToken is a new token with its secret, which is told this once.
type IssuedToken struct {
	Token

	Secret string `json:"token"`
}

// ScopeList are the scopes that tokens can have.
type ScopeList struct {
	Items []string `json:"items"`
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

// Error is what the server answered instead of doing what was asked.
type Error struct {
	Status int // HTTP status code
	Detail string
	Fields []api.FieldError // all that is wrong with the request
}

// Error returns the server's words.
func (e *Error) Error() string { return e.Detail }
