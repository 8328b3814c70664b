-- Nicknames that are somebody's in all rooms of a service. Keys are what
-- nicknames are compared by.
CREATE TABLE reserved_nicks (
	owner    TEXT NOT NULL,
	service  TEXT NOT NULL,
	nick     TEXT NOT NULL,
	nick_key TEXT NOT NULL,
	PRIMARY KEY (owner, service),
	UNIQUE (service, nick_key)
) STRICT, WITHOUT ROWID;
