-- Tokens that let programs administrate the server. Only hashes of what their
-- owners have are here. Scopes and hosts are words with spaces between.
CREATE TABLE tokens (
	id      TEXT COLLATE "C" NOT NULL PRIMARY KEY,
	name    TEXT COLLATE "C" NOT NULL UNIQUE,
	hash    BYTEA NOT NULL,
	scopes  TEXT NOT NULL,
	hosts   TEXT NOT NULL,
	created BIGINT NOT NULL,
	expires BIGINT NOT NULL,
	used    BIGINT NOT NULL
);
