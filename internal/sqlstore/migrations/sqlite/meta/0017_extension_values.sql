-- What extensions keep for themselves, besides what they keep of rooms.
CREATE TABLE extension_values (
	extension TEXT NOT NULL,
	key       TEXT NOT NULL,
	value     BLOB NOT NULL,
	PRIMARY KEY (extension, key)
) STRICT, WITHOUT ROWID;
