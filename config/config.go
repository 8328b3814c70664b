package config

import "time"

// Config is a whole configuration. Each field says its name in the file, what
// it means, and what it accepts if that is a choice; reload marks what takes
// effect on SIGHUP.
type Config struct {
	General General              `toml:"general" doc:"The server as a whole."`
	Storage Storage              `toml:"storage" doc:"Where accounts, contacts, rooms and messages are kept."`
	Listen  Listen               `toml:"listen" doc:"Where connections are accepted. Each listener is a table in double brackets."`
	Auth    Auth                 `toml:"auth" doc:"How people log in."`
	ACL     map[string][]Pattern `toml:"acl" reload:"yes" example:"[acl]|admin = [{user = 'alice', server = 'example.org'}]|local = [{}]" doc:"Classes of addresses for the rules in access. A class is everybody whom one of its entries describes; all is built in."`
	Access  map[string][]Clause  `toml:"access" reload:"yes" example:"[access]|c2s = [{acl = 'blocked', value = 'deny'}, {acl = 'all', value = 'allow'}]" doc:"Rules that other settings name. Built in are all, which allows everybody, and none, which allows nobody."`
	Shaper  map[string]Shaper    `toml:"shaper" reload:"yes" example:"[shaper.normal]|max_rate = 50000" doc:"Limits of pace that other settings name. What comes faster is read later; nothing is lost."`

	OutgoingPools OutgoingPools `toml:"outgoing_pools" doc:"Services of others that this server asks."`

	Instrumentation   Instrumentation   `toml:"instrumentation" doc:"Metrics. They are at /metrics of [[listen.http]]."`
	InternalDatabases InternalDatabases `toml:"internal_databases" doc:"Accepted for files from MongooseIM; there is nothing to choose."`

	Modules Modules `toml:"modules" doc:"A module runs when its table is there."`

	HostConfig []HostConfig `toml:"host_config" example:"[[host_config]]|host = 'example.net'|[host_config.access]|muc_create = [{acl = 'all', value = 'deny'}]|[host_config.modules.mod_muc]|host = 'rooms.@HOST@'" doc:"What is different for one of general.hosts. Its modules.mod_muc has all keys of [modules.mod_muc] and is there instead of that."`

	name       string // of the file, for problems that are found later
	src        *source
	extensions map[string]*node
	ownTables  []HostTable
	unused     Problems
	dubious    Problems
}

// Instrumentation is [instrumentation].
type Instrumentation struct {
	ProbeInterval Positive `toml:"probe_interval" doc:"Seconds between two counts of what is counted from time to time: mod_muc_rooms_online and mod_muc_rooms_hibernated."`
	Prometheus    Ignored  `toml:"prometheus" doc:"Accepted for files from MongooseIM; metrics are always there for Prometheus."`
	Exometer      Ignored  `toml:"exometer" doc:"Accepted for files from MongooseIM; metrics are there for Prometheus alone."`
	Log           Ignored  `toml:"log" doc:"Accepted for files from MongooseIM; general.loglevel says what is logged."`
}

// InternalDatabases is [internal_databases].
type InternalDatabases struct {
	Mnesia Ignored `toml:"mnesia" doc:"What is stored is in storage."`
	CETS   Ignored `toml:"cets" doc:"What is not stored is in memory, without a database."`
}

// General is [general].
type General struct {
	Hosts               []string `toml:"hosts" doc:"Domains served: what stands behind the @ in addresses. At least one."`
	DataDir             string   `toml:"data_dir" doc:"Directory for databases, generated certificates and the socket for administration. Made if it is missing; kept from other users. Relative paths, here and elsewhere in this file, are relative to the directory of this file."`
	RegistrationTimeout Limit    `toml:"registration_timeout" reload:"yes" doc:"Seconds between two accounts that modules.mod_register makes for the same address (IPv6: network of 64 bits)."`
	LimitLoopback       bool     `toml:"limit_loopback" doc:"Limits per address, such as of failed logins and of new accounts, apply to loopback, too: where a proxy on this machine hides who connects."`
	LogLevel            string   `toml:"loglevel" choice:"trace,debug,info,warning,error" reload:"yes" doc:"The least level that is logged. trace has all XML of clients, without the texts in it."`
}

