package router

import (
	"sync"
	"time"
)

// Gatherer is a Session that can let what it is given wait for what comes next.
type Gatherer interface {
	// Gather begins that and returns the function that ends it, which may be called
	// once.
	Gather() (release func())
}

// maxGather bounds for how long sessions wait for what comes next: it may have to
// wait for something itself.
const maxGather = 10 * time.Millisecond

// Gather lets what sessions are given wait until release is called, or for a moment
// at most, so that several things for each take one write. Calls of release but the
// first do nothing.
func Gather(sessions []Session) (release func()) {
	all := make([]func(), 0, len(sessions))
	for _, s := range sessions {
		if g, ok := s.(Gatherer); ok {
			all = append(all, g.Gather())
		}
	}
	once := sync.OnceFunc(func() {
		for _, release := range all {
			release()
		}
	})
	timer := time.AfterFunc(maxGather, once)
	return func() {
		timer.Stop()
		once()
	}
}
