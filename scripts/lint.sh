#!/bin/bash
# Checks formatting, then go vet, then golangci-lint, over the product's module (and vet over the
# tests that are modules of their own).
set -euo pipefail

go=${GO:-go}
linter=${1:?usage: lint.sh PATH_OF_GOLANGCI_LINT}

echo "Checking the formatting"
shopt -s globstar nullglob
sources=()
for file in **/*.go; do
	sources+=("$file")
done
if ((${#sources[@]} > 0)); then
	unformatted=$("$("$go" env GOROOT)/bin/gofmt" -l "${sources[@]}")
	if [[ -n $unformatted ]]; then
		echo "Not formatted (type gofmt -w on them):" >&2
		echo "$unformatted" >&2
		exit 1
	fi
fi

echo "Running go vet"
"$go" vet ./...
for module in tests/browser tests/acme tests/deploy tests/alerts tests/live tests/chaos tools/xray; do
	if [[ -d $module ]]; then
		"$go" vet -C "$module" ./...
	fi
done

echo "Running golangci-lint"
"$linter" run ./...