// Storage is [storage].
type Storage struct {
	Driver     string `toml:"driver" choice:"sqlite,postgres" doc:"SQLite keeps files in data_dir and needs nothing else."`
	URL        Secret `toml:"url" doc:"Connection string of PostgreSQL, like postgres://user:password@host/database. Not for SQLite."`
	Durability string `toml:"durability" choice:"full,process" doc:"What an acknowledged write survives: full is a power cut, process only a crash of the server (faster)."`
}

// Listen is [[listen.…]].
type Listen struct {
	C2S       []C2S       `toml:"c2s" doc:"XMPP clients."`
	Component []Component `toml:"component" doc:"External components (XEP-0114), such as gateways. Each has a domain of its own."`
	HTTP      []HTTP      `toml:"http" doc:"HTTP: /metrics for Prometheus, /healthz, and the API for administration below /api/v1."`
}

// C2S is [[listen.c2s]].
type C2S struct {
	Port          Port   `toml:"port" doc:"5222 is usual, 5223 for TLS from the first byte."`
	IPAddress     string `toml:"ip_address" doc:"Address to listen at; 0.0.0.0 or :: is everywhere."`
	TLS           TLS    `toml:"tls" doc:"Encryption."`
	MaxStanzaSize Size   `toml:"max_stanza_size" doc:"The largest stanza accepted from somebody who is logged in."`
	Access        string `toml:"access" reload:"yes" doc:"Rule that says who may log in. A change ends the sessions of those who may not any more."`
	Shaper        string `toml:"shaper" reload:"yes" doc:"Shaper of each connection, or rule that says which one; none is no limit."`
}

// Component is [[listen.component]].
type Component struct {
	Port              Port     `toml:"port" doc:"8888 is usual in MongooseIM, 5347 elsewhere."`
	IPAddress         string   `toml:"ip_address" doc:"Address to listen at."`
	Password          Secret   `toml:"password" doc:"The secret that components of this listener show that they know. Required; openssl rand -hex 24 makes a good one."`
	Domains           []string `toml:"domains" doc:"Domains that components may have, like irc.example.org. Without it: any below one of general.hosts that no service of the server has."`
	TLS               TLS      `toml:"tls" doc:"Encryption: mode is tls or none."`
	AllowWithoutTLS   bool     `toml:"allow_without_tls" doc:"Accept components from other machines without encryption. For a network that nobody else is on."`
	MaxStanzaSize     Size     `toml:"max_stanza_size" doc:"The largest stanza accepted."`
	ConflictBehaviour string   `toml:"conflict_behaviour" choice:"disconnect,kick_old" doc:"What happens if a component connects whose domain has one: the new one is refused, or the old one has to go."`
	HiddenComponents  bool     `toml:"hidden_components" doc:"Components are not among the services that clients are shown."`
	Access            string   `toml:"access" reload:"yes" doc:"Rule that says who may send stanzas to components."`
}

// TLS is a listener's tls table.
type TLS struct {
	Mode     string `toml:"mode" choice:"tls,starttls,starttls_required,none" doc:"tls from the first byte; starttls offered, or required; none."`
	CertFile string `toml:"certfile" reload:"yes" doc:"PEM file with the certificate and its chain. @HOST@ in the path stands for each of general.hosts, so that each has a certificate of its own. Without the key a self-signed one is made, which only loopback addresses may use."`
	KeyFile  string `toml:"keyfile" reload:"yes" doc:"PEM file with the private key; @HOST@ as in certfile."`
}

// HTTP is [[listen.http]].
type HTTP struct {
	Port          Port   `toml:"port" doc:"5280 is usual."`
	IPAddress     string `toml:"ip_address" doc:"Address to listen at."`
	TLS           TLS    `toml:"tls" doc:"Encryption: mode is tls or none."`
	API           bool   `toml:"api" doc:"Serve the API for administration here. It asks for a token of muster token add."`
	APIRate       Limit  `toml:"api_rate" doc:"Requests to the API that one token may make per second on average, and twice as many at once."`
	APIWithoutTLS bool   `toml:"api_without_tls" doc:"Let the API answer requests that come over a network without encryption, tokens readable on their way. For a proxy that encrypts, on a network that nobody else is on."`
}

