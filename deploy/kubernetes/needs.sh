#!/usr/bin/env bash
# Tells everything that a cluster of our own needs and that is missing, at once, and how to get it.
. "$(dirname "$0")/lib.sh"

missing=() packages=()
[ "$(id -u)" -eq 0 ] || missing+=('root: machines are namespaces, and their pods cgroups')
[ -e /sys/fs/cgroup/cpu/cgroup.procs ] || missing+=('cgroup v1: boot with systemd.unified_cgroup_hierarchy=0')
command -v go > /dev/null || missing+=('Go 1.26 or newer: https://go.dev/dl')
for pair in containerd:containerd runc:runc iptables:iptables ipset:ipset ip:iproute2 conntrack:conntrack \
  buildah:buildah openssl:openssl pgrep:procps nsenter:util-linux; do
  command -v "${pair%:*}" > /dev/null || packages+=("${pair#*:}")
done
[ -e /usr/lib/cni/bridge ] || packages+=(containernetworking-plugins)
[ "${#packages[@]}" -eq 0 ] || missing+=("programs: sudo apt-get install --no-install-recommends ${packages[*]}")
[ "${#missing[@]}" -eq 0 ] || fail "what a cluster needs is missing; or set KUBECONFIG to use yours
$(printf '  %s\n' "${missing[@]}")"
