-- Groups of people who are each other's contacts. All revisions come from one
-- clock, so that they rise over all groups in the order of commits.
CREATE TABLE contact_group_clock (
	id       BIGINT NOT NULL PRIMARY KEY,
	revision BIGINT NOT NULL
);

INSERT INTO contact_group_clock (id, revision) VALUES (1, 0);

-- number is the revision at which a group was made. A deleted one stays while it
-- connects people.
CREATE TABLE contact_groups (
	number   BIGINT NOT NULL PRIMARY KEY,
	id       TEXT COLLATE "C" NOT NULL,
	name     TEXT NOT NULL,
	contract TEXT NOT NULL,
	chats    TEXT NOT NULL, -- JSON array
	revision BIGINT NOT NULL,
	created  BIGINT NOT NULL,
	deleted  BOOLEAN NOT NULL
);

CREATE UNIQUE INDEX contact_group_id ON contact_groups (id) WHERE NOT deleted;

-- One row per membership; joined and departed are revisions, 0 is "not yet".
CREATE TABLE contact_group_members (
	number   BIGINT NOT NULL REFERENCES contact_groups ON DELETE CASCADE,
	member   TEXT COLLATE "C" NOT NULL,
	entered  BIGINT NOT NULL,
	role     TEXT NOT NULL,
	joined   BIGINT NOT NULL,
	departed BIGINT NOT NULL,
	since    BIGINT NOT NULL,
	PRIMARY KEY (number, member, entered)
);

CREATE INDEX contact_group_member ON contact_group_members (member, number);

-- What is to be done after a change.
CREATE TABLE contact_group_tasks (
	revision BIGINT NOT NULL PRIMARY KEY,
	number   BIGINT NOT NULL,
	data     BYTEA NOT NULL
);
