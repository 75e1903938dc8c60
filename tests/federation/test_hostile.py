"""How a server must answer a misbehaving peer, and that it serves a well-behaved one.

RFC 6120 §4, §8 and §13, XEP-0220, XEP-0178, XEP-0185, XEP-0288 and XEP-0478, with the hand-written peer. Prosody and ejabberd
prove that the peer itself is right; `DEPARTURES` in conftest.py lists where they depart from the text.
"""

import asyncio
import contextlib
import pathlib
import secrets
import time

import pytest
from slixmpp import Message

from peer import BIDI, BIDI_FEATURE, DIALBACK, LIMITS, SERVER, Ended, Peer, Refused, kind_of
from people import PATIENCE_SECONDS

# What kIM may hold in memory whatever peers do; a debug build with all its neighbours' stories behind it is far below.
RSS_MEGABYTES_MAX = 400

# kIM has to bear this many; for the neighbours a few are enough to show that the peer works.
MANY = {"kim": 1000}
FEW = 50


def message(sender, to, body, more=""):
    return f"<message from='{sender}' to='{to}' type='chat' id='m-{secrets.token_hex(4)}'><body>{body}</body>{more}</message>"


def ping(sender, to):
    return f"<iq from='{sender}' to='{to}' type='get' id='p-{secrets.token_hex(4)}'><ping xmlns='urn:xmpp:ping'/></iq>"


def bodies(person):
    return [stanza["body"] for stanza in person.inbox if isinstance(stanza, Message)]


async def assert_unheard(bob, body):
    """After another round trip to the server, the message has not arrived."""
    await bob.settle()
    assert body not in bodies(bob)


async def ended_soon(stream):
    """The condition of the stream error, if one comes within a second."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(1):
            return await stream.ended()


# --- who it is: certificates ------------------------------------------------------------------------------------------

@pytest.mark.parametrize("kind", ["server", "wildcard", "by_xmpp_addr", "by_srv_name"])
async def test_a_good_certificate_is_enough(target, peers, bob, kind):
    """XEP-0178 §3, RFC 6120 §13.7.1.2: dNSName for `serverAuth` only, wildcard, id-on-xmppAddr and SRV-ID."""
    peer = await peers(certificate=kind if kind != "wildcard" else None)
    certificate = None
    if kind == "wildcard":
        # A wildcard stands for the leftmost label only.
        parent = peer.domain
        peer = await peers(domain=f"sub.{parent}", certificate=peer.world.authority.wildcard(parent))
    stream = await peer.connect(target)
    await stream.secure(certificate)
    assert await stream.external() is None
    stream.send(message(f"eve@{peer.domain}", bob.boundjid.bare, "by certificate"))
    assert (await bob.expect_message("by certificate"))["from"] == f"eve@{peer.domain}"


async def test_tls_from_the_first_byte(target, peer, bob):
    """XEP-0368: port 5270 with ALPN `xmpp-server`."""
    stream = await peer.connect(target, direct=True)
    await stream.open()
    assert await stream.external() is None
    stream.send(message(f"eve@{peer.domain}", bob.boundjid.bare, "directly"))
    await bob.expect_message("directly")


@pytest.mark.parametrize("kind", ["expired", "not_yet", "self_signed", "for_another", "too_deep", "unknown_authority"])
async def test_a_bad_certificate_proves_nothing(target, peers, kind):
    """XEP-0178 §3 step 9, RFC 6120 §13.7.2: EXTERNAL is not offered, or fails."""
    peer = await peers()
    authority = peer.world.authority
    if kind == "for_another":
        certificate = authority.server("somebody-else.plain")
    elif kind == "too_deep":
        peer = await peers(domain=f"a.b.{peer.domain}", certificate=authority.wildcard(peer.domain))
        certificate = peer.certificate
    elif kind == "unknown_authority":
        certificate = type(authority)(authority.folder / "other", "Nobody knows it").server(peer.domain)
    else:
        certificate = getattr(authority, kind)(peer.domain)
    stream = await peer.connect(target)
    await stream.secure(certificate)
    assert await stream.external() in ("not-offered", "not-authorized")


async def test_the_name_of_somebody_else(target, peer, peers):
    """XEP-0178 §3 step 9: the authorization identity must be in the certificate."""
    other = await peers()
    stream = await peer.connect(target)
    await stream.secure()
    assert await stream.external(other.domain) in ("invalid-authzid", "not-authorized")


async def test_a_header_of_somebody_else(target, peer, peers):
    """The same for the stream's `from` with an empty authorization identity."""
    other = await peers()
    stream = await peer.connect(target)
    await stream.secure(sender=other.domain)
    assert await stream.external("") in ("not-offered", "not-authorized", "invalid-authzid")


