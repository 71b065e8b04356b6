#!/bin/bash
# Makes .bin/sallyport and .bin/xray of this clone current: builds what is missing or older
# than its sources. Go comes from this machine if it is new enough; else the version pinned
# here is fetched from the Go module proxy, checked and kept under /usr/local/lib/sallyport.
# GOPROXY, GOCACHE and GOMODCACHE are respected.
set -euo pipefail
cd "$(dirname "$0")/.."

# What is fetched: https://go.dev/doc/toolchain. A test holds it against go.mod.
go_version=1.26.8
go_sha256_amd64=30c2b1bf7dcc88d3eb0a1364e47ddd9128edb3110a30e8a0ef61cd5856b31de7
go_sha256_arm64=02b36b6787b3ac767668f630e2998df45a3b1f9ffee08d1bf3ef6487cd658d99
toolchains=/usr/local/lib/sallyport

die() {
	echo "programs.sh: $*" >&2
	exit 1
}

# current says whether a program runs here and is newer than all of its sources.
current() {
	local program=$1
	shift
	[[ -x $program ]] && "$program" version >/dev/null 2>&1 &&
		[[ -z $(find "$@" -type f -newer "$program" -print -quit) ]]
}

sallyport_is_current() {
	current .bin/sallyport deploy/programs.sh go.mod go.sum api bot cmd/sallyport migrations outbound payments shop store workers xray
}

xray_is_current() {
	current .bin/xray deploy/programs.sh tools/xray/go.mod tools/xray/go.sum
}

# new_enough says whether a Go is at least the one that go.mod asks for.
new_enough() {
	local wanted found
	wanted=$(sed -n 's/^go //p' go.mod)
	found=$(GOTOOLCHAIN=local "$1" env GOVERSION 2>/dev/null) || return 1
	[[ $(printf '%s\n' "$wanted" "${found#go}" | sort -V | head -n 1) == "$wanted" ]]
}

# find_go prints the path of a Go that is new enough.
find_go() {
	local candidate
	for candidate in "${GO:-go}" /usr/local/go/bin/go "$toolchains/go$go_version/bin/go"; do
		if command -v "$candidate" >/dev/null && new_enough "$candidate"; then
			command -v "$candidate"
			return
		fi
	done
	return 1
}

# proxy prints the first module proxy of GOPROXY.
proxy() {
	local entry
	for entry in $(tr ',|' '  ' <<<"${GOPROXY:-}"); do
		if [[ $entry != direct && $entry != off ]]; then
			echo "${entry%/}"
			return
		fi
	done
	echo https://proxy.golang.org
}

# fetch_go puts the pinned Go under $toolchains, whole or not at all.
fetch_go() {
	local machine sum name work
	case $(uname -m) in
	x86_64) machine=amd64 sum=$go_sha256_amd64 ;;
	aarch64) machine=arm64 sum=$go_sha256_arm64 ;;
	*) die "there is no pinned Go for $(uname -m): install Go $(sed -n 's/^go //p' go.mod) or later" ;;
	esac
	name=v0.0.1-go$go_version.linux-$machine
	echo "Fetching Go $go_version (70 MB) from $(proxy)"
	mkdir -p "$toolchains"
	work=$(mktemp -d "$toolchains/fetch.XXXXXX")
	# shellcheck disable=SC2064 # the directory of now
	trap "rm -rf '$work'" EXIT
	curl --fail --silent --show-error --location --retry 3 -o "$work/go.zip" "$(proxy)/golang.org/toolchain/@v/$name.zip"
	echo "$sum  $work/go.zip" | sha256sum --check --status || die "the Go that was fetched is not the one that is pinned"
	unzip -q "$work/go.zip" -d "$work"
	chmod -R +x "$work/golang.org/toolchain@$name/bin" "$work/golang.org/toolchain@$name/pkg/tool"
	rm -rf "$toolchains/go$go_version"
	mv "$work/golang.org/toolchain@$name" "$toolchains/go$go_version"
	rm -rf "$work"
}

case ${1:-} in
"") ;;
--check) # for whoever wants to know what a run would need
	sallyport_is_current && xray_is_current
	exit
	;;
*) die "unknown argument $1" ;;
esac

if sallyport_is_current && xray_is_current; then
	echo "The programs in .bin are current"
	exit
fi
go=$(find_go) || {
	fetch_go
	go=$(find_go) || die "the Go that was fetched does not run"
}
export GO=$go GOTOOLCHAIN=local
export GOCACHE=${GOCACHE:-/var/cache/sallyport/build} GOMODCACHE=${GOMODCACHE:-/var/cache/sallyport/modules}
export GOPATH=${GOPATH:-/var/cache/sallyport/go}
# With little memory, one compiler at a time.
if (($(awk '/^MemTotal/ {print $2}' /proc/meminfo) < 2000000)); then
	export GOFLAGS="${GOFLAGS:-} -p=1"
fi
if ! sallyport_is_current; then
	echo "Building sallyport (1 to 2 minutes the first time)"
	VERSION=$(git -c safe.directory='*' describe --tags --always --dirty 2>/dev/null || true) scripts/build.sh . ./cmd/sallyport .bin/sallyport
fi
if ! xray_is_current; then
	echo "Building Xray (2 to 3 minutes the first time)"
	scripts/build.sh tools/xray github.com/xtls/xray-core/main .bin/xray
fi
