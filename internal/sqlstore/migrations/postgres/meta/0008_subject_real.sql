-- Who has set the subject: the bare address, '' for the room or if nobody knows.
ALTER TABLE rooms ADD COLUMN subject_real TEXT NOT NULL DEFAULT '';
