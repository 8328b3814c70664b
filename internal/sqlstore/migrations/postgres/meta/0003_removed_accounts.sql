-- Accounts that are gone and of which something may be left. No new account has
-- such a name before that is done with.
CREATE TABLE removed_accounts (
	domain TEXT COLLATE "C" NOT NULL,
	local  TEXT COLLATE "C" NOT NULL,
	time   BIGINT NOT NULL,
	PRIMARY KEY (domain, local)
);
