#!/usr/bin/env bash
# Verifies one message by hand: WEBHOOK_SECRETS="whsec_…" verify.sh ID TIMESTAMP SIGNATURE <body
# Exit 0: it is authentic, and not too old; 1: it is not; 2: there is no secret, or an empty one.
# The secrets show in the list of processes: not for production.
set -euo pipefail
set -f # A * in a secret or a signature stands for no files.

id=$1 timestamp=$2 given=$3
tolerance=300 # seconds that the clocks may differ

hex() { od -An -v -tx1 | tr -d ' \n'; }

key_of() { # as hexadecimal digits
  case $1 in
    whsec_*) printf %s "${1#whsec_}" | openssl base64 -d -A | hex ;;
    *) printf %s "$1" | hex ;;
  esac
}

refuse() { echo "WEBHOOK_SECRETS has $1 in it" >&2 && exit 2; }

keys=()
for secret in $WEBHOOK_SECRETS; do
  key=$(key_of "$secret")
  [[ $key ]] || refuse "an empty secret" # Anybody could sign with it.
  keys+=("$key")
done
((${#keys[@]})) || refuse "no secret"

[[ $timestamp =~ ^[0-9]{1,11}$ ]] || exit 1
age=$(($(date +%s) - 10#$timestamp))
((age <= tolerance && -age <= tolerance)) || exit 1

body=$(mktemp)
trap 'rm -f "$body"' EXIT
cat >"$body"

for key in "${keys[@]}"; do
  mac=$(
    { printf %s "$id.$timestamp." && cat "$body"; } |
      openssl dgst -sha256 -mac HMAC -macopt "hexkey:$key" -binary | openssl base64 -A
  )
  for one in $given; do
    [[ $one == "v1,$mac" ]] && exit 0
  done
done
exit 1
