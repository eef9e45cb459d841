#!/usr/bin/env bash
# Verifies one message by hand: WEBHOOK_SECRETS="whsec_…" verify.sh ID TIMESTAMP SIGNATURE <body
# Exit 0: it is authentic, and not too old. The secrets show in the list of processes: not for production.
set -euo pipefail

id=$1 timestamp=$2 given=$3
tolerance=300 # seconds that the clocks may differ

hex() { od -An -v -tx1 | tr -d ' \n'; }

key_of() { # as hexadecimal digits
  case $1 in
    whsec_*) printf %s "${1#whsec_}" | openssl base64 -d -A | hex ;;
    *) printf %s "$1" | hex ;;
  esac
}

[[ $timestamp =~ ^[0-9]{1,11}$ ]] || exit 1
age=$(($(date +%s) - 10#$timestamp))
((age <= tolerance && -age <= tolerance)) || exit 1

body=$(mktemp)
trap 'rm -f "$body"' EXIT
cat >"$body"

for secret in $WEBHOOK_SECRETS; do
  mac=$(
    { printf %s "$id.$timestamp." && cat "$body"; } |
      openssl dgst -sha256 -mac HMAC -macopt "hexkey:$(key_of "$secret")" -binary | openssl base64 -A
  )
  for one in $given; do
    [[ $one == "v1,$mac" ]] && exit 0
  done
done
exit 1
