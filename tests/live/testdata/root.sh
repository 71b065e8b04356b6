#!/bin/bash
# Makes a bare system: Debian or Ubuntu, as on this machine or of another release, with
# systemd and nothing of what the installer installs; but the packages for that lie ready to
# be installed without a network. Usage: root.sh RELEASE ARCHIVE
# (a tar archive, made whole or not at all)
set -euo pipefail

release=$1 archive=$2
exec 9>"${archive%/*}/lock" # somebody else may be at it
flock 9
[[ ! -e $archive ]] || exit 0
rm -rf "${archive%/*}"/root.* "${archive%/*}/bare-$release"-*.tar
work=$(mktemp -d "${archive%/*}/root.XXXXXX")
trap 'rm -rf "$work"' EXIT
root=$work/root
ours=$(sed -n 's/^VERSION_CODENAME=//p' /etc/os-release)
# The mirror that this machine itself uses, if it is one that debootstrap can use.
# shellcheck disable=SC2016 # what is in single quotes is for others to expand
mirror=$(apt-get indextargets --format '$(REPO_URI) $(CODENAME) $(COMPONENT)' 'Created-By: Packages' |
	awk -v release="$ours" '$2 == release && $3 == "main" && $1 ~ /^https?:/ {print $1; exit}')

if ! command -v debootstrap >/dev/null; then
	apt-get -qq update
	(cd "$work" && apt-get -qq download debootstrap 2>/dev/null)
	dpkg -x "$work"/debootstrap*.deb "$work/tool"
	export DEBOOTSTRAP_DIR=$work/tool/usr/share/debootstrap PATH=$work/tool/usr/sbin:$PATH
fi
sh "$(command -v debootstrap)" --variant=minbase --include=ca-certificates,systemd,systemd-sysv,iproute2 \
	"$release" "$root" ${mirror:+"$mirror"} >"$work/log" || {
	cat "$work/log" >&2
	exit 1
}
apt-config dump | grep '^Acquire::http' >"$root/etc/apt/apt.conf.d/99host" || true
cp /etc/resolv.conf "$root/etc/resolv.conf"
cp /etc/ssl/certs/ca-certificates.crt "$root/etc/ssl/certs/" 2>/dev/null || true
echo force-unsafe-io >"$root/etc/dpkg/dpkg.cfg.d/quick" # the machine lives for a minute
# shellcheck disable=SC2016
unshare --mount --pid --fork --kill-child bash -c '
	mount -t proc proc "$1/proc"
	mount --bind /dev "$1/dev"
	exec chroot "$1" env -i http_proxy="${http_proxy:-}" https_proxy="${https_proxy:-}" PATH=/usr/sbin:/usr/bin:/sbin:/bin \
		DEBIAN_FRONTEND=noninteractive sh -c "apt-get -qq update &&
		apt-get -qq install -y --no-install-recommends --download-only postgresql postgresql-client curl openssl unzip nftables"' - "$root"
rm "$root/etc/apt/apt.conf.d/99host" "$root/etc/resolv.conf"
tar -C "$root" -cf "$work/archive" .
mv "$work/archive" "$archive"
