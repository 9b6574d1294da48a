#!/usr/bin/env bash
# charge_once.sh URL ORDER CENTS: charges the customer for an order, and prints the id of the charge.
#
# The same with one change: all tries for an order carry one key.
set -euo pipefail

curl --silent --fail --retry 4 --retry-delay 1 --retry-all-errors --max-time 2 \
  --header "Idempotency-Key: charge-$2" --header 'Content-Type: application/json' \
  --data "{\"order\": \"$2\", \"cents\": $3}" "$1/charges"
