-- Nicknames that are somebody's in all rooms of a service. Keys are what
-- nicknames are compared by.
CREATE TABLE reserved_nicks (
	owner    TEXT COLLATE "C" NOT NULL,
	service  TEXT COLLATE "C" NOT NULL,
	nick     TEXT NOT NULL,
	nick_key TEXT COLLATE "C" NOT NULL,
	PRIMARY KEY (owner, service),
	UNIQUE (service, nick_key)
);
