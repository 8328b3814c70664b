-- What the limits of waiting messages are counted by, without reading them.
ALTER TABLE offline_messages ADD COLUMN size INTEGER NOT NULL DEFAULT 0;
UPDATE offline_messages SET size = length(stanza);
CREATE INDEX offline_quota ON offline_messages (recipient, sender, size);
