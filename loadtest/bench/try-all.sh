#!/usr/bin/env bash
# Runs every load for a moment, over the programs that `cargo build` left: each has to deliver something. The figures
# are those of an unoptimised node and say nothing.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

bench=target/debug/signal-bench
for load in one burst paced crowd; do
  "$bench" load signal-node "$load" --window 300 --rate 500
done
"$bench" load signal-node one --volatile --window 300
# Memory alone is what a release build has, or little more.
"$bench" check
for peer in socket.io PeerJS 'bare TCP'; do
  "$bench" load "$peer" one --window 300
done
"$bench" size
