"""Two kIM servers that lose their link and are killed, over and over, while people write to each other.

"Acknowledged means stored": what a sender's server has confirmed (XEP-0198) is in the receiver's archive, exactly once.
"""

import asyncio
import base64
import contextlib
import itertools
import ssl
import time
from xml.etree import ElementTree as ET

from people import PATIENCE_SECONDS
from peer import SASL, STREAMS, Ended, Line

CLIENT, SM, MAM, RSM = "jabber:client", "urn:xmpp:sm:3", "urn:xmpp:mam:2", "http://jabber.org/protocol/rsm"

KILLS = 20
# Confirmed on each side before it is killed the next time.
CONFIRMED_BETWEEN = 15
# Before every fifth kill one of them writes so much at once: more than an archive remembers to recognise what comes again.
BURST = 600
# A pause between two messages of one sender: the load is to last, not to be the most that is possible.
PAUSE_SECONDS = 0.02
ROUND_SECONDS_MAX = 30
# Pauses of the servers between two attempts are part of it.
DRAIN_SECONDS_MAX = 60


class Link:
    """A way to a server that can be cut: whatever was under way is lost."""

    def __init__(self, address, target):
        self.address, self.target, self.writers, self.server = address, target, set(), None

    async def __aenter__(self):
        self.server = await asyncio.start_server(self._carry, self.address, 5269)
        return self

    async def __aexit__(self, *_):
        self.server.close()
        self.cut()

    def cut(self):
        for writer in self.writers:
            writer.transport.abort()

    async def _carry(self, reader, writer):
        try:
            there_reader, there_writer = await asyncio.open_connection(self.target, 5269)
        except OSError:
            writer.transport.abort()
            return
        both = {writer, there_writer}
        self.writers |= both

        async def pump(source, sink):
            with contextlib.suppress(OSError):
                while data := await source.read(65536):
                    sink.write(data)
                    await sink.drain()
            for one in both:
                one.transport.abort()

        await asyncio.gather(pump(reader, there_writer), pump(there_reader, writer))
        self.writers -= both


class Client(Line):
    """One connection of a client, as small as it can be."""

    @classmethod
    async def sign_in(cls, server, account):
        jid, password = account
        context = server.trust()
        context.set_alpn_protocols(["xmpp-client"])
        reader, writer = await asyncio.open_connection(server.address, 5223, ssl=context, server_hostname=server.domain)
        client = cls(reader, writer)
        client.domain = server.domain
        await client.open()
        plain = base64.b64encode(f"\0{jid.partition('@')[0]}\0{password}".encode()).decode()
        client.send(f"<auth xmlns='{SASL}' mechanism='PLAIN'>{plain}</auth>")
        answer = await client.read()
        assert answer.tag == f"{{{SASL}}}success", ET.tostring(answer)
        await client.open()
        return client

    async def open(self):
        self.elements.restart()
        self.send(f"<?xml version='1.0'?><stream:stream to='{self.domain}' version='1.0' xmlns='{CLIENT}' "
                  f"xmlns:stream='{STREAMS}'>")
        await self.read(only_header=True)
        features = await self.read()
        if features.tag == f"{{{STREAMS}}}error":
            raise Ended("a stream error")

    async def ask(self, iq):
        """The answer to a request, and everything that came before it."""
        self.send(iq)
        name, before = ET.fromstring(iq).get("id"), []
        while True:
            stanza = await self.read()
            if stanza.tag == f"{{{CLIENT}}}iq" and stanza.get("id") == name:
                assert stanza.get("type") == "result", ET.tostring(stanza)
                return stanza, before
            before.append(stanza)

    async def bind(self, resource):
        await self.ask(f"<iq xmlns='{CLIENT}' id='bind' type='set'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'>"
                       f"<resource>{resource}</resource></bind></iq>")


