package server

import (
	"github.com/muster-im/muster/internal/admin"
	"github.com/muster-im/muster/internal/backup"
)

// What a server says of itself and of backups, by names that others can use.
type (
	// Info is what a server is.
	Info = admin.Info
	// Listener is where it can be reached.
	Listener = admin.Listener
	// Backup is one that is ready to be written.
	Backup = backup.Prepared
	// Manifest is what is in a backup.
	Manifest = backup.Manifest
	// BackupFile is one file of it.
	BackupFile = backup.File
)
