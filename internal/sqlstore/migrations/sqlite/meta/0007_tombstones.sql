-- What is said of rooms that were destroyed, until a time in microseconds.
CREATE TABLE room_tombstones (
	service     TEXT NOT NULL,
	local       TEXT NOT NULL,
	reason      TEXT NOT NULL,
	alternative TEXT NOT NULL,
	until       INTEGER NOT NULL,
	PRIMARY KEY (service, local)
) STRICT, WITHOUT ROWID;
CREATE INDEX room_tombstones_until ON room_tombstones (until);
CREATE INDEX rooms_public ON rooms (service, local) WHERE public;
