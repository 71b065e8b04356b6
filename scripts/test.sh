#!/bin/bash
# Runs suites of tests one after the other, all of them even if one fails, and says at the
# end how each ended. The status is 1 if one failed.
# Usage: test.sh quick|all
# Flags for go test may be in TESTFLAGS, quoted as for a shell.
# shellcheck disable=SC2317 # the functions are called by way of suite
set -uo pipefail

go=${GO:-go}
flags=()
eval "flags=(${TESTFLAGS:-})"
failed=0
summary=()
trap 'exit 130' INT TERM

# suite NAME COMMAND...
suite() {
	local name=$1 began=$SECONDS verdict=ok
	shift
	echo
	echo "=== $name"
	if ! "$@"; then
		verdict=FAILED
		failed=1
	fi
	summary+=("$(printf '%-6s %4d s  %s' "$verdict" $((SECONDS - began)) "$name")")
}

# tests FOLDER ARGUMENT... runs tests of the module in the folder.
tests() {
	local folder=$1
	shift
	"$go" test -C "$folder" -timeout 30m "${flags[@]}" "$@"
}

# What measures, or breaks things under load, and the kit of the tests: all else of the
# product's own module is quick.
slow='^sallyport/(cmd/bench|cmd/sandbox|sandbox|tests)(/|$)'

# product runs the tests of the product's own module whose packages the pattern selects, or
# with -v those that it does not. Much of them is waiting, so more run at once than there are cores.
product() {
	local packages
	packages=$("$go" list ./... | grep -E "$@") || return 1
	# shellcheck disable=SC2086 # names of packages hold no spaces
	tests . -race -shuffle=on -parallel 4 $packages
}

# module runs the tests of a module of its own, with the flags that suit it.
module() {
	case $1 in
	tests/acme) tests "$1" -count=1 -race -parallel 8 ./... ;;
	tests/alerts) tests "$1" -count=1 -parallel 8 ./... ;;
	tests/browser) scripts/ensure-chromium.sh && tests "$1" -count=1 ./... ;;
	tests/chaos) tests "$1" -count=1 -race ./... ;;
	tests/deploy) scripts/ensure-shellcheck.sh && tests "$1" -count=1 ./... ;;
	*) tests "$1" -count=1 ./... ;;
	esac
}

suite "the product, with the race detector" product -v "$slow"
if [ "${1:?usage: test.sh quick|all}" = all ]; then
	suite "the sandbox, the figures and the loads, with the race detector" product "$slow"
	for manifest in tests/*/go.mod; do
		suite "${manifest%/go.mod}" module "${manifest%/go.mod}"
	done
fi

echo
printf '%s\n' "${summary[@]}"
exit $failed