// Auth is [auth].
type Auth struct {
	SASLMechanisms       []string `toml:"sasl_mechanisms" doc:"Mechanisms offered: SCRAM-SHA-256, SCRAM-SHA-1, each also with -PLUS, and PLAIN; or in MongooseIM's spelling, like scram_sha256_plus."`
	AllowPlainWithoutTLS bool     `toml:"allow_plain_without_tls" doc:"Offer PLAIN on connections without TLS. For tests on loopback."`
}

// Modules is [modules.…].
type Modules struct {
	MUC      *MUC      `toml:"mod_muc" doc:"Chat rooms (XEP-0045)."`
	MUCLog   *MUCLog   `toml:"mod_muc_log" doc:"Logs of rooms in files, for those rooms where logging is switched on."`
	MAM      *MAM      `toml:"mod_mam" doc:"Archives that clients can read (XEP-0313). It runs without the table, too."`
	Register *Register `toml:"mod_register" doc:"Accounts that people make, change and remove with their clients (XEP-0077). Turning it on or off takes a restart; access = \"none\" does not."`
	Invites  *Invites  `toml:"mod_invites" doc:"Invitations with which people make accounts, also where registration is closed (XEP-0401, XEP-0445). Turning them on or off takes a restart."`
	Disco    *Disco    `toml:"mod_disco" doc:"What the server says of itself."`

	Groups         *Groups         `toml:"mod_groups" doc:"Groups of people who are each other's contacts, from a text file. Turning them on or off takes a restart."`
	GroupsInternal *GroupsInternal `toml:"mod_groups_internal" doc:"Groups of people who are each other's contacts, managed with muster group, over HTTP or with a client while the server runs. Turning them on or off takes a restart."`

	StreamManagement *StreamManagement `toml:"mod_stream_management" doc:"Acknowledgements, and sessions that outlive their connection (XEP-0198). It runs without the table, too."`
	Ping             *Ping             `toml:"mod_ping" doc:"Signs of life that silent clients are asked for (XEP-0199). It runs without the table, too."`
}

// StreamManagement is [modules.mod_stream_management].
type StreamManagement struct {
	BufferMax     Positive `toml:"buffer_max" doc:"Stanzas that a client need not have acknowledged; with more its session ends, and they go another way."`
	ResumeTimeout Count    `toml:"resume_timeout" doc:"Seconds for which a session without a connection waits to be resumed; 0 is not at all."`
}

func (m *StreamManagement) defaults() {
	*m = StreamManagement{BufferMax: 10_000, ResumeTimeout: 600}
}

// Ping is [modules.mod_ping].
type Ping struct {
	SendPings      bool     `toml:"send_pings" doc:"Ask clients that have been silent for a sign of life, and disconnect those that give none."`
	PingInterval   Positive `toml:"ping_interval" doc:"Seconds of silence before that."`
	PingReqTimeout Positive `toml:"ping_req_timeout" doc:"Seconds for the answer, and for the acknowledgement of what a client was sent."`
}

func (p *Ping) defaults() { *p = Ping{SendPings: true, PingInterval: 300, PingReqTimeout: 90} }

// Disco is [modules.mod_disco].
type Disco struct {
	ServerInfo []ServerInfo `toml:"server_info" doc:"Contact addresses of the server (XEP-0157)."`
}

// ServerInfo is one kind of contact address.
type ServerInfo struct {
	Name string   `toml:"name" doc:"Kind, like abuse-addresses or admin-addresses."`
	URLs []string `toml:"urls" doc:"Addresses, like mailto:abuse@example.org."`
}

