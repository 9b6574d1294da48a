#!/usr/bin/env bash
# A client of the generic venue in bash and curl. It asks for an order under the id of its intent and sends the same
# request again until it is answered: a venue that knows the id cannot place the order twice. What it believes is what
# the venue says, so it keeps no state of its own and has none to lose.
#
# Questions come on standard input and what it says goes to standard output, one JSON object in a line.
set -u

token=""
view=""

field() { # NAME JSON: the value of a text member
  [[ $2 =~ \"$1\":\ ?\"([^\"]*)\" ]] && printf '%s' "${BASH_REMATCH[1]}"
}

request() { # METHOD PATH [BODY]: sets $status (000 when nobody knows) and $answer
  local got
  got=$(curl --silent --max-time 2 --request "$1" "$FAULTLINE_REST_URL$2" --header "Authorization: Bearer $token" \
    --header 'Content-Type: application/json' ${3:+--data "$3"} --write-out '\n%{http_code}') || got=$'\n000'
  status=${got##*$'\n'}
  answer=${got%$'\n'*}
  if [[ $status == 401 && $2 != /auth/token ]]; then
    log_in
    request "$@"
  fi
}

log_in() {
  until request POST /auth/token "{\"client_id\":\"$FAULTLINE_CLIENT_ID\",\"client_secret\":\"$FAULTLINE_CLIENT_SECRET\"}"
    token=$(field access_token "$answer"); do
    sleep 0.2
  done
}

place() { # QUESTION
  local id body
  id=$(field id "$1")
  body="{\"client_order_id\":\"$id\",\"symbol\":\"$(field symbol "$1")\",\"side\":\"$(field side "$1")\""
  body+=",\"type\":\"$(field order_type "$1")\",\"quantity\":\"$(field quantity "$1")\""
  body+=",\"price\":\"$(field price "$1")\"}"
  while true; do
    request POST /orders "$body"
    case $status in
      200 | 201 | 409) echo "{\"id\":\"$id\",\"answer\":\"accepted\"}" && return ;; # 409: it is there already
      400 | 422) echo "{\"id\":\"$id\",\"answer\":\"rejected\"}" && return ;;
    esac
    sleep 0.2
  done
}

snapshot() {
  local order orders="" positions fills stale=true
  request GET /orders && [[ $status == 200 ]] && while read -r order; do
    orders+="${orders:+,}\"$(field client_order_id "$order")\":{\"order_id\":\"$(field order_id "$order")\""
    orders+=",\"status\":\"$(field status "$order")\",\"filled\":\"$(field filled "$order")\"}"
  done < <(grep --only-matching '{"order_id"[^}]*}' <<<"$answer") &&
    request GET /positions && [[ $status == 200 ]] && positions=$(grep --only-matching '{[^{}]*}' <<<"$answer") &&
    request GET /fills && [[ $status == 200 ]] &&
    fills=$(grep --only-matching '"fill_id": *"[^"]*"' <<<"$answer" | cut -d'"' -f4 | sed 's/.*/"&"/' | paste -sd,) &&
    view="\"orders\":{$orders},\"positions\":$positions,\"fills\":[$fills]" && stale=false
  echo "{\"snapshot\":{${view:+$view,}\"stale\":$stale}}"
}

log_in
echo '{"ready":true}'
while read -r question; do
  case $(field do "$question") in
    place) place "$question" ;;
    snapshot) snapshot ;;
    stop) exit 0 ;;
    *) echo "{\"id\":\"$(field id "$question")\",\"answer\":\"rejected\"}" ;; # it can neither cancel nor replace
  esac
done