# --- who it is: dialback ----------------------------------------------------------------------------------------------

async def test_dialback(target, peer, bob):
    """XEP-0220 §2: the receiving server verifies a correct key with the authoritative server and accepts it."""
    stream = await peer.connect(target)
    await stream.secure(False)
    assert await stream.dialback() == "valid"
    # §2.2.1: the request has the id of this stream and the right addresses.
    assert (target.domain, peer.domain, stream.id) in [asked[:3] for asked in peer.asked]
    stream.send(message(f"eve@{peer.domain}", bob.boundjid.bare, "by dialback"))
    await bob.expect_message("by dialback")


async def test_a_wrong_key(target, peer, bob):
    """XEP-0220 §2.1.2: invalid, and no stanza is accepted after it."""
    stream = await peer.connect(target)
    await stream.secure(False)
    assert await stream.dialback(key="0" * 64) == "invalid"
    stream.send(message(f"eve@{peer.domain}", bob.boundjid.bare, "never"))
    await ended_soon(stream)
    await assert_unheard(bob, "never")


async def test_a_domain_that_does_not_know_the_key(target, peers, bob):
    """XEP-0220 §2.4: an error from the authoritative server is never taken as valid."""
    peer = await peers(judge=lambda *_: "error")
    stream = await peer.connect(target)
    await stream.secure(False)
    assert await stream.dialback() not in ("valid", None)
    stream.send(message(f"eve@{peer.domain}", bob.boundjid.bare, "never"))
    await assert_unheard(bob, "never")


async def test_somebody_elses_name_by_dialback(target, peer, peers, bob):
    """XEP-0220 §1: a peer cannot claim the domain of another server."""
    victim = await peers()
    stream = await peer.connect(target)
    await stream.secure(False, sender=victim.domain)
    assert await stream.dialback(sender=victim.domain) == "invalid"
    await assert_unheard(bob, "never")


async def test_an_answer_by_the_wrong_server(target, peer, peers, bob):
    """XEP-0220 §2.2.2: only the answer of the authoritative server to the request counts."""
    victim = await peers(judge=lambda *_: None)
    stream = await peer.connect(target)
    await stream.secure(False, sender=victim.domain)
    stream.send(f"<db:result from='{victim.domain}' to='{target.domain}'>{'0' * 64}</db:result>")
    # The peer itself confirms the key, unasked, on its own stream.
    stream.send(f"<db:verify from='{victim.domain}' to='{target.domain}' id='{stream.id}' type='valid'/>")
    stream.send(f"<db:result from='{victim.domain}' to='{target.domain}' type='valid'/>")
    stream.send(message(f"eve@{victim.domain}", bob.boundjid.bare, "never"))
    await ended_soon(stream)
    await assert_unheard(bob, "never")


async def test_a_domain_that_does_not_exist_calls(target, peer):
    """XEP-0220 §2.4.2: remote-server-not-found."""
    stream = await peer.connect(target)
    name = "no-such-domain.plain"
    await stream.secure(False, sender=name)
    assert await stream.dialback(sender=name) in (
        "remote-server-not-found", "remote-connection-failed", "remote-server-timeout")


async def test_dialback_to_somebody_who_is_not_here(target, peer):
    """XEP-0220 §2.4.1 (item-not-found), RFC 6120 §4.9.3.6 (host-unknown)."""
    stream = await peer.connect(target)
    await stream.secure(False)
    assert await stream.dialback(to="not-here.plain") in ("item-not-found", "host-unknown", "service-unavailable")


