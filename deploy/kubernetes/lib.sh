# What the scripts of this folder share; they source it.
# shellcheck shell=bash disable=SC2034
set -euo pipefail
HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

# bin/ and images/ outlive a cluster, run/ is one cluster.
DIR=${KUBERNETES_DIR:-$(cd "$HERE/../.." && pwd)/target/kubernetes}
RUN=$DIR/run
export PATH=$DIR/bin:$PATH:/usr/local/go/bin:/usr/sbin:/sbin

# Each machine has a network namespace of its own, from which no route leads to this machine's network: addresses of
# several clusters do not collide.
MACHINES=3
SERVICES=10.96.0.0/16
DNS=10.96.0.10
PODS=10.244.0.0/16
CGROUP=signal-kubernetes-$(printf %s "$DIR" | cksum | cut -d ' ' -f 1)

address() { echo "172.30.0.$((10 + $1))"; }
pod_network() { echo "10.244.$1.0/24"; }
fail() { echo "kubernetes: $*" >&2; exit 1; }
say() { printf '%4d s  %s\n' "$SECONDS" "$*"; }

# within SECONDS WHAT COMMAND...: waits until the command succeeds.
within() {
  local deadline=$((SECONDS + $1)) what=$2
  shift 2
  until "$@" > /dev/null 2>&1; do
    [ "$SECONDS" -lt "$deadline" ] || fail "$what did not come up; the logs are in $RUN, $HERE/down.sh ends the rest"
    sleep 0.2
  done
}

# The start of a process, by which its number is told from the same number of a later process.
started() { sed 's/.*) //' "/proc/$1/stat" 2> /dev/null | cut -d ' ' -f 20; }

# The first process of a machine; nothing where the machine is off.
machine_pid() {
  local pid began
  read -r pid began 2> /dev/null < "$RUN/node$1/pid" || return 0
  [ "$(started "$pid")" != "$began" ] || echo "$pid"
}

# in_network MACHINE COMMAND...: with the network of a machine and the files of this one.
in_network() { nsenter --target "$(machine_pid "$1")" --net -- "${@:2}"; }

# on_machine MACHINE COMMAND...: in all namespaces of a machine.
on_machine() { nsenter --target "$(machine_pid "$1")" --mount --net --uts --ipc --pid -- "${@:2}"; }
