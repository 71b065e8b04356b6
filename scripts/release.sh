#!/bin/bash
# Builds what a release has: the shop's program for both processors, with their sums.
# Usage: release.sh TAG FOLDER
set -euo pipefail
cd "$(dirname "$0")/.."

tag=${1:?usage: release.sh TAG FOLDER} folder=${2:?usage: release.sh TAG FOLDER}
mkdir -p "$folder"
for machine in amd64 arm64; do
	GOOS=linux GOARCH=$machine VERSION=$tag scripts/build.sh . ./cmd/sallyport "$folder/sallyport-$tag-linux-$machine"
done
(cd "$folder" && sha256sum sallyport-* >SHA256SUMS)
