# Type "make" to see what there is. Everything built goes to .bin.

GO        ?= go
TESTFLAGS ?=
BENCHFLAGS ?=

BIN      := .bin
XRAY     := $(BIN)/xray
LINTER   := $(BIN)/golangci-lint
BROWSER  := tests/browser
ACME     := tests/acme
DEPLOY   := tests/deploy
ALERTS   := tests/alerts
LIVE     := tests/live
CHAOS    := tests/chaos

# Another Xray may be named from outside.
SALLYPORT_XRAY ?= $(abspath $(XRAY))
export GO SALLYPORT_XRAY

.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help run build test demo bench freeze overload soak chaos lint clean deps postgres chromium shellcheck

help: ## Show this list
	@echo "sallyport: a Telegram shop for VPN access"
	@echo
	@sed -n 's/^\([a-z]*\):.*## /  make \1\t/p' $(MAKEFILE_LIST) | expand -t 16

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

test: deps build ## Run all tests, with the race detector, real PostgreSQL, Xray and browser
	@echo "Testing the product"
	@$(GO) test -race -shuffle=on -timeout 20m $(TESTFLAGS) ./...
	@echo "Testing in the browser"
	@$(GO) test -C $(BROWSER) -count=1 -timeout 20m $(TESTFLAGS) ./...
	@echo "Testing with an ACME server"
	@$(GO) test -C $(ACME) -race -count=1 -parallel 8 -timeout 20m $(TESTFLAGS) ./...
	@echo "Testing the images and what prepares them"
	@$(GO) test -C $(DEPLOY) -count=1 -timeout 20m $(TESTFLAGS) ./...
	@echo "Testing the alerts"
	@$(GO) test -C $(ALERTS) -count=1 -parallel 8 -timeout 20m $(TESTFLAGS) ./...
	@echo "Testing under random faults (a minute or two, the first time 2 more)"
	@$(GO) test -C $(CHAOS) -race -count=1 -timeout 20m $(TESTFLAGS) ./...
	@echo "Testing the way to a live shop (skipped unless root; 1 to 2 minutes, the first time 3 more)"
	@$(GO) test -C $(LIVE) -count=1 -timeout 30m $(TESTFLAGS)

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
