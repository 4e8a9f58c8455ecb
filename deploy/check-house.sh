#!/usr/bin/env bash
# The rules of docs/STYLE.md and docs/ARCHITECTURE.md that no compiler checks. Prints every fault, then fails.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

MOST_LINES=400
faults=0

fault() {
  echo "$1" >&2
  faults=$((faults + 1))
}

# Lists our own files of the given name patterns; what is built or installed is not ours.
ours() {
  local names=()
  for pattern in "$@"; do names+=(-o -name "$pattern"); done
  find . \( -name .git -o -name target -o -name node_modules -o -path ./client/types -o -path ./client/dist \) -prune \
    -o -type f \( "${names[@]:1}" \) -print | sed 's|^\./||' | sort
}

short_files() {
  local file lines
  while read -r file; do
    lines=$(wc -l < "$file")
    [ "$lines" -le "$MOST_LINES" ] || fault "$file: has $lines lines; past $MOST_LINES a file holds two ideas"
  done < <(ours '*.rs' '*.js' '*.lua' '*.css' '*.html' '*.sh')
}

# in_place WHAT PATTERN ALLOWED: lines that match PATTERN may only stand in paths that match ALLOWED.
# Comments are free to name anything, and so are tests that are files of their own.
in_place() {
  local what=$1 pattern=$2 allowed=$3 hit
  while read -r hit; do
    fault "$hit: $what"
  done < <(ours '*.rs' | grep -vE "$allowed|/tests\.rs$|/tests/" |
    xargs grep -nE "$pattern" | grep -vE '^[^:]+:[0-9]+: *//' | cut -d: -f1,2)
}

places() {
  in_place 'axum is named in the http modules only' '\baxum::' \
    '^(signal-node|crates/service-kit|turn-cred-service)/src/http/'
  in_place 'fred is named in signal-node/src/log/redis only' '\bfred::' '^signal-node/src/log/redis/'
  in_place 'redis-rs is named in turn-cred-service/src/relay_db and the fault suite only' '(^|[^:[:alnum:]_])redis::' \
    '^turn-cred-service/src/relay_db/|^crates/fault-suite/src/cluster/redis_client\.rs'
  in_place 'the environment is read by service_kit::settings' '\benv::(var|set_var|remove_var)' \
    '^crates/service-kit/src/settings/'
  in_place 'OpenTelemetry is named in service_kit::trace' '\bopentelemetry(_sdk|_otlp)?::' \
    '^crates/service-kit/src/trace\.rs'
  in_place 'the system clock is read by service_kit::clock' '\bSystemTime\b' \
    '^crates/service-kit/src/|^crates/signal-client/src/clock\.rs'
}

# Every relative link of a Markdown file leads to a file or folder.
links() {
  local file link target
  while read -r file; do
    while read -r link; do
      target=${link%%#*}
      [ -z "$target" ] || [ -e "$(dirname "$file")/$target" ] || fault "$file: the link to $link leads nowhere"
    done < <(awk '/^ *```/ { fenced = !fenced; next } !fenced' "$file" |
      grep -oE '\]\([^)[:space:]]+\)' | sed -E 's/^\]\((.*)\)$/\1/' | grep -vE '^[a-z]+:' || true)
  done < <(ours '*.md')
}

# settings PREFIX FILE: the variables of the settings that a schema declares.
settings() {
  tr '\n' ' ' < "$2" | grep -oE 'Setting::(plain|secret)\( *"[a-z_]+"' | sed -E "s/.*\"([a-z_]+)\"$/$1_\U\1/"
}

# An operator finds every setting and every metric in docs/reference and docs/operate.
operations() {
  local name names pages=(docs/reference/*.md docs/operate/*.md docs/run/*.md)
  names=$(
    settings SIGNAL_NODE signal-node/src/config.rs &&
      settings TURN_CRED turn-cred-service/src/config/schema.rs &&
      grep -hoE '"(signal|turncred)_[a-z_]+"' signal-node/src/metrics.rs signal-node/src/metrics/*.rs turn-cred-service/src/metrics.rs | tr -d '"'
  ) || fault 'the settings or the metrics are not declared where this script looks for them'
  for name in $names; do
    grep -qE "(^|[^A-Za-z_])$name([^A-Za-z_]|$)" "${pages[@]}" || fault "docs/reference and docs/operate do not tell of $name"
  done
}

# Words that were replaced by the field's terms (docs/STYLE.md, "Words") and must not come back as names. Pace is still one of
# the fault suite.
RETIRED='Convoy|Passenger|Doomed|UnderWay|Ground|PublicDesk|InternalDesk|Crowd|Crowded|Visitors|Knocking|Stranger'
RETIRED+='|Sweeper|Telling|Landed|Survivor|Pulse|Heart|Rhythm|Keeper|Handed|Arrival|Unwritten|NotIssued|Garbled'
RETIRED+='|Seats|Pace|Alarm|Rare|Notices|Nudge|heed|look_after|grow_impatient|converse|conclude|turn_away'
RETIRED+='|unless_hurried|below_the_node|of_its_own|Story|Fate|Course|Follower|Ballasted|Struck|Salvage|Heard|Wishes'
RETIRED+='|strikes_redis|unsaid|unmended|whisper|nobody_waits_for|look_for_reset|is_told_of_failure|tired|lose_claim'
RETIRED+='|Scene|scene|survivors?|SurvivorLine|Mending|is_mending|mending_until|take_back|Tend|Tally|tally|Conduct|Entrances'
RETIRED+='|wishes|mends'

words() {
  local hit
  while read -r hit; do
    fault "$hit: a name that docs/STYLE.md has replaced"
  done < <(ours '*.rs' | grep -E '^(signal-node|turn-cred-service|loadtest/bench|crates/[a-z-]+)/src/' |
    xargs grep -nwoE "$RETIRED" | grep -vE '^crates/fault-suite/.*:Pace$' || true)
}

# What documents say of the code.
documents() {
  node deploy/check-docs.js || fault 'documents and code differ: see the lines above'
  node deploy/check-reference.js || fault 'the pages of reference and the programs differ: see the lines above'
  node deploy/check-failures.js || fault 'the page of failures and the code differ: see the lines above'
  node deploy/check-log-lines.js || fault 'the tables of log lines and the code differ: see the lines above'
}

# No file imports another one that imports it in turn.
circles() {
  node deploy/check-imports.js || fault 'files import each other: see the lines above'
}

# Arrows between modules point down, as the layers of docs/ARCHITECTURE.md say.
layers() {
  node deploy/check-layers.js || fault 'an arrow points up: see the lines above'
}

short_files
places
circles
layers
words
documents
links
operations
if [ "$faults" -gt 0 ]; then
  echo "$faults faults against the rules of the house" >&2
  exit 1
fi
echo 'the rules of the house are kept'
