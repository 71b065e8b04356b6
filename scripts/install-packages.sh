#!/bin/sh
# Installs Debian packages for one of the ensure scripts beside it.
# Usage: install-packages.sh WHAT PACKAGE...
# As root or with a sudo that asks nothing; otherwise it says what to type.
set -eu

what=$1
shift

if ! command -v apt-get >/dev/null 2>&1; then
	echo "$what is not installed, and this machine has no apt-get. Install it with the system's own tools." >&2
	exit 1
fi

if [ "$(id -u)" = 0 ]; then
	as_root=
elif command -v sudo >/dev/null 2>&1 && sudo -n true 2>/dev/null; then
	as_root="sudo -n"
else
	echo "$what is not installed. As root, type:" >&2
	echo "    apt-get update && apt-get install -y --no-install-recommends $*" >&2
	exit 1
fi

echo "Installing $what (about half a minute): apt-get install $*"
until $as_root apt-get update; do
	waited=$((${waited:-0} + 1))
	if [ "$waited" -ge 10 ]; then
		exit 1
	fi
	sleep 5
done
# Another installation may be under way: wait for it.
$as_root env DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=300 install -y --no-install-recommends "$@"
