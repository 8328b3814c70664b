-- Tokens that let programs administrate the server. Only hashes of what their
-- owners have are here. Scopes and hosts are words with spaces between.
CREATE TABLE tokens (
	id      TEXT NOT NULL PRIMARY KEY,
	name    TEXT NOT NULL UNIQUE,
	hash    BLOB NOT NULL,
	scopes  TEXT NOT NULL,
	hosts   TEXT NOT NULL,
	created INTEGER NOT NULL,
	expires INTEGER NOT NULL,
	used    INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
