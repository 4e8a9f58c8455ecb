#!/usr/bin/env bash
# The first process of a machine: all that runs on the machine ends with it. power.sh starts it in namespaces of its own.
. "$(dirname "$0")/lib.sh"
number=$1 node=node$1
own=$RUN/$node

# What containerd and the kubelet keep under fixed paths goes into the folder of the machine.
folders() {
  mount --make-rshared /
  mkdir -p "$own"/{lib,log}
  mount --bind "$own/lib" /var/lib
  mount --bind "$own/log" /var/log
  mount -t tmpfs -o mode=755 tmpfs /run
  mkdir -p /run/{cni,lock,netns} /var/lib/kubelet
  : > /run/no-resolv.conf
}

# The kubelet refuses to start with other values. They belong to the kernel of all, so the kubelet reads these files instead.
kernel_settings() {
  local setting file
  for setting in vm/overcommit_memory=1 vm/panic_on_oom=0 kernel/panic=10 kernel/panic_on_oops=1 \
    kernel/keys/root_maxkeys=1000000 kernel/keys/root_maxbytes=25000000; do
    file=/run/kernel/${setting%=*}
    mkdir -p "$(dirname "$file")"
    echo "${setting#*=}" > "$file"
    mount --bind "$file" "/proc/sys/${setting%=*}"
  done
}

# Machine 1 holds the switch. An address of a Service is rewritten only after a route was found, hence the default routes.
network() {
  ip link set lo up
  sysctl -qw net.ipv4.ip_forward=1 net.bridge.bridge-nf-call-iptables=1
  if [ "$number" -eq 1 ]; then
    ip link add machines0 type bridge
    ip address add "$(address 1)/24" dev machines0
    ip link set machines0 up
    ip route add default dev machines0
  else
    until ip link show eth0 > /dev/null 2>&1; do sleep 0.05; done
    ip address add "$(address "$number")/24" dev eth0
    ip link set eth0 up
    ip route add default via "$(address 1)"
  fi
}

# A group of cpuset takes no process before it names cores.
cgroups() {
  local hierarchy file
  for hierarchy in /sys/fs/cgroup/*/; do
    [ -e "$hierarchy/cgroup.clone_children" ] || continue
    mkdir -p "$hierarchy/$CGROUP"
    if [ -e "$hierarchy/cpuset.cpus" ]; then
      echo 1 > "$hierarchy/$CGROUP/cgroup.clone_children"
      for file in cpuset.cpus cpuset.mems; do cat "$hierarchy/$file" > "$hierarchy/$CGROUP/$file"; done
    fi
    mkdir -p "$hierarchy/$CGROUP/$node"
  done
}

# keep NAME COMMAND...: runs it in the background, and anew whenever it ends.
keep() {
  while :; do
    "${@:2}" >> "/var/log/$1.log" 2>&1 || true
    echo "$1 has ended" >> "/var/log/$1.log"
    sleep 1
  done &
}

filled() {
  sed -e "s|@RUN@|$RUN|g; s|@NODE@|$node|g; s|@DNS@|$DNS|g; s|@PODS@|$PODS|; s|@POD_NETWORK@|$(pod_network "$number")|; s|@CGROUP@|$CGROUP|" "$HERE/config/$1"
}

# Services may have addresses of both families; pods have IPv4 alone.
api_server() {
  local pki=$RUN/pki
  keep kube-apiserver kube-apiserver --etcd-servers http://127.0.0.1:2379 --advertise-address "$(address 1)" \
    --service-cluster-ip-range "$SERVICES,fd00:10:96::/112" --allow-privileged --authorization-mode Node,RBAC \
    --enable-admission-plugins NodeRestriction --token-auth-file "$pki/tokens.csv" --client-ca-file "$pki/ca.crt" \
    --tls-cert-file "$pki/api.crt" --tls-private-key-file "$pki/api.key" \
    --kubelet-client-certificate "$pki/api-client.crt" --kubelet-client-key "$pki/api-client.key" \
    --kubelet-preferred-address-types InternalIP --service-account-issuer https://kubernetes.default.svc \
    --service-account-key-file "$pki/accounts.key" --service-account-signing-key-file "$pki/accounts.key"
}

control_plane() {
  keep etcd etcd --data-dir /var/lib/etcd --unsafe-no-fsync --log-level warn
  api_server
  keep kube-controller-manager kube-controller-manager --kubeconfig "$own/kube-controller-manager.kubeconfig" \
    --leader-elect=false --use-service-account-credentials --root-ca-file "$RUN/pki/ca.crt" \
    --service-account-private-key-file "$RUN/pki/accounts.key"
  keep kube-scheduler kube-scheduler --kubeconfig "$own/kube-scheduler.kubeconfig" --leader-elect=false
}

worker() {
  local file image
  filled pods.conflist > /run/cni/pods.conflist
  for file in kubelet.yaml kube-proxy.yaml; do filled "$file" > "$own/$file"; done
  keep containerd containerd --config "$HERE/config/containerd.toml"
  within 30 containerd ctr version
  for image in "$DIR"/images/*.tar; do ctr -n k8s.io images import "$image" > /dev/null; done
  keep kubelet kubelet --config "$own/kubelet.yaml" --kubeconfig "$own/kubelet.kubeconfig" --node-ip "$(address "$number")"
  keep kube-proxy kube-proxy --config "$own/kube-proxy.yaml"
  keep kube-router kube-router --kubeconfig "$own/kube-router.kubeconfig" --hostname-override "$node" --run-firewall=true \
    --run-router=false --run-service-proxy=false --enable-ipv6=false --service-cluster-ip-range "$SERVICES"
}

hostname "$node"
folders
kernel_settings
network
cgroups
[ "$number" -ne 1 ] || control_plane
worker
while :; do wait; sleep 1; done
