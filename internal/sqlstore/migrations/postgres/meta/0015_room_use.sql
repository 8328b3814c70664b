-- When a room was last used, to the hour. Of rooms from before nothing is known:
-- they count as used now, so that none is taken for abandoned too early.
ALTER TABLE rooms ADD COLUMN used BIGINT NOT NULL DEFAULT 0;
UPDATE rooms SET used = (extract(epoch FROM now()) * 1000000)::bigint;
CREATE INDEX rooms_used ON rooms (service, used);
CREATE INDEX affiliations_of ON affiliations (jid);
