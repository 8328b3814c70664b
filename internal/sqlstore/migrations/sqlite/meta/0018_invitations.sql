-- Invitations to make accounts, or to become somebody's contact. Only hashes of
-- their tokens are here. uses is what is left of them, -1 is without limit.
CREATE TABLE invitations (
	id        TEXT NOT NULL PRIMARY KEY,
	hash      BLOB NOT NULL,
	domain    TEXT NOT NULL,
	local     TEXT NOT NULL, -- the only name that can be registered; '' any
	inviter   TEXT NOT NULL, -- becomes a contact; '' nobody
	account   INTEGER NOT NULL, -- accounts can be made
	contact   INTEGER NOT NULL, -- those who have one may use it, too
	groups    TEXT NOT NULL, -- JSON array
	note      TEXT NOT NULL,
	creator   TEXT NOT NULL,
	uses      INTEGER NOT NULL,
	used      INTEGER NOT NULL,
	created   INTEGER NOT NULL,
	expires   INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX invitation_name ON invitations (domain, local);
CREATE INDEX invitation_creator ON invitations (creator);

-- What is to be done for those who have used one.
CREATE TABLE arrivals (
	invitation TEXT NOT NULL,
	account    TEXT NOT NULL,
	inviter    TEXT NOT NULL,
	groups     TEXT NOT NULL, -- JSON array
	PRIMARY KEY (account, invitation)
) STRICT, WITHOUT ROWID;
