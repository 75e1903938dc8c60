"""Sign-in with a real client, and what must be refused (RFC 6120 §5–§7, RFC 5802, XEP-0368, XEP-0440)."""

import ssl

import pytest

from people import SignInFailed
from stream import Refused, Stream


@pytest.mark.parametrize("mechanism", ["SCRAM-SHA-256", "SCRAM-SHA-1"])
async def test_sign_in_with_scram(people, mechanism):
    alice = await people.online("alice", mechanism=mechanism)
    assert alice.kim.domain == alice.boundjid.domain


@pytest.mark.parametrize("mechanism", ["SCRAM-SHA-256", "SCRAM-SHA-1"])
async def test_a_wrong_password_is_refused(people, mechanism):
    """The same answer for a wrong password and for nobody (RFC 6120 §6.5.10)."""
    jid, password = people.account("alice")
    for wrong in ((jid, password + "!"), (f"nobody-{jid}", password)):
        with pytest.raises(SignInFailed) as refused:
            await people.device(wrong, mechanism=mechanism).sign_in()
        assert refused.value.condition == "not-authorized"
    await people.online((jid, password), mechanism=mechanism)


async def test_direct_tls(people):
    """XEP-0368: TLS from the first byte."""
    alice = await people.online("alice", direct_tls=True)
    bob = await people.online("bob")
    assert "starttls" not in alice.features
    alice.say(bob.boundjid.full, "through the other door")
    await bob.expect_message("through the other door")


@pytest.mark.parametrize("direct_tls", [False, True])
async def test_a_client_that_does_not_know_the_certificate_stays_away(people, direct_tls):
    """The tests verify certificates: without the server's own there is no session."""
    alice = people.device(people.account("alice"), direct_tls=direct_tls, trust=ssl.create_default_context())
    if direct_tls:
        # slixmpp tries again for ever when it never got a connection: its first failure is the answer.
        failure = alice.wait_until("connection_failed")
        alice.connect(*alice.address)
        assert "certificate verify failed" in str(await failure).lower()
        alice.cancel_connection_attempt()
    else:
        with pytest.raises(SignInFailed):
            await alice.sign_in()
        assert isinstance(alice.tls_failure, ssl.SSLCertVerificationError)


async def test_the_server_names_a_device_that_does_not_name_itself(people):
    """RFC 6120 §7.6."""
    account = people.account("alice")
    one, other = await people.online(account), await people.online(account)
    assert one.boundjid.resource and other.boundjid.resource
    assert one.boundjid.resource != other.boundjid.resource


async def test_a_device_with_the_same_name_replaces_the_first(people):
    """RFC 6120 §7.7.2.2: the first is ended with `conflict`, the second keeps the name."""
    account = people.account("alice")
    first = await people.online(account, resource="balcony")
    assert first.boundjid.resource == "balcony"
    second = await people.online(account, resource="balcony")
    assert second.boundjid.resource == "balcony"
    await first.expect_stream_error("conflict")
    await first.dropped()
    bob = await people.online("bob")
    bob.say(second.boundjid.full, "still there?")
    await second.expect_message("still there?")


async def test_the_server_tells_its_limits(people):
    """XEP-0478 §3."""
    alice = await people.online("alice")
    assert alice.limits.max_bytes == 262_144


def test_nothing_is_offered_before_tls(server):
    """RFC 6120 §5.3.1: STARTTLS is required and no mechanism is shown in the clear."""
    with Stream(server) as stream:
        features = stream.open()
        assert [child.tag for child in features] == ["{urn:ietf:params:xml:ns:xmpp-tls}starttls"]
        assert features[0].find("{urn:ietf:params:xml:ns:xmpp-tls}required") is not None


def test_direct_tls_agrees_on_the_protocol(server):
    """XEP-0368 §3 (ALPN)."""
    with Stream(server, direct_tls=True) as stream:
        stream.open()
        assert stream.protocol == b"xmpp-client"


@pytest.mark.parametrize("binding", ["tls-exporter", "tls-server-end-point"])
@pytest.mark.parametrize("mechanism", ["SCRAM-SHA-256-PLUS", "SCRAM-SHA-1-PLUS"])
@pytest.mark.parametrize("direct_tls", [False, True])
def test_sign_in_bound_to_the_channel(server, mechanism, binding, direct_tls):
    """RFC 5802 §6, RFC 9266, XEP-0440: both bindings are offered and hold, behind both ports."""
    jid, password = server.add_account(f"bound-{mechanism}-{binding}-{direct_tls}".lower())
    with Stream(server, direct_tls=direct_tls) as stream:
        features = stream.secure()
        offered = features.find("{urn:xmpp:sasl-cb:0}sasl-channel-binding")
        assert {"tls-exporter", "tls-server-end-point"} <= {one.get("type") for one in offered}
        stream.scram(jid, password, mechanism, binding=binding)
        assert stream.open().find("{urn:ietf:params:xml:ns:xmpp-bind}bind") is not None


@pytest.mark.parametrize("tampering", [
    dict(binding="tls-exporter", binding_data=bytes(32)),  # somebody else's channel
    dict(binding="tls-unique", binding_data=bytes(12)),  # a binding that was not offered
    dict(flag="y"),  # "you did not offer -PLUS", but it was: someone took it out (RFC 5802 §6)
    dict(cbind_input=b"y,,"),  # c= differs from the header of the first message (RFC 5802 §5.1)
    dict(authzid="admin@localhost"),  # as somebody else
])
def test_a_tampered_sign_in_is_refused(server, tampering):
    jid, password = server.add_account(f"tampered-{abs(hash(str(tampering))):x}")
    mechanism = "SCRAM-SHA-256-PLUS" if "binding" in tampering else "SCRAM-SHA-256"
    with Stream(server) as stream:
        stream.secure()
        with pytest.raises(Refused):
            stream.scram(jid, password, mechanism, **tampering)
