-- The revision before which times that two people were in groups together do not
-- count any more once they are over. It is the same in the rosters of both. Whoever
-- has removed such a contact has ended what is over.
ALTER TABLE roster_items ADD COLUMN ended BIGINT NOT NULL DEFAULT 0;
UPDATE roster_items SET ended = hidden WHERE hidden > 1;
INSERT INTO rosters (owner, version, floor)
	SELECT DISTINCT contact, 0, 0 FROM roster_items WHERE hidden > 1
	ON CONFLICT DO NOTHING;
INSERT INTO roster_items (owner, contact, name, groups, subscription, pending_out, pending_in, approved, in_roster,
		version, removed, shown, ended)
	SELECT contact, owner, '', 'null', 'none', FALSE, FALSE, FALSE, FALSE, 0, FALSE, FALSE, hidden FROM roster_items WHERE hidden > 1
	ON CONFLICT (owner, contact) DO UPDATE SET removed = FALSE,
		ended = CASE WHEN roster_items.ended > excluded.ended THEN roster_items.ended ELSE excluded.ended END;
UPDATE roster_items SET ended = (SELECT o.ended FROM roster_items o WHERE o.owner = roster_items.contact AND o.contact = roster_items.owner)
	WHERE hidden > 1;