// MUC is [modules.mod_muc]. Names, units and built-in defaults are those of
// MongooseIM.
type MUC struct {
	Host                   string      `toml:"host" doc:"Domain of the rooms. @HOST@ at its end, behind a dot, stands for each of general.hosts."`
	Backend                string      `toml:"backend" choice:"rdbms,mnesia" doc:"Accepted for files from MongooseIM; rooms are kept in storage."`
	OnlineBackend          string      `toml:"online_backend" choice:"mnesia,cets" doc:"Accepted for files from MongooseIM; there is nothing to choose."`
	Access                 string      `toml:"access" reload:"yes" doc:"Rule that says who may use the rooms at all."`
	AccessCreate           string      `toml:"access_create" reload:"yes" doc:"Rule that says who may create rooms."`
	AccessAdmin            string      `toml:"access_admin" reload:"yes" doc:"Rule that says who administers the service: they own every room, and need neither a seat nor a password."`
	AccessPersistent       string      `toml:"access_persistent" reload:"yes" doc:"Rule that says who may make rooms persistent, or temporary."`
	AccessPassword         string      `toml:"access_password" reload:"yes" doc:"Rule that says which owners may switch whether their room needs a password. With \"none\" rooms are as default_room.password_protected has made them, and only administration changes it: so nobody gets around http_auth_pool."`
	RoomShaper             string      `toml:"room_shaper" reload:"yes" doc:"Shaper of what is said in a room, all in all. What is too fast waits its turn."`
	UserMessageShaper      string      `toml:"user_message_shaper" reload:"yes" doc:"Shaper of the messages of each session in a room. What is too fast waits, and further messages are refused meanwhile."`
	UserPresenceShaper     string      `toml:"user_presence_shaper" reload:"yes" doc:"Shaper of the presence of each session in a room. What is too fast waits, and newer presence takes its place."`
	MinMessageInterval     Seconds     `toml:"min_message_interval" reload:"yes" doc:"Seconds between two messages of a session in a room. One that comes earlier waits, and further ones are refused meanwhile."`
	MinPresenceInterval    Seconds     `toml:"min_presence_interval" reload:"yes" doc:"Seconds between two presences of a session in a room. One that comes earlier waits, and newer presence takes its place; leaving never waits."`
	LoadPermanentRooms     bool        `toml:"load_permanent_rooms_at_startup" doc:"Load all stored rooms when the server starts, in the background and 1,000 a second, and keep them in memory where hibernated_room_timeout does not end that. Otherwise they load when somebody needs them, which nobody notices."`
	HibernateTimeout       Timeout     `toml:"hibernate_timeout" doc:"How long nothing happens in a room until it hibernates: it gives back the memory that it does not need until something happens; occupants notice nothing. Where the two settings below are not set, a persistent room in which nobody is leaves memory after 90 seconds of that, which nobody notices either."`
	HibernatedCheck        Timeout     `toml:"hibernated_room_check_interval" doc:"How often rooms are looked for that have hibernated for hibernated_room_timeout. Not 0."`
	HibernatedTimeout      Timeout     `toml:"hibernated_room_timeout" doc:"How long a room hibernates until the next such check stops it, if it is persistent and nobody is in it but perhaps its owner, who is told so (status 332) and leaves the room with that. The next stanza brings it back. Nothing is stopped unless this and the interval are set."`
	HistorySize            Count       `toml:"history_size" doc:"Messages that somebody who enters gets to see at most."`
	MaxUsers               Positive    `toml:"max_users" doc:"Most sessions in a room; rooms may ask for less."`
	MaxUsersAdminThreshold Positive    `toml:"max_users_admin_threshold" doc:"Sessions beyond the limit for a room's owners and admins."`
	MaxUserConferences     Count       `toml:"max_user_conferences" doc:"Most rooms that somebody may be in at once; 0 is none at all."`
	MaxRoomID              Bound       `toml:"max_room_id" doc:"Most bytes of a new room's local part."`
	MaxRoomName            Bound       `toml:"max_room_name" doc:"Most bytes of a room's name."`
	MaxRoomDesc            Bound       `toml:"max_room_desc" doc:"Most bytes of a room's description."`
	TellAbsent             bool        `toml:"tell_absent" doc:"People who are not inside are told when they become members, admins or owners of a room, or lose that; who becomes a member of a room for members only is invited."`
	OccupantIDs            bool        `toml:"occupant_ids" doc:"Occupants have ids that stay when they change their nickname or come back (XEP-0421)."`
	Hats                   bool        `toml:"hats" doc:"Owners may give people hats, such as a title (XEP-0317), unless the room's enable_hats is off."`
	Retraction             bool        `toml:"retraction" doc:"People may take back what they have said (XEP-0424), unless the room's allow_retraction is off."`
	Moderation             bool        `toml:"moderation" doc:"Moderators may take back what others have said (XEP-0425)."`
	Avatars                bool        `toml:"avatars" doc:"Owners may give the room a picture (XEP-0486)."`
	HTTPAuthPool           string      `toml:"http_auth_pool" doc:"Pool of outgoing_pools.http whose service decides on the passwords of rooms that need one; none: the rooms do, by the password that their owners set."`
	HTTPAuthMethod         string      `toml:"http_auth_method" choice:"get,post" doc:"How it is asked: with the password in the address, as MongooseIM does, where it ends up in logs of the service, or with a form."`
	DefaultRoom            DefaultRoom `toml:"default_room" doc:"Settings of new rooms; rooms that exist keep theirs."`
}

