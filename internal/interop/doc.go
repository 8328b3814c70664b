// Package interop tests the whole program as its users meet it: `muster serve`
// as a process of its own, foreign clients from Debian's packages, a server
// that is killed. README.md says what each client must show. It holds tests
// only.
package interop
