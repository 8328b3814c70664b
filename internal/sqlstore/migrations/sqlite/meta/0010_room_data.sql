-- What features keep of a room that is too large for its settings.
CREATE TABLE room_data (
	room INTEGER NOT NULL REFERENCES rooms ON DELETE CASCADE,
	key  TEXT NOT NULL,
	data BLOB NOT NULL,
	PRIMARY KEY (room, key)
) STRICT;
