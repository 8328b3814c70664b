// Command muster is an XMPP group-chat server in one binary. It is the command
// line of package app without extensions; an operator's own binary is the same
// line with his.
package main

import "github.com/muster-im/muster/app"

func main() { app.Main() }
