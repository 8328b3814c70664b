-- A room's name is given to another id when its archive is deleted, so that
-- deleting is one small write; rows of ids in archive_dropped are removed
-- later, in small steps.
CREATE TABLE archive_rooms (
	id   BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	room TEXT COLLATE "C" NOT NULL UNIQUE
);

CREATE TABLE archive_dropped (
	id BIGINT PRIMARY KEY
);

CREATE TABLE archive (
	room     BIGINT NOT NULL,           -- archive_rooms.id
	id       TEXT COLLATE "C" NOT NULL, -- the stanza id; ids of a room rise in byte order
	time     BIGINT NOT NULL,
	nick     TEXT COLLATE "C" NOT NULL, -- '' for the room itself
	real_jid TEXT COLLATE "C" NOT NULL,
	subject  BOOLEAN NOT NULL,
	stanza   BYTEA NOT NULL,
	PRIMARY KEY (room, id)
);

CREATE INDEX archive_subjects ON archive (room, id) WHERE subject;