// DefaultRoom is [modules.mod_muc.default_room].
type DefaultRoom struct {
	Title                  string        `toml:"title" doc:"Name."`
	Description            string        `toml:"description" doc:"Description."`
	AllowChangeSubj        bool          `toml:"allow_change_subj" doc:"Participants may change the subject, not only moderators."`
	AllowPrivateMessages   bool          `toml:"allow_private_messages" doc:"Occupants may write to each other privately."`
	AllowQueryUsers        bool          `toml:"allow_query_users" doc:"Occupants may send requests to each other's clients."`
	AllowUserInvites       bool          `toml:"allow_user_invites" doc:"Everybody who may speak may invite others through the room, in a members-only room every member; moderators always may."`
	PublicList             bool          `toml:"public_list" doc:"Everybody may see who is in a public room."`
	AllowVisitorStatus     bool          `toml:"allow_visitor_status" doc:"Visitors may show a status text."`
	AllowVisitorNickchange bool          `toml:"allow_visitor_nickchange" doc:"Visitors may change their nickname."`
	Public                 bool          `toml:"public" doc:"The room is listed."`
	Persistent             bool          `toml:"persistent" doc:"The room stays when everybody has left, and its messages are kept."`
	Moderated              bool          `toml:"moderated" doc:"Visitors may not speak."`
	MembersByDefault       bool          `toml:"members_by_default" doc:"People without affiliation enter as participants, not as visitors."`
	MembersOnly            bool          `toml:"members_only" doc:"Only members may enter."`
	AllowMultipleSessions  bool          `toml:"allow_multiple_sessions" doc:"One person may enter under one nickname with several clients, as everybody does who has a phone and a computer."`
	PasswordProtected      bool          `toml:"password_protected" doc:"A password is needed to enter."`
	Password               Secret        `toml:"password" doc:"The password."`
	Anonymous              bool          `toml:"anonymous" doc:"Only moderators see real addresses."`
	MaxUsers               Positive      `toml:"max_users" doc:"Most sessions, up to max_users of the service."`
	MayGetMemberList       []string      `toml:"maygetmemberlist" choice:"moderator,participant,visitor,member,admin,owner" doc:"Roles and affiliations that may read the room's lists besides owners and admins: of owners, admins, members and banned people, and of roles. Who is outside and could come in counts as a visitor. In rooms with anonymous = true these lists have the addresses of those with an affiliation, not of others."`
	PresenceBroadcast      []string      `toml:"presence_broadcast" choice:"moderator,participant,visitor" doc:"Roles whose presence the others are told of."`
	PresenceLimit          Count         `toml:"presence_limit" doc:"Occupants above which visitors are shown to moderators alone; 0: however many."`
	Logging                bool          `toml:"logging" doc:"What happens is logged in files; needs mod_muc_log. Also for rooms that are older than that."`
	Affiliations           []Affiliation `toml:"affiliations" doc:"Affiliations that every new room starts with, besides its owner."`
	Subject                string        `toml:"subject" doc:"Subject line."`
	SubjectAuthor          string        `toml:"subject_author" doc:"Nickname that the subject line is from."`
}

// Affiliation is one entry of default_room.affiliations.
type Affiliation struct {
	User        string `toml:"user" doc:"Local part of the address."`
	Server      string `toml:"server" doc:"Domain of the address."`
	Resource    string `toml:"resource" doc:"Accepted for files from MongooseIM; affiliations are of people, whatever client they use (XEP-0045 §5.2)."`
	Affiliation string `toml:"affiliation" choice:"owner,admin,member,outcast" doc:"The affiliation."`
}

