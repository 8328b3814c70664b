-- Whose chat a room is. A room is its group's until it has been destroyed: its
-- address is nobody else's before that.
CREATE TABLE contact_group_chats (
	room     TEXT NOT NULL PRIMARY KEY,
	number   INTEGER NOT NULL,
	revision INTEGER NOT NULL -- at which it was opened
) STRICT, WITHOUT ROWID;

INSERT OR IGNORE INTO contact_group_chats (room, number, revision)
SELECT json_extract(c.value, '$.JID'), g.number, g.revision
FROM contact_groups g, json_each(g.chats) c
WHERE NOT g.deleted AND c.type = 'object'
ORDER BY g.number;
