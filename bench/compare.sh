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

scripts/peers prosody ejabberd inspircd
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
