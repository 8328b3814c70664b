-- A room's name is given to another id when its archive is deleted, so that
-- deleting is one small write; rows of ids in archive_dropped are removed
-- later, in small steps. AUTOINCREMENT: an id is never used again.
CREATE TABLE archive_rooms (
	id   INTEGER PRIMARY KEY AUTOINCREMENT,
	room TEXT NOT NULL UNIQUE
) STRICT;

CREATE TABLE archive_dropped (
	id INTEGER PRIMARY KEY
) STRICT;

-- An ordinary table: messages of all rooms are appended to the same pages,
-- which is cheaper than WITHOUT ROWID as soon as many rooms speak at once.
CREATE TABLE archive (
	room     INTEGER NOT NULL, -- archive_rooms.id
	id       TEXT NOT NULL,    -- the stanza id; ids of a room rise in byte order
	time     INTEGER NOT NULL,
	nick     TEXT NOT NULL,    -- '' for the room itself
	real_jid TEXT NOT NULL,
	subject  INTEGER NOT NULL,
	stanza   BLOB NOT NULL
) STRICT;

CREATE UNIQUE INDEX archive_ids ON archive (room, id);

CREATE INDEX archive_subjects ON archive (room, id) WHERE subject;
