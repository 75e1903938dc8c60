"""What the tests of push services have in common: a certificate for one on this machine, and what people do at the API."""

import base64
import datetime
import http.server
import json
import queue
import ssl
import threading
import time
import urllib.request

import http_ece
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

PATIENCE_SECONDS = 30
# After a failure the server waits for half a minute, and after a crash for one.
RETRY_PATIENCE_SECONDS = 120
DAY = datetime.timedelta(days=1)


def b64(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def unb64(text):
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def pem(key):
    """A private key as it stands in a file."""
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def make_certificate(folder):
    """The files of a certificate for localhost and of its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "push service")])
    now = datetime.datetime.now(datetime.timezone.utc)
    made = (
        x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
        .serial_number(1).not_valid_before(now - DAY).not_valid_after(now + DAY)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    certificate, private = folder / "push.crt", folder / "push.key"
    certificate.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    private.write_bytes(pem(key))
    return certificate, private


class TlsService:
    """A web service on this machine with a certificate of its own."""

    def __init__(self, folder, handler):
        self.certificate, private = make_certificate(folder)
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self.server.daemon_threads = True
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.certificate, private)
        self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        self.origin = f"https://localhost:{self.server.server_port}"

    def start(self):
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


class PushService(TlsService):
    """Takes what is pushed, and answers as it was told to."""

    def __init__(self, folder):
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

        super().__init__(folder, Handler)
        self.start()

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


def api(server, line, token=None, body=None):
    method, path = line.split()
    request = urllib.request.Request(f"https://localhost:{server.port_https}/api/{path}", method=method)
    if body is not None:
        request.data = json.dumps(body).encode()
        request.add_header("Content-Type", "application/json")
    if token:
        request.add_header("Authorization", f"Bearer {token}")
    with urllib.request.urlopen(request, context=server.trust(), timeout=PATIENCE_SECONDS) as answer:
        return json.load(answer)


def sign_in(server, name):
    jid, password = server.add_account(name)
    scopes = ["read", "send", "manage"]
    return api(server, "POST login", body={"username": name, "password": password, "scopes": scopes})["token"]


def say(server, token, to):
    api(server, "POST message/send", token, {"receiver": to, "content": "are you there?"})


def has_read(server, token, of):
    """Whether the message is in the archive of whom it was for."""
    page = api(server, f"GET message/history?user={of}", token)
    return [message["content"] for message in page["messages"]] == ["are you there?"]


def subscription(server, token):
    (one,) = api(server, "GET push/subscribe", token)["subscriptions"]
    return one


def awaited(question, otherwise):
    """Asks until the answer is something, and gives it."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not (answer := question()):
        assert time.monotonic() < deadline, otherwise
        time.sleep(0.1)
    return answer


def failure(server, token):
    """Why nothing came through, once that is known."""
    return awaited(lambda: subscription(server, token)["last_failure"], "no failure was noted")["reason"]


def succeeded(server, token):
    """Waits until it is known that a notification came through."""
    awaited(lambda: subscription(server, token)["last_success_at"], "no success was noted")


def gone(server, token):
    """Waits until a subscription has ended."""
    awaited(lambda: not api(server, "GET push/subscribe", token)["subscriptions"], "the subscription is still there")
