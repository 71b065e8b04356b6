#!/bin/bash
# For backup.sh and restore.sh.

# as_shop runs one of PostgreSQL's programs as the shop's user, on the shop's database. The
# password, if there is one, is not on its command line.
as_shop() {
	local url
	url=$(sed -n 's/^DATABASE_URL=//p' /etc/sallyport/sallyport.env)
	if [[ -z $url ]]; then
		url=$(<"$(sed -n 's/^DATABASE_URL_FILE=//p' /etc/sallyport/sallyport.env)")
	fi
	if [[ $url =~ ^([a-z]+://[^:@/]*):([^@]*)@(.*)$ ]]; then
		url=${BASH_REMATCH[1]}@${BASH_REMATCH[3]}
		PGPASSWORD=$(printf '%b' "${BASH_REMATCH[2]//%/\\x}")
		export PGPASSWORD
	fi
	(cd / && setpriv --reuid sallyport --regid sallyport --clear-groups "$@" --dbname "$url")
}
