#!/bin/bash
# Installs sallyport, Xray and PostgreSQL on a bare Debian or Ubuntu server, or updates them.
# Run as root in the clone: deploy/install.sh. Running it again keeps every setting and key.
set -euo pipefail
cd "$(dirname "$0")/.."

usage() {
	cat <<'TEXT'
Usage: deploy/install.sh [OPTION...]
Asks for what it needs when there is a terminal. Otherwise:

  --domain NAME         the shop's public name; without one, its address is used
  --address IP          the server's public IPv4 address; by default it is found
                        A shop that is there already is moved to a name or an address that
                        is another: Telegram delivers there, and customers connect there.
  --shop-port PORT      where Telegram delivers: 443, 80, 88 or 8443 (default 8443)
  --vpn-port PORT       where customers connect (default 443)
  --cover NAME[:PORT]   the web site that REALITY shows to strangers: it must speak TLS 1.3
                        and HTTP/2, and best stands near the server
  --support CONTACT     whom customers may ask, such as @name
  --email ADDRESS       where the certificates' CA may write to
  --restore FILE        put a backup of the database back before the shop starts
  --no-backup           update though no backup can be made
  --tag TAG             install that release: the clone is put at the tag first
  --set NAME=VALUE      any other setting that is no secret, such as TIMEZONE=Europe/Moscow

Secrets come from the environment, never from the command line: BOT_TOKEN, CRYPTOPAY_TOKEN,
and DATABASE_URL if the database is not to be on this server. NAME_FILE=FILE names a file
that holds one.
TEXT
}

readonly etc=/etc/sallyport settings=/etc/sallyport/sallyport.env
domain='' address='' shop_port=8443 vpn_port=443 cover='' support='' email='' restore='' backup=yes tag='' more=()
restart_shop=no restart_xray=no restart_bound=no moves=no old_host=''

# shellcheck source-path=SCRIPTDIR source=install-system.sh
. deploy/install-system.sh
# shellcheck source-path=SCRIPTDIR source=install-settings.sh
. deploy/install-settings.sh

die() {
	echo "install.sh: $*" >&2
	exit 1
}

warn() { echo "  warning: $*"; }

step() { echo "==> $*"; }

parse() {
	while (($# > 0)); do
		case $1 in
		--help | -h)
			usage
			exit
			;;
		--no-backup)
			backup=no
			shift
			;;
		--domain | --address | --shop-port | --vpn-port | --cover | --support | --email | --restore | --tag | --set)
			(($# > 1)) || die "$1 wants a value"
			case $1 in
			--domain) domain=$2 ;;
			--address) address=$2 ;;
			--shop-port) shop_port=$2 ;;
			--vpn-port) vpn_port=$2 ;;
			--cover) cover=$2 ;;
			--support) support=$2 ;;
			--email) email=$2 ;;
			--restore) restore=$(readlink -f "$2") ;;
			--tag) tag=$2 ;;
			--set) more+=("$2") ;;
			esac
			shift 2
			;;
		*) die "unknown option $1; see deploy/install.sh --help" ;;
		esac
	done
	local set
	for set in "${more[@]}"; do
		[[ $set =~ ^[A-Z_]+=.*$ ]] || die "--set wants NAME=VALUE"
		case ${set%%=*} in
		*TOKEN* | *SECRET* | *KEY* | DATABASE_URL) die "${set%%=*} is a secret: give it in the environment" ;;
		esac
	done
	[[ $shop_port =~ ^(443|80|88|8443)$ ]] || die "--shop-port: Telegram delivers to 443, 80, 88 and 8443 only"
	[[ $vpn_port =~ ^[0-9]{1,5}$ && $vpn_port != "$shop_port" ]] || die "--vpn-port: want a port other than the shop's"
	[[ -z $domain || $domain =~ ^[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?$ ]] || die "--domain: want a name such as shop.example.com"
	[[ -z $address || $address =~ ^[0-9]+(\.[0-9]+){3}$ ]] || die "--address: want an IPv4 address"
	[[ -z $restore || -f $restore ]] || die "--restore: there is no such file"
	[[ -z $cover || $cover =~ ^[A-Za-z0-9.-]+(:[0-9]+)?$ ]] || die "--cover: want a name such as www.example.com"
}

