#!/bin/sh
# Makes sure that a Chromium for the browser tests is installed, with fonts for
# every language and for emoji.
set -eu

for browser in chromium chromium-browser google-chrome; do
	if command -v "$browser" >/dev/null 2>&1; then
		exit 0
	fi
done

exec "$(dirname "$0")/install-packages.sh" Chromium chromium fonts-dejavu-core fonts-noto-color-emoji
