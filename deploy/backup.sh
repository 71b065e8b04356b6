#!/bin/bash
# Backs up the shop's database, settings, secrets, keys and certificates, while it runs, and
# tells the shop so, or why it could not.
# Usage: sallyport-backup [DIRECTORY]    (/var/backups/sallyport by default)
# Makes two files, readable to root alone, and removes those that are older than KEEP days:
#   TIME.dump        the database: customers, orders, ledger, subscriptions, jobs, inbox
#   TIME.etc.tar.gz  /etc/sallyport and /var/lib/sallyport: everything else. It has every
#                    secret of the shop in it; keep it as safe as the server.
set -euo pipefail
umask 077

directory=${1:-/var/backups/sallyport}
keep=${KEEP:-14}
doing="begin" reason='' name='' server=''
# shellcheck source-path=SCRIPTDIR source=database.sh
. "$(dirname "$(readlink -f "$0")")/database.sh"

die() {
	reason=$*
	echo "sallyport-backup: $*" >&2
	exit 1
}

# ended removes what is half made, and tells the shop if nothing came of it.
ended() {
	local status=$?
	[[ -z $name ]] || rm -f "$name".*.part
	if ((status != 0)) && [[ -n $server ]]; then
		note "${reason:-could not $doing}" || true
	fi
}

[[ $(id -u) == 0 ]] || die "must be run as root"
[[ $keep =~ ^[1-9][0-9]*$ ]] || die "KEEP: want a number of days, at least 1"
trap ended EXIT
connect
doing="make a folder for it"
mkdir -p "$directory"
name=$directory/$(date -u +%Y%m%dT%H%M%SZ)
room "$directory"

doing="dump the database"
dump "$name.dump.part"
doing="pack the settings"
tar --create --gzip --file "$name.etc.tar.gz.part" --directory / \
	--exclude var/lib/sallyport/tls/locks etc/sallyport var/lib/sallyport
tar --list --file "$name.etc.tar.gz.part" >/dev/null

doing="store it"
sync "$name.dump.part" "$name.etc.tar.gz.part"
mv "$name.etc.tar.gz.part" "$name.etc.tar.gz"
mv "$name.dump.part" "$name.dump"
prune "$directory" "$keep"
doing="tell the shop"
note ''
echo "$name.dump"
echo "$name.etc.tar.gz"
