-- Times are microseconds since 1970, UTC; 0 is "never". Addresses are text in
-- their prepared form; '' is "none".

CREATE TABLE secrets (
	name  TEXT NOT NULL PRIMARY KEY,
	value BLOB NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE accounts (
	domain  TEXT NOT NULL,
	local   TEXT NOT NULL,
	created INTEGER NOT NULL,
	PRIMARY KEY (domain, local)
) STRICT, WITHOUT ROWID;

CREATE TABLE account_keys (
	domain     TEXT NOT NULL,
	local      TEXT NOT NULL,
	hash       TEXT NOT NULL,
	salt       BLOB NOT NULL,
	iterations INTEGER NOT NULL,
	stored_key BLOB NOT NULL,
	server_key BLOB NOT NULL,
	PRIMARY KEY (domain, local, hash),
	FOREIGN KEY (domain, local) REFERENCES accounts ON DELETE CASCADE
) STRICT, WITHOUT ROWID;

-- A roster's version rises by one with each change. Changes after a version
-- below floor are no longer known.
CREATE TABLE rosters (
	owner   TEXT NOT NULL PRIMARY KEY,
	version INTEGER NOT NULL,
	floor   INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE roster_items (
	owner        TEXT NOT NULL REFERENCES rosters ON DELETE CASCADE,
	contact      TEXT NOT NULL,
	name         TEXT NOT NULL,
	groups       TEXT NOT NULL, -- JSON array
	subscription TEXT NOT NULL,
	pending_out  INTEGER NOT NULL,
	pending_in   INTEGER NOT NULL,
	approved     INTEGER NOT NULL,
	in_roster    INTEGER NOT NULL,
	request      BLOB,
	version      INTEGER NOT NULL,
	removed      INTEGER NOT NULL, -- a tombstone
	shown        INTEGER NOT NULL, -- has ever been part of the roster
	PRIMARY KEY (owner, contact)
) STRICT, WITHOUT ROWID;

CREATE INDEX roster_contact ON roster_items (contact);

-- AUTOINCREMENT: an id is never used again, so that "delete up to id" cannot
-- meet a message that came later.
CREATE TABLE offline_messages (
	id        INTEGER PRIMARY KEY AUTOINCREMENT,
	recipient TEXT NOT NULL,
	time      INTEGER NOT NULL,
	stanza    BLOB NOT NULL
) STRICT;

CREATE INDEX offline_recipient ON offline_messages (recipient, id);

CREATE TABLE rooms (
	id             INTEGER PRIMARY KEY,
	service        TEXT NOT NULL,
	local          TEXT NOT NULL,
	epoch          INTEGER NOT NULL,
	created        INTEGER NOT NULL,
	name           TEXT NOT NULL,
	public         INTEGER NOT NULL,
	settings       TEXT NOT NULL, -- JSON object of arrays
	subject        TEXT NOT NULL,
	subject_author TEXT NOT NULL,
	subject_time   INTEGER NOT NULL,
	subject_id     TEXT NOT NULL,
	UNIQUE (service, local)
) STRICT;

CREATE TABLE affiliations (
	room        INTEGER NOT NULL REFERENCES rooms ON DELETE CASCADE,
	jid         TEXT NOT NULL,
	affiliation TEXT NOT NULL,
	nick        TEXT NOT NULL,
	reason      TEXT NOT NULL,
	data        TEXT NOT NULL, -- JSON object of strings, '' for none
	PRIMARY KEY (room, jid)
) STRICT, WITHOUT ROWID;
