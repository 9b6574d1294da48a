#!/usr/bin/env bash
# charge.sh URL ORDER CENTS: charges the customer for an order, and prints the id of the charge.
#
# curl sends again whatever failed, until it is answered.
set -euo pipefail

curl --silent --fail --retry 4 --retry-delay 1 --retry-all-errors --max-time 2 \
  --header 'Content-Type: application/json' \
  --data "{\"order\": \"$2\", \"cents\": $3}" "$1/charges"
