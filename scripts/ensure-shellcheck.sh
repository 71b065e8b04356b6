#!/bin/sh
# Makes sure that shellcheck is installed, which the tests of the scripts need.
set -eu

if command -v shellcheck >/dev/null 2>&1; then
	exit 0
fi
exec "$(dirname "$0")/install-packages.sh" shellcheck shellcheck
