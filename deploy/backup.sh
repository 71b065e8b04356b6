#!/bin/bash
# Backs up the shop's database, settings, secrets, keys and certificates, while it runs.
# Usage: sallyport-backup [DIRECTORY]    (/var/backups/sallyport by default)
# Makes two files, readable to root alone, and keeps the newest of each, KEEP of them:
#   TIME.dump        the database: customers, orders, ledger, subscriptions, jobs, inbox
#   TIME.etc.tar.gz  /etc/sallyport and /var/lib/sallyport: everything else. It has every
#                    secret of the shop in it; keep it as safe as the server.
set -euo pipefail
umask 077

directory=${1:-/var/backups/sallyport}
keep=${KEEP:-14}
# shellcheck source-path=SCRIPTDIR source=database.sh
. "$(dirname "$(readlink -f "$0")")/database.sh"

die() {
	echo "sallyport-backup: $*" >&2
	exit 1
}

# newest removes all files of a kind but the newest.
newest() {
	find "$directory" -maxdepth 1 -name "*$1" -printf '%f\n' | sort -r | tail -n "+$((keep + 1))" |
		while IFS= read -r old; do rm -f "$directory/$old"; done
}

[[ $(id -u) == 0 ]] || die "must be run as root"
[[ $keep =~ ^[1-9][0-9]*$ ]] || die "KEEP: want a number, at least 1"
mkdir -p "$directory"
name=$directory/$(date -u +%Y%m%dT%H%M%SZ)
trap 'rm -f "$name".*.part' EXIT

as_shop pg_dump --format custom --no-owner --no-privileges >"$name.dump.part"
contents=$(pg_restore --list "$name.dump.part") || die "the dump is not readable"
[[ $contents == *"TABLE DATA public ledger_entries"* ]] || die "the dump has no ledger: nothing is kept of it"
tar --create --gzip --file "$name.etc.tar.gz.part" --directory / \
	--exclude var/lib/sallyport/tls/locks etc/sallyport var/lib/sallyport
tar --list --file "$name.etc.tar.gz.part" >/dev/null

sync "$name.dump.part" "$name.etc.tar.gz.part"
mv "$name.etc.tar.gz.part" "$name.etc.tar.gz"
mv "$name.dump.part" "$name.dump"
newest .dump
newest .etc.tar.gz
echo "$name.dump"
echo "$name.etc.tar.gz"
