#!/bin/sh
# Sends a message, waits until it shows up in the stream of events, and reads the history: the REST API with curl.
#
#   USERNAME=alice PASSWORD=… RECEIVER=bob TEXT="hello" sh docs/examples/curl.sh
#
# KIM_URL   the server (default: https://localhost:5443)
# KIM_CA    its certificate, where it is self-signed: data/certs/localhost.crt on a trial
set -eu
: "${USERNAME:?must be set}" "${PASSWORD:?must be set}" "${RECEIVER:?must be set}" "${TEXT:?must be set}"
url=${KIM_URL:-https://localhost:5443}

ask() {
    curl --silent --fail-with-body ${KIM_CA:+--cacert "$KIM_CA"} "$@" && return
    # What curl means by its numbers, and what helps.
    case $? in
        22) ;; # the server refused, and its answer says why
        60) echo "the certificate of $url is not trusted: set KIM_CA to its file, data/certs/localhost.crt on a trial" >&2 ;;
        77) echo "KIM_CA, $KIM_CA: cannot be read as a certificate" >&2 ;;
        *) echo "$url cannot be reached; KIM_URL names another server" >&2 ;;
    esac
    return 1
}
# Ends with the server's answer, which says what is wrong.
fail() { [ -z "$1" ] || echo "$1" >&2; exit 1; }
# A field of a flat JSON answer. Values go into JSON as they are, so they must not contain quotes; a real program uses a JSON
# library, or jq.
field() { echo "$2" | sed -n "s/.*\"$1\":\"\([^\"]*\)\".*/\1/p"; }

# A token that may read and send, and nothing else. It is valid for an hour.
answer=$(ask "$url/api/login" --header "Content-Type: application/json" --data @- <<END
{"username": "$USERNAME", "password": "$PASSWORD", "scopes": ["read", "send"], "expires_in": 3600}
END
) || fail "$answer"
token=$(field token "$answer")
auth="Authorization: Bearer $token"

# The answer comes once the message is stored. Its id is the one that events and history show.
answer=$(ask "$url/api/message/send" --header "$auth" --header "Content-Type: application/json" --data @- <<END
{"receiver": "$RECEIVER", "content": "$TEXT"}
END
) || fail "$answer"
id=$(field id "$answer")
echo "sent $id"

# The stream goes on until it is ended. `after=0` begins with everything the account has ever sent and received; without it, a
# stream begins with what comes next.
events=$(mktemp)
ask --no-buffer --header "$auth" "$url/api/events?after=0" >"$events" &
listener=$!
trap 'kill $listener 2>/dev/null || true; rm -f "$events"' EXIT
until grep -q "\"id\":\"$id\"" "$events"; do
    kill -0 $listener # the stream has ended: stop here
    sleep 0.1
done
echo "heard $id"

ask --header "$auth" --get --data-urlencode "user=$RECEIVER" --data limit=1 "$url/api/message/history"
echo
ask --header "$auth" --request POST "$url/api/logout" >/dev/null