class Sender:
    """Somebody who writes without a pause. After each cut, the session goes on or a new one begins, and what the server has not
    confirmed is sent again with the same id, as clients do."""

    def __init__(self, server, account, to):
        self.server, self.account, self.to = server, account, to
        self.sent, self.confirmed, self.errors = 0, [], []
        self.resumptions = self.logins = self.burst = 0
        # In the order in which the server counts them: those of this session that it has not confirmed.
        self.waiting, self.counted = [], 0
        self.previous, self.stops = None, False
        self.name = account[0].partition("@")[0]

    async def run(self):
        """Until nothing more is to be sent and all is confirmed."""
        for attempt in itertools.count():
            try:
                client = await Client.sign_in(self.server, self.account)
                try:
                    # Every third time the session is forgotten, as by a client that was started anew.
                    await self._begin(client, resumes=attempt % 3 != 2)
                    await self._talk(client)
                    return
                finally:
                    client.writer.transport.abort()
            except (Ended, OSError, ssl.SSLError, TimeoutError, ET.ParseError):
                await asyncio.sleep(0.1)

    async def _begin(self, client, resumes):
        if self.previous and resumes:
            client.send(f"<resume xmlns='{SM}' h='{self.received}' previd='{self.previous}'/>")
            answer = await client.read()
            if answer.get("h") is not None:
                self._confirm(int(answer.get("h")))
            if answer.tag == f"{{{SM}}}resumed":
                self.resumptions += 1
                self._again(client)
                return
        self.previous = None
        await client.bind("load")
        client.send(f"<enable xmlns='{SM}' resume='true'/>")
        answer = await client.read()
        assert answer.tag == f"{{{SM}}}enabled", ET.tostring(answer)
        self.logins += 1
        self.previous, self.counted, self.received = answer.get("id"), 0, 0
        self._again(client)

    def _again(self, client):
        for body in self.waiting:
            self._write(client, body)
        client.send(f"<r xmlns='{SM}'/>")

    def _write(self, client, body):
        client.send(f"<message xmlns='{CLIENT}' to='{self.to}' type='chat' id='{body}'><body>{body}</body>"
                    f"<origin-id xmlns='urn:xmpp:sid:0' id='{body}'/></message>")

    def _confirm(self, h):
        news = h - self.counted
        assert 0 <= news <= len(self.waiting), f"{h} confirmed of {self.counted + len(self.waiting)}"
        self.confirmed += self.waiting[:news]
        del self.waiting[:news]
        self.counted = h

    async def _talk(self, client):
        writing = asyncio.ensure_future(self._keep_writing(client))
        try:
            while not (self.stops and not self.waiting):
                element = await client.read()
                if element.tag == f"{{{SM}}}a":
                    self._confirm(int(element.get("h")))
                elif element.tag == f"{{{SM}}}r":
                    client.send(f"<a xmlns='{SM}' h='{self.received}'/>")
                elif element.tag == f"{{{STREAMS}}}error":
                    raise Ended("a stream error")
                elif element.tag.startswith(f"{{{CLIENT}}}"):
                    self.received += 1
                    if element.get("type") == "error":
                        self.errors.append(ET.tostring(element).decode())
        finally:
            writing.cancel()

    async def _keep_writing(self, client):
        while True:
            for _ in range(0 if self.stops else 1 + self.burst):
                body = f"{self.name}:{self.sent}"
                self.sent += 1
                self.waiting.append(body)
                self._write(client, body)
            self.burst = 0
            client.send(f"<r xmlns='{SM}'/>")
            await client.flush()
            await asyncio.sleep(PAUSE_SECONDS)


async def archived(server, account):
    """Every body in an account's archive, in order."""
    client = await Client.sign_in(server, account)
    await client.bind("reader")
    bodies, after = [], None
    for number in itertools.count():
        behind = f"<after>{after}</after>" if after else ""
        fin, before = await client.ask(
            f"<iq xmlns='{CLIENT}' id='q{number}' type='set'><query xmlns='{MAM}'><set xmlns='{RSM}'><max>250</max>{behind}</set>"
            "</query></iq>")
        for stanza in before:
            body = stanza.find(f".//{{{CLIENT}}}body")
            if stanza.find(f"{{{MAM}}}result") is not None and body is not None:
                bodies.append(body.text)
        after = fin.findtext(f".//{{{RSM}}}last")
        if fin[0].get("complete") == "true" or after is None:
            await client.close()
            return bodies


