#!/bin/bash
# For install.sh: the system, its packages, users and database.
# shellcheck disable=SC2034,SC2154 # variables of install.sh

check_system() {
	step "Checking the system"
	[[ -d /run/systemd/system ]] || die "this system does not run systemd"
	command -v apt-get >/dev/null || die "this system has no apt-get: Debian 12 or later, or Ubuntu 22.04 or later, is needed"
	case $(uname -m) in x86_64 | aarch64) ;; *) die "the processor is $(uname -m); x86_64 or aarch64 is needed" ;; esac
	local id version
	id=$(sed -n 's/^ID=//p' /etc/os-release | tr -d '"')
	version=$(sed -n 's/^VERSION_ID=//p' /etc/os-release | tr -d '"')
	case "$id $version" in
	"debian 12" | "debian 13" | "ubuntu 22.04" | "ubuntu 24.04") echo "  $id $version, $(uname -m)" ;;
	*) warn "$id $version is none of Debian 12, 13 and Ubuntu 22.04, 24.04" ;;
	esac
	local wanted=1000 free memory
	deploy/programs.sh --check || wanted=4000
	free=$(df --output=avail -m /var | tail -n 1)
	memory=$(($(awk '/^MemTotal|^SwapTotal/ {sum += $2} END {print sum}' /proc/meminfo) / 1000))
	((free >= wanted)) || die "$free MB are free on /var; $wanted are needed"
	((memory >= 900)) || warn "$memory MB of memory and swap: building may fail; make a swap file, or build elsewhere and copy .bin"
	check_port "$shop_port" sallyport
	check_port "$vpn_port" sallyport-xray
	[[ -z $domain ]] || check_port 80 sallyport
}

# check_port ends unless a port is free, or taken by the unit that is to have it.
check_port() {
	command -v ss >/dev/null || return 0
	local taken owner
	taken=$(ss -Hltnp "sport = :$1")
	owner=$(systemctl show --property=MainPID --value "$2.service" 2>/dev/null || true)
	if [[ -n $taken && $taken != *",pid=${owner:-0},"* ]]; then
		echo "$taken" >&2
		die "port $1 is taken, see above; free it, or choose another with --shop-port or --vpn-port"
	fi
}

