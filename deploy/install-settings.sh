#!/bin/bash
# For install.sh: questions, settings, secrets, Xray's configuration, the catalogue. What is
# there already is not changed, but for the shop's name or address when another is given.
# shellcheck disable=SC2034,SC2154 # variables of install.sh

# secret prints a secret: of an earlier run, of the environment, or of whoever sits here.
# Usage: secret NAME SHAPE QUESTION
secret() {
	local name=$1 shape=$2 question=$3 value file=$1_FILE
	if [[ -s $etc/secrets/${name,,} ]]; then
		cat "$etc/secrets/${name,,}"
		return
	fi
	value=${!name:-}
	if [[ -z $value && -n ${!file:-} ]]; then
		value=$(<"${!file}") || die "$file is not readable"
	fi
	while [[ ! $value =~ $shape ]]; do
		[[ -t 0 && -n $question ]] || die "$name: want a value in the environment, or $name""_FILE; its shape is $shape"
		[[ -z $value ]] || echo "  that does not look like one" >&2
		read -rsp "  $question: " value
		echo >&2
	done
	printf '%s' "$value"
}

ask_all() {
	step "Reading the settings"
	local url
	url=$(known PUBLIC_URL)
	if [[ -n $url ]]; then
		echo "  settings of an earlier run are in $settings and are kept"
		shop_port=$(sed -n 's/.*:\([0-9]*\)$/\1/p' <<<"$url")
		shop_port=${shop_port:-443}
		old_host=$(sed 's,^https://,,; s,:[0-9]*$,,' <<<"$url")
		if [[ -z $domain$address ]]; then
			if [[ $old_host =~ ^[0-9.]+$ ]]; then address=$old_host; else domain=$old_host; fi
		elif [[ ${domain:-$address} != "$old_host" ]]; then
			moves=yes
			echo "  the shop moves from $old_host to ${domain:-$address}"
		fi
		vpn_port=$(xray_port)
	elif [[ -z $domain && -t 0 && -z $address ]]; then
		read -rp "  The shop's domain (nothing, to use the IP address): " domain
	fi
	if [[ -z $cover && ! -e $etc/xray.json ]]; then
		[[ -t 0 ]] || die "--cover: want the web site that the node looks like, such as www.example.com: best one near the server that nobody else here uses"
		echo "  To strangers the node looks like another web site: choose one near the server, with TLS 1.3 and HTTP/2."
		until [[ $cover =~ ^[A-Za-z0-9.-]+(:[0-9]+)?$ ]]; do read -rp "  The web site's name, such as www.example.com: " cover; done
	fi
	if [[ -z $support && -t 0 && ! -e $etc/catalogue.yaml ]]; then
		read -rp "  Whom customers may ask, such as @name: " support
	fi
	bot_token=$(secret BOT_TOKEN '^[0-9]+:[A-Za-z0-9_-]+$' "The bot's token, from @BotFather (it is not shown)")
	cryptopay_token=$(secret CRYPTOPAY_TOKEN '^[0-9]+:[A-Za-z0-9_-]+$' "The token of the Crypto Pay app (it is not shown)")
	database=''
	if [[ -s $etc/secrets/database_url || -n ${DATABASE_URL:-}${DATABASE_URL_FILE:-} ]]; then
		database=$(secret DATABASE_URL '^postgres(ql)?://' '')
	fi
}

# find_address finds the address that the server is reached by.
find_address() {
	if [[ -z $domain && -z $address ]]; then
		address=$(ip -4 route get 1.1.1.1 2>/dev/null | sed -n 's/.* src \([0-9.]*\).*/\1/p' | head -n 1) || true
		[[ -n $address ]] || die "the public address was not found: give it with --address, or give --domain"
		if [[ $address =~ ^(10\.|192\.168\.|172\.(1[6-9]|2[0-9]|3[01])\.|100\.(6[4-9]|[7-9][0-9]|1[01][0-9]|12[0-7])\.) ]]; then
			die "the address $address is a private one: give the public one with --address, or give --domain"
		fi
	fi
	if [[ -n $domain ]]; then
		getent ahosts "$domain" >/dev/null || warn "$domain does not resolve yet; the certificate waits for that"
	fi
}

