#!/usr/bin/env bash
# Runs stages in order, says how long each took, and stops at the first that fails.
#
#   deploy/stages.sh                  every stage, as `make test` does
#   deploy/stages.sh format lints     only these, in the order given
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

ALL=(install format lints docs site build tests javascript house cluster faults valkey fuzz load bench ops browser)

# One command line per stage; nothing here decides whether to run it.
commands() {
  case $1 in
    install)    echo 'deploy/install-test-tools.sh' ;;
    format)     echo 'cargo fmt --all --check' ;;
    lints)      echo 'cargo clippy --workspace --all-targets -- -D warnings' ;;
    docs)       echo 'RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps' ;;
    # The pages of docs/ as a site in target/site, every link of which leads somewhere.
    site)       echo 'deploy/site/build.sh' ;;
    # With the test targets, so that the next stage compiles no dependency a second time.
    build)      echo 'cargo build --workspace --all-targets' ;;
    tests)      echo 'cargo test --workspace' ;;
    javascript) echo '(cd client && npm run check && npm test); node --test --test-reporter=spec loadtest/test/*.test.js crates/fault-suite/sdk/*.test.js' ;;
    house)      echo 'deploy/check-house.sh' ;;
    cluster)    echo 'node --test --test-reporter=spec deploy/local/*.test.js' ;;
    # With the programs that `build` left; the long run is `make faults`.
    faults)     echo 'target/debug/fault-suite chaos --rooms 12 --rate 5 --signals 2000 --faults 29 --sdk-members 6 --seconds 6 --grace 11 --seed 5' ;;
    # The suite of the room log and the round of the stage before, with Valkey in place of Redis.
    valkey)     echo 'deploy/test/valkey.sh' ;;
    # So many inputs over the corpus for each target; `make fuzz` goes on for minutes.
    fuzz)       echo 'fuzz/run.sh --runs 3000' ;;
    # A few seconds of each question, and that each can be answered with no; `make load` asks them at length.
    load)       echo 'export K6=target/k6/bin/k6; node loadtest/run.js --profile smoke; node --test --test-reporter=spec loadtest/twins/*.test.js' ;;
    # That every load runs and delivers; figures are made by `make bench`.
    bench)      echo 'loadtest/bench/try-all.sh' ;;
    # The chart, run as processes too; images, units, Compose and kustomize.
    ops)        echo 'node --test --test-concurrency=1 --test-reporter=spec helm/test/*.test.js deploy/test/*.test.js' ;;
    browser)    echo 'cd client && npm run e2e' ;;
    *)          return 1 ;;
  esac
}

stages=("$@")
[ $# -gt 0 ] || stages=("${ALL[@]}")
for stage in "${stages[@]}"; do
  commands "$stage" > /dev/null || {
    echo "there is no stage '$stage'; the stages are: ${ALL[*]}" >&2
    exit 64
  }
done

table=()

summary() {
  printf '\n'
  printf '%s\n' "${table[@]}"
  printf '%-12s %5d s\n' total "$SECONDS"
}

# A stage that hangs is a failure that nobody sees. The longest takes a third of this on a machine that has nothing yet.
STAGE_LIMIT=30m

SECONDS=0
for stage in "${stages[@]}"; do
  command=$(commands "$stage")
  printf '\n=== %s: %s\n' "$stage" "$command"
  began=$SECONDS
  if timeout --foreground "$STAGE_LIMIT" bash -euo pipefail -c "$command"; then
    took=$((SECONDS - began))
    printf '=== %s: passed in %d s\n' "$stage" "$took"
    table+=("$(printf '%-12s %5d s   passed' "$stage" "$took")")
  else
    status=$?
    took=$((SECONDS - began))
    table+=("$(printf '%-12s %5d s   FAILED' "$stage" "$took")")
    summary
    [ $status -ne 124 ] || echo "stage '$stage' did not end within $STAGE_LIMIT" >&2
    printf "stage '%s' failed: %s\n" "$stage" "$command" >&2
    exit 1
  fi
done
summary
