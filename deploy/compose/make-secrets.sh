#!/usr/bin/env bash
# Makes the keys of deploy/compose.yaml, once, and the two configurations that hold one of them.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

if [ -e secrets/jwt ]; then
  echo 'deploy/compose/secrets is there already; remove it to make new keys' >&2
  exit 0
fi
# Containers read them as other users; the folder keeps everybody else on this machine out.
mkdir -m 700 -p secrets
cd secrets
key() { openssl rand -hex 32; }
key > jwt
key > turn
password=$(key)
echo "redis://default:$password@redis:6379" > redis-url
cat > redis.conf << EOF
requirepass $password
maxmemory-policy noeviction
save ""
dir /data
EOF
# The relay is for browsers of this machine, so that loopback is what they reach it by, and each other.
{
  grep -vE '^(cert|pkey|realm|min-port|max-port|tls-listening-port|external-ip|denied-peer-ip=(127|10|172\.16|192\.168)\.)' ../../coturn/turnserver.conf
  # Further ranges of yours: DENIED_PEERS=198.51.100.10,203.0.113.0-203.0.113.9
  tr ',' '\n' <<< "${DENIED_PEERS:-}" | sed -n 's/^..*$/denied-peer-ip=&/p'
  echo 'realm=compose.test'
  echo 'min-port=49152'
  echo 'max-port=49199'
  echo 'external-ip=127.0.0.1'
  echo 'allow-loopback-peers'
  echo 'no-tls'
  echo 'pidfile=/tmp/turnserver.pid'
  LC_ALL=C awk -f ../../../helm/signal-cluster/static-auth-secrets.awk turn
} > turnserver.conf
chmod 444 ./*
echo 'made deploy/compose/secrets'
echo 'a token for the demo page, for an hour, once everything runs:'
echo '  docker compose -f deploy/compose.yaml exec node-1 /signal-node token mint --sub ana --room demo'
