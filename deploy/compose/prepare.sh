#!/bin/sh
# Makes what an evaluation needs: a certificate authority, certificates and passwords, under
# DIRECTORY, each readable by the one user that needs it. Needs openssl; as root it also gives
# the files to the containers' users. Running it again changes nothing that is there.
#
#   prepare.sh DIRECTORY
#
# For evaluation only: the authority's key lies beside what it signs. Outside of it, take
# certificates from your own authority, and do not run this.
set -eu
umask 077

if [ $# -ne 1 ]; then
  echo "usage: prepare.sh DIRECTORY" >&2
  exit 2
fi
mkdir -p "$1"
cd "$1"
chmod 711 .
SERVICE=${SERVICE_ID:-65532:65532}   # user of the Tokenvault image
POSTGRES=${POSTGRES_ID:-999:999}     # user "postgres" of the Debian Postgres image
KEYS=${KEYS_ID:-65533:65533}         # the user compose.yaml gives HashiCorp Vault

authority() {
  mkdir -p authority
  [ -s authority/ca.pem ] && return
  openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 365 \
    -subj "/O=Tokenvault evaluation/CN=Evaluation CA" \
    -addext "basicConstraints=critical,CA:TRUE,pathlen:0" \
    -addext "keyUsage=critical,keyCertSign,cRLSign" \
    -keyout authority/ca.key -out authority/ca.pem.new 2>/dev/null
  mv authority/ca.pem.new authority/ca.pem
}

# certificate DIRECTORY NAME SUBJECT_ALT_NAME USAGE
certificate() {
  mkdir -p "$1"
  cp authority/ca.pem "$1/ca.pem"
  [ -s "$1/$2.pem" ] && return
  printf 'subjectAltName=%s\nextendedKeyUsage=%s\nbasicConstraints=critical,CA:FALSE\nkeyUsage=critical,digitalSignature\n' \
    "$3" "$4" >"$1/$2.ext"
  openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj "/CN=$2" \
    -keyout "$1/$2.key" -out "$1/$2.csr" 2>/dev/null
  openssl x509 -req -in "$1/$2.csr" -CA authority/ca.pem -CAkey authority/ca.key \
    -days 90 -extfile "$1/$2.ext" -out "$1/$2.pem.new" 2>/dev/null
  rm "$1/$2.csr" "$1/$2.ext"
  mv "$1/$2.pem.new" "$1/$2.pem"
}

# password FILE...   one password, in each of the files
password() {
  [ -s "$1" ] || openssl rand -hex 24 >"$1"
  for copy in "$@"; do
    [ "$copy" = "$1" ] || cp "$1" "$copy"
  done
}

authority
certificate postgres postgres DNS:postgres serverAuth
certificate vault vault DNS:vault,DNS:localhost,IP:127.0.0.1 serverAuth
certificate service server DNS:tokenvault,DNS:localhost,IP:127.0.0.1 serverAuth
for name in pipeline support auditor; do
  certificate clients "$name" "URI:spiffe://example.org/$name" clientAuth
done
password postgres/superuser-password
password service/database-password postgres/service-password
# The owner's password goes to the migrating job, never to the service.
mkdir -p owner init vault-data
cp authority/ca.pem owner/ca.pem
cp authority/ca.pem init/ca.pem
password owner/owner-password postgres/owner-password

if [ "$(id -u)" = 0 ]; then
  chmod 700 authority postgres vault vault-data service owner init clients
  chown -R "$POSTGRES" postgres
  chown -R "$KEYS" vault vault-data
  chown -R "$SERVICE" service owner clients init
fi
echo "prepared"
