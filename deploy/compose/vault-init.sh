#!/bin/sh
# Initialises and unseals the evaluation's HashiCorp Vault and runs setup.sh on it.
#
#   vault-init.sh DIRECTORY SECRETS
#
# DIRECTORY gets the unseal key, SECRETS gets role_id and secret_id. For evaluation only: one
# unseal key, in a file beside the server, protects nothing. Outside of it, unseal by a KMS or
# by people. The root token is revoked once setup.sh has run, and is kept nowhere.
#
# Environment: VAULT_ADDR and VAULT_CACERT (or BAO_...), CLI (vault or bao), SETUP (setup.sh).
set -eu
umask 077

if [ $# -ne 2 ]; then
  echo "usage: vault-init.sh DIRECTORY SECRETS" >&2
  exit 2
fi
directory=$1
secrets=$2
cli=${CLI:-vault}
setup=${SETUP:-/deploy/hashicorp-vault/setup.sh}
mkdir -p "$directory"

# `status` ends with 0 when unsealed, 2 when sealed or not initialised, 1 on an error.
state() { "$cli" status >/dev/null 2>&1 && echo 0 || echo $?; }
tries=0
until [ "$(state)" != 1 ]; do
  tries=$((tries + 1))
  [ "$tries" -lt 60 ] || { echo "vault-init.sh: no answer from the key server" >&2; exit 1; }
  sleep 1
done

if [ ! -s "$directory/unseal.key" ]; then
  "$cli" operator init -key-shares=1 -key-threshold=1 >"$directory/init"
  sed -n 's/^Initial Root Token: //p' "$directory/init" | tr -d '\n' >"$directory/root.token"
  sed -n 's/^Unseal Key 1: //p' "$directory/init" | tr -d '\n' >"$directory/unseal.key"
  rm "$directory/init"
fi
if [ "$(state)" != 0 ]; then
  "$cli" write sys/unseal "key=@$directory/unseal.key" >/dev/null
fi
[ -s "$directory/root.token" ] || { echo "unsealed"; exit 0; }

VAULT_TOKEN=$(cat "$directory/root.token")
BAO_TOKEN=$VAULT_TOKEN
export VAULT_TOKEN BAO_TOKEN
# A node that has just been unsealed is a standby for a moment, and refuses writes.
tries=0
until "$cli" token lookup >/dev/null 2>&1; do
  tries=$((tries + 1))
  [ "$tries" -lt 60 ] || { echo "vault-init.sh: the key server is not active" >&2; exit 1; }
  sleep 1
done
CLI=$cli sh "$setup" "$secrets"
"$cli" token revoke -self >/dev/null
rm "$directory/root.token"
echo "initialised"
