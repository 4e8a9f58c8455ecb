#!/usr/bin/env bash
# Ends the cluster with all its processes, namespaces, mounts and cgroups. What was compiled stays.
. "$(dirname "$0")/lib.sh"
[ "$(id -u)" -eq 0 ] || fail 'root is needed'
for number in $(seq "$MACHINES"); do "$HERE/power.sh" off "$number"; done
find /sys/fs/cgroup -depth -type d -path "*/$CGROUP*" -exec rmdir {} + 2> /dev/null || true
rm -rf "$RUN"