async def test_verify_a_foreign_key(target, peer):
    """XEP-0220 §2.3: as the authoritative server it answers `invalid` to a key it did not make."""
    stream = await peer.connect(target)
    await stream.secure(False)
    assert await stream.verify(peer.domain, target.domain, "some-stream", "0" * 64) == "invalid"


async def test_an_empty_key(target, peer):
    """XEP-0220 §2.3: an empty key is invalid too."""
    stream = await peer.connect(target)
    await stream.secure(False)
    assert await stream.verify(peer.domain, target.domain, "some-stream", "") in ("invalid", "bad-request", "bad-format")


async def test_verify_its_own_key(target, peers, bob):
    """XEP-0220 §2.3, XEP-0185: its key is valid for that stream and pair of domains only."""
    peer = await peers(certificate="self_signed")
    bob.say(f"eve@{peer.domain}", "Who is there?")
    await peer.expect("bob's message", lambda s: s.findtext(f"{{{SERVER}}}body") == "Who is there?")
    (stream_id, key), = peer.keys
    stream = await peer.connect(target)
    await stream.secure(False)
    assert await stream.verify(peer.domain, target.domain, stream_id, key) == "valid"
    assert await stream.verify(peer.domain, target.domain, stream_id + "x", key) == "invalid"
    assert await stream.verify("other.plain", target.domain, stream_id, key) == "invalid"


async def test_two_domains_on_one_stream(target, peer, peers, bob):
    """XEP-0220 §2.5: each domain is verified separately."""
    second = await peers()
    stream = await peer.connect(target)
    await stream.secure(False)
    assert await stream.dialback() == "valid"
    assert await stream.dialback(second.domain, key=second.key(target.domain, second.domain, stream.id)) == "valid"
    for domain in (peer.domain, second.domain):
        stream.send(message(f"eve@{domain}", bob.boundjid.bare, f"from {domain}"))
        await bob.expect_message(f"from {domain}")


async def test_a_domain_that_was_not_proved(target, peer, peers, bob):
    """RFC 6120 §4.9.3.9, §8.1.2.2: invalid-from, and the stream is over."""
    victim = await peers()
    stream = await peer.proved(target)
    stream.send(message(f"eve@{victim.domain}", bob.boundjid.bare, "never"))
    assert await stream.stream_error() == "invalid-from"
    await assert_unheard(bob, "never")


async def test_its_own_domain_from_outside(target, peer, bob):
    """No peer may send from the server's own accounts or services."""
    for sender in (bob.boundjid.bare, target.domain, f"room@{target.conference}/x"):
        stream = await peer.proved(target)
        stream.send(message(sender, bob.boundjid.bare, "never"))
        assert await stream.stream_error() == "invalid-from"
    await assert_unheard(bob, "never")


async def test_its_own_domain_by_dialback(target, peer):
    """No peer may claim the server's own domain."""
    stream = await peer.connect(target)
    with contextlib.suppress(Ended, Refused):
        await stream.secure(False, sender=target.domain)
        assert await stream.dialback(sender=target.domain, key="0" * 64) != "valid"


# --- streams ----------------------------------------------------------------------------------------------------------

async def test_nothing_before_proof(target, peer, bob):
    """RFC 6120 §4.9.3.12: stanzas before authentication end the stream with not-authorized."""
    stream = await peer.connect(target)
    await stream.secure(False)
    stream.send(message(f"eve@{peer.domain}", bob.boundjid.bare, "never"))
    assert await ended_soon(stream) in ("not-authorized", "invalid-from", None)
    await assert_unheard(bob, "never")


async def test_nothing_without_tls(target, peer, bob):
    """RFC 6120 §5.3.1: TLS is required before dialback and stanzas."""
    stream = await peer.connect(target)
    features = await stream.open()
    assert features.find(".//{urn:ietf:params:xml:ns:xmpp-tls}required") is not None
    assert not stream.offers("EXTERNAL")
    stream.send(f"<db:result from='{peer.domain}' to='{target.domain}'>"
                f"{peer.key(target.domain, peer.domain, stream.id)}</db:result>")
    stream.send(message(f"eve@{peer.domain}", bob.boundjid.bare, "never"))
    with contextlib.suppress(Ended, TimeoutError):
        async with asyncio.timeout(1):
            while True:
                answer = await stream.read()
                assert not (answer.tag == f"{{{DIALBACK}}}result" and kind_of(answer) == "valid")
    await assert_unheard(bob, "never")


