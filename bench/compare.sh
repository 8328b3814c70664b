#!/usr/bin/env bash
# compare.sh: what Muster costs beside Prosody, ejabberd and InspIRCd, on this
# machine; the table goes into docs/performance.md. It installs Debian's newest
# packages of them if they are missing (so it wants root the first time), runs all
# of them on loopback with files of their own, and takes about 20 minutes.
#
#   bench/compare.sh                     everything
#   bench/compare.sh -only 'one to one'  some rows, printed
set -euo pipefail
cd "$(dirname "$0")/.."

missing=()
for package in prosody ejabberd inspircd; do
	dpkg-query -W "$package" >/dev/null 2>&1 || missing+=("$package")
done
if [ ${#missing[@]} -gt 0 ]; then
	echo "installing ${missing[*]}" >&2
	release=$(. /etc/os-release && echo "$VERSION_CODENAME")
	policy=/usr/sbin/policy-rc.d
	list=/etc/apt/sources.list.d/muster-compare.list
	echo "deb http://deb.debian.org/debian $release-backports main" >"$list"
	trap 'rm -f "$list" "$policy"' EXIT
	apt-get update -qq
	# They must not start by themselves: they are run here with limits raised.
	printf '#!/bin/sh\nexit 101\n' >"$policy"
	chmod +x "$policy"
	DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends -t "$release-backports" "${missing[@]}" >/dev/null
	rm -f "$list" "$policy"
	trap - EXIT
fi
ulimit -n "$(ulimit -Hn)"

work=$(mktemp -d)
chmod 755 "$work"
trap 'rm -rf "$work"' EXIT
go build -o "$work/muster" ./cmd/muster
go build -o "$work/compare" ./scripts/compare
case " $* " in
*" -only "* | *" -servers "*) "$work/compare" -muster "$work/muster" "$@" ;;
*) "$work/compare" -muster "$work/muster" -doc docs/performance.md "$@" ;;
esac
