-- The client that a message came from: real_jid is its bare address.
ALTER TABLE archive ADD COLUMN resource TEXT COLLATE "C" NOT NULL DEFAULT '';

-- How long and how many messages a room keeps, where it says so itself: NULL is
-- what its service says, 0 without end.
ALTER TABLE archive_rooms ADD COLUMN max_age BIGINT; -- microseconds

ALTER TABLE archive_rooms ADD COLUMN max_rows BIGINT;
