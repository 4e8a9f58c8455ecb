#!/usr/bin/env bash
# Builds the fuzz targets with coverage and runs them over their corpus, two at a time. Needs a C++ compiler.
#
#   fuzz/run.sh --runs 20000                 so many inputs each, as `make test` does
#   fuzz/run.sh --seconds 600                ten minutes each: make fuzz FOR=600
#   fuzz/run.sh --seconds 3600 frames        one of them
#
# SEED=n draws other inputs (default 1). What is found goes to target/fuzz/corpus; an input that fails goes to
# target/fuzz/failed, and the command that tries it again is printed.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

TARGETS=(addresses engine_io entries frames matchbox messages peerjs relays rooms sessions socketio tokens topics)
OUT=target/fuzz
SEED=${SEED:-1}

usage() {
  sed -n '2,9s/^# \{0,1\}//p' "${BASH_SOURCE[0]}" >&2
  exit 64
}

case ${1:-} in
  --runs) bound=-runs=${2:?how many} ;;
  --seconds) bound=-max_total_time=${2:?how many} ;;
  *) usage ;;
esac
shift 2
targets=("$@")
[ $# -gt 0 ] || targets=("${TARGETS[@]}")

# Other crates are as `cargo build` left them. Overflows are found in what is not optimised.
BIN=target/debug/examples
build() {
  # Words on purpose.
  # shellcheck disable=SC2046
  RUSTC_WORKSPACE_WRAPPER=$PWD/fuzz/rustc.sh cargo build --workspace $(printf -- '--example %s ' planted "${TARGETS[@]}")
}

# seeds TARGET: folders with inputs that are not the fuzzer's own.
seeds() {
  echo "fuzz/corpus/$1"
  case $1 in
    frames) echo crates/ws-codec/tests/corpus ;;
    messages) echo crates/signal-protocol/wire ;;
  esac
}

# Runs one target and says in a line what it did, or prints what it found.
run() {
  local target=$1 log=$OUT/$1.log
  mkdir -p "$OUT/corpus/$target" "$OUT/failed"
  # Folders without blanks, on purpose.
  # shellcheck disable=SC2046
  if "$BIN/$target" "$bound" -seed="$SEED" -max_len=4096 -dict=fuzz/words.dict -timeout=10 -rss_limit_mb=1024 -print_final_stats=1 \
    -artifact_prefix="$OUT/failed/$target-" "$OUT/corpus/$target" $(seeds "$target") 2> "$log"; then
    awk -v target="$target" '
      /DONE/ { covered = $4 }
      /number_of_executed_units/ { inputs = $2 }
      /peak_rss_mb/ { memory = $2 }
      END { printf "%-10s %9d inputs, %5d edges covered, at most %3d MiB\n", target, inputs, covered, memory }
    ' "$log"
  else
    grep -vE '^#[0-9]' "$log" | tail -60 >&2
    echo "fuzz target '$target' failed; again: $BIN/$target FILE-NAMED-ABOVE" >&2
    return 1
  fi
}

# A fuzzer that finds nothing may be blind: this fault is found by following coverage only.
sees() {
  mkdir -p "$OUT/failed"
  if "$BIN/planted" -runs=2000000 -seed="$SEED" -max_len=16 -artifact_prefix="$OUT/failed/planted-" 2> "$OUT/planted.log"; then
    echo 'the planted fault was not found: the fuzzer does not see coverage' >&2
    return 1
  fi
  grep -q 'the planted fault' "$OUT/planted.log" || { cat "$OUT/planted.log" >&2; return 1; }
  rm -f "$OUT/failed/planted-"*
  echo 'planted    found, as it has to be'
}

build
sees
export -f run seeds
export BIN OUT SEED bound
printf '%s\n' "${targets[@]}" | xargs -P 2 -I{} bash -euo pipefail -c 'run {}'
