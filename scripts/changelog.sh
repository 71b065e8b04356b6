#!/bin/bash
# Prints what CHANGELOG.md says of a release, and fails if it says nothing.
# Usage: changelog.sh TAG
set -euo pipefail
cd "$(dirname "$0")/.."

tag=${1:?usage: changelog.sh TAG}
text=$(awk -v tag="$tag" '/^## / {found = ($2 == tag); next} found' CHANGELOG.md | sed '/./,$!d')
if [[ -z $text ]]; then
	echo "CHANGELOG.md has no section \"## $tag\": name what is under \"## Unreleased\" so, with the date" >&2
	exit 1
fi
printf '%s\n' "$text"
