CREATE TABLE blocked (
	owner   TEXT COLLATE "C" NOT NULL,
	address TEXT COLLATE "C" NOT NULL,
	PRIMARY KEY (owner, address)
);
