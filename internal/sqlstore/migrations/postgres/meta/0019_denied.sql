-- Who was banned from a destroyed room while it was hidden: bare addresses, one a
-- line.
ALTER TABLE room_tombstones ADD COLUMN denied TEXT NOT NULL DEFAULT '';