async def test_the_header_of_an_answer(target, peer):
    """RFC 6120 §4.7: `from`, `to`, a new id each time, version 1.0."""
    seen = set()
    for _ in range(2):
        stream = await peer.connect(target)
        await stream.secure()
        assert stream.header["from"] == target.domain and stream.header.get("version") == "1.0"
        assert stream.header.get("to") in (None, peer.domain)
        assert len(stream.id) >= 8
        seen.add(stream.id)
    assert len(seen) == 2


async def test_services_are_reached_by_their_own_names(target, peer):
    """A stream can be opened to a service domain, which then answers."""
    stream = await peer.connect(target, to=target.conference)
    await stream.secure()
    assert stream.header["from"] == target.conference
    assert await stream.external() is None
    stream.send(f"<iq from='eve@{peer.domain}/x' to='{target.conference}' type='get' id='d1'>"
                "<query xmlns='http://jabber.org/protocol/disco#info'/></iq>")
    answer = await peer.expect("an answer", lambda s: s.get("id") == "d1")
    assert answer.get("type") == "result" and answer.get("from") == target.conference


@pytest.mark.parametrize(("wrong", "condition"), [
    ("host", ["host-unknown"]),
    ("namespace", ["invalid-namespace"]),
    ("xml", ["not-well-formed", "bad-format", "invalid-xml"]),
    ("comment", ["restricted-xml"]),
    ("doctype", ["restricted-xml"]),
])
async def test_a_stream_that_is_wrong(target, peer, wrong, condition):
    """RFC 6120 §4.9.3, §11.1: the stream error for each fault."""
    stream = await peer.connect(target)
    if wrong == "host":
        text = (f"<stream:stream xmlns='{SERVER}' xmlns:stream='http://etherx.jabber.org/streams' "
                f"xmlns:db='{DIALBACK}' to='not-here.plain' from='{peer.domain}' version='1.0'>")
    elif wrong == "namespace":
        text = (f"<stream:stream xmlns='urn:example:x' xmlns:stream='http://etherx.jabber.org/streams' "
                f"to='{target.domain}' from='{peer.domain}' version='1.0'>")
    elif wrong == "doctype":
        text = "<!DOCTYPE a [<!ENTITY b 'c'>]>"
        await stream.secure()
    else:
        await stream.secure()
        text = "<message></iq>" if wrong == "xml" else "<!-- hidden -->"
    stream.send(text)
    if wrong in ("host", "namespace"):
        await stream.read(only_header=True)
    assert await stream.stream_error() in condition


@pytest.mark.parametrize("lacking", ["from", "to"])
async def test_a_stanza_without_an_address(target, peer, lacking):
    """RFC 6120 §8.1.1.2, §8.1.2.2, §4.9.3.7: improper-addressing."""
    stream = await peer.proved(target)
    attribute = f"to='{target.domain}'" if lacking == "from" else f"from='eve@{peer.domain}'"
    stream.send(f"<message {attribute} type='chat'><body>never</body></message>")
    assert await stream.stream_error() == "improper-addressing"


async def test_no_relaying(target, peer, peers):
    """RFC 6120 §10.4: a stanza for a foreign domain is not forwarded."""
    third = await peers()
    stream = await peer.proved(target)
    stream.send(message(f"eve@{peer.domain}", f"mallory@{third.domain}", "never"))
    await ended_soon(stream)
    assert not third.stanzas and not third.calls


async def test_answers_come_back(target, peer, bob):
    """RFC 6120 §10.3: over a stream that the server opens itself."""
    stream = await peer.proved(target)
    stream.send(ping(f"eve@{peer.domain}/x", target.domain))
    answer = await peer.expect("a pong", lambda s: s.tag == f"{{{SERVER}}}iq")
    assert answer.get("type") == "result" and answer.get("to") == f"eve@{peer.domain}/x"
    assert all(call["secure"] or call["from"] == target.domain for call in peer.calls)
    bob.say(f"eve@{peer.domain}", "Who is there?")
    got = await peer.expect("bob's message", lambda s: s.tag == f"{{{SERVER}}}message")
    assert got.get("from") == bob.boundjid.full