async def drained(server, account, wanted):
    """The archive, once everything that is wanted is in it or the time is over."""
    deadline = time.monotonic() + DRAIN_SECONDS_MAX
    while True:
        bodies = await archived(server, account)
        if wanted <= set(bodies) or time.monotonic() > deadline:
            return bodies
        await asyncio.sleep(0.5)


def surplus(bodies):
    return len(bodies) - len(set(bodies))


async def test_nothing_confirmed_is_lost_when_servers_are_killed(world):
    variables = {"KIM__S2S__KEEP_HOURS": "48", "KIM__LIMITS__ENABLED": "false", "KIM__C2S__PLAIN": "true"}
    servers = []
    for number, name in enumerate(("north", "south"), 1):
        domain, link = f"{name}.plain", f"127.0.2.{10 + number}"
        world.names.add(f"link.{domain}. A {link}", f"_xmpp-server._tcp.{domain}. SRV 1 0 5269 link.{domain}.")
        servers.append(world.start("kim", name, f"127.0.2.{number}", variables=variables))
    north, south = servers
    accounts = {server: [server.account("writer") for _ in range(2)] for server in servers}
    senders = [Sender(server, account, other_account[0])
               for server, other in ((north, south), (south, north))
               for account, other_account in zip(accounts[server], accounts[other])]
    begun, kills, cuts = time.monotonic(), 0, 0
    async with Link("127.0.2.11", north.address) as to_north, Link("127.0.2.12", south.address) as to_south:
        tasks = [asyncio.ensure_future(sender.run()) for sender in senders]
        try:
            for kill in range(KILLS):
                async with asyncio.timeout(ROUND_SECONDS_MAX):
                    goals = [len(sender.confirmed) + CONFIRMED_BETWEEN for sender in senders]
                    while any(len(sender.confirmed) < goal for sender, goal in zip(senders, goals)):
                        for task in tasks:
                            assert not task.done(), task.exception()
                        await asyncio.sleep(0.02)
                if kill % 3 == 0:
                    # Without a word to either side, and with whatever was under way.
                    to_north.cut()
                    to_south.cut()
                    cuts += 1
                victim = servers[kill % 2]
                if kill % 5 == 4:
                    # Its server is the one that stays, and what it writes is on its way to the one that is killed.
                    writer = next(sender for sender in senders if sender.server is not victim)
                    goal, writer.burst = len(writer.confirmed) + BURST // 2, BURST
                    async with asyncio.timeout(ROUND_SECONDS_MAX):
                        while len(writer.confirmed) < goal:
                            await asyncio.sleep(0.01)
                victim.kill()
                kills += 1
                await asyncio.to_thread(victim.start)
            for sender in senders:
                sender.stops = True
            async with asyncio.timeout(ROUND_SECONDS_MAX):
                await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()
        lost = twice = twice_here = 0
        for sender in senders:
            other = south if sender.server is north else north
            account = next(one for one in accounts[other] if one[0] == sender.to)
            wanted = set(sender.confirmed)
            got = [body for body in await drained(other, account, wanted) if body.startswith(f"{sender.name}:")]
            kept = [body for body in await archived(sender.server, sender.account) if body.startswith(f"{sender.name}:")]
            lost += len(wanted - set(got))
            twice += surplus(got)
            twice_here += surplus(kept)
            assert set(kept) >= wanted, "the sender's own archive"
    messages = sum(len(sender.confirmed) for sender in senders)
    print(f"{kills} kills, {cuts} cuts of the link, {messages} messages confirmed, {lost} lost, {twice} duplicates "
          f"({twice_here} in senders' archives), {sum(sender.resumptions for sender in senders)} resumptions, "
          f"{sum(sender.logins for sender in senders)} logins, {time.monotonic() - begun:.0f} s")
    errors = [error for sender in senders for error in sender.errors]
    assert not errors, errors[:3]
    assert (lost, twice, twice_here) == (0, 0, 0)
    assert kills >= 20 and messages >= KILLS * CONFIRMED_BETWEEN * len(senders)