# go_to puts the clone at a release and begins anew with what lies there, with the options
# but that one. The programs of each tag are built by its own installer.
go_to() {
	local rest=()
	git -c safe.directory='*' fetch --quiet --tags || warn "no newer tags could be fetched"
	git -c safe.directory='*' rev-parse --quiet --verify "refs/tags/$tag^{commit}" >/dev/null || die "--tag: there is no release $tag; git tag lists them"
	[[ -z $(git -c safe.directory='*' status --porcelain --untracked-files=no) ]] || die "--tag: the clone has changes of your own: git stash keeps them"
	git -c safe.directory='*' checkout --quiet --detach "refs/tags/$tag"
	while (($# > 0)); do
		if [[ $1 == --tag ]]; then
			shift 2
		else
			rest+=("$1")
			shift
		fi
	done
	exec deploy/install.sh "${rest[@]}"
}

# known prints the value that a setting has since an earlier run.
known() {
	[[ ! -e $settings ]] || sed -n "s/^$1=//p" "$settings" | head -n 1
}

# put installs a file if it differs, at once whole, and says whether it did.
# Usage: put SOURCE TARGET MODE OWNER
put() {
	if cmp -s "$1" "$2"; then
		chown "$4" "$2"
		chmod "$3" "$2"
		return 1
	fi
	install -m "$3" -o "${4%:*}" -g "${4#*:}" "$1" "$2.new"
	mv "$2.new" "$2"
	echo "  $2"
}

get_programs() {
	step "Getting the programs"
	deploy/programs.sh 2>&1 | sed 's/^/  /'
	if [[ -e /usr/local/bin/sallyport ]] && ! cmp -s .bin/sallyport /usr/local/bin/sallyport; then
		if [[ $backup == yes && -z $restore ]]; then
			echo "  a backup before the update"
			/usr/local/sbin/sallyport-backup | sed 's/^/  /' ||
				die "no backup could be made, so nothing was updated; with --no-backup it is done without one"
		fi
		cp -p /usr/local/bin/sallyport /usr/local/bin/sallyport.previous
	fi
	if put .bin/sallyport /usr/local/bin/sallyport 0755 root:root; then restart_shop=yes; fi
	if put .bin/xray /usr/local/bin/sallyport-xray 0755 root:root; then restart_xray=yes; fi
	install -d /usr/local/lib/sallyport
	local script
	for script in backup.sh database.sh restore.sh; do
		put "deploy/$script" "/usr/local/lib/sallyport/$script" 0755 root:root || true
	done
	if put deploy/bound.sh /usr/local/lib/sallyport/bound.sh 0755 root:root; then restart_bound=yes; fi
	put migrations/schema.txt /usr/local/lib/sallyport/schema.txt 0644 root:root || true
	ln -sfn /usr/local/lib/sallyport/backup.sh /usr/local/sbin/sallyport-backup
	ln -sfn /usr/local/lib/sallyport/restore.sh /usr/local/sbin/sallyport-restore
}

# hold_shop stops the shop before the database is made that is to be restored into: it must
# not find it empty. If the installation does not come to its end, a shop that ran runs again.
hold_shop() {
	if [[ -n $restore ]] && systemctl --quiet is-active sallyport.service; then
		trap 'systemctl start sallyport.service' EXIT
		systemctl stop sallyport.service
	fi
}

start_services() {
	step "Starting the services"
	local unit
	for unit in sallyport-bound.service sallyport-xray.service sallyport.service sallyport-backup.service sallyport-backup.timer; do
		if put "deploy/$unit" "/etc/systemd/system/$unit" 0644 root:root; then
			case $unit in
			sallyport.service) restart_shop=yes ;;
			sallyport-xray.service) restart_xray=yes ;;
			sallyport-bound.service) restart_bound=yes ;;
			esac
		fi
	done
	let_resolve
	systemctl daemon-reload
	systemctl enable --quiet sallyport-xray.service sallyport.service sallyport-backup.timer
	systemctl start sallyport-backup.timer
	start_one sallyport-bound "$restart_bound" ||
		warn "nothing bounds the connections of one customer: journalctl -u sallyport-bound"
	start_one sallyport-xray "$restart_xray"
	if [[ -n $restore ]]; then
		sallyport-restore "$restore" --yes | sed 's/^/  /'
		trap - EXIT
	else
		start_one sallyport "$restart_shop"
	fi
}

