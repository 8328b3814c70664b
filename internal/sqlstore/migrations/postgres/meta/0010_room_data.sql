-- What features keep of a room that is too large for its settings.
CREATE TABLE room_data (
	room BIGINT NOT NULL REFERENCES rooms ON DELETE CASCADE,
	key  TEXT COLLATE "C" NOT NULL,
	data BYTEA NOT NULL,
	PRIMARY KEY (room, key)
);
