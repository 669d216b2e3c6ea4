#!/bin/sh
# Installs the Debian packages that the cluster stands on. What is there is
# left alone; a second run does nothing. Needs root.
set -eu
packages="containerd runc containernetworking-plugins nftables socat busybox-static util-linux iproute2"

started=$(date +%s)
missing=
for package in $packages; do
	if [ "$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null)" != installed ]; then
		missing="$missing $package"
	fi
done
if [ -z "$missing" ]; then
	echo "cluster packages: all there"
	exit 0
fi

# Debian starts a containerd of the machine's own right after unpacking, unless
# this file says no (invoke-rc.d). The cluster starts one for itself. A
# containerd that was there before is not in $missing and not touched.
policy=/usr/sbin/policy-rc.d
case $missing in
*containerd*)
	if [ ! -e "$policy" ]; then
		printf '#!/bin/sh\nexit 101\n' >"$policy"
		chmod 755 "$policy"
		trap 'rm -f "$policy"' EXIT
	fi
	;;
esac

echo "cluster packages: installing$missing"
export DEBIAN_FRONTEND=noninteractive
install() {
	# shellcheck disable=SC2086 # a list of words
	apt-get -o DPkg::Lock::Timeout=120 install -y -qq --no-install-recommends $missing
}
log=$(mktemp)
if ! install >"$log" 2>&1; then
	# Old package lists name versions that are no more.
	if ! { apt-get -o DPkg::Lock::Timeout=120 update -qq && install; } >"$log" 2>&1; then
		cat "$log" >&2
		rm -f "$log"
		exit 1
	fi
fi
rm -f "$log"
# The package enables the service for the next boot of a machine with systemd.
case $missing in
*containerd*)
	if [ -d /run/systemd/system ]; then
		systemctl disable --now --quiet containerd || true
	fi
	;;
esac
echo "cluster packages: installed in $(($(date +%s) - started)) s"
