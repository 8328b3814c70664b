-- What people make of contacts that groups bring: the revision before which such
-- reasons are not shown, and the keys of groups whose label is taken off (JSON
-- array).
ALTER TABLE roster_items ADD COLUMN hidden BIGINT NOT NULL DEFAULT 0;
ALTER TABLE roster_items ADD COLUMN left_out TEXT NOT NULL DEFAULT 'null';
