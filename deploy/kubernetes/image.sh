#!/usr/bin/env bash
# Packs programs of this machine, with the libraries that they load, into an image of which the first program is the
# entry point: image.sh ARCHIVE NAME:TAG PROGRAM...
. "$(dirname "$0")/lib.sh"
[ "$#" -ge 3 ] || fail "usage: $0 ARCHIVE NAME:TAG PROGRAM..."
archive=$1 name=$2
shift 2
mkdir -p "$DIR"
store=$(mktemp -d "$DIR/store.XXXX")
trap 'rm -rf "$store"' EXIT
buildah=(buildah --root "$store/root" --runroot "$store/run" --storage-driver vfs)

libraries() { ldd "$1" 2> /dev/null | grep -oE '/[^ ]+' | sort -u; }

# Debian's /bin and /lib are links into /usr. File capabilities are kept.
pack() {
  local root=$1 program library
  mkdir -p "$root"/{etc/ssl/certs,tmp,usr/bin,usr/lib,usr/lib64}
  chmod 1777 "$root/tmp"
  for link in bin lib lib64; do ln -sfn "usr/$link" "$root/$link"; done
  cp -L /etc/ssl/certs/ca-certificates.crt "$root/etc/ssl/certs/"
  for program in "${@:2}"; do
    command -v "$program" > /dev/null || fail "there is no program $program"
    program=$(command -v "$program")
    cp -L --preserve=mode,xattr "$program" "$root/usr/bin/"
    for library in $(libraries "$program"); do
      mkdir -p "$root$(dirname "$library")"
      cp -L "$library" "$root$library"
    done
  done
}

container=$("${buildah[@]}" from scratch)
pack "$("${buildah[@]}" mount "$container")" "$@"
"${buildah[@]}" config --user 65532:65532 --entrypoint "[\"/usr/bin/$(basename "$1")\"]" "$container"
# The chart gives arguments of its own where a program needs some.
case $(basename "$1") in
  signal-node) "${buildah[@]}" config --env SIGNAL_NODE_LISTEN=0.0.0.0:8080 --env SIGNAL_NODE_ADMIN_LISTEN=0.0.0.0:9080 --cmd serve "$container" ;;
  turn-cred-service) "${buildah[@]}" config --env TURN_CRED_LISTEN=0.0.0.0:8090 --env TURN_CRED_ADMIN_LISTEN=0.0.0.0:9091 --cmd serve "$container" ;;
esac
rm -f "$archive"
mkdir -p "$(dirname "$archive")"
"${buildah[@]}" push --quiet "$("${buildah[@]}" commit --quiet "$container")" "docker-archive:$archive:$name"
