"""DNS that lies: names that lead into the server's own network, loops, answers for other names, answers without end.

A DNS server of the test says whatever a story wants. The server under test is kIM; nobody may be harmed by what it is told.
"""

import asyncio
import contextlib
import secrets
import struct

import pytest

from peer import SERVER, Peer
from test_hostile import a_bystander_is_served

A, CNAME, AAAA, SRV = 1, 5, 28, 33
LIAR, FRIEND, VICTIM = "127.0.2.53", "127.0.2.60", "127.0.2.61"


def packed(name):
    return b"".join(bytes([len(label)]) + label.encode() for label in name.strip(".").split(".")) + b"\0"


def record(name, kind, data):
    return packed(name) + struct.pack("!HHIH", kind, 1, 1, len(data)) + data


def srv(name, host, port=5269, priority=0):
    return record(name, SRV, struct.pack("!HHH", priority, 0, port) + packed(host))


def a(name, address):
    return record(name, A, bytes(int(part) for part in address.split(".")))


class LyingNames(asyncio.DatagramProtocol):
    """Answers over UDP and TCP. `say(name, kind)` gives the records of an answer, bytes as they are, or None for silence."""

    def __init__(self, say):
        self.say, self.asked = say, []

    async def __aenter__(self):
        loop = asyncio.get_running_loop()
        self.udp, _ = await loop.create_datagram_endpoint(lambda: self, local_addr=(LIAR, 53))
        self.tcp = await asyncio.start_server(self._serve, LIAR, 53)
        return self

    async def __aexit__(self, *_):
        self.udp.close()
        self.tcp.close()

    def connection_made(self, transport):
        self.transport = transport

    def datagram_received(self, data, address):
        answer = self._answer(data)
        if answer is not None:
            if len(answer) > 1232:
                # Ask again over TCP.
                answer = answer[:2] + struct.pack("!H", 0x8780) + answer[4:6] + b"\0\0\0\0\0\0" + self._question(data)
            self.transport.sendto(answer, address)

    async def _serve(self, reader, writer):
        with contextlib.suppress(asyncio.IncompleteReadError, OSError):
            while True:
                length, = struct.unpack("!H", await reader.readexactly(2))
                answer = self._answer(await reader.readexactly(length))
                if answer is not None:
                    writer.write(struct.pack("!H", len(answer)) + answer)
                    await writer.drain()
        writer.close()

    def _question(self, data):
        return data[12:data.index(b"\0", 12) + 5]

    def _answer(self, data):
        question = self._question(data)
        labels, rest = [], question
        while rest[0]:
            labels.append(rest[1:rest[0] + 1].decode().lower())
            rest = rest[rest[0] + 1:]
        name, (kind,) = ".".join(labels), struct.unpack("!H", rest[1:3])
        self.asked.append((name, kind))
        said = self.say(name, kind)
        if said is None or isinstance(said, bytes):
            return said
        flags = 0x8580 if said else 0x8583
        return data[:2] + struct.pack("!HHHHH", flags, 1, len(said), 0, 0) + question + b"".join(said)


@pytest.fixture
def credulous(world):
    """A server that asks the liar, and takes addresses of this machine for anybody's."""
    return world.start("kim", "credulous", "127.0.2.3", variables={"KIM__S2S__RESOLVER": f"{LIAR}:53"})


@pytest.fixture
def careful(world):
    """The same with the default: nobody's name leads into its own network."""
    variables = {"KIM__S2S__RESOLVER": f"{LIAR}:53", "KIM__S2S__PRIVATE_ADDRESSES": "false"}
    return world.start("kim", "careful", "127.0.2.4", variables=variables)


def fresh():
    return f"at-{secrets.token_hex(4)}.plain"


def heard(body):
    return lambda s: s.tag == f"{{{SERVER}}}message" and s.findtext(f"{{{SERVER}}}body") == body


async def comes_back(bob, domain, body):
    bob.say(f"eve@{domain}", body)
    error = await bob.expect("the message back", lambda s: s["type"] == "error" and s["from"].bare == f"eve@{domain}")
    return error["error"]["condition"]


