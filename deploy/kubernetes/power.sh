#!/usr/bin/env bash
# power.sh on|off|unplug|plug MACHINE: its power, with which all its processes end at once, and its cable, which machine 1
# has none of. The disk of a machine survives.
. "$(dirname "$0")/lib.sh"

on() {
  local outer pid
  [ -z "$(machine_pid "$1")" ] || fail "node$1 runs already"
  mkdir -p "$RUN/node$1"
  setsid unshare --mount --net --uts --ipc --pid --fork --kill-child --mount-proc --propagation private \
    bash "$HERE/machine.sh" "$1" < /dev/null > "$RUN/node$1/machine.log" 2>&1 &
  outer=$!
  until pid=$(pgrep -P "$outer"); do kill -0 "$outer" && sleep 0.05; done
  [ "$1" -eq 1 ] || connect "$1" "$pid"
  echo "$pid $(started "$pid")" > "$RUN/node$1/pid"
}

# connect MACHINE PID: its cable to machine 1, and routes to the pods of the other machines.
connect() {
  local other
  in_network 1 ip link add "node$1" type veth peer name eth0 netns "$2"
  in_network 1 ip link set "node$1" master machines0 up
  within 10 "the address of node$1" nsenter --target "$2" --net ip route get "$(address 1)"
  for other in $(seq "$MACHINES"); do
    if [ "$other" -eq "$1" ] || [ -z "$(machine_pid "$other")" ]; then continue; fi
    in_network "$other" ip route replace "$(pod_network "$1")" via "$(address "$1")"
    nsenter --target "$2" --net ip route replace "$(pod_network "$other")" via "$(address "$other")"
  done
}

# Namespaces and mounts of a machine end with its processes.
off() {
  local pid
  pid=$(machine_pid "$1")
  [ -n "$pid" ] || return 0
  kill -KILL "$pid"
  within 30 "the end of node$1" test ! -e "/proc/$pid"
}

unplug() { in_network 1 ip link set "node$1" down; }
plug() { in_network 1 ip link set "node$1" up; }

case ${1:-}:${2:-} in
  on:[1-9] | off:[1-9] | unplug:[2-9] | plug:[2-9]) "$1" "$2" ;;
  *) fail "usage: $0 on|off|unplug|plug MACHINE" ;;
esac
