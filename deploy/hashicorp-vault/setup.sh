#!/bin/sh
# Prepares a HashiCorp Vault or OpenBao for Tokenvault: Transit key, policy, and a role to log
# in with: an AppRole, or with AUTH=kubernetes one for the pods' service account.
# Needs a login that may do so (the CLI's usual environment: VAULT_ADDR and a token from
# `vault login`, or BAO_ADDR and `bao login`). Running it again changes nothing that is right.
#
#   setup.sh DIRECTORY        writes DIRECTORY/role_id and DIRECTORY/secret_id (0600)
#   AUTH=kubernetes setup.sh  writes nothing: the pod has its service account's token
#
# Environment: CLI (vault or bao), TRANSIT_MOUNT (transit), KEY_NAME (tokenvault),
# ROLE_NAME (tokenvault), TOKEN_TTL (1h), TOKEN_MAX_TTL (24h); for Kubernetes NAMESPACE
# (tokenvault), SERVICE_ACCOUNT (tokenvault), AUDIENCE (vault: that of the projected token),
# AUTH_MOUNT (kubernetes), and to say where Kubernetes is, unless that is configured already:
# KUBERNETES_HOST (https://...), KUBERNETES_CA (a PEM file), REVIEWER_JWT (a file with the token
# the key server reviews tokens with; its own pod's, or else the one under review, if left out).
set -eu
umask 077

auth=${AUTH:-approle}
case $auth:$# in
  approle:1) out=$1 ;;
  kubernetes:0) ;;
  *)
    echo "usage: setup.sh DIRECTORY, or AUTH=kubernetes setup.sh" >&2
    exit 2
    ;;
esac
here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
cli=${CLI:-}
if [ -z "$cli" ]; then
  if command -v vault >/dev/null 2>&1; then cli=vault; else cli=bao; fi
fi
mount=${TRANSIT_MOUNT:-transit}
key=${KEY_NAME:-tokenvault}
role=${ROLE_NAME:-tokenvault}
namespace=${NAMESPACE:-tokenvault}
account=${SERVICE_ACCOUNT:-tokenvault}
audience=${AUDIENCE:-vault}
auth_mount=${AUTH_MOUNT:-$auth}

for name in "$mount" "$key" "$role" "$namespace" "$account" "$auth_mount"; do
  case $name in
    *[!A-Za-z0-9_-]* | "")
      echo "setup.sh: names are of letters, digits, - and _: $name" >&2
      exit 2
      ;;
  esac
done

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

"$cli" auth list | grep -q "^$auth_mount/" || "$cli" auth enable -path="$auth_mount" "$auth"

if [ "$auth" = kubernetes ]; then
  if [ -n "${KUBERNETES_HOST:-}" ]; then
    # "@" has the command line read a file: no token is ever an argument.
    set -- kubernetes_host="$KUBERNETES_HOST"
    [ -z "${KUBERNETES_CA:-}" ] || set -- "$@" kubernetes_ca_cert=@"$KUBERNETES_CA"
    [ -z "${REVIEWER_JWT:-}" ] || set -- "$@" token_reviewer_jwt=@"$REVIEWER_JWT"
    "$cli" write "auth/$auth_mount/config" "$@"
  fi
  # One account of one namespace, and only tokens made for this key server.
  "$cli" write "auth/$auth_mount/role/$role" \
    bound_service_account_names="$account" \
    bound_service_account_namespaces="$namespace" \
    audience="$audience" \
    token_policies="$role-service" \
    token_no_default_policy=true \
    token_ttl="${TOKEN_TTL:-1h}" \
    token_max_ttl="${TOKEN_MAX_TTL:-24h}"
  echo "service account $account of namespace $namespace may log in as role $role"
  exit 0
fi

mkdir -p "$out"
"$cli" write "auth/$auth_mount/role/$role" \
  token_policies="$role-service" \
  token_no_default_policy=true \
  token_ttl="${TOKEN_TTL:-1h}" \
  token_max_ttl="${TOKEN_MAX_TTL:-24h}" \
  secret_id_num_uses=0

# By way of files alone: neither id is ever an argument.
"$cli" read -field=role_id "auth/$auth_mount/role/$role/role-id" >"$out/role_id"
"$cli" write -f -field=secret_id "auth/$auth_mount/role/$role/secret-id" >"$out/secret_id"
echo "wrote $out/role_id and $out/secret_id"
