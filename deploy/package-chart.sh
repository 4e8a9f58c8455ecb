#!/usr/bin/env bash
# Packages the chart into FOLDER, signed, so that `helm verify` and `helm install --verify` tell who has made it.
#
#   deploy/package-chart.sh KEY KEYRING FOLDER
#
# KEY is the name or address in the key; KEYRING a file with the private key, as Helm reads it:
#
#   gpg --export-secret-keys > KEYRING
#
# PASSPHRASE_FILE holds the passphrase of the key, if it has one. HELM names another helm than the one of `make install-tools`.
set -euo pipefail
[ $# -eq 3 ] || { sed -n '2,/^set/ s/^# \{0,1\}//p' "$0" >&2; exit 64; }
cd "$(dirname "${BASH_SOURCE[0]}")/.."

mkdir -p "$3"
"${HELM:-target/ops/bin/helm}" package helm/signal-cluster --destination "$3" --sign --key "$1" --keyring "$2" \
  ${PASSPHRASE_FILE:+--passphrase-file "$PASSPHRASE_FILE"}
