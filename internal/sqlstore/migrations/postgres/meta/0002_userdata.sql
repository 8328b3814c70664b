-- What goes with an account: the vCard, what people store for themselves, and
-- when somebody was last seen. XML is kept as it was encoded.

CREATE TABLE vcards (
	domain TEXT COLLATE "C" NOT NULL,
	local  TEXT COLLATE "C" NOT NULL,
	vcard  BYTEA NOT NULL,
	PRIMARY KEY (domain, local),
	FOREIGN KEY (domain, local) REFERENCES accounts ON DELETE CASCADE
);

CREATE TABLE private_data (
	domain TEXT COLLATE "C" NOT NULL,
	local  TEXT COLLATE "C" NOT NULL,
	space  TEXT COLLATE "C" NOT NULL, -- namespace and name of the elements in data
	name   TEXT COLLATE "C" NOT NULL,
	data   BYTEA NOT NULL, -- one element or several, one after the other
	PRIMARY KEY (domain, local, space, name),
	FOREIGN KEY (domain, local) REFERENCES accounts ON DELETE CASCADE
);

CREATE TABLE last_activity (
	domain TEXT COLLATE "C" NOT NULL,
	local  TEXT COLLATE "C" NOT NULL,
	time   BIGINT NOT NULL,
	status TEXT NOT NULL,
	PRIMARY KEY (domain, local),
	FOREIGN KEY (domain, local) REFERENCES accounts ON DELETE CASCADE
);
