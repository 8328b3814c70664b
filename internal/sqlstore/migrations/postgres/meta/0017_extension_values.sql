-- What extensions keep for themselves, besides what they keep of rooms.
CREATE TABLE extension_values (
	extension TEXT COLLATE "C" NOT NULL,
	key       TEXT COLLATE "C" NOT NULL,
	value     BYTEA NOT NULL,
	PRIMARY KEY (extension, key)
);
