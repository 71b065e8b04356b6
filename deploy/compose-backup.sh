#!/bin/bash
# Runs in the service backup of docker-compose.yml: makes a backup of the database when it
# starts and every day from then on, removes those that are older than KEEP days, and tells
# the shop how it goes. Settings and keys are files beside docker-compose.yml already.
# Usage: compose-backup.sh               for ever
#        compose-backup.sh once          one, now
#        compose-backup.sh take          stores the dump of its input for the other two
#        compose-backup.sh check         whether that can be put back; changes nothing
#        compose-backup.sh replace       puts it back; whoever asks has stopped the shop
set -euo pipefail
umask 077

keep=${KEEP:-14}
doing="begin" reason='' name='' server=''
taken=$BACKUPS/restore.taken
# shellcheck source-path=SCRIPTDIR source=database.sh
. "$(dirname "$(readlink -f "$0")")/database.sh"

die() {
	reason=$*
	echo "compose-backup: $*" >&2
	exit 1
}

# ended removes what is half made, and tells the shop if nothing came of it.
ended() {
	local status=$?
	[[ -z $name ]] || rm -f "$name.dump.part"
	if ((status != 0)) && [[ -n $server ]]; then
		note "${reason:-could not $doing}" || true
	fi
}

# once makes one backup.
once() {
	[[ $keep =~ ^[1-9][0-9]*$ ]] || die "KEEP: want a number of days, at least 1"
	trap ended EXIT
	connect
	name=$BACKUPS/$(date -u +%Y%m%dT%H%M%SZ)
	doing="store anything"
	room "$BACKUPS"
	doing="dump the database"
	dump "$name.dump.part"
	doing="store it"
	sync
	mv "$name.dump.part" "$name.dump"
	prune "$BACKUPS" "$keep"
	doing="tell the shop"
	note ''
	echo "$name.dump"
}

# for_ever makes backups until it is told to stop. A new shop has to make its tables first.
for_ever() {
	trap 'exit 0' TERM INT
	local pause
	while :; do
		pause=86400
		"$0" once || pause=3600
		if [[ $pause == 3600 ]] && ! compgen -G "$BACKUPS/*.dump" >/dev/null; then
			pause=60
		fi
		sleep "$pause" &
		wait $!
	done
}

case ${1:-} in
"") for_ever ;;
once) once ;;
take)
	cat >"$taken"
	;;
check)
	connect
	check_restore "$taken"
	;;
replace)
	connect
	check_restore "$taken"
	replace "$taken"
	rm -f "$taken"
	;;
*) die "unknown argument $1" ;;
esac