# start_one starts a unit, or restarts it if something of it changed.
start_one() {
	if [[ $2 == no ]] && systemctl --quiet is-active "$1.service"; then
		echo "  $1 runs and is as it was"
	else
		systemctl restart "$1.service" && echo "  $1 is started"
	fi
}

# as_shop runs one of the shop's commands as the service runs, with its settings.
as_shop() {
	(cd "$etc" && env -i PATH=/usr/local/bin:/usr/bin:/bin setpriv --reuid sallyport --regid sallyport --init-groups sallyport "$@")
}

# look waits until every component is well, for a minute, and shows how they are.
look() {
	step "Looking at the shop"
	local report='' began=$SECONDS
	while ((SECONDS - began < 60)); do
		report=$(as_shop health 2>&1) || true
		[[ $report != ok* ]] || break
		sleep 1
	done
	awk '{print "  " $0}' <<<"$report"
	if [[ $report != ok* ]]; then
		warn "not everything is well yet; what the shop says: journalctl -u sallyport"
	fi
	if sallyport doctor --help >/dev/null 2>&1; then
		as_shop doctor | awk '{print "  " $0}' || warn "sallyport doctor found something: see above"
	fi
	systemctl --quiet is-active sallyport.service || die "the shop does not run: journalctl -u sallyport"
}

# first_backup shows on the first day that backups can be made, and has the shop expect them.
first_backup() {
	if [[ $backup == yes && -z $(find /var/backups/sallyport -name '*.dump' -print -quit) ]]; then
		step "Making the first backup"
		systemctl start sallyport-backup.service || warn "it failed: journalctl -u sallyport-backup"
	fi
}

next_steps() {
	local url
	url=$(known PUBLIC_URL)
	echo "==> The shop runs, after $SECONDS s. What is left to do:"
	if [[ -n $domain ]]; then
		echo "  - In @CryptoBot: Crypto Pay, My Apps, your app, Webhooks, Enable, and give $url/payments/cryptobot"
	else
		echo "  - Nothing at Crypto Pay: it does not call an address without a domain; payments are found by asking"
	fi
	echo "  - Plans and prices are in $etc/catalogue.yaml: edit them, then: systemctl reload sallyport"
	if command -v ufw >/dev/null && ufw status | grep -q '^Status: active'; then
		echo "  - Open the firewall: ufw allow $shop_port/tcp && ufw allow $vpn_port/tcp${domain:+ && ufw allow 80/tcp}"
	fi
	cat <<TEXT
  - Open your bot in Telegram and press /start
How it is:      cd /etc/sallyport && runuser -u sallyport -- sallyport health
Its log:        journalctl -u sallyport -f
To update:      git pull && deploy/install.sh
Backups:        every day in /var/backups/sallyport; copy them to another machine
To remove it:   systemctl disable --now sallyport sallyport-xray sallyport-backup.timer
TEXT
}

parse "$@"
[[ -z $tag ]] || go_to "$@"
[[ $(id -u) == 0 ]] || die "must be run as root"
umask 022
ask_all
find_address
check_system
install_packages
make_users
get_programs
hold_shop
make_database
write_settings
check_clients
write_xray
write_catalogue
start_services
look
first_backup
next_steps
