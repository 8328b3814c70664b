// Package config is the configuration file: its types with their defaults and
// documentation, a strict decoder that finds all problems of a file at once,
// and the generator of its reference and of the file that `muster init` writes.
// It imports no service. Nothing in it is safe for concurrent changes; a loaded
// Config is not to be changed.
package config

//go:generate go run ./gen