install_packages() {
	step "Installing packages"
	local need=()
	command -v curl >/dev/null || need+=(curl)
	command -v openssl >/dev/null || need+=(openssl)
	command -v unzip >/dev/null || need+=(unzip)
	command -v ss >/dev/null || need+=(iproute2)
	command -v nft >/dev/null || need+=(nftables)
	[[ -e /etc/ssl/certs/ca-certificates.crt ]] || need+=(ca-certificates)
	if [[ -z $database ]] && ! compgen -G '/usr/lib/postgresql/*/bin/postgres' >/dev/null; then
		need+=(postgresql)
	elif ! command -v pg_dump >/dev/null; then
		need+=(postgresql-client)
	fi
	if ((${#need[@]} == 0)); then
		echo "  nothing is missing"
		return
	fi
	scripts/install-packages.sh "${need[*]}" "${need[@]}" >/var/log/sallyport-install.log 2>&1 ||
		die "apt-get failed: see /var/log/sallyport-install.log"
	echo "  installed: ${need[*]}"
}

make_users() {
	step "Making users and directories"
	local user
	for user in sallyport xray; do
		if ! id "$user" >/dev/null 2>&1; then
			useradd --system --user-group --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin "$user"
			echo "  user $user"
		fi
	done
	usermod --append --groups xray sallyport # for the socket of Xray's API
	install -d -m 0755 "$etc"
	install -d -m 0750 -o root -g sallyport "$etc/secrets"
	install -d -m 0700 -o sallyport -g sallyport /var/lib/sallyport
	# What a backup of another server brought belongs to the numbers of users there.
	chown -R --no-dereference sallyport:sallyport /var/lib/sallyport
	chown -R --no-dereference root:sallyport "$etc/secrets"
	install -d -m 0700 /var/backups/sallyport
}

make_database() {
	if [[ -n $database ]]; then
		return
	fi
	step "Making the database"
	if [[ -z $(pg_lsclusters --no-header) ]]; then
		pg_createcluster "$(find /usr/lib/postgresql -mindepth 1 -maxdepth 1 -printf '%f\n' | sort -V | tail -n 1)" main >/dev/null
		systemctl daemon-reload
	fi
	local version name port
	port=$(known DATABASE_URL | sed -n 's/.*[?&]port=\([0-9]*\).*/\1/p')
	read -r version name port _ < <(pg_lsclusters --no-header | awk -v port="$port" '!port || $3 == port' | sort -V | tail -n 1) ||
		die "no PostgreSQL of this server is on the port that DATABASE_URL of $settings names"
	((${version%%.*} >= 15)) || warn "PostgreSQL $version: 15 or later is what the shop is tested with"
	systemctl enable --quiet postgresql.service
	systemctl start "postgresql@$version-$name.service"
	as_postgres() { (cd / && setpriv --reuid postgres --regid postgres --init-groups "$@" --port "$port"); }
	local exists="SELECT 1 FROM pg_roles WHERE rolname = 'sallyport'"
	[[ $(as_postgres psql -XAtc "$exists" postgres) == 1 ]] || as_postgres createuser sallyport
	exists="SELECT 1 FROM pg_database WHERE datname = 'sallyport'"
	[[ $(as_postgres psql -XAtc "$exists" postgres) == 1 ]] ||
		as_postgres createdb --owner sallyport --template template0 --encoding UTF8 --locale C.UTF-8 sallyport
	database_setting="DATABASE_URL=postgres://sallyport@/sallyport?host=/var/run/postgresql&port=$port"
	echo "  PostgreSQL $version, role and database sallyport, no password: the shop's user alone is let in"
}

# check_clients sees, with a database elsewhere, that it can be backed up from here: that
# takes PostgreSQL's programs of its own version or a later one.
check_clients() {
	if [[ -z $database ]]; then
		return
	fi
	step "Looking at the database"
	local said major
	said=$(bash -euo pipefail -c '
		die() { echo "$*"; exit 1; }
		. deploy/database.sh
		connect
		echo "PostgreSQL $server"
		fit_to_dump' 2>&1) && {
		echo "  $said"
		return
	}
	major=$(sed -n 's/^PostgreSQL \([0-9]*\)$/\1/p' <<<"$said")
	if [[ -n $major && -n $(apt-cache policy "postgresql-client-$major" 2>/dev/null) ]] &&
		scripts/install-packages.sh "postgresql-client-$major" "postgresql-client-$major" >>/var/log/sallyport-install.log 2>&1; then
		echo "  PostgreSQL $major; installed: postgresql-client-$major"
		return
	fi
	warn "no backups can be made: $(tail -n 1 <<<"$said")"
}

# let_resolve lets Xray ask the name servers of this machine that its unit keeps it from: it
# may talk to no address that is private, so that no customer does through it.
let_resolve() {
	local server text='' folder=/etc/systemd/system/sallyport-xray.service.d
	while read -r server; do
		case $server in
		127.0.0.53 | 10.* | 192.168.* | 169.254.* | 172.1[6-9].* | 172.2[0-9].* | 172.3[01].* | 100.* | f[cd]*) ;;
		127.* | ::1) warn "the name server $server is this machine, so customers may reach what listens on it; systemd-resolved (127.0.0.53) keeps it apart" ;;
		*) continue ;;
		esac
		text+="IPAddressAllow=$server"$'\n'
	done < <(sed -n 's/^nameserver  *\([0-9a-f.:]*\).*/\1/p' /etc/resolv.conf 2>/dev/null)
	install -d "$folder"
	printf '[Service]\n%s' "$text" >"$folder/resolvers.conf.made"
	if put "$folder/resolvers.conf.made" "$folder/resolvers.conf" 0644 root:root; then restart_xray=yes; fi
	rm "$folder/resolvers.conf.made"
}