// Default returns the built-in defaults: what a file means that says nothing.
// No module runs.
func Default() *Config {
	return &Config{
		General: General{DataDir: "muster-data", LogLevel: "info", RegistrationTimeout: 600},
		Storage: Storage{Driver: "sqlite", Durability: "full"},

		Instrumentation: Instrumentation{ProbeInterval: 15},
		Auth:            Auth{SASLMechanisms: []string{"SCRAM-SHA-256-PLUS", "SCRAM-SHA-256", "SCRAM-SHA-1-PLUS", "SCRAM-SHA-1", "PLAIN"}},
	}
}

// The defaults of tables that are there once or many times.
func (c *C2S) defaults() {
	*c = C2S{Port: 5222, IPAddress: "127.0.0.1", TLS: TLS{Mode: "starttls"}, MaxStanzaSize: 256 << 10, Access: "all", Shaper: "none"}
}

func (c *Component) defaults() {
	*c = Component{Port: 8888, IPAddress: "127.0.0.1", TLS: TLS{Mode: "none"}, MaxStanzaSize: 256 << 10, ConflictBehaviour: "disconnect", Access: "all"}
}

func (h *HTTP) defaults() {
	*h = HTTP{Port: 5280, IPAddress: "127.0.0.1", TLS: TLS{Mode: "none"}, API: true, APIRate: 50}
}

func (m *MUC) defaults() {
	*m = MUC{
		Host: "conference.@HOST@", Backend: "rdbms", OnlineBackend: "mnesia", HistorySize: 20,
		Access: "all", AccessCreate: "all", AccessAdmin: "none", AccessPersistent: "all", AccessPassword: "all",
		RoomShaper: "none", UserMessageShaper: "none", UserPresenceShaper: "none",
		MaxUsers: 200, MaxUsersAdminThreshold: 5, MaxUserConferences: 10,
		HibernateTimeout: Timeout(90 * time.Second), HibernatedCheck: Never, HibernatedTimeout: Never,
		MaxRoomID: Unbounded, MaxRoomName: Unbounded, MaxRoomDesc: Unbounded, TellAbsent: true,
		OccupantIDs: true, Hats: true, Retraction: true, Moderation: true, Avatars: true,
		HTTPAuthPool: NoPool, HTTPAuthMethod: "get",
		DefaultRoom: DefaultRoom{
			AllowChangeSubj: true, AllowPrivateMessages: true, AllowQueryUsers: true, PublicList: true, AllowVisitorStatus: true, AllowVisitorNickchange: true,
			PresenceBroadcast: []string{"moderator", "participant", "visitor"}, PresenceLimit: 1000,
			Public: true, Moderated: true, MembersByDefault: true, Anonymous: true, MaxUsers: 200,
		},
	}
}

func (a *Affiliation) defaults() { *a = Affiliation{} }

// defaulter is a table with defaults of its own.
type defaulter interface{ defaults() }

// Modern returns what `muster init` writes for a host, and what a server
// without a file uses: the built-in defaults with rooms as people expect them
// today.
func Modern(host string) *Config {
	c := Default()
	c.General.Hosts = []string{host}
	var starttls, direct C2S
	starttls.defaults()
	starttls.TLS.Mode = "starttls_required"
	direct.defaults()
	direct.Port, direct.TLS.Mode = 5223, "tls"
	c.Listen.C2S = []C2S{starttls, direct}
	var http HTTP
	http.defaults()
	c.Listen.HTTP = []HTTP{http}
	c.Modules.GroupsInternal = new(GroupsInternal)
	c.Modules.GroupsInternal.defaults()
	c.Modules.GroupsInternal.GroupsMUCHost = "groups." + host
	c.Modules.Invites = new(Invites)
	c.Modules.Invites.defaults()
	c.Modules.MUC = modernRooms()
	return c
}

// Development returns the settings of a server that is started without a file:
// localhost on loopback addresses.
func Development() *Config {
	c := Modern("localhost")
	c.name = "development settings"
	return c
}
