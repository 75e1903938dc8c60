"""Firebase from end to end: a stub that checks the exchange of the service account's signature for a token (RFC 7523), and the
body. The body is written as the documentation of HTTP v1 shows it; firebase-admin 7.7 makes the same of the same message."""

import http.server
import json
import queue
import threading
import time
import urllib.parse

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from push_services import (
    PATIENCE_SECONDS, RETRY_PATIENCE_SECONDS, TlsService, api, failure, gone, has_read, pem, say, sign_in, succeeded, unb64,
)

ACCOUNT = "kim@project.iam.gserviceaccount.com"
SCOPE = "https://www.googleapis.com/auth/firebase.messaging"


class Google(TlsService):
    def __init__(self, folder):
        self.key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        self.tokens, self.sent, self.answers = [], queue.Queue(), queue.Queue()
        self.is_hanging = threading.Event()
        google = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if self.path == "/token":
                    return self.answer(200, google.token(body))
                assert self.path == "/v1/projects/project-1/messages:send"
                google.sent.put(json.loads(body))
                if google.is_hanging.is_set():
                    time.sleep(PATIENCE_SECONDS)
                if not google.tokens or self.headers["Authorization"] != f"Bearer {google.tokens[-1]}":
                    return self.answer(401, error("UNAUTHENTICATED"))
                self.answer(*(google.answers.get() if not google.answers.empty() else (200, {"name": "projects/1"})))

            def answer(self, status, body, **headers):
                body = json.dumps(body).encode()
                self.send_response(status)
                for name, value in {"Content-Length": str(len(body)), **headers}.items():
                    self.send_header(name.replace("_", "-"), value)
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        super().__init__(folder, Handler)
        self.file = folder / "service-account.json"
        self.file.write_text(json.dumps({
            "type": "service_account", "project_id": "project-1", "client_email": ACCOUNT,
            "private_key": pem(self.key).decode(), "token_uri": f"{self.origin}/token",
        }))
        self.file.chmod(0o600)
        self.start()

    def token(self, body):
        form = dict(urllib.parse.parse_qsl(body.decode()))
        assert form["grant_type"] == "urn:ietf:params:oauth:grant-type:jwt-bearer"
        signed, signature = form["assertion"].rsplit(".", 1)
        self.key.public_key().verify(unb64(signature.rstrip("=")), signed.encode(), padding.PKCS1v15(), hashes.SHA256())
        header, claims = (json.loads(unb64(part.rstrip("="))) for part in signed.split("."))
        assert header["alg"] == "RS256"
        assert claims["iss"] == ACCOUNT and claims["scope"] == SCOPE and claims["aud"] == f"{self.origin}/token"
        assert claims["iat"] - 60 < time.time() < claims["exp"] <= claims["iat"] + 3600
        self.tokens.append(f"token-{len(self.tokens)}")
        return {"access_token": self.tokens[-1], "expires_in": 3600, "token_type": "Bearer"}

    def next(self, patience=PATIENCE_SECONDS):
        return self.sent.get(timeout=patience)


def error(status, code=None):
    details = [{"@type": "type.googleapis.com/google.firebase.fcm.v1.FcmError", "errorCode": code}] if code else []
    return {"error": {"status": status, "message": "for people", "details": details}}


@pytest.fixture
def google(tmp_path):
    google = Google(tmp_path)
    yield google
    google.server.shutdown()


@pytest.fixture
def house(make_server, google):
    server = make_server(
        KIM__PUSH_SERVICE__ANSWER_SECONDS="2",
        KIM__PUSH__FCM__SERVICE_ACCOUNT=str(google.file),
        KIM__PUSH__FCM__URL=google.origin,
        KIM__XEP0384_OMEMO__POLICY="off",
        SSL_CERT_FILE=str(google.certificate),
    )
    server.start()
    yield server
    server.stop()


def subscribe(server, token, app):
    api(server, "POST push/subscribe", token, {"kind": "fcm", "token": app})


def message(app):
    return {"message": {
        "token": app,
        "data": {"kind": "message", "messages": "1"},
        "android": {"collapse_key": "messages", "priority": "high", "ttl": "259200s"},
    }}


def test_an_app_is_told_that_there_is_a_message_and_google_learns_no_more(house, google):
    alice, bob = sign_in(house, "alice"), sign_in(house, "bob")
    subscribe(house, alice, "app:alice")
    subscribe(house, bob, "app:bob")
    say(house, bob, "alice")
    assert google.next() == message("app:alice")
    succeeded(house, alice)
    say(house, alice, "bob")
    assert google.next() == message("app:bob")
    succeeded(house, bob)
    assert len(google.tokens) == 1


def test_a_token_that_google_does_not_take_any_more_is_replaced(house, google):
    carol, dave = sign_in(house, "carol"), sign_in(house, "dave")
    google.answers.put((401, error("UNAUTHENTICATED")))
    subscribe(house, carol, "app:carol")
    say(house, dave, "carol")
    assert google.next() == google.next() == message("app:carol")
    succeeded(house, carol)
    assert len(google.tokens) == 2


def test_firebase_that_has_too_much_to_do_is_asked_again_later(house, google):
    erin, frank = sign_in(house, "erin"), sign_in(house, "frank")
    google.answers.put((429, error("RESOURCE_EXHAUSTED", "QUOTA_EXCEEDED")))
    subscribe(house, erin, "app:erin")
    say(house, frank, "erin")
    assert google.next() == message("app:erin")
    assert "asked to wait" in failure(house, erin)
    # Without Retry-After it is left alone for a minute.
    assert google.next(2 * RETRY_PATIENCE_SECONDS) == message("app:erin")
    succeeded(house, erin)


def test_an_app_that_was_removed_is_forgotten(house, google):
    grace, heidi = sign_in(house, "grace"), sign_in(house, "heidi")
    google.answers.put((404, error("NOT_FOUND", "UNREGISTERED")))
    subscribe(house, grace, "app:grace")
    say(house, heidi, "grace")
    google.next()
    gone(house, grace)


def test_while_firebase_hangs_messages_arrive(house, google):
    ivan, judy = sign_in(house, "ivan"), sign_in(house, "judy")
    google.is_hanging.set()
    subscribe(house, ivan, "app:ivan")
    say(house, judy, "ivan")
    google.next()
    assert has_read(house, ivan, "judy")
    assert "does not answer in time" in failure(house, ivan)


def test_what_a_crash_interrupts_is_told_after_it(house, google):
    ken, lea = sign_in(house, "ken"), sign_in(house, "lea")
    google.is_hanging.set()
    subscribe(house, ken, "app:ken")
    say(house, lea, "ken")
    assert google.next() == message("app:ken")
    house.kill()
    google.is_hanging.clear()
    house.start()
    assert google.next(RETRY_PATIENCE_SECONDS) == message("app:ken")
    succeeded(house, ken)


def test_kim_check_gets_a_token(house, google):
    assert "ok    push           Firebase takes the key of project project-1" in house.try_to_run("check").stdout
    google.file.write_text("{}")
    told = house.try_to_run("check")
    assert 'has no "project_id": it is not the key of a service account' in told.stdout and told.returncode != 0
