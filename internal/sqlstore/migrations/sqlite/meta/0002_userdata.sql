-- What goes with an account: the vCard, what people store for themselves, and
-- when somebody was last seen. XML is kept as it was encoded.

CREATE TABLE vcards (
	domain TEXT NOT NULL,
	local  TEXT NOT NULL,
	vcard  BLOB NOT NULL,
	PRIMARY KEY (domain, local),
	FOREIGN KEY (domain, local) REFERENCES accounts ON DELETE CASCADE
) STRICT;

CREATE TABLE private_data (
	domain TEXT NOT NULL,
	local  TEXT NOT NULL,
	space  TEXT NOT NULL, -- namespace and name of the elements in data
	name   TEXT NOT NULL,
	data   BLOB NOT NULL, -- one element or several, one after the other
	PRIMARY KEY (domain, local, space, name),
	FOREIGN KEY (domain, local) REFERENCES accounts ON DELETE CASCADE
) STRICT;

CREATE TABLE last_activity (
	domain TEXT NOT NULL,
	local  TEXT NOT NULL,
	time   INTEGER NOT NULL,
	status TEXT NOT NULL,
	PRIMARY KEY (domain, local),
	FOREIGN KEY (domain, local) REFERENCES accounts ON DELETE CASCADE
) STRICT;
