#!/bin/bash
# Puts a backup of the database of docker-compose.yml back: all of it, or, when anything
# goes wrong, nothing. What can be known before is looked at before; a shop that ran runs
# again, however this ends.
# Usage: deploy/compose-restore.sh FILE.dump
set -euo pipefail
file=$(readlink -f "${1:-/nowhere}")
cd "$(dirname "$(readlink -f "$0")")/.."

die() {
	echo "compose-restore: $*" >&2
	exit 1
}

inside() { docker compose exec -T backup /usr/local/lib/sallyport/compose-backup.sh "$@"; }

[[ $# == 1 && -r $file ]] || die "usage: deploy/compose-restore.sh FILE.dump"
docker compose up --detach --wait postgres
docker compose up --detach --no-deps backup
inside take <"$file"
inside check

if docker compose ps --services --status running | grep -qx app; then
	trap 'docker compose start app' EXIT
	docker compose stop app
fi
inside replace
trap - EXIT
docker compose up --detach
echo "The database is as it was in $file, and the shop is started"
