#!/usr/bin/env bash
# Compiles Kubernetes, etcd, CoreDNS and kube-router as the files go.mod pin them, once for each version of those files:
# most of ten minutes on two cores.
. "$(dirname "$0")/lib.sh"

# compile FOLDER LDFLAGS PACKAGE...
compile() {
  (cd "$HERE/$1" && CGO_ENABLED=0 nice go build -mod=readonly -trimpath -buildvcs=false -ldflags "-s -w $2" -o "$DIR/bin/" "${@:3}")
}

kubernetes() {
  local version setting=version.gitVersion
  version=$(awk '$1 == "k8s.io/kubernetes" { print $2 }' "$HERE/go/go.mod")
  say "compiling Kubernetes $version, which takes eight minutes on two cores"
  compile go "-X k8s.io/component-base/$setting=$version -X k8s.io/client-go/pkg/$setting=$version" tool ./coredns ./pause
  mv "$DIR/bin/server" "$DIR/bin/etcd"
  say 'compiling kube-router'
  compile go/kube-router '' tool
  for program in coredns pause; do "$HERE/image.sh" "$DIR/images/$program.tar" "localhost/$program:1" "$DIR/bin/$program"; done
}

mkdir -p "$DIR/bin" "$DIR/images"
pinned=$(cd "$HERE" && cat build.sh go/go.* go/*/*.go go/kube-router/go.* | sha256sum)
if [ "$(cat "$DIR/built" 2> /dev/null)" != "$pinned" ]; then
  kubernetes
  echo "$pinned" > "$DIR/built"
fi
