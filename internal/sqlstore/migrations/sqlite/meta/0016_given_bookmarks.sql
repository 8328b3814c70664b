-- Whom a group has told of a chat, and under which name it is in his bookmarks:
-- what he has removed does not come back.
CREATE TABLE given_bookmarks (
	room  TEXT NOT NULL,
	owner TEXT NOT NULL,
	name  TEXT NOT NULL,
	PRIMARY KEY (room, owner)
) STRICT, WITHOUT ROWID;

CREATE INDEX given_bookmarks_owner ON given_bookmarks (owner);
