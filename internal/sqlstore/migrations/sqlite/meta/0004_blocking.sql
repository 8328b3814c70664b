CREATE TABLE blocked (
	owner   TEXT NOT NULL,
	address TEXT NOT NULL,
	PRIMARY KEY (owner, address)
) STRICT, WITHOUT ROWID;