# keep writes a secret to a file of its own, once.
keep() {
	if [[ ! -s $etc/secrets/$1 ]]; then
		(umask 077 && printf '%s\n' "$2" >"$etc/secrets/$1.new")
		mv "$etc/secrets/$1.new" "$etc/secrets/$1"
		echo "  $etc/secrets/$1"
		restart_shop=yes
	fi
	chown root:sallyport "$etc/secrets/$1"
	chmod 0640 "$etc/secrets/$1"
}

# setting adds a line NAME=VALUE to the settings, unless NAME has one.
setting() {
	if ! grep -q "^${1%%=*}=" "$settings"; then
		printf '%s\n' "$1" >>"$settings"
		restart_shop=yes
	fi
}

# change sets NAME=VALUE in the settings, whatever NAME was.
change() {
	sed -i "/^${1%%=*}=/d" "$settings"
	printf '%s\n' "$1" >>"$settings"
	restart_shop=yes
}

write_settings() {
	step "Writing the settings"
	keep bot_token "$bot_token"
	keep cryptopay_token "$cryptopay_token"
	keep webhook_secret "$(openssl rand -hex 32)"
	if [[ ! -e $settings ]]; then
		echo "# The settings of the shop, read from here at its start; docs/configuration.md explains them." >"$settings"
		echo "  $settings"
	fi
	chown root:sallyport "$settings"
	chmod 0640 "$settings"
	ln -sfn sallyport.env "$etc/.env"
	local set host=${domain:-$address} suffix=":$shop_port"
	[[ $shop_port != 443 ]] || suffix=''
	setting "BOT_TOKEN_FILE=$etc/secrets/bot_token"
	setting "CRYPTOPAY_TOKEN_FILE=$etc/secrets/cryptopay_token"
	setting "WEBHOOK_SECRET_FILE=$etc/secrets/webhook_secret"
	if [[ -n $database ]]; then
		keep database_url "$database"
		setting "DATABASE_URL_FILE=$etc/secrets/database_url"
	else
		setting "$database_setting"
	fi
	setting "CATALOGUE=$etc/catalogue.yaml"
	if [[ $moves == yes ]]; then
		change "PUBLIC_URL=https://$host$suffix"
		if [[ -n $domain ]]; then change "TLS=acme"; else change "TLS=selfsigned"; fi
	fi
	setting "PUBLIC_URL=https://$host$suffix"
	setting "LISTEN=:$shop_port"
	setting "TLS_DIR=/var/lib/sallyport/tls"
	if [[ -n $domain ]]; then
		setting "TLS=acme"
		setting "HTTP_LISTEN=:80"
		[[ -z $email ]] || setting "ACME_EMAIL=$email"
	else
		setting "TLS=selfsigned"
	fi
	for set in "${more[@]}"; do
		setting "$set"
	done
}

# base64url turns bytes into the text that Xray writes keys as.
base64url() { base64 -w 0 | tr '+/' '-_' | tr -d '='; }

# public_of reads a private key as Xray writes it, and prints the public one.
public_of() {
	local key
	key=$(tr -- '-_' '+/')=
	{
		printf '\x30\x2e\x02\x01\x00\x30\x05\x06\x03\x2b\x65\x6e\x04\x22\x04\x20'
		base64 -d <<<"$key"
	} | openssl pkey -inform DER -pubout -outform DER | tail -c 32 | base64url
}

# xray_value prints a text of Xray's configuration.
xray_value() { sed -n "s/.*\"$1\": \[\{0,1\}\"\([^\"]*\)\".*/\1/p" "$etc/xray.json" | head -n 1; }

# xray_port prints the port where customers connect.
xray_port() {
	sed -n 's/.*"tag": "vless-reality".*"port": \([0-9]*\).*/\1/p' "$etc/xray.json" 2>/dev/null | grep . || echo "$vpn_port"
}

