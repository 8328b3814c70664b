// Package muster is empty: Muster's command line is package app, a server in
// your own program is package server, and rooms to build on are package muc.
package muster

//go:generate go run ./scripts/status
