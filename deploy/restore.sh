#!/bin/bash
# Puts a backup of the database back: all of it, or, when anything goes wrong, nothing.
# Usage: sallyport-restore FILE.dump [--yes]
# The shop is stopped meanwhile; if it runs, you are asked first, or --yes says so. Settings
# and keys come back with: tar -xzf FILE.etc.tar.gz -C /
set -euo pipefail

# shellcheck source-path=SCRIPTDIR source=database.sh
. "$(dirname "$(readlink -f "$0")")/database.sh"

die() {
	echo "sallyport-restore: $*" >&2
	exit 1
}

# statements writes the dump as one transaction, which begins by removing what is there.
statements() {
	echo "BEGIN;"
	echo "DROP OWNED BY CURRENT_USER CASCADE;"
	pg_restore --no-owner --no-privileges --exit-on-error --file - "$1"
	echo "COMMIT;"
}

file=${1:-}
[[ -n $file && ${2:-} =~ ^(--yes)?$ ]] || die "usage: sallyport-restore FILE.dump [--yes]"
[[ $(id -u) == 0 ]] || die "must be run as root"
contents=$(pg_restore --list "$file") || die "$file is not a readable backup"
[[ $contents == *"TABLE DATA public ledger_entries"* ]] || die "$file is no backup of the shop"

if systemctl --quiet is-active sallyport.service && [[ ${2:-} != --yes ]]; then
	[[ -t 0 ]] || die "the shop runs: stop it first, or say --yes"
	read -rp "The shop runs. Stop it and replace everything in its database? [y/N] " answer
	[[ $answer == y ]] || die "nothing was changed"
fi
systemctl stop sallyport.service
for try in 1 2 3 4 5; do
	others=$(as_shop psql -XAtc "SELECT count(*) FROM pg_stat_activity
		WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'")
	[[ $others != 0 ]] || break
	[[ $try != 5 ]] || die "others are connected to the database, perhaps the shop on another machine: stop them first"
	sleep 1
done
statements "$file" | as_shop psql --no-psqlrc --quiet --set ON_ERROR_STOP=1 --output /dev/null
systemctl start sallyport.service
echo "The database is as it was in $file, and the shop is started"
