#!/bin/bash
# Looks for known vulnerabilities in the product's source, and in the Xray that is built from
# pinned sources. It needs the vulnerability database, GOVULNDB (https://vuln.go.dev by
# default): where that cannot be reached, nothing was looked at, which is said aloud, and is
# an error only if VULN_REQUIRED is set.
# Usage: vuln.sh GOVULNCHECK [FOLDER [PROGRAM]]
set -euo pipefail

checker=$(readlink -f "${1:?usage: vuln.sh GOVULNCHECK [FOLDER [PROGRAM]]}")
folder=${2:-.} program=${3:-}
database=${GOVULNDB:-https://vuln.go.dev}

if ! curl --fail --silent --show-error --max-time 20 --output /dev/null "$database/index/db.json"; then
	{
		echo "##############################################################################"
		echo "# NOT LOOKED AT: the database of vulnerabilities cannot be reached:"
		echo "#   $database"
		echo "# Nobody knows whether the product has known ones. Run this where it can be."
		echo "##############################################################################"
	} >&2
	[[ -z ${VULN_REQUIRED:-} ]]
	exit
fi
echo "Looking for known vulnerabilities in what the product calls"
"$checker" -db "$database" -C "$folder" ./...
if [[ -n $program && -x $program ]]; then
	echo "Looking for known vulnerabilities in Xray; a newer one mends them, tools/xray/go.mod pins it"
	"$checker" -db "$database" -mode binary "$program" || echo "Xray has some, see above" >&2
fi
