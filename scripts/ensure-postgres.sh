#!/bin/sh
# Makes sure that PostgreSQL's server programs are installed. They are used for
# private clusters only; no cluster of the system's own is made or started.
set -eu

for initdb in /usr/lib/postgresql/*/bin/initdb; do
	if [ -x "$initdb" ]; then
		exit 0
	fi
done
if command -v initdb >/dev/null 2>&1 && command -v postgres >/dev/null 2>&1; then
	exit 0
fi

# Debian's package would make a cluster "main" and start it on port 5432.
settings=/etc/postgresql-common/createcluster.conf
if [ ! -e "$settings" ] && [ "$(id -u)" = 0 ]; then
	mkdir -p "${settings%/*}"
	echo "create_main_cluster = false" >"$settings"
elif [ ! -e "$settings" ] && command -v sudo >/dev/null 2>&1 && sudo -n true 2>/dev/null; then
	sudo -n mkdir -p "${settings%/*}"
	echo "create_main_cluster = false" | sudo -n tee "$settings" >/dev/null
fi

exec "$(dirname "$0")/install-packages.sh" PostgreSQL postgresql
