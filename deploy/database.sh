#!/bin/bash
# The shop's database, for backup.sh, restore.sh and compose-backup.sh: how to reach it, how
# to dump it, how to put a dump back. The three have a function die, and dump and replace
# rely on their set -euo pipefail.

# schema names every table, beside the scripts or in the clone.
schema=$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/schema.txt
[[ -e $schema ]] || schema=$(dirname "$schema")/../migrations/schema.txt

# connect finds out how to reach the database, and what it is. The password, if there is
# one, is on no command line.
connect() {
	local settings=/etc/sallyport/sallyport.env number file=${DATABASE_URL_FILE:-}
	url=''
	if [[ -z $file ]]; then
		[[ -r $settings ]] || die "there is no $settings: is the shop installed?"
		url=$(sed -n 's/^DATABASE_URL=//p' "$settings" | tail -n 1)
		file=$(sed -n 's/^DATABASE_URL_FILE=//p' "$settings" | tail -n 1)
	fi
	if [[ -z $url ]]; then
		[[ -r $file ]] || die "neither DATABASE_URL nor DATABASE_URL_FILE is set"
		url=$(<"$file")
	fi
	# The settings may have it in quotes.
	if [[ $url =~ ^\"(.*)\"$ || $url =~ ^\'(.*)\'$ ]]; then
		url=${BASH_REMATCH[1]}
	fi
	if [[ $url =~ ^([a-z]+://[^:@/]*):([^@]*)@(.*)$ ]]; then
		url=${BASH_REMATCH[1]}@${BASH_REMATCH[3]}
		PGPASSWORD=$(printf '%b' "${BASH_REMATCH[2]//%/\\x}")
		export PGPASSWORD
	fi
	export PGCONNECT_TIMEOUT=10
	find_clients
	bin=${clients[0]#*:}
	number=$(ask "SHOW server_version_num") || die "the database does not let us in, see above"
	server=$((number / 10000))
}

# find_clients lists the folders of PostgreSQL's programs, MAJOR:FOLDER, the oldest first.
find_clients() {
	local folder version
	clients=()
	for folder in /usr/lib/postgresql/*/bin "$(dirname "$(command -v pg_dump || echo /)")"; do
		# Debian's own pg_dump is a wrapper that chooses one of the others.
		if [[ -x $folder/pg_dump && ! -L $folder/pg_dump ]] && version=$("$folder/pg_dump" --version 2>/dev/null); then
			version=${version##*(PostgreSQL) } # 17.10, or 18beta1
			clients+=("${version%%[!0-9]*}:$folder")
		fi
	done
	((${#clients[@]} > 0)) || die "PostgreSQL's programs are not installed: apt-get install postgresql-client"
	mapfile -t clients < <(printf '%s\n' "${clients[@]}" | sort -t : -k 1,1n -u)
}

# with runs one of PostgreSQL's programs as the shop's user, on the shop's database. In a
# container there is no other user.
with() {
	local as=(setpriv --reuid sallyport --regid sallyport --clear-groups) program=$bin/$1
	shift
	[[ -z ${DATABASE_URL_FILE:-} ]] || as=()
	(cd / && "${as[@]}" "$program" "$@" --dbname "$url")
}

# ask prints what the database answers to a question.
ask() { with psql --no-psqlrc --no-align --tuples-only --quiet --set ON_ERROR_STOP=1 --command "$1"; }

# newer_client says how a newer client comes here.
newer_client() {
	echo "install postgresql-client-$1 or later; where the system has none, from apt.postgresql.org:" \
		"apt-get install postgresql-common && /usr/share/postgresql-common/pgdg/apt.postgresql.org.sh -y"
}

# fit_to_dump chooses the client that dumps this server: its own version's, or else the
# next newer one, because an older one refuses.
fit_to_dump() {
	local client
	for client in "${clients[@]}"; do
		if ((${client%%:*} >= server)); then
			bin=${client#*:}
			return
		fi
	done
	die "the database is PostgreSQL $server, and the newest client here is ${client%%:*}, which does not dump it: $(newer_client "$server")"
}

# fit_to_restore chooses the client that reads a dump and writes for this server: of its own
# version or the next newer one, or else the newest of the older ones. It sets contents.
fit_to_restore() {
	local client ordered=() older=() said=''
	for client in "${clients[@]}"; do
		if ((${client%%:*} >= server)); then ordered+=("$client"); else older=("$client" "${older[@]}"); fi
	done
	[[ $(head -c 5 "$1" 2>/dev/null) == PGDMP ]] || die "$1 is not a readable backup"
	for client in "${ordered[@]}" "${older[@]}"; do
		bin=${client#*:}
		if contents=$("$bin/pg_restore" --list "$1" 2>&1); then
			return
		fi
		said=$contents
	done
	[[ $said != *"unsupported version"* ]] ||
		die "$1 was made by a newer PostgreSQL than the newest client here, ${clients[-1]%%:*}: $(newer_client "$((${clients[-1]%%:*} + 1))")"
	die "$1 is not a readable backup: $said"
}

# read_back reads the whole of a dump, and says whether it is one of the shop.
read_back() {
	"$bin/pg_restore" --file /dev/null "$1" || die "$1 is damaged: it cannot be read to its end"
	[[ $contents == *"TABLE DATA public ledger_entries"* ]] || die "$1 is no backup of the shop: it has no ledger"
}

# dump makes a dump and reads it back.
dump() {
	fit_to_dump
	with pg_dump --format custom --no-owner --no-privileges >"$1"
	contents=$("$bin/pg_restore" --list "$1") || die "the dump is not readable"
	read_back "$1"
}

# ours prints the names of everything in the dump and of every table of the schema, as
# PostgreSQL writes arrays. River's own begin with river_.
ours() {
	{
		awk '$4 ~ /^(TABLE|VIEW|SEQUENCE|FUNCTION|TYPE)$/ && $5 == "public" {sub(/\(.*/, "", $6); print $6}' <<<"$contents"
		sed -n 's/^\([a-z_0-9]*\)$/\1/p' "$schema"
		echo goose_db_version
	} | grep -E '^[a-z_0-9]+$' | sort -u | paste -s -d , | sed "s/.*/'{&}'::name[]/"
}

# check_restore dies, with the reason, if a dump cannot be put into the database. It changes
# nothing.
check_restore() {
	local known found
	fit_to_restore "$1"
	read_back "$1"
	known=$(ours)
	[[ $(ask "SELECT pg_is_in_recovery() OR current_setting('transaction_read_only')::boolean") == f ]] ||
		die "the database takes no writes: it is a standby, or set to read only"
	[[ $(ask "SELECT has_schema_privilege('public', 'CREATE')") == t ]] ||
		die "the shop's role may make no tables: GRANT CREATE, USAGE ON SCHEMA public TO it, as the database's owner"
	found=$(ask "SELECT string_agg(relname, ', ') FROM pg_class WHERE relnamespace = 'public'::regnamespace
		AND relname = ANY ($known) AND NOT pg_has_role(relowner, 'USAGE')")
	[[ -z $found ]] || die "the shop's role does not own, and so cannot replace: $found"
	found=$(ask "SELECT string_agg(relname, ', ') FROM pg_class c WHERE relnamespace = 'public'::regnamespace
		AND relkind IN ('r', 'p', 'v', 'm') AND relname <> ALL ($known) AND NOT starts_with(relname, 'river_')
		AND NOT EXISTS (SELECT FROM pg_depend WHERE classid = 'pg_class'::regclass AND objid = c.oid AND deptype = 'e')")
	[[ -z $found ]] || echo "Left as they are, because neither the backup nor the shop knows them: $found"
}

# removal writes statements that remove what is the shop's, and nothing else: others may
# share the role or the schema, and what is granted to the role must stay.
removal() {
	local known
	known=$(ours)
	cat <<SQL
DO \$\$
DECLARE
	statement text;
	statements text[];
BEGIN
	SELECT array_agg(s ORDER BY turn) INTO statements FROM (
		SELECT CASE relkind WHEN 'S' THEN 2 ELSE 1 END AS turn, format('DROP %s IF EXISTS %s CASCADE', CASE relkind WHEN 'v' THEN 'VIEW' WHEN 'S' THEN 'SEQUENCE' ELSE 'TABLE' END, oid::regclass) AS s
		FROM pg_class
		WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p', 'v', 'S')
			AND (relname = ANY ($known) OR starts_with(relname, 'river_'))
		UNION ALL
		SELECT 3, format('DROP FUNCTION IF EXISTS %s CASCADE', oid::regprocedure)
		FROM pg_proc p
		WHERE pronamespace = 'public'::regnamespace AND pg_has_role(proowner, 'USAGE')
			AND (proname = ANY ($known) OR starts_with(proname, 'river_') OR EXISTS (
				SELECT FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid WHERE t.tgfoid = p.oid AND c.relname = ANY ($known)))
		UNION ALL
		SELECT 4, format('DROP TYPE IF EXISTS %s CASCADE', oid::regtype)
		FROM pg_type
		WHERE typnamespace = 'public'::regnamespace AND typtype IN ('e', 'd') AND pg_has_role(typowner, 'USAGE')
			AND (typname = ANY ($known) OR starts_with(typname, 'river_'))
	) AS all_of_them;
	FOREACH statement IN ARRAY coalesce(statements, '{}') LOOP
		EXECUTE statement;
	END LOOP;
END \$\$;
SQL
}

# statements writes a dump as one transaction, which begins by removing what is there. The
# schema public itself is the database owner's. A server before 17 does not know
# transaction_timeout, which newer clients set to its default.
statements() {
	echo "BEGIN;"
	echo "SET LOCAL client_min_messages = warning; SET LOCAL lock_timeout = '30s';"
	removal
	"$bin/pg_restore" --no-owner --no-privileges --exit-on-error --file - \
		--use-list <(grep -Ev ' (SCHEMA - public|COMMENT - SCHEMA public|EXTENSION - |COMMENT - EXTENSION )' <<<"$contents") "$1" |
		sed '1,/^CREATE /{/^SET transaction_timeout = 0;$/d}'
	echo "COMMIT;"
}

# replace puts a dump that check_restore has passed into the database: all of it or nothing.
replace() {
	local others try
	for try in 1 2 3 4 5; do
		others=$(ask "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()
			AND usename = current_user AND pid <> pg_backend_pid() AND backend_type = 'client backend'")
		[[ $others != 0 ]] || break
		((try < 5)) || die "others are connected to the database, perhaps the shop on another machine: stop them first"
		sleep 1
	done
	statements "$1" | with psql --no-psqlrc --quiet --set ON_ERROR_STOP=1 --output /dev/null
	note '' # what is in the database now is in a backup
}

# note tells the shop, by way of the database, that a backup was made, or why none was. A
# schema that is older than the table for that is told nothing.
# Usage: note REASON    (empty if one was made)
note() {
	[[ $(ask "SELECT to_regclass('public.backups') IS NOT NULL") == t ]] || return 0
	with psql --no-psqlrc --quiet --set ON_ERROR_STOP=1 --set reason="${1:0:300}" <<'SQL'
INSERT INTO backups (id) VALUES (1) ON CONFLICT (id) DO NOTHING;
UPDATE backups SET reason = :'reason',
	succeeded_at = CASE WHEN :'reason' = '' THEN now() ELSE succeeded_at END,
	failed_at = CASE WHEN :'reason' = '' THEN NULL ELSE now() END
WHERE id = 1;
SQL
}

# prune removes a folder's backups that are older than so many days; their names say when
# they were made. Usage: prune FOLDER DAYS
prune() {
	local oldest file name
	oldest=$(date -u -d "@$(($(date +%s) - $2 * 86400))" +%Y%m%dT%H%M%SZ)
	for file in "$1"/[0-9]*Z.*; do
		name=${file##*/}
		if [[ ${name%%.*} < $oldest ]]; then
			rm -f "$file"
		fi
	done
}

# room dies if there is little space left in a folder, before it is used up.
room() {
	local free last=0 file
	free=$(df -Pk "$1" | awk 'NR == 2 {print $4}')
	for file in "$1"/*.dump; do
		[[ ! -e $file ]] || last=$(($(wc -c <"$file") / 1024))
	done
	((free > 2 * last + 102400)) || die "$((free / 1024)) MB are free in $1, too little for a backup: make room"
}
