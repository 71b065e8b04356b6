# Type "make" to see what there is. Everything built goes to .bin.

GO        ?= go
TESTFLAGS ?=
BENCHFLAGS ?=

BIN      := .bin
XRAY     := $(BIN)/xray
LINTER   := $(BIN)/golangci-lint
VULN     := $(BIN)/govulncheck
CHAOS    := tests/chaos

# Another Xray may be named from outside.
SALLYPORT_XRAY ?= $(abspath $(XRAY))
export GO SALLYPORT_XRAY TESTFLAGS

.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help run build test test-all demo bench freeze overload soak chaos lint vuln clean deps postgres chromium shellcheck

help: ## Show this list
	@echo "sallyport: a Telegram shop for VPN access"
	@echo
	@sed -n 's/^\([a-z-]*\):.*## /  make \1\t/p' $(MAKEFILE_LIST) | expand -t 16

run: ## Start the bot with the settings in .env; without .env, the sandbox with everything on this machine
	@if [ -e .env ]; then \
		$(MAKE) --no-print-directory --quiet build && \
		echo "Starting with the settings in .env" && \
		exec $(BIN)/sallyport serve; \
	else \
		$(MAKE) --no-print-directory --quiet postgres build $(XRAY) && \
		echo "There is no .env: starting the sandbox, without any account anywhere" && \
		exec $(BIN)/sandbox run; \
	fi

build: ## Build the bot and the sandbox
	@echo "Building $(BIN)/sallyport and $(BIN)/sandbox (1 to 2 minutes the first time)"
	@VERSION="$$(git describe --always --dirty 2>/dev/null)" scripts/build.sh . ./cmd/sallyport $(BIN)/sallyport
	@scripts/build.sh . ./cmd/sandbox $(BIN)/sandbox

test: postgres $(XRAY) ## Run the quick tests, on real PostgreSQL and Xray (at most 10 minutes the first time)
	@scripts/test.sh quick

test-all: postgres build $(XRAY) ## Run all tests: servers, browser, ACME, every alert, random faults (at most 30 minutes)
	@scripts/test.sh all

demo: postgres build $(XRAY) ## Play the whole story, from /start to a paid VPN, and exit
	@echo "Playing the demo"
	@$(BIN)/sandbox demo

bench: postgres build $(XRAY) ## Measure the shop beside the limits of this machine (5 minutes)
	@scripts/build.sh . ./cmd/bench $(BIN)/bench
	@$(BIN)/bench $(BENCHFLAGS)

freeze: postgres build $(XRAY) ## Break all that is outside under load, here and in the structure that froze
	@$(GO) run ./tests/freeze $(FREEZEFLAGS)

overload: postgres build $(XRAY) ## Put more on the shop than it can do at once (9 minutes)
	@$(GO) run ./tests/overload $(OVERLOADFLAGS)

soak: postgres build $(XRAY) ## Live a week in an hour under load, and see that nothing grows
	@$(GO) run ./tests/soak $(SOAKFLAGS)

chaos: postgres $(XRAY) ## Break everything at random under load, then check all: make chaos SEED=1 MINUTES=5
	@$(GO) run -C $(CHAOS) . -seed $(or $(SEED),0) -minutes $(or $(MINUTES),5)

lint: $(LINTER) ## Check formatting and style
	@scripts/lint.sh $(LINTER)

vuln: $(VULN) ## Look for known vulnerabilities (needs vuln.go.dev)
	@scripts/vuln.sh $(VULN) . $(XRAY)

deps: postgres chromium shellcheck $(XRAY) ## Install or build what run and test need
	@echo "PostgreSQL, Chromium, shellcheck and Xray are there"

clean: ## Remove everything built
	@echo "Removing $(BIN)"
	@rm -rf $(BIN)

postgres:
	@scripts/ensure-postgres.sh

chromium:
	@scripts/ensure-chromium.sh

shellcheck:
	@scripts/ensure-shellcheck.sh

$(XRAY): tools/xray/go.mod tools/xray/go.sum
	@echo "Building Xray (2 to 3 minutes the first time)"
	@scripts/build.sh tools/xray github.com/xtls/xray-core/main $@

$(LINTER): tools/lint/go.mod tools/lint/go.sum
	@echo "Building golangci-lint (3 to 4 minutes the first time)"
	@scripts/build.sh tools/lint github.com/golangci/golangci-lint/v2/cmd/golangci-lint $@

$(VULN): tools/vuln/go.mod tools/vuln/go.sum
	@echo "Building govulncheck (half a minute the first time)"
	@scripts/build.sh tools/vuln golang.org/x/vuln/cmd/govulncheck $@
