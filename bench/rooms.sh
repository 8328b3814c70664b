#!/bin/sh
# Starts a server on a million stored rooms (or as many as the first argument
# says) and prints how long it takes to listen and what it holds in memory then,
# after rooms have been listed, and with all rooms loaded and hibernating (second
# argument "load"). Needs Go, curl and Linux; leaves nothing behind.
set -eu
cd "$(dirname "$0")/.."
rooms=${1:-1000000}
work=$(mktemp -d)
server=
trap '[ -z "$server" ] || kill "$server" 2>/dev/null || true; [ -z "$server" ] || wait "$server" 2>/dev/null || true; rm -rf "$work"' EXIT
trap 'exit 1' INT TERM

go build -o "$work/muster" ./cmd/muster
data=${MUSTER_BENCH_DATA:-$work/data}
[ -e "$data" ] || go run ./scripts/fill -dir "$data" -accounts 1 -rooms "$rooms"
cat >"$work/muster.toml" <<EOF
[general]
hosts = ["localhost"]
data_dir = "$data"
[[listen.c2s]]
port = 15222
[[listen.http]]
port = 15280
[instrumentation]
probe_interval = 1
[modules.mod_muc]
load_permanent_rooms_at_startup = $([ "${2:-}" = load ] && echo true || echo false)
EOF

resident() { awk '/VmRSS/ {print $2 / 1024 " MiB resident"}' "/proc/$server/status"; }
page() { curl -s http://127.0.0.1:15280/metrics; }
value() { page | awk -v name="$1" 'index($0, name "{") == 1 || index($0, name " ") == 1 {print $2}'; }

begin=$(date +%s%N)
"$work/muster" serve --config "$work/muster.toml" 2>"$work/log" &
server=$!
until curl -sf http://127.0.0.1:15280/healthz >/dev/null; do
	kill -0 "$server" || { cat "$work/log"; exit 1; }
	sleep 0.01
done
echo "$rooms stored rooms: listening after $((($(date +%s%N) - begin) / 1000000)) ms, $(resident)"
[ "${2:-}" = load ] || exit 0
until grep -q 'loaded all rooms' "$work/log"; do sleep 1; done
sleep 2
echo "all loaded: $(value mod_muc_rooms_hibernated) hibernate, $(resident), heap $(value go_memstats_heap_inuse_bytes)"
