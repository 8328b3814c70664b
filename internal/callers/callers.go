// Package callers says what the code that asks was called by. It keeps nothing and
// has no goroutines; it never blocks.
package callers

import "runtime"

// Include reports whether the function of that full name, like
// "example.org/pkg.(*Type).method", is among the callers of who asks: it reads his
// goroutine's stack.
func Include(function string) bool {
	var pcs [64]uintptr
	for skip := 2; ; {
		n := runtime.Callers(skip, pcs[:])
		frames := runtime.CallersFrames(pcs[:n])
		for more := n > 0; more; {
			var f runtime.Frame
			f, more = frames.Next()
			if f.Function == function {
				return true
			}
		}
		if n < len(pcs) {
			return false
		}
		skip += n
	}
}
