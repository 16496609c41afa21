#!/usr/bin/env bash
# Requests per second and latency of the sidecar's hits, each beside a bare hyper server that answers
# the same bytes whatever it is asked, by wrk, with one connection and with 64, all in one run.
#
#   benches/sidecar.sh [name|command|url|header]...
#
# Each argument is another server to run beside them, for instance
#   'agent|./aws_secretsmanager_agent --config agent.toml|http://localhost:2774/secretsmanager/get?secretId=/bench/secret|X-Aws-Parameters-Secrets-Token: token'
# It is started with the variables that lead to AWS here, which is moto, and must serve the url.
#
# Needs wrk, and moto_server in PATH or by path in MOTO_SERVER. ROUNDS (7) and SECONDS_EACH (1) say how
# often and how long each is measured. The two of a pair are measured one right after the other, and
# the median of their ratios counts: machines are noisy.
set -euo pipefail
cd "$(dirname "$0")/.."

rounds=${ROUNDS:-7} seconds=${SECONDS_EACH:-1}
target=$(realpath -m "${CARGO_TARGET_DIR:-target}")
directory=$(mktemp -d)
processes=()
finish() {
  kill "${processes[@]}" 2>/dev/null || true
  rm -rf "$directory"
}
trap finish EXIT

run() { # <log> <command>...: until the end of this script
  local log=$directory/$1
  shift
  "$@" >"$log" 2>&1 &
  processes+=($!)
}

await() { # <url> <header>: until it is served
  for _ in $(seq 200); do
    if curl -fs -o "$directory/answer" -H "$2" "$1"; then return; fi
    sleep 0.05
  done
  echo "$1 is not served:" >&2
  tail "$directory"/*.log >&2
  exit 1
}

free_port() {
  python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'
}

aws() { # <service> <target> <json>: a call, as moto takes it
  curl -fs -o "$directory/answer" "$AWS_ENDPOINT_URL" -d "$3" -H "X-Amz-Target: $2" \
    -H 'Content-Type: application/x-amz-json-1.1' \
    -H "Authorization: AWS4-HMAC-SHA256 Credential=key/20260101/$AWS_REGION/$1/aws4_request"
}

cargo build --quiet --release --features sidecar --bin lambda-cache-extension
cargo build --quiet --release --manifest-path benches/constant/Cargo.toml --target-dir "$target"

moto=$(free_port)
export AWS_ENDPOINT_URL=http://127.0.0.1:$moto AWS_REGION=eu-west-1
export AWS_ACCESS_KEY_ID=key AWS_SECRET_ACCESS_KEY=secret AWS_SESSION_TOKEN=token
run moto.log "${MOTO_SERVER:-moto_server}" -p "$moto"
await "$AWS_ENDPOINT_URL/moto-api/data.json" 'Accept: */*'
value='{"host": "database.example", "user": "bench", "password": "not much of a secret"}'
quoted=$(python3 -c 'import json, sys; print(json.dumps(sys.argv[1]))' "$value")
aws ssm AmazonSSM.PutParameter "{\"Name\": \"/bench/parameter\", \"Type\": \"String\", \"Value\": $quoted}"
aws secretsmanager secretsmanager.CreateSecret \
  "{\"Name\": \"/bench/secret\", \"SecretString\": $quoted, \"ClientRequestToken\": \"$(cat /proc/sys/kernel/random/uuid)\"}"

declared=$(free_port) on_demand=$(free_port)
echo 'parameters: [{names: [/bench/parameter]}]' >"$directory/config.yaml"
LAMBDA_CACHE_CONFIG=$directory/config.yaml LAMBDA_CACHE_PORT=$declared \
  PARAMETERS_SECRETS_EXTENSION_HTTP_PORT=$on_demand \
  run sidecar.log "$target/release/lambda-cache-extension"

token='X-Aws-Parameters-Secrets-Token: token'
servers=()
for server in \
  "declared parameter|-|http://127.0.0.1:$declared/parameters?name=/bench/parameter|Accept: */*" \
  "named parameter|-|http://127.0.0.1:$on_demand/systemsmanager/parameters/get?name=/bench/parameter|$token" \
  "named secret|-|http://127.0.0.1:$on_demand/secretsmanager/get?secretId=/bench/secret|$token" \
  "$@"; do
  IFS='|' read -r name command url header <<<"$server"
  header=${header:-Accept: */*}
  if [ "$command" != - ]; then
    # shellcheck disable=SC2086 # a command and its words
    run "$name.log" $command
  fi
  await "$url" "$header"
  port=$(free_port)
  run "constant-$port.log" "$target/release/constant" "$port" "$(cat "$directory/answer")"
  same=http://127.0.0.1:$port/${url#*://*/}
  await "$same" "$header"
  servers+=("$name|bare hyper|$same|$header" "$name|itself|$url|$header")
done

# Round by round, so that whatever else the machine does meets all of them alike.
for _ in $(seq "$rounds"); do
  for connections in 1 64; do
    for server in "${servers[@]}"; do
      IFS='|' read -r name who url header <<<"$server"
      threads=$((connections == 1 ? 1 : 2))
      wrk -t$threads -c$connections -d"${seconds}s" --latency -H "$header" "$url" |
        awk -v place="$name|$who|$connections" '
          function micros(time) {
            return time ~ /us$/ ? time + 0 : time ~ /ms$/ ? time * 1000 : time * 1000000
          }
          $1 == "50%" { p50 = micros($2) }
          $1 == "99%" { p99 = micros($2) }
          $1 == "Requests/sec:" { rate = $2 }
          /Non-2xx/ { print place ": " $0 > "/dev/stderr"; exit 1 }
          END { printf "%s|%d|%.1f|%.1f\n", place, rate, p50, p99 }'
    done
  done
done >"$directory/measured"

python3 - "$directory/measured" <<'PYTHON'
import statistics, sys
from collections import defaultdict

measured = defaultdict(list)
for line in open(sys.argv[1]):
    name, who, connections, *numbers = line.strip().split("|")
    measured[int(connections), name, who].append([float(number) for number in numbers])

def median(place, column, per=None):
    """Over the rounds, of a column or of its ratio to that of another place."""
    rounds = (row[column] for row in measured[place])
    if per:
        rounds = (it / other[column] for it, other in zip(rounds, measured[per]))
    return statistics.median(rounds)

for connections in sorted({connections for connections, _, _ in measured}):
    print(f"\n{'connections: ' + str(connections):<34}"
          f"{'requests/s':>11}{'ratio':>7}{'p50 us':>9}{'ratio':>7}{'p99 us':>9}")
    for place in [place for place in measured if place[0] == connections]:
        _, name, who = place
        base = (connections, name, "bare hyper")
        print(f"{name + ', ' + who:<34}{median(place, 0):>11,.0f}{median(place, 0, base):>7.2f}"
              f"{median(place, 1):>9.1f}{1 / median(place, 1, base):>7.2f}{median(place, 2):>9.1f}")
print("\nratio: to bare hyper with the same answer; above 1 is better")
PYTHON
