"""Sends a message, waits until it shows up in the stream of events, and reads the history: the REST API with Python's own
library.

    USERNAME=alice PASSWORD=… RECEIVER=bob TEXT="hello" python3 docs/examples/python.py

KIM_URL   the server (default: https://localhost:5443)
KIM_CA    its certificate, where it is self-signed: data/certs/localhost.crt on a trial
"""

import json
import os
import ssl
import sys
import urllib.error
import urllib.parse
import urllib.request

MISSING = [name for name in ("USERNAME", "PASSWORD", "RECEIVER", "TEXT") if name not in os.environ]
if MISSING:
    sys.exit(f"set {', '.join(MISSING)}; the first lines of this program say how")
URL = os.environ.get("KIM_URL", "https://localhost:5443")
try:
    TLS = ssl.create_default_context(cafile=os.environ.get("KIM_CA"))
except OSError as error:
    sys.exit(f"KIM_CA, {os.environ['KIM_CA']}: {error}")


def ask(path, token=None, body=None, method=None, **headers):
    """Makes a request; an error ends the program with the server's sentence."""
    if token is not None:
        headers["Authorization"] = f"Bearer {token}"
    if body is not None:
        headers["Content-Type"] = "application/json"
        body = json.dumps(body).encode()
    request = urllib.request.Request(URL + path, data=body, headers=headers, method=method)
    try:
        # A comment comes every 15 seconds, so a stream that is silent for a minute is dead.
        return urllib.request.urlopen(request, context=TLS, timeout=60)
    except urllib.error.HTTPError as error:
        sys.exit(json.load(error)["error"]["message"])
    except urllib.error.URLError as error:
        if isinstance(error.reason, ssl.SSLCertVerificationError):
            sys.exit(f"the certificate of {URL} is not trusted: set KIM_CA to its file, data/certs/localhost.crt on a trial")
        sys.exit(f"{URL} cannot be reached: {error.reason}; KIM_URL names another server")


def events(stream):
    """The events of a stream: name, data and id."""
    name, data, place = None, None, None
    for line in stream:
        field, _, value = line.decode().rstrip("\n").partition(": ")
        if field == "event":
            name = value
        elif field == "data":
            data = json.loads(value)
        elif field == "id":
            place = value
        elif field == "" and name is not None:
            yield name, data, place
            name, data = None, None


def main():
    wanted = {
        "username": os.environ["USERNAME"],
        "password": os.environ["PASSWORD"],
        # A token that may read and send, and nothing else. It is valid for an hour.
        "scopes": ["read", "send"],
        "expires_in": 3600,
    }
    token = json.load(ask("/api/login", body=wanted))["token"]
    receiver = os.environ["RECEIVER"]
    with ask("/api/events", token) as stream:
        for name, data, place in events(stream):
            if name == "ready":
                # The answer comes once the message is stored. Its id is the one that events and history show.
                message = {"receiver": receiver, "content": os.environ["TEXT"]}
                sent = json.load(ask("/api/message/send", token, message))
                print("sent", sent["id"])
            elif name == "message" and data["id"] == sent["id"]:
                print("heard", data["id"])
                break
            # A program that goes on keeps `place` and comes back with it as the header Last-Event-ID: it misses nothing.
    query = urllib.parse.urlencode({"user": receiver, "limit": 1})
    print(json.dumps(json.load(ask(f"/api/message/history?{query}", token)), ensure_ascii=False))
    ask("/api/logout", token, method="POST")


if __name__ == "__main__":
    main()
