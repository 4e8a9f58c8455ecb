#!/usr/bin/env bash
# Brings up a cluster of three machines in namespaces of this one, and returns once pods run and names resolve.
. "$(dirname "$0")/lib.sh"

# certificate NAME SUBJECT [NAMES]: signed by the authority of the cluster.
certificate() {
  (
    cd "$RUN/pki"
    openssl req -newkey rsa:2048 -nodes -keyout "$1.key" -subj "$2" -out "$1.csr" 2> /dev/null
    openssl x509 -req -in "$1.csr" -CA ca.crt -CAkey ca.key -CAcreateserial -days 30 -out "$1.crt" \
      -extfile <(echo "subjectAltName=${3:-DNS:$1}") 2> /dev/null
  )
}

certificates() {
  mkdir -m 700 "$RUN/pki"
  openssl req -x509 -newkey rsa:2048 -nodes -days 30 -subj /CN=cluster -keyout "$RUN/pki/ca.key" -out "$RUN/pki/ca.crt" 2> /dev/null
  certificate api /CN=kube-apiserver "IP:$(address 1),IP:127.0.0.1,IP:10.96.0.1,DNS:kubernetes.default.svc,DNS:kubernetes"
  certificate api-client /O=system:masters/CN=kube-apiserver
  openssl genrsa -out "$RUN/pki/accounts.key" 2048 2> /dev/null
}

# kubeconfig FILE USER [GROUP]: whoever holds the token in it is this user.
kubeconfig() {
  local token authority
  token=$(openssl rand -hex 16)
  authority=$(base64 -w0 < "$RUN/pki/ca.crt")
  echo "$token,$2,$2,\"${3:-}\"" >> "$RUN/pki/tokens.csv"
  mkdir -p "$(dirname "$1")"
  (umask 077 && cat > "$1" << END
apiVersion: v1
kind: Config
current-context: own
contexts: [{name: own, context: {cluster: own, user: own}}]
clusters: [{name: own, cluster: {server: "https://$(address 1):6443", certificate-authority-data: $authority}}]
users: [{name: own, user: {token: $token}}]
END
  )
}

kubeconfigs() {
  local number component
  kubeconfig "$RUN/admin.kubeconfig" admin system:masters
  for component in kube-controller-manager kube-scheduler; do kubeconfig "$RUN/node1/$component.kubeconfig" "system:$component"; done
  for number in $(seq "$MACHINES"); do
    kubeconfig "$RUN/node$number/kubelet.kubeconfig" "system:node:node$number" system:nodes
    kubeconfig "$RUN/node$number/kube-proxy.kubeconfig" system:kube-proxy
    kubeconfig "$RUN/node$number/kube-router.kubeconfig" kube-router
  done
}

kubectl() { in_network 1 "$DIR/bin/kubectl" --kubeconfig "$RUN/admin.kubeconfig" "$@"; }
machines_known() { [ "$(kubectl get nodes --output name | wc -l)" -eq "$MACHINES" ]; }

"$HERE/needs.sh"
"$HERE/build.sh"
[ ! -e "$RUN" ] || fail "a cluster is in $RUN; $HERE/down.sh ends it"
mkdir -p "$RUN"
certificates
kubeconfigs
"$HERE/power.sh" on 1
within 90 'the API server' kubectl get --raw /readyz
for number in $(seq 2 "$MACHINES"); do "$HERE/power.sh" on "$number"; done
sed "s|@DNS@|$DNS|" "$HERE/config/cluster.yaml" | kubectl apply --filename - > /dev/null
within 90 'a machine' machines_known
kubectl wait --for=condition=Ready --timeout=90s nodes --all > /dev/null
kubectl --namespace kube-system rollout status deployment/coredns --timeout 90s > /dev/null
say "$MACHINES machines are up"