PRIVATE = {
    "loopback": [a("HOST", VICTIM)],
    "any": [a("HOST", "0.0.0.0")],
    "private": [a("HOST", "10.0.0.1")],
    "cloud": [a("HOST", "169.254.169.254")],
    "mapped": [record("HOST", AAAA, bytes(10) + b"\xff\xff\x7f\x00\x02\x3d")],
    "six": [record("HOST", AAAA, bytes(15) + b"\x01")],
}


@pytest.mark.parametrize("where", [*PRIVATE, "srv to localhost", "srv to an address"])
async def test_a_name_that_leads_into_the_own_network(careful, world, people, where):
    """XEP-0220 §5.2, RFC 6120 §13.12: otherwise anybody with a domain could make the server connect to its own network."""
    domain = fresh()
    hosts = {"srv to localhost": "localhost", "srv to an address": VICTIM}
    host = hosts.get(where, f"xmpp.{domain}")

    def say(name, kind):
        if kind == SRV and name == f"_xmpp-server._tcp.{domain}":
            return [srv(name, host)]
        shown = PRIVATE.get(where, [a("HOST", VICTIM)]) if name in (host, "localhost", domain) else []
        return [one.replace(packed("HOST"), packed(name)) for one in shown
                if one[len(packed("HOST")):][:2] == struct.pack("!H", kind)]

    async with LyingNames(say) as names, Peer(world, domain, VICTIM) as peer:
        bob = await people.online(careful, "bob")
        assert await comes_back(bob, domain, "not into my network") in ("remote-server-not-found", "remote-server-timeout")
        assert names.asked and not peer.calls


async def test_answers_that_are_none(credulous, world, people):
    """Loops, garbage, silence, other names and 60 kB of servers: each costs its own message, and nobody else anything."""
    kinds = ("loop", "garbage", "silence", "huge", "wrong")
    lies = {kind: f"{kind}-{fresh()}" for kind in kinds}
    victim, friendly = fresh(), fresh()
    garbage = secrets.token_bytes(200)

    def say(name, kind):
        lie = next((one for one, domain in lies.items() if name.endswith(domain)), None)
        if lie == "loop":
            other = name.removeprefix("again.") if name.startswith("again.") else f"again.{name}"
            return [record(name, CNAME, packed(other)), record(other, CNAME, packed(name))]
        if lie == "garbage":
            return garbage
        if lie == "silence":
            return None
        if lie == "huge":
            return [srv(name, f"h{number}.{lies['huge']}", priority=number) for number in range(600)] if kind == SRV else [
                a(name, f"127.0.7.{number}") for number in range(1, 250)] if kind == A else []
        if lie == "wrong":
            # What nobody asked: the victim's server is the liar's.
            return [srv(f"_xmpp-server._tcp.{victim}", "evil.plain"), srv(f"_xmpps-server._tcp.{victim}", "evil.plain"),
                    a("evil.plain", VICTIM), a(victim, VICTIM)]
        if name == f"_xmpp-server._tcp.{friendly}" and kind == SRV:
            return [srv(name, f"xmpp.{friendly}")]
        if name == f"xmpp.{friendly}" and kind == A:
            return [a(name, FRIEND)]
        return []

    async with LyingNames(say), Peer(world, victim, VICTIM) as evil, Peer(world, friendly, FRIEND) as friend:
        bob = await people.online(credulous, "bob")
        alice = await people.online(credulous, "alice")
        async with a_bystander_is_served(bob):
            for kind, domain in lies.items():
                alice.say(f"eve@{domain}", f"to {kind}")
            alice.say(f"eve@{friendly}", "to a friend")
            await friend.expect("the message", heard("to a friend"))
            for kind, domain in lies.items():
                if kind == "wrong":
                    # Somebody may be where the liar points to, but cannot prove to be this domain: the message waits.
                    continue
                error = await alice.expect(f"the message to {kind} back",
                                           lambda s: s["type"] == "error" and s["from"].bare == f"eve@{domain}")
                assert error["error"]["condition"] in ("remote-server-not-found", "remote-server-timeout"), str(error)
        # The victim has no server, whatever was said beside other answers.
        assert await comes_back(alice, victim, "to the victim") == "remote-server-not-found"
        assert not [call for call in evil.calls if call["to"] == victim]
