CREATE INDEX affiliations_reserved ON affiliations (jid) WHERE nick <> '';
