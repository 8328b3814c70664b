-- Who has sent what waits: one sender must not fill the place of all others.
ALTER TABLE offline_messages ADD COLUMN sender TEXT COLLATE "C" NOT NULL DEFAULT '';
