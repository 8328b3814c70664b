-- Invitations to make accounts, or to become somebody's contact. Only hashes of
-- their tokens are here. uses is what is left of them, -1 is without limit.
CREATE TABLE invitations (
	id        TEXT COLLATE "C" NOT NULL PRIMARY KEY,
	hash      BYTEA NOT NULL,
	domain    TEXT COLLATE "C" NOT NULL,
	local     TEXT COLLATE "C" NOT NULL, -- the only name that can be registered; '' any
	inviter   TEXT COLLATE "C" NOT NULL, -- becomes a contact; '' nobody
	account   BOOLEAN NOT NULL, -- accounts can be made
	contact   BOOLEAN NOT NULL, -- those who have one may use it, too
	groups    TEXT NOT NULL, -- JSON array
	note      TEXT NOT NULL,
	creator   TEXT COLLATE "C" NOT NULL,
	uses      BIGINT NOT NULL,
	used      BIGINT NOT NULL,
	created   BIGINT NOT NULL,
	expires   BIGINT NOT NULL
);

CREATE INDEX invitation_name ON invitations (domain, local);
CREATE INDEX invitation_creator ON invitations (creator);

-- What is to be done for those who have used one.
CREATE TABLE arrivals (
	invitation TEXT COLLATE "C" NOT NULL,
	account    TEXT COLLATE "C" NOT NULL,
	inviter    TEXT COLLATE "C" NOT NULL,
	groups     TEXT NOT NULL, -- JSON array
	PRIMARY KEY (account, invitation)
);
