#!/usr/bin/env bash
# Renders deploy/kustomize/base/all.yaml of the chart. HELM names another helm than the one of `make install-tools`.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
helm=${HELM:-target/ops/bin/helm}
"$helm" template signal-cluster helm/signal-cluster -f deploy/kustomize/values.yaml
