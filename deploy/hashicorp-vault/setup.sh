#!/bin/sh
# Prepares a HashiCorp Vault or OpenBao for Tokenvault: Transit key, policy, AppRole.
# Needs a login that may do so (the CLI's usual environment: VAULT_ADDR and a token from
# `vault login`, or BAO_ADDR and `bao login`). Running it again changes nothing that is right.
#
#   setup.sh DIRECTORY        writes DIRECTORY/role_id and DIRECTORY/secret_id (0600)
#
# Environment: CLI (vault or bao), TRANSIT_MOUNT (transit), KEY_NAME (tokenvault),
# ROLE_NAME (tokenvault), TOKEN_TTL (1h), TOKEN_MAX_TTL (24h).
set -eu
umask 077

if [ $# -ne 1 ]; then
  echo "usage: setup.sh DIRECTORY" >&2
  exit 2
fi
out=$1
here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
cli=${CLI:-}
if [ -z "$cli" ]; then
  if command -v vault >/dev/null 2>&1; then cli=vault; else cli=bao; fi
fi
mount=${TRANSIT_MOUNT:-transit}
key=${KEY_NAME:-tokenvault}
role=${ROLE_NAME:-tokenvault}

for name in "$mount" "$key" "$role"; do
  case $name in
    *[!A-Za-z0-9_-]* | "")
      echo "setup.sh: names are of letters, digits, - and _: $name" >&2
      exit 2
      ;;
  esac
done
mkdir -p "$out"

# The key derives one key per context, is not exportable and cannot be deleted by default.
if ! "$cli" read "$mount/keys/$key" >/dev/null 2>&1; then
  "$cli" secrets list | grep -q "^$mount/" || "$cli" secrets enable -path="$mount" transit
  "$cli" write -f "$mount/keys/$key" type=aes256-gcm96 derived=true
fi
"$cli" read -field=derived "$mount/keys/$key" | grep -q true || {
  echo "setup.sh: $mount/keys/$key is not a derived key: choose another KEY_NAME" >&2
  exit 1
}

sed -e "s#\"transit/\(.*\)/tokenvault\"#\"$mount/\1/$key\"#" "$here/tokenvault-service.hcl" |
  "$cli" policy write "$role-service" -

"$cli" auth list | grep -q '^approle/' || "$cli" auth enable approle
"$cli" write "auth/approle/role/$role" \
  token_policies="$role-service" \
  token_no_default_policy=true \
  token_ttl="${TOKEN_TTL:-1h}" \
  token_max_ttl="${TOKEN_MAX_TTL:-24h}" \
  secret_id_num_uses=0

# By way of files alone: neither id is ever an argument.
"$cli" read -field=role_id "auth/approle/role/$role/role-id" >"$out/role_id"
"$cli" write -f -field=secret_id "auth/approle/role/$role/secret-id" >"$out/secret_id"
echo "wrote $out/role_id and $out/secret_id"