async def test_both_directions_on_one_stream(target, peers):
    """XEP-0288: with bidi enabled the answer comes on the same stream."""
    peer = await peers(listens=False)
    stream = await peer.connect(target)
    await stream.secure()
    assert stream.features.find(f"{{{BIDI_FEATURE}}}bidi") is not None
    stream.send(f"<bidi xmlns='{BIDI}'/>")
    assert await stream.external() is None
    stream.send(ping(f"eve@{peer.domain}/x", target.domain))
    while (answer := await stream.read()).tag != f"{{{SERVER}}}iq":
        pass
    assert answer.get("type") == "result" and answer.get("to") == f"eve@{peer.domain}/x"


async def test_limits_are_told(target, peer):
    """XEP-0478: the stream features say how large a stanza may be."""
    stream = await peer.connect(target)
    await stream.secure()
    limits = stream.features.find(f"{{{LIMITS}}}limits")
    assert limits is not None and int(limits.findtext(f"{{{LIMITS}}}max-bytes")) >= 10000


# --- too much of it ---------------------------------------------------------------------------------------------------

@contextlib.asynccontextmanager
async def a_bystander_is_served(bob, seconds=1.0):
    """Pings the server the whole time as an uninvolved user, and bounds the slowest answer of kIM and its memory."""
    slowest = 0.0

    async def watch():
        nonlocal slowest
        while True:
            begun = time.monotonic()
            await bob.settle()
            slowest = max(slowest, time.monotonic() - begun)
            await asyncio.sleep(0.05)

    watching = asyncio.ensure_future(watch())
    try:
        yield
        begun = time.monotonic()
        await bob.settle()
        slowest = max(slowest, time.monotonic() - begun)
    finally:
        watching.cancel()
    print(f"slowest pong {slowest * 1000:.0f} ms")
    if bob.kim.kind == "kim":
        assert slowest < seconds, f"a bystander waited {slowest:.1f} s"
        assert megabytes(bob.kim) < RSS_MEGABYTES_MAX


def megabytes(server):
    """What a server holds in memory."""
    status = pathlib.Path(f"/proc/{server.process.pid}/status").read_text()
    held = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS:")) // 1024
    print(f"{server.name} holds {held} MB")
    return held


async def test_a_stanza_that_is_too_large(target, peer, bob):
    """RFC 6120 §4.9.3.14, §13.12: policy-violation, and nothing is delivered."""
    stream = await peer.proved(target)
    async with a_bystander_is_served(bob):
        stream.send(message(f"eve@{peer.domain}", bob.boundjid.bare, "x" * 20_000_000))
        with contextlib.suppress(ConnectionError):
            await stream.flush()
        assert await stream.ended() in ("policy-violation", None)
    assert not bodies(bob)


async def test_a_flood_of_stanzas(target, peer, bob):
    """Thousands of requests to missing accounts do not slow others down."""
    count = MANY.get(target.kind, FEW) * 10
    stream = await peer.proved(target)
    async with a_bystander_is_served(bob):
        with contextlib.suppress(ConnectionError):
            for number in range(count):
                stream.send(ping(f"eve@{peer.domain}/{number}", f"nobody{number}@{target.domain}"))
                if number % 100 == 0:
                    await stream.flush()
        stream.send(message(f"eve@{peer.domain}", bob.boundjid.bare, "the last"))
        await bob.settle()


async def test_many_half_open_dialbacks(target, peers, bob):
    """An authoritative server that never answers does not slow others down."""
    count = MANY.get(target.kind, FEW)
    peer = await peers(judge=lambda *_: None)
    async with a_bystander_is_served(bob):
        gate = asyncio.Semaphore(20)

        async def one():
            async with gate:
                with contextlib.suppress(Ended, ConnectionError, AssertionError, TimeoutError):
                    stream = await peer.connect(target)
                    await stream.secure(False)
                    stream.send(f"<db:result from='{peer.domain}' to='{target.domain}'>{'0' * 64}</db:result>")
                    await stream.flush()

        await asyncio.gather(*(one() for _ in range(count)))
    friend = await peers()
    stream = await friend.proved(target)
    stream.send(message(f"eve@{friend.domain}", bob.boundjid.bare, "by a friend"))
    await bob.expect_message("by a friend")


