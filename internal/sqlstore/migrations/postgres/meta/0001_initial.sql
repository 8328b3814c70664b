-- Times are microseconds since 1970, UTC; 0 is "never". Addresses are text in
-- their prepared form, compared byte by byte; '' is "none".

CREATE TABLE secrets (
	name  TEXT COLLATE "C" PRIMARY KEY,
	value BYTEA NOT NULL
);

CREATE TABLE accounts (
	domain  TEXT COLLATE "C" NOT NULL,
	local   TEXT COLLATE "C" NOT NULL,
	created BIGINT NOT NULL,
	PRIMARY KEY (domain, local)
);

CREATE TABLE account_keys (
	domain     TEXT COLLATE "C" NOT NULL,
	local      TEXT COLLATE "C" NOT NULL,
	hash       TEXT COLLATE "C" NOT NULL,
	salt       BYTEA NOT NULL,
	iterations BIGINT NOT NULL,
	stored_key BYTEA NOT NULL,
	server_key BYTEA NOT NULL,
	PRIMARY KEY (domain, local, hash),
	FOREIGN KEY (domain, local) REFERENCES accounts ON DELETE CASCADE
);

-- A roster's version rises by one with each change. Changes after a version
-- below floor are no longer known.
CREATE TABLE rosters (
	owner   TEXT COLLATE "C" PRIMARY KEY,
	version BIGINT NOT NULL,
	floor   BIGINT NOT NULL
);

CREATE TABLE roster_items (
	owner        TEXT COLLATE "C" NOT NULL REFERENCES rosters ON DELETE CASCADE,
	contact      TEXT COLLATE "C" NOT NULL,
	name         TEXT NOT NULL,
	groups       TEXT NOT NULL, -- JSON array
	subscription TEXT NOT NULL,
	pending_out  BOOLEAN NOT NULL,
	pending_in   BOOLEAN NOT NULL,
	approved     BOOLEAN NOT NULL,
	in_roster    BOOLEAN NOT NULL,
	request      BYTEA,
	version      BIGINT NOT NULL,
	removed      BOOLEAN NOT NULL, -- a tombstone
	shown        BOOLEAN NOT NULL, -- has ever been part of the roster
	PRIMARY KEY (owner, contact)
);

CREATE INDEX roster_contact ON roster_items (contact);

CREATE TABLE offline_messages (
	id        BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	recipient TEXT COLLATE "C" NOT NULL,
	time      BIGINT NOT NULL,
	stanza    BYTEA NOT NULL
);

CREATE INDEX offline_recipient ON offline_messages (recipient, id);

CREATE TABLE rooms (
	id             BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	service        TEXT COLLATE "C" NOT NULL,
	local          TEXT COLLATE "C" NOT NULL,
	epoch          BIGINT NOT NULL,
	created        BIGINT NOT NULL,
	name           TEXT NOT NULL,
	public         BOOLEAN NOT NULL,
	settings       TEXT NOT NULL, -- JSON object of arrays
	subject        TEXT NOT NULL,
	subject_author TEXT NOT NULL,
	subject_time   BIGINT NOT NULL,
	subject_id     TEXT NOT NULL,
	UNIQUE (service, local)
);

CREATE TABLE affiliations (
	room        BIGINT NOT NULL REFERENCES rooms ON DELETE CASCADE,
	jid         TEXT COLLATE "C" NOT NULL,
	affiliation TEXT NOT NULL,
	nick        TEXT NOT NULL,
	reason      TEXT NOT NULL,
	data        TEXT NOT NULL, -- JSON object of strings, '' for none
	PRIMARY KEY (room, jid)
);
