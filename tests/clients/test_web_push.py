"""Web Push from end to end: a push service with a certificate of its own, and a browser's side of the encryption that others wrote."""

import http.server
import json
import queue
import ssl
import threading
import time

import http_ece
import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, utils

from push_services import (
    PATIENCE_SECONDS, api, b64, failure, gone, make_certificate, say, sign_in, unb64,
)


class PushService:
    """Takes what is pushed, and answers as it was told to."""

    def __init__(self, folder):
        self.certificate, private = make_certificate(folder)
        self.pushed, self.status, self.is_hanging = queue.Queue(), 201, threading.Event()
        service = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                service.pushed.put((self.path, self.headers, body))
                if service.is_hanging.is_set():
                    time.sleep(PATIENCE_SECONDS)
                self.send_response(service.status)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.certificate, private)
        self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        self.origin = f"https://localhost:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def next(self):
        return self.pushed.get(timeout=PATIENCE_SECONDS)


class Browser:
    """The keys of a subscription."""

    def __init__(self):
        self.private, self.auth = ec.generate_private_key(ec.SECP256R1()), b"0123456789abcdef"

    def subscription(self, endpoint):
        public = self.private.public_key().public_bytes(
            serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint
        )
        keys = {"p256dh": b64(public), "auth": b64(self.auth)}
        return {"endpoint": endpoint, "expirationTime": None, "keys": keys}

    def read(self, body):
        opened = http_ece.decrypt(body, private_key=self.private, auth_secret=self.auth, version="aes128gcm")
        return json.loads(opened)


@pytest.fixture
def push(tmp_path):
    service = PushService(tmp_path)
    yield service
    service.server.shutdown()


@pytest.fixture
def house(make_server, push):
    # A push service on this machine, with a certificate that this machine trusts.
    server = make_server(
        KIM__PUSH_SERVICE__PRIVATE_ADDRESSES="true",
        KIM__PUSH_SERVICE__ANSWER_SECONDS="2",
        KIM__PUSH__WEBPUSH__SUBJECT="mailto:admin@localhost",
        KIM__XEP0384_OMEMO__POLICY="off",
        SSL_CERT_FILE=str(push.certificate),
    )
    server.start()
    yield server
    server.stop()


def test_a_browser_that_is_closed_reads_that_there_is_a_message(house, push):
    alice, bob, browser = sign_in(house, "alice"), sign_in(house, "bob"), Browser()
    made = api(house, "POST push/subscribe", alice, browser.subscription(f"{push.origin}/alice"))
    say(house, bob, "alice")
    path, headers, body = push.next()
    assert path == "/alice"
    assert browser.read(body) == {"kind": "message", "messages": 1}
    assert b"are you there" not in body and b"bob" not in body
    assert headers["Content-Encoding"] == "aes128gcm"
    assert int(headers["TTL"]) > 3600 and headers["Urgency"] == "normal" and headers["Topic"]

    # RFC 8292: the push service can check whose request it is.
    words = dict(word.strip().split("=", 1) for word in headers["Authorization"].removeprefix("vapid ").split(","))
    assert words["k"] == made["public_key"]
    signed, signature = words["t"].rsplit(".", 1)
    claims = json.loads(unb64(signed.split(".")[1]))
    assert claims["aud"] == push.origin and claims["sub"] == "mailto:admin@localhost"
    assert time.time() < claims["exp"] <= time.time() + 86_400
    key = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), unb64(words["k"]))
    r, s = (int.from_bytes(half, "big") for half in (unb64(signature)[:32], unb64(signature)[32:]))
    key.verify(utils.encode_dss_signature(r, s), signed.encode(), ec.ECDSA(hashes.SHA256()))


def test_a_subscription_that_is_over_is_forgotten(house, push):
    carol, dave = sign_in(house, "carol"), sign_in(house, "dave")
    api(house, "POST push/subscribe", carol, Browser().subscription(f"{push.origin}/carol"))
    push.status = 410
    say(house, dave, "carol")
    push.next()
    gone(house, carol)


def test_a_push_service_that_hangs_costs_nobody_anything(house, push):
    erin, frank = sign_in(house, "erin"), sign_in(house, "frank")
    api(house, "POST push/subscribe", erin, Browser().subscription(f"{push.origin}/erin"))
    push.is_hanging.set()
    say(house, frank, "erin")  # comes back before the push service answers
    push.next()
    assert "does not answer in time" in failure(house, erin)


def test_the_servers_key_outlives_a_restart(house):
    grace = sign_in(house, "grace")
    before = api(house, "GET push/subscribe", grace)["public_key"]
    house.stop()
    house.start()
    assert api(house, "GET push/subscribe", grace)["public_key"] == before
