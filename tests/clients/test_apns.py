"""Apple's push service from end to end. Apple's side is pushy's mock: real HTTP/2, and it checks the token, the device, the
topic and the payload (see pushy/)."""

import json
import queue
import subprocess
import threading

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from programs import OUTPUT, apple_command
from push_services import (
    PATIENCE_SECONDS, RETRY_PATIENCE_SECONDS, api, failure, gone, has_read, make_certificate, pem, say, sign_in, succeeded,
)
from server import end_with_parent

APP = "org.example.app"
DEVICES = [f"{number:064x}" for number in range(1, 9)]


class Apple:
    def __init__(self, folder):
        self.certificate, private = make_certificate(folder)
        key = ec.generate_private_key(ec.SECP256R1())
        self.key, public = folder / "AuthKey.p8", folder / "public.pem"
        self.key.write_bytes(pem(key))
        self.key.chmod(0o600)
        public.write_bytes(key.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        ))
        OUTPUT.mkdir(parents=True, exist_ok=True)
        command = apple_command(
            str(self.certificate), str(private), str(public), "KEY1234567", "TEAM123456", f"{APP},{APP}.voip", ",".join(DEVICES)
        )
        with open(OUTPUT / "pushy", "ab") as log:
            self.process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True, preexec_fn=end_with_parent
            )
        self.told = queue.Queue()
        threading.Thread(target=self.read, daemon=True).start()
        self.port = self.expect("listening")[0]

    def read(self):
        for line in self.process.stdout:
            self.told.put(line.rstrip("\n").split("\t"))

    def expect(self, word, patience=PATIENCE_SECONDS):
        """The words after the next line that begins with this one."""
        others = []
        try:
            while True:
                first, *rest = self.told.get(timeout=patience)
                if first.split(" ")[0] == word:
                    return rest
                others.append([first, *rest])
        except queue.Empty:
            raise AssertionError(f"Apple did not tell {word!r}; it told {others}") from None

    def request(self, word, patience=PATIENCE_SECONDS):
        """The headers and the payload of the next request that this happens to."""
        *headers, payload = self.expect(word, patience)
        return dict(header.split("=", 1) for header in headers), json.loads(payload)

    def order(self, device, what):
        self.process.stdin.write(f"{device}\t{what}\n")
        self.process.stdin.flush()
        self.expect("ordered")


@pytest.fixture
def apple(tmp_path):
    apple = Apple(tmp_path)
    yield apple
    apple.process.kill()
    apple.process.wait()


@pytest.fixture
def house(make_server, apple):
    server = make_server(
        KIM__PUSH_SERVICE__ANSWER_SECONDS="2",
        KIM__PUSH__APNS__KEY=str(apple.key),
        KIM__PUSH__APNS__KEY_ID="KEY1234567",
        KIM__PUSH__APNS__TEAM_ID="TEAM123456",
        KIM__PUSH__APNS__TOPICS=APP,
        KIM__PUSH__APNS__URL=f"https://localhost:{apple.port}",
        KIM__XEP0384_OMEMO__POLICY="off",
        SSL_CERT_FILE=str(apple.certificate),
    )
    server.start()
    yield server
    server.stop()


def subscribe(server, token, device):
    api(server, "POST push/subscribe", token, {"kind": "apns", "token": device, "topic": APP})


def test_a_phone_shows_that_there_is_a_message_and_apple_learns_no_more(house, apple):
    alice, bob = sign_in(house, "alice"), sign_in(house, "bob")
    subscribe(house, alice, DEVICES[0])
    say(house, bob, "alice")
    headers, payload = apple.request("taken")
    assert payload == {
        "aps": {"alert": {"body": "New message"}, "badge": 1, "sound": "default", "mutable-content": 1},
        "kind": "message", "messages": 1,
    }
    assert headers[":path"] == f"/3/device/{DEVICES[0]}" and headers["apns-topic"] == APP
    assert headers["apns-push-type"] == "alert" and headers["apns-priority"] == "10"
    assert headers["apns-collapse-id"] and int(headers["apns-expiration"]) > 0
    succeeded(house, alice)
    # Another notification, and the same token.
    subscribe(house, bob, DEVICES[1])
    say(house, alice, "bob")
    assert apple.request("taken")[0]["authorization"] == headers["authorization"]


def test_a_device_that_has_too_many_is_left_alone_and_then_told(house, apple):
    carol, dave = sign_in(house, "carol"), sign_in(house, "dave")
    subscribe(house, carol, DEVICES[0])
    apple.order(DEVICES[0], "throttle")
    say(house, dave, "carol")
    first, _ = apple.request("refused")
    assert "asked to wait" in failure(house, carol)
    # Others are told meanwhile.
    subscribe(house, dave, DEVICES[1])
    say(house, carol, "dave")
    assert apple.request("taken")[0][":path"].endswith(DEVICES[1])
    apple.order(DEVICES[0], "take")
    again, _ = apple.request("taken", RETRY_PATIENCE_SECONDS)
    assert again[":path"] == first[":path"] and again["apns-collapse-id"] == first["apns-collapse-id"]
    succeeded(house, carol)


def test_an_app_that_was_removed_is_forgotten(house, apple):
    erin, frank = sign_in(house, "erin"), sign_in(house, "frank")
    subscribe(house, erin, DEVICES[0])
    apple.order(DEVICES[0], "gone")
    say(house, frank, "erin")
    apple.expect("refused")
    gone(house, erin)


def test_while_apple_hangs_messages_arrive(house, apple):
    grace, heidi = sign_in(house, "grace"), sign_in(house, "heidi")
    subscribe(house, grace, DEVICES[0])
    apple.order(DEVICES[0], "hang")
    say(house, heidi, "grace")
    apple.request("asked")
    assert has_read(house, grace, "heidi")
    assert "does not answer in time" in failure(house, grace)
    apple.order(DEVICES[0], "take")


def test_what_a_crash_interrupts_is_told_after_it(house, apple):
    ivan, judy = sign_in(house, "ivan"), sign_in(house, "judy")
    subscribe(house, ivan, DEVICES[0])
    apple.order(DEVICES[0], "hang")
    say(house, judy, "ivan")
    first, _ = apple.request("asked")
    house.kill()
    apple.order(DEVICES[0], "take")
    house.start()
    again, payload = apple.request("taken", RETRY_PATIENCE_SECONDS)
    while again["apns-id"] == first["apns-id"]:  # Apple may have gone on with the first one.
        again, payload = apple.request("taken", RETRY_PATIENCE_SECONDS)
    # A phone that has the first one shows the second in its place.
    assert again["apns-collapse-id"] == first["apns-collapse-id"] and payload["kind"] == "message"


def test_kim_check_reaches_apple_and_sees_whether_the_key_is_taken(house, apple, tmp_path):
    assert "ok    push           Apple is reached over HTTP/2 and does not refuse the key" in house.try_to_run("check").stdout
    other = tmp_path / "other.p8"
    other.write_bytes(pem(ec.generate_private_key(ec.SECP256R1())))
    told = house.try_to_run("check", KIM__PUSH__APNS__URL="https://localhost:1").stdout
    assert "FAIL  push           Apple ([push.apns]): https://localhost:1 cannot be reached" in told
    told = house.try_to_run("check", KIM__PUSH__APNS__KEY=str(other)).stdout
    assert "chmod 600" in told
    refused = house.try_to_run("check", KIM__PUSH__APNS__KEY=str(tmp_path / "none.p8"))
    assert f"FAIL  push           [push.apns] key: {tmp_path}/none.p8: there is no such file" in refused.stdout
    assert refused.returncode != 0
