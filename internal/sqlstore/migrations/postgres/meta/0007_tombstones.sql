-- What is said of rooms that were destroyed, until a time in microseconds.
CREATE TABLE room_tombstones (
	service     TEXT COLLATE "C" NOT NULL,
	local       TEXT COLLATE "C" NOT NULL,
	reason      TEXT NOT NULL,
	alternative TEXT NOT NULL,
	until       BIGINT NOT NULL,
	PRIMARY KEY (service, local)
);
CREATE INDEX room_tombstones_until ON room_tombstones (until);
CREATE INDEX rooms_public ON rooms (service, local) WHERE public;
