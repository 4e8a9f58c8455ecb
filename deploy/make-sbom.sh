#!/usr/bin/env bash
# Writes what both programs are made of into FOLDER, as CycloneDX 1.5: signal-node.cdx.json, turn-cred-service.cdx.json.
#
#   deploy/make-sbom.sh FOLDER [TARGET]
#
# TARGET is the triple that the programs are built for; without it, this machine's. The same commit gives the same bytes.
# CYCLONEDX names another cargo-cyclonedx than the one of `make install-tools`.
set -euo pipefail
[ $# -ge 1 ] || { sed -n '2,/^set/ s/^# \{0,1\}//p' "$0" >&2; exit 64; }
cd "$(dirname "${BASH_SOURCE[0]}")/.."

mkdir -p "$1"
folder=$(cd "$1" && pwd)
cyclonedx=$(realpath "${CYCLONEDX:-target/cyclonedx/bin/cargo-cyclonedx}")
target=${2:-$(rustc -vV | sed -n 's/^host: //p')}
SOURCE_DATE_EPOCH=$(git log -1 --format=%ct)
export SOURCE_DATE_EPOCH

# In a copy: it writes beside each Cargo.toml of the workspace, and names the folders that it was called in.
copy=$(mktemp -d)
trap 'rm -rf "$copy"' EXIT
git ls-files -z | tar --create --null --files-from - | tar --extract --directory "$copy"
cargo metadata --locked --format-version 1 --manifest-path "$copy/Cargo.toml" > /dev/null
(cd "$copy" && "$cyclonedx" cyclonedx --quiet --format json --spec-version 1.5 --describe binaries --target "$target")
for program in signal-node turn-cred-service; do
  sed "s|file://$copy/|file:///|g" "$copy/$program/${program}_bin.cdx.json" > "$folder/$program.cdx.json"
done
