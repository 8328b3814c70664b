-- Groups of people who are each other's contacts. All revisions come from one
-- clock, so that they rise over all groups in the order of commits.
CREATE TABLE contact_group_clock (
	id       INTEGER NOT NULL PRIMARY KEY,
	revision INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

INSERT INTO contact_group_clock (id, revision) VALUES (1, 0);

-- number is the revision at which a group was made. A deleted one stays while it
-- connects people.
CREATE TABLE contact_groups (
	number   INTEGER NOT NULL PRIMARY KEY,
	id       TEXT NOT NULL,
	name     TEXT NOT NULL,
	contract TEXT NOT NULL,
	chats    TEXT NOT NULL, -- JSON array
	revision INTEGER NOT NULL,
	created  INTEGER NOT NULL,
	deleted  INTEGER NOT NULL
) STRICT;

CREATE UNIQUE INDEX contact_group_id ON contact_groups (id) WHERE NOT deleted;

-- One row per membership; joined and departed are revisions, 0 is "not yet".
CREATE TABLE contact_group_members (
	number   INTEGER NOT NULL REFERENCES contact_groups ON DELETE CASCADE,
	member   TEXT NOT NULL,
	entered  INTEGER NOT NULL,
	role     TEXT NOT NULL,
	joined   INTEGER NOT NULL,
	departed INTEGER NOT NULL,
	since    INTEGER NOT NULL,
	PRIMARY KEY (number, member, entered)
) STRICT, WITHOUT ROWID;

CREATE INDEX contact_group_member ON contact_group_members (member, number);

-- What is to be done after a change.
CREATE TABLE contact_group_tasks (
	revision INTEGER NOT NULL PRIMARY KEY,
	number   INTEGER NOT NULL,
	data     BLOB NOT NULL
) STRICT;
