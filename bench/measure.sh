#!/usr/bin/env bash
# measure.sh: the figures of docs/performance.md, on this machine. It needs Go
# and a few minutes, talks to loopback only, and leaves nothing behind.
set -euo pipefail
cd "$(dirname "$0")/.."

work=$(mktemp -d)
server=
trap 'if [ -n "$server" ]; then kill "$server" 2>/dev/null; wait "$server" 2>/dev/null || true; fi; rm -rf "$work"' EXIT
port=${PORT:-6222}
go build -o "$work/muster" ./cmd/muster

cat >"$work/muster.toml" <<TOML
[general]
hosts = ["localhost"]
data_dir = "$work/data"
loglevel = "warning"
[[listen.c2s]]
port = $port
ip_address = "127.0.0.1"
tls.mode = "starttls"
[modules.mod_muc]
max_users = 2000
[modules.mod_muc.default_room]
max_users = 2000
persistent = true
moderated = false
TOML

# start [VAR=VALUE...]: a fresh server, whose process id is in $server.
start() {
	if [ -n "$server" ]; then
		kill "$server"
		wait "$server" || true
	fi
	"$work/muster" serve --config "$work/muster.toml" &
	server=$!
	until [ -S "$work/data/admin.sock" ] && "$work/muster" user list --data-dir "$work/data" >/dev/null 2>&1; do :; done
}

meter() {
	echo "\$ muster bench $*"
	"$work/muster" bench "$@" --addr "127.0.0.1:$port" --insecure --pid "$server" --create-in "$work/data" 2>/dev/null
	echo
}

uname -srm
grep -m1 'model name' /proc/cpuinfo || true
go version
echo

start
meter fanout --tls none --set 'muc#roomconfig_persistentroom=0'
meter fanout --tls none
meter fanout --tls starttls
meter fanout --tls none --senders 1 --window 1 --set 'muc#roomconfig_persistentroom=0'
meter fanout --tls none --occupants 1000 --window 2 --set 'muc#roomconfig_persistentroom=0'
meter join --tls none --set 'muc#roomconfig_persistentroom=0'
start
meter chat --tls none
meter chat --tls none --window 1
meter chat --tls none --bare
meter chat --tls none --acks
meter chat --tls none --acks --window 1
meter chat --tls starttls
start
meter login --tls none --mechanism SCRAM-SHA-256
meter login --tls starttls
start
meter idle --tls none --sessions 1000 --users 100
start
meter idle --tls starttls --sessions 1000 --users 100

# listening: how long a server takes until it accepts connections.
listening() {
	"$work/muster" serve --config "$work/muster.toml" 2>"$work/log" &
	pid=$!
	begin=$(date +%s%N)
	until (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; do :; done
	echo "$((($(date +%s%N) - begin) / 1000)) µs"
	kill "$pid"
	wait "$pid" || true
}

echo '$ from an empty directory to listening, ten times'
for _ in 1 2 3 4 5 6 7 8 9 10; do
	"$work/muster" demo --once >/dev/null # warms the file cache as an installed program's is
done
kill "$server"
wait "$server" || true
server=
for _ in 1 2 3 4 5 6 7 8 9 10; do
	rm -rf "$work/data"
	listening
done

echo '$ the same with 100,000 stored accounts and rooms, five times'
rm -rf "$work/data"
go run ./scripts/fill -dir "$work/data" -accounts 100000 -rooms 100000
for _ in 1 2 3 4 5; do
	listening
done

echo
go test -run '^$' -bench 'Parse|Encode' -benchmem ./stanza | grep ^Benchmark
go test -run '^$' -bench FanOut ./internal/stream | grep ^Benchmark
go test -run '^$' -bench 'Join|Affiliations|Memory' -benchmem ./muc | grep ^Benchmark
