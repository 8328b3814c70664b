// Command gen writes docs/config.md. Run it by go generate ./config.
package main

import (
	"log"
	"os"

	"github.com/muster-im/muster/config"
)

func main() {
	if err := os.WriteFile("../docs/config.md", config.Reference(), 0o644); err != nil { //nolint:gosec // a document
		log.Fatal(err)
	}
}