async def test_ten_thousand_domains_on_one_stream(target, peer, bob, world):
    """XEP-0220 §2.5 sets no limit to the domains of a stream; kIM must."""
    count = MANY.get(target.kind, FEW) * 10 if target.kind == "kim" else FEW
    world.names.add(f"*.{peer.domain}. A {peer.address}")
    stream = await peer.connect(target)
    await stream.secure(False)
    assert await stream.dialback() == "valid"
    valid = 0
    async with a_bystander_is_served(bob):
        with contextlib.suppress(Ended, ConnectionError, TimeoutError):
            for number in range(count):
                name = f"d{number}.{peer.domain}"
                stream.send(f"<db:result from='{name}' to='{target.domain}'>"
                            f"{peer.key(target.domain, name, stream.id)}</db:result>")
            await stream.flush()
            async with asyncio.timeout(PATIENCE_SECONDS):
                for _ in range(count):
                    answer = await stream.read()
                    if not answer.tag.startswith(f"{{{DIALBACK}}}"):
                        break
                    valid += kind_of(answer) == "valid"
    print(f"{valid} of {count} domains were taken")
    if target.kind == "kim":
        assert valid < count, "there is no bound"
    else:
        assert valid == count


async def is_heard(peer, address, target, bob, text):
    """A new stream of the same server, from another address, brings Bob a message."""
    friend = Peer(peer.world, peer.domain, address, peer.certificate, listens=False)
    stream = await friend.proved(target)
    stream.send(message(f"eve@{peer.domain}", bob.boundjid.bare, text))
    await bob.expect_message(text)
    await stream.close()


async def test_streams_that_trickle(target, peer, bob):
    """Connections that send a header byte by byte slow down neither users nor new peers."""
    count = MANY.get(target.kind, FEW) // 5
    header = f"<?xml version='1.0'?><stream:stream xmlns='{SERVER}' to='{target.domain}' from='{peer.domain}'"
    async with a_bystander_is_served(bob):
        opened = []
        for _ in range(count):
            with contextlib.suppress(ConnectionError):
                opened.append(await peer.connect(target))
        for number in range(20):
            for stream in opened:
                stream.send(header[number])
            await asyncio.sleep(0.01)
        await is_heard(peer, "127.0.4.1", target, bob, "still heard")


async def test_streams_that_trickle_under_tls(target, peer, bob):
    """The same once they are encrypted, before any proof: headers and elements that never end."""
    count = MANY.get(target.kind, FEW) // 10
    element = f"<db:result from='{peer.domain}' to='{target.domain}' padding='" + "x" * 1000
    async with a_bystander_is_served(bob):
        opened = []
        for _ in range(count):
            with contextlib.suppress(ConnectionError, Ended, TimeoutError):
                stream = await peer.connect(target)
                await stream.secure(False)
                opened.append(stream)
        for number in range(30):
            for stream in opened:
                stream.send(element[number])
            await asyncio.sleep(0.01)
        await is_heard(peer, "127.0.4.2", target, bob, "heard under TLS")
    assert opened


async def test_loops_of_presence(target, peer, bob):
    """Errors are never answered, probes at most once, and a stranger sees no presence."""
    stream = await peer.proved(target)
    for number in range(100):
        stream.send(f"<presence from='eve@{peer.domain}' to='{bob.boundjid.bare}' type='probe' id='{number}'/>")
        stream.send(f"<presence from='eve@{peer.domain}' to='{bob.boundjid.bare}' type='error'><error type='cancel'>"
                    "<item-not-found xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></presence>")
    stream.send(ping(f"eve@{peer.domain}/x", target.domain))
    await peer.expect("a pong", lambda s: s.tag == f"{{{SERVER}}}iq")
    answers = [one for one in peer.stanzas if one.tag == f"{{{SERVER}}}presence"]
    assert len(answers) <= 100 and all(one.get("type") != "error" for one in answers)
    assert not any(one.get("type") is None for one in answers), "a stranger sees bob"
