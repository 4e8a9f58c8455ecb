# Runs coturn as a child of this shell, which ends it when Kubernetes says so: coturn as process 1 ignores SIGTERM.
#   drain_seconds  how long it may wait for its allocations
#   turn           how many relays of the release restart before this one
#   configure      writes /tmp/turnserver.conf anew: settings and the keys of the Secret

# SIGUSR1 lets coturn refuse new allocations and end with the last one; before 4.6.3 it ends at once.
drain() {
  waited=0
  kill -USR1 "$relay" 2> /dev/null || true
  while [ "$waited" -lt "$drain_seconds" ] && kill -0 "$relay" 2> /dev/null; do
    sleep 1
    waited=$((waited + 1))
  done
  kill -TERM "$relay" 2> /dev/null || true
  wait "$relay" || true
}

start() {
  cp /tmp/turnserver.conf /tmp/running.conf
  turnserver -c /tmp/running.conf "$@" &
  relay=$!
}

# Whether the mounted files say other settings or keys, in whatever order. Keys that are none leave the relay as it is.
has_changed() {
  configure && [ "$(sort /tmp/turnserver.conf)" != "$(sort /tmp/running.conf)" ]
}

# One relay after the other, so that the others carry the calls; the old key signs until the last one has the new one.
restart() {
  echo "the settings or keys of this relay have changed: it drains in $((turn * (drain_seconds + 120))) s and starts again" >&2
  pause $((turn * (drain_seconds + 120)))
  [ -z "$ending" ] || return 0
  drain
  [ -n "$ending" ] || start "$@"
}

# A signal ends `wait` at once, and no foreground `sleep`.
pause() {
  sleep "$1" &
  nap=$!
  wait "$nap" || true
  kill "$nap" 2> /dev/null || true
}

ending=
trap 'ending=1' TERM INT
configure
start "$@"
while [ -z "$ending" ]; do
  kill -0 "$relay" 2> /dev/null || { wait "$relay"; exit $?; }
  pause 5
  if [ -z "$ending" ] && has_changed; then restart "$@"; fi
done
drain
