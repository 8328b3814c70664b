-- The client that a message came from: real_jid is its bare address.
ALTER TABLE archive ADD COLUMN resource TEXT NOT NULL DEFAULT '';