write_xray() {
	if [[ ! -e $etc/xray.json ]]; then
		local text target=$cover key short
		[[ $target == *:* ]] || target=$target:443
		check_cover "$target"
		key=$(openssl genpkey -algorithm X25519 -outform DER | tail -c 32 | base64url)
		short=$(openssl rand -hex 8)
		text=$(<deploy/xray.json)
		text=${text/\/run\/xray\/api.sock,0600/\/run\/sallyport-xray\/api.sock,0660}
		text=${text/'"port": 443'/'"port": '$vpn_port}
		text=${text/COVER_SITE:443/$target} text=${text/COVER_SITE/${target%:*}}
		text=${text/PRIVATE_KEY/$key} text=${text/SHORT_ID/$short}
		text=${text/OWN_ADDRESS/192.0.2.1}
		(umask 077 && printf '%s\n' "$text" >"$etc/xray.json.new")
		mv "$etc/xray.json.new" "$etc/xray.json"
		echo "  $etc/xray.json, with new keys"
		restart_xray=yes
	fi
	block_own
	chown xray:root "$etc/xray.json"
	chmod 0400 "$etc/xray.json"
	vpn_port=$(xray_port)
	/usr/local/bin/sallyport-xray run -test -c "$etc/xray.json" >/dev/null || die "Xray does not take $etc/xray.json"
}

# block_own keeps customers from what listens on this server's public address alone, which
# no firewall sees when it comes from here. It may be another server's configuration.
block_own() {
	local own line
	own=$({
		echo "$address"
		getent ahostsv4 "${domain:-localhost}" | cut -d ' ' -f 1
		ip -o address show scope global | awk '$2 != "lo" {sub("/.*", "", $4); print $4}'
	} | grep -v '^127\.' | grep . | sort -u | sed 's/.*/"&"/' | paste -s -d , | sed 's/,/, /g')
	line="{\"ruleTag\": \"own\", \"outboundTag\": \"block\", \"ip\": [$own]},"
	if [[ -n $own ]] && grep -q '"ruleTag": "own"' "$etc/xray.json" && ! grep -qF "$line" "$etc/xray.json"; then
		(umask 077 && sed "s|{\"ruleTag\": \"own\".*|$line|" "$etc/xray.json" >"$etc/xray.json.new")
		mv "$etc/xray.json.new" "$etc/xray.json"
		restart_xray=yes
	fi
}

# check_cover warns if the cover site does not speak TLS 1.3.
check_cover() {
	curl --silent --output /dev/null --max-time 10 --tlsv1.3 "https://$1/" ||
		warn "the cover site $1 did not answer over TLS 1.3: if it never does, customers cannot connect"
}

write_catalogue() {
	if [[ ! -e $etc/catalogue.yaml ]]; then
		local file=$etc/catalogue.yaml.new contact=${support:-@your_support}
		sed '/^nodes:/,$d' catalogue.example.yaml | while IFS= read -r line; do
			[[ $line != support:* ]] || line="support: \"${contact//[\"\\]/}\""
			printf '%s\n' "$line"
		done >"$file"
		cat >>"$file" <<TEXT
nodes:
  - name: main # 1 to 32 of a-z 0-9 -; customers see it above its link
    title: "${domain:-VPN}" # what the customer's app calls the server
    api: unix:///run/sallyport-xray/api.sock
    inbound: vless-reality
    host: ${domain:-$address}
    port: $vpn_port
    server_name: $(xray_value serverNames)
    public_key: $(xray_value privateKey | public_of)
    short_id: "$(xray_value shortIds)"
    fingerprint: chrome # the browser that apps imitate
TEXT
		mv "$file" "$etc/catalogue.yaml"
		echo "  $etc/catalogue.yaml, with the plans and prices of the example"
		restart_shop=yes
	fi
	if [[ $moves == yes ]]; then
		sed -i "s|^\( *-\{0,1\} *host: *\)\"\{0,1\}${old_host//./\\.}\"\{0,1\}\( .*\)\{0,1\}$|\1${domain:-$address}\2|" "$etc/catalogue.yaml"
		echo "  $etc/catalogue.yaml: nodes at $old_host are at ${domain:-$address} now; customers copy their key again"
		restart_shop=yes
	fi
	chown root:sallyport "$etc/catalogue.yaml"
	chmod 0640 "$etc/catalogue.yaml"
}
