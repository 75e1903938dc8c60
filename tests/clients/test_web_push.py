"""Web Push from end to end: a push service with a certificate of its own, and a browser's side of the encryption that others wrote."""

import json
import time

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, utils

from push_services import Browser, PushService, api, b64, failure, gone, say, sign_in, unb64


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


def test_an_operator_sees_who_is_woken_and_tries_it_out(house, push):
    alice, browser = sign_in(house, "alice"), Browser()
    assert "has no push registrations" in house.try_to_run("push", "list", "alice").stderr
    api(house, "POST push/subscribe", alice, browser.subscription(f"{push.origin}/alice"))
    line = house.try_to_run("push", "list", "alice@localhost").stdout
    assert "push.localhost" in line and "no success yet" in line
    tested = house.try_to_run("push", "test", "alice")
    assert tested.returncode == 0 and "ok " in tested.stdout, tested
    assert browser.read(push.next()[2])["kind"] == "message"
    assert "last success" in house.try_to_run("push", "list", "alice").stdout
    push.status = 410
    tested = house.try_to_run("push", "test", "alice")
    assert tested.returncode != 0 and "FAIL" in tested.stdout and "removed" in tested.stdout, tested
    assert house.try_to_run("push", "list", "alice").stdout == ""
    unknown = house.try_to_run("push", "list", "nobody")
    assert unknown.returncode != 0 and "there is no account" in unknown.stderr
