"""Outgoing streams: how a server finds a domain in DNS, and whether it trusts what answers there.

The server under test connects; a hand-written peer listens. `strict` is a server that requires certificates.
"""

import itertools
import secrets

import pytest
from slixmpp import Message

from network import DEAD
from peer import SERVER, Peer


@pytest.fixture
def strict(target, world):
    """A server of the same kind as the target that takes certificates only."""
    number = target.address.rpartition(".")[2]
    return world.start(target.kind, f"strict-{target.name}", f"127.0.5.{number}", strict=True)


_numbers = itertools.count(1)


def heard(body):
    return lambda s: s.tag == f"{{{SERVER}}}message" and s.findtext(f"{{{SERVER}}}body") == body


def place():
    """An address and a domain that no other story uses."""
    return f"127.0.6.{next(_numbers)}", f"at-{secrets.token_hex(4)}.plain"


# --- names ------------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("records", [
    "address alone", "priority", "dead first", "no address first", "alias of the target", "another port", "sixth first",
])
async def test_ways_to_a_name(target, world, bob, records):
    """RFC 6120 §3.2, XEP-0368: SRV by priority, fallback to the next target, A/AAAA without SRV."""
    address, domain = place()
    srv = f"_xmpp-server._tcp.{domain}. SRV"
    world.names.add(*{
        "address alone": [f"{domain}. A {address}"],
        "priority": [f"{srv} 20 0 5269 dead.{domain}.", f"{srv} 10 0 5269 xmpp.{domain}."],
        "dead first": [f"{srv} 10 0 5269 dead.{domain}.", f"{srv} 20 0 5269 xmpp.{domain}."],
        "no address first": [f"{srv} 10 0 5269 none.{domain}.", f"{srv} 20 0 5269 xmpp.{domain}."],
        "alias of the target": [f"{srv} 10 0 5269 alias.{domain}.", f"alias.{domain}. CNAME xmpp.{domain}."],
        "another port": [f"{srv} 10 0 5270 dead.{domain}.", f"{srv} 20 0 5269 xmpp.{domain}."],
        # IPv6 does not work, as in many networks.
        "sixth first": [f"{srv} 10 0 5269 xmpp.{domain}.", f"xmpp.{domain}. AAAA fd00::9"],
    }[records], f"xmpp.{domain}. A {address}", f"dead.{domain}. A {DEAD}")
    async with Peer(world, domain, address) as peer:
        bob.say(f"eve@{domain}", "Do you hear me?")
        got = await peer.expect("bob's message", heard("Do you hear me?"))
        assert got.get("from") == bob.boundjid.full
        assert peer.calls[-1]["from"] == target.domain and peer.calls[-1]["to"] == domain and peer.calls[-1]["secure"]


async def test_tls_at_once_where_it_is_offered(target, world, bob):
    """XEP-0368: a domain with `_xmpps-server` only is reached by direct TLS."""
    address, domain = place()
    world.names.add(f"_xmpps-server._tcp.{domain}. SRV 5 0 5270 xmpp.{domain}.", f"xmpp.{domain}. A {address}")
    async with Peer(world, domain, address) as peer:
        bob.say(f"eve@{domain}", "Directly?")
        await peer.expect("bob's message", heard("Directly?"))
        assert all(call["secure"] for call in peer.calls)


# --- certificates -----------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("kind", ["expired", "not_yet", "self_signed", "for_another"])
async def test_a_bad_certificate_gets_nothing(strict, world, people, kind):
    """RFC 6120 §13.7.2: the message bounces and the peer never sees it."""
    address, domain = place()
    world.names.server(domain, address, services=())
    certificate = world.authority.server("else.plain") if kind == "for_another" else getattr(world.authority, kind)(domain)
    alice = await people.online(strict, "alice")
    async with Peer(world, domain, address, certificate) as peer:
        stanza = alice.say(f"eve@{domain}", "a secret")
        await alice.expect("an error", lambda s: isinstance(s, Message) and s["type"] == "error" and s["id"] == stanza)
        assert not peer.stanzas


async def test_a_good_certificate_gets_the_message(strict, world, people):
    """The counterpart of the story above."""
    address, domain = place()
    world.names.server(domain, address, services=())
    alice = await people.online(strict, "alice")
    async with Peer(world, domain, address, offers_external=True) as peer:
        alice.say(f"eve@{domain}", "a secret")
        await peer.expect("alice's message", heard("a secret"))


async def test_without_tls_nothing_is_said(target, world, people):
    """RFC 6120 §5.3.1: a peer without TLS gets nothing."""
    address, domain = place()
    world.names.add(f"_xmpp-server._tcp.{domain}. SRV 5 0 5269 xmpp.{domain}.", f"xmpp.{domain}. A {address}")
    alice = await people.online(target, "alice")
    async with Peer(world, domain, address, offers_tls=False) as peer:
        stanza = alice.say(f"eve@{domain}", "a secret")
        await alice.expect("an error", lambda s: isinstance(s, Message) and s["type"] == "error" and s["id"] == stanza)
        assert not peer.stanzas


# --- DANE (RFC 7673) ----------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("zone, told", [("signed", True), ("plain", False), ("bogus", False)])
async def test_a_key_in_the_name_service(strict, world, people, zone, told):
    """RFC 7673 §3: a TLSA record in a signed zone replaces the authority; in other zones it is ignored."""
    address, _ = place()
    domain = f"at-{secrets.token_hex(4)}.{zone}"
    certificate = world.authority.self_signed(domain)
    world.names.add(f"_xmpp-server._tcp.{domain}. SRV 5 0 5269 xmpp.{domain}.", f"xmpp.{domain}. A {address}",
                    f"_5269._tcp.xmpp.{domain}. TLSA {certificate.tlsa()}")
    alice = await people.online(strict, "alice")
    async with Peer(world, domain, address, certificate, offers_external=True) as peer:
        stanza = alice.say(f"eve@{domain}", "a secret")
        if told:
            await peer.expect("alice's message", heard("a secret"))
        else:
            await alice.expect("an error", lambda s: isinstance(s, Message) and s["type"] == "error" and s["id"] == stanza)
            assert not peer.stanzas


async def test_a_wrong_key_in_the_name_service(strict, world, people):
    """RFC 7673 §3.3: a signed TLSA record for another key overrides a certificate of a known authority."""
    address, _ = place()
    domain = f"at-{secrets.token_hex(4)}.signed"
    other = world.authority.self_signed(domain)
    world.names.add(f"_xmpp-server._tcp.{domain}. SRV 5 0 5269 xmpp.{domain}.", f"xmpp.{domain}. A {address}",
                    f"_5269._tcp.xmpp.{domain}. TLSA {other.tlsa()}")
    alice = await people.online(strict, "alice")
    async with Peer(world, domain, address, world.authority.server(domain), offers_external=True) as peer:
        stanza = alice.say(f"eve@{domain}", "a secret")
        await alice.expect("an error", lambda s: isinstance(s, Message) and s["type"] == "error" and s["id"] == stanza)
        assert not peer.stanzas
