#!/bin/bash
# Puts a backup of the database back: all of it, or, when anything goes wrong, nothing.
# Usage: sallyport-restore FILE.dump [--yes]
# What can be known before is looked at before: then nothing has been touched. The shop is
# stopped while it is replaced; if it runs, you are asked first, or --yes says so. However
# this ends, a shop that ran runs again. Settings and keys come back with:
# tar -xzf FILE.etc.tar.gz -C /
set -euo pipefail

# shellcheck source-path=SCRIPTDIR source=database.sh
. "$(dirname "$(readlink -f "$0")")/database.sh"

die() {
	echo "sallyport-restore: $*" >&2
	exit 1
}

file=${1:-}
[[ -n $file && ${2:-} =~ ^(--yes)?$ ]] || die "usage: sallyport-restore FILE.dump [--yes]"
[[ $(id -u) == 0 ]] || die "must be run as root"
[[ -r $file ]] || die "$file is not a readable backup"
connect
check_restore "$file"

if systemctl --quiet is-active sallyport.service; then
	if [[ ${2:-} != --yes ]]; then
		[[ -t 0 ]] || die "the shop runs: stop it first, or say --yes"
		read -rp "The shop runs. Stop it and replace everything in its database? [y/N] " answer
		[[ $answer == y ]] || die "nothing was changed"
	fi
	trap 'systemctl start sallyport.service' EXIT
	systemctl stop sallyport.service
fi
replace "$file"
trap - EXIT
systemctl start sallyport.service
echo "The database is as it was in $file, and the shop is started"
