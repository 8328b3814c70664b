-- The language of the subject, '' if nobody has said, and the same in others: a list
-- of {"Lang", "Text"}, '' for none.
ALTER TABLE rooms ADD COLUMN subject_lang TEXT NOT NULL DEFAULT '';
ALTER TABLE rooms ADD COLUMN subject_more TEXT NOT NULL DEFAULT '';
