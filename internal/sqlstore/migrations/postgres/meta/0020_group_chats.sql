-- Whose chat a room is. A room is its group's until it has been destroyed: its
-- address is nobody else's before that.
CREATE TABLE contact_group_chats (
	room     TEXT COLLATE "C" NOT NULL PRIMARY KEY,
	number   BIGINT NOT NULL,
	revision BIGINT NOT NULL -- at which it was opened
);

INSERT INTO contact_group_chats (room, number, revision)
SELECT c.value ->> 'JID', g.number, g.revision
FROM contact_groups g, jsonb_array_elements(CASE WHEN g.chats = 'null' THEN '[]' ELSE g.chats END::jsonb) c
WHERE NOT g.deleted
ORDER BY g.number
ON CONFLICT DO NOTHING;
