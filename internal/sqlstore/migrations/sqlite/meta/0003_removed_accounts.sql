-- Accounts that are gone and of which something may be left. No new account has
-- such a name before that is done with.
CREATE TABLE removed_accounts (
	domain TEXT NOT NULL,
	local  TEXT NOT NULL,
	time   INTEGER NOT NULL,
	PRIMARY KEY (domain, local)
) STRICT, WITHOUT ROWID;
