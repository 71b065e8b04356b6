#!/bin/bash
# Builds a program and shows how far it is.
# Usage: build.sh MODULE PACKAGE PROGRAM
# For instance: build.sh tools/xray github.com/xtls/xray-core/main .bin/xray
set -euo pipefail

module=$1 package=$2 program=$3
go=${GO:-go}
if ! command -v "$go" >/dev/null 2>&1; then
	echo "Go is not installed: Go 1.26 or later is needed." >&2
	exit 1
fi
mkdir -p "$(dirname "$program")"

# Go prints a line for each module it downloads and each package it compiles.
progress() {
	local line modules=0 packages=0
	while IFS= read -r line; do
		case $line in
		"go: downloading "*)
			modules=$((modules + 1))
			if ((modules % 25 == 0)); then
				echo "  $modules modules downloaded, $SECONDS s"
			fi
			;;
		"#"* | *[[:space:]:]*) echo "$line" ;; # an error
		*)
			packages=$((packages + 1))
			if ((packages % 100 == 0)); then
				echo "  $packages packages compiled, $SECONDS s"
			fi
			;;
		esac
	done
}

trap 'rm -f "$program.$$"' EXIT
# Under another name first: a build that is broken off leaves no half a program.
CGO_ENABLED=0 "$go" build -C "$module" -v -trimpath -buildvcs=false -ldflags="-s -w ${VERSION:+-X main.version=$VERSION}" -o "$PWD/$program.$$" "$package" 2>&1 | progress
mv "$program.$$" "$program"
if ((SECONDS > 5)); then
	echo "  $program is built, $SECONDS s"
fi
