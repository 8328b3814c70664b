# make         what there is to make
# The first two targets need nothing but Go. Everything else that a target needs
# it installs itself at the version given here, below .tools.

GOFUMPT     := mvdan.cc/gofumpt@v0.12.0
STATICCHECK := honnef.co/go/tools/cmd/staticcheck@v0.8.2
GOLANGCI    := github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.15.0
GOVULNCHECK := golang.org/x/vuln/cmd/govulncheck@v1.8.0

VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)
TOOLS   := $(CURDIR)/.tools
FUZZTIME ?= 30s
# Flags of make test and make race, such as TESTFLAGS='-fail-on-skip' or TESTFLAGS='-run Join'.
TESTFLAGS ?=

.PHONY: help
help: ## say what there is to make
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/make \1	\2/p' $(MAKEFILE_LIST) | expand -t 20

.PHONY: test
test: ## run all tests; optional parts that are absent are skipped and named
	@scripts/test $(TESTFLAGS)

.PHONY: build
build: ## build dist/muster, a static binary
	CGO_ENABLED=0 go build -trimpath -ldflags '-s -w' -o dist/muster ./cmd/muster

.PHONY: check
check: format vet staticcheck lint generated race vuln ## everything that CI checks

.PHONY: fmt
fmt: $(TOOLS)/gofumpt ## format the source
	$(TOOLS)/gofumpt -w .

.PHONY: format
format: $(TOOLS)/gofumpt ## check the format
	@unformatted=$$($(TOOLS)/gofumpt -l .); \
	if [ -n "$$unformatted" ]; then echo "not formatted, run make fmt:"; echo "$$unformatted"; exit 1; fi

.PHONY: vet
vet: ## go vet
	go vet ./...

.PHONY: staticcheck
staticcheck: $(TOOLS)/staticcheck ## staticcheck
	$(TOOLS)/staticcheck ./...

.PHONY: lint
lint: $(TOOLS)/golangci-lint ## golangci-lint with .golangci.yml
	$(TOOLS)/golangci-lint run ./...

.PHONY: generate
generate: ## write the generated files anew
	go generate ./...

.PHONY: generated
generated: ## check that the generated files are what would be generated
	@scripts/generated

.PHONY: race
race: ## all tests with the race detector, which needs gcc, in random order
	@scripts/test -race -shuffle=on $(TESTFLAGS)

.PHONY: vuln
vuln: $(TOOLS)/govulncheck ## look for known vulnerabilities, if their database can be reached
	@scripts/vuln $(TOOLS)/govulncheck

.PHONY: fuzz
fuzz: ## run every fuzz target for FUZZTIME
	@scripts/fuzz $(FUZZTIME)

.PHONY: bench-go
bench-go: ## Go's benchmarks: parse, encode, broadcast, join
	go test -run '^$$' -bench . -benchmem ./...

.PHONY: tools
tools: $(TOOLS)/gofumpt $(TOOLS)/staticcheck $(TOOLS)/golangci-lint $(TOOLS)/govulncheck ## install the checkers

.PHONY: clean
clean: ## remove what was built, tools included
	rm -rf dist $(TOOLS)

# A changed version in this file installs the tool anew.
$(TOOLS)/gofumpt: PACKAGE = $(GOFUMPT)
$(TOOLS)/staticcheck: PACKAGE = $(STATICCHECK)
$(TOOLS)/golangci-lint: PACKAGE = $(GOLANGCI)
$(TOOLS)/govulncheck: PACKAGE = $(GOVULNCHECK)
$(TOOLS)/%: Makefile
	GOBIN=$(TOOLS) GOFLAGS= go install $(PACKAGE)
	@touch $@
