// Package s2s is the streams to other servers and to components, which carry the
// stanzas of many people: so far external components (XEP-0114), from both
// sides. A Link is a room service's stream to the server that it is attached to;
// Components is what external components attach to.
//
// A Link has one goroutine, which dials, reads and dials again; a connection of
// Components is served by the goroutine that brings it. Neither waits for
// anything but its socket: what a stanza may have to wait for is the business of
// who it is handed to, and nobody's stanza stops the stream for the others.
package s2s
