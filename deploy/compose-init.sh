#!/bin/bash
# Prepares what docker-compose.yml needs: the secrets, the node's keys and configuration,
# the catalogue, .env. Asks for what only you know. What is there is kept, so it may be run
# again at any time: after a break, or to make a file anew that was removed.
# Docker is not needed; openssl is.
#
# Answers can be given in the environment instead:
#   PUBLIC_URL       where the world reaches the shop, such as https://shop.example.com:8443
#   COVER_SITE       the web site that the node looks like from outside
#   BOT_TOKEN        from @BotFather
#   CRYPTOPAY_TOKEN  from @CryptoBot: Crypto Pay, My Apps, Create App
#   OPERATOR_CHAT    the number of the Telegram chat that is told what is wrong; may be left out
set -euo pipefail
umask 077
cd "$(dirname "$0")/.."

fail() {
	echo "compose-init: $*" >&2
	exit 1
}

# ask NAME PATTERN QUESTION sets the variable NAME to what the environment says, or else to
# what is typed. No answer is ever shown.
ask() {
	local name=$1 pattern=$2 question=$3
	if [[ -z ${!name:-} ]]; then
		[[ -t 0 ]] || fail "$name: not given, and there is no terminal to ask at: $question"
		local silent=()
		[[ $name == *_TOKEN ]] && silent=(-s)
		read -r "${silent[@]}" -p "$question: " "${name?}"
		[[ $name == *_TOKEN ]] && echo
	fi
	[[ ${!name} =~ $pattern ]] || fail "$name: this is not as expected: $question"
}

# keep MODE FILE COMMAND... stores what the command prints in the file, unless the file is
# there. Whoever breaks off in the middle leaves no half a file.
keep() {
	local mode=$1 file=$2
	shift 2
	if [[ ! -s $file ]]; then
		"$@" >"$file.part"
		[[ -s $file.part ]] || fail "$file: there was nothing to store"
		mv "$file.part" "$file"
		echo "made $file"
	fi
	chmod "$mode" "$file"
}

url_base64() { base64 | tr '+/' '-_' | tr -d '=\n'; }

private_key() { openssl genpkey -algorithm X25519 -outform DER | tail -c 32 | url_base64; }

# public_key prints what belongs to the private key that it reads. The 16 bytes are what
# stands before a key's own 32 in PKCS #8.
public_key() {
	{
		printf '\x30\x2e\x02\x01\x00\x30\x05\x06\x03\x2b\x65\x6e\x04\x22\x04\x20'
		{ tr -d '\n' | tr '_-' '/+' && printf '='; } | base64 -d
	} | openssl pkey -inform DER -pubout -outform DER | tail -c 32 | url_base64
}

# node_configuration prints deploy/xray.json, filled in. Its key is in no command's
# arguments, where other users could see it.
node_configuration() {
	local text
	text=$(<deploy/xray.json)
	text=${text//COVER_SITE/$COVER_SITE}
	text=${text//PRIVATE_KEY/$(<secrets/node_private_key)}
	text=${text//OWN_ADDRESS/$(own_address)}
	printf '%s\n' "${text//SHORT_ID/$(<secrets/node_short_id)}"
}

# shop_host prints the name or address of PUBLIC_URL.
shop_host() {
	local host=${PUBLIC_URL#https://}
	host=${host%%/*}
	echo "${host%:*}"
}

# own_address prints the address of this server that customers are kept from, or one of
# nobody while its name leads nowhere.
own_address() { getent ahostsv4 "$(shop_host)" | cut -d ' ' -f 1 | head -n 1 | grep . || echo 192.0.2.1; }

# catalogue prints the example with this node in it.
catalogue() {
	sed -e "s|^\( *host:\) [^ ]*|\1 $(shop_host)|" \
		-e "s|^\( *server_name:\) [^ ]*|\1 $COVER_SITE|" \
		-e "s|^\( *public_key:\) [^ ]*|\1 $(public_key <secrets/node_private_key)|" \
		-e "s|^\( *short_id:\) [^ ]*|\1 \"$(<secrets/node_short_id)\"|" \
		catalogue.example.yaml
}

database_url() { echo "postgres://sallyport:$(<secrets/postgres_password)@postgres:5432/sallyport"; }

# known NAME prints what .env says.
known() { sed -n "s|^$1=||p" .env 2>/dev/null | tail -n 1; }

command -v openssl >/dev/null || fail "openssl is not installed: apt-get install openssl"

PUBLIC_URL=$(known PUBLIC_URL | grep . || echo "${PUBLIC_URL:-}")
ask PUBLIC_URL '^https://[A-Za-z0-9.-]+(:(443|80|88|8443))?/?$' \
	"The shop's address, such as https://shop.example.com:8443 (Telegram delivers to ports 443, 80, 88 and 8443)"
COVER_SITE=$(known COVER_SITE | grep . || echo "${COVER_SITE:-}")
ask COVER_SITE '^[a-z0-9-]+(\.[a-z0-9-]+)+$' \
	"The web site that the node looks like: a name such as www.example.com, of a site near the server that has TLS 1.3 and HTTP/2"
[[ -s secrets/bot_token ]] || ask BOT_TOKEN '^[0-9]+:[A-Za-z0-9_-]+$' "The bot's token, from @BotFather"
[[ -s secrets/cryptopay_token ]] || ask CRYPTOPAY_TOKEN '^[0-9]+:[A-Za-z0-9_-]+$' "The token of your app, from @CryptoBot"

OPERATOR_CHAT=$(known OPERATOR_CHAT | grep . || echo "${OPERATOR_CHAT:-}")
if [[ -z $OPERATOR_CHAT && -t 0 ]]; then
	read -rp "The number of the Telegram chat that is told what is wrong, such as your own id (may be left empty): " OPERATOR_CHAT
fi
[[ $OPERATOR_CHAT =~ ^(-?[1-9][0-9]*)?$ ]] || fail "OPERATOR_CHAT: want the number of a chat"

[[ ! -s .env || -z $(tail -c 1 .env) ]] || echo >>.env # a last line without its end
for name in PUBLIC_URL COVER_SITE OPERATOR_CHAT; do
	if [[ -z $(known "$name") && -n ${!name} ]]; then
		printf '%s=%s\n' "$name" "${!name}" >>.env
		echo "added $name to .env"
	fi
done

chmod 600 .env

# Nobody else can enter the folder. The files in it are readable to all, because a container
# is given single files, with the mode that they have here, and has a user of its own.
mkdir -p secrets config
chmod 700 secrets
chmod 755 config
keep 444 secrets/bot_token printf '%s\n' "${BOT_TOKEN:-}"
keep 444 secrets/cryptopay_token printf '%s\n' "${CRYPTOPAY_TOKEN:-}"
keep 444 secrets/alert_token cat secrets/bot_token
keep 444 secrets/webhook_secret openssl rand -hex 32
keep 444 secrets/app_key openssl rand -base64 32
keep 444 secrets/postgres_password openssl rand -hex 24
keep 444 secrets/database_url database_url
keep 444 secrets/grafana_password openssl rand -hex 16
keep 400 secrets/node_private_key private_key
keep 400 secrets/node_short_id openssl rand -hex 8
keep 444 secrets/xray.json node_configuration
keep 644 config/catalogue.yaml catalogue
[[ -z $OPERATOR_CHAT ]] || keep 644 config/alertmanager.yml sed "s/OPERATOR_CHAT$/$OPERATOR_CHAT/" deploy/monitoring/alertmanager.yml

echo "Everything is there. Put your plans, prices and contact into config/catalogue.yaml, then: docker compose up -d --build"
