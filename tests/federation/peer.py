"""A hand-written XMPP server for what no real one does: it sends whatever a story wants, as raw XML over TCP and TLS.

`Peer` is a domain with its own listener. It answers dialback as the story chooses and records the stanzas it receives.
`Stream` is one connection from a peer to the server under test.
"""

import asyncio
import base64
import contextlib
import hashlib
import hmac
import secrets
import ssl
from xml.etree import ElementTree as ET

from people import PATIENCE_SECONDS

STREAMS, SERVER = "http://etherx.jabber.org/streams", "jabber:server"
TLS, SASL = "urn:ietf:params:xml:ns:xmpp-tls", "urn:ietf:params:xml:ns:xmpp-sasl"
STREAM_ERRORS, STANZA_ERRORS = "urn:ietf:params:xml:ns:xmpp-streams", "urn:ietf:params:xml:ns:xmpp-stanzas"
DIALBACK, BIDI, LIMITS = "jabber:server:dialback", "urn:xmpp:bidi", "urn:xmpp:stream-limits:0"
BIDI_FEATURE = "urn:xmpp:features:bidi"


class Ended(Exception):
    """The server under test closed the stream or the connection."""


class Refused(Exception):
    """The server under test answered the stream header with a stream error."""


class Reader:
    """Parses a stream: first the header, then its children."""

    def __init__(self, reader):
        self.reader = reader
        self.restart()

    def restart(self):
        self.parser, self.depth, self.header = ET.XMLPullParser(("start", "end")), 0, None

    async def next(self, only_header=False):
        while True:
            for event, element in self.parser.read_events():
                self.depth += 1 if event == "start" else -1
                if event == "start" and self.depth == 1:
                    self.header = element
                    if only_header:
                        return element
                if event == "end" and self.depth == 1:
                    return element
                if event == "end" and self.depth == 0:
                    raise Ended("the stream was closed")
            try:
                data = await self.reader.read(65536)
            except (ConnectionError, ssl.SSLError) as error:
                raise Ended(str(error)) from None
            if not data:
                raise Ended("the connection was closed")
            self.parser.feed(data)


class Line:
    """What both directions share: an open connection."""

    def __init__(self, reader, writer):
        self.writer, self.elements = writer, Reader(reader)
        self.tls, self.proved = None, False

    def send(self, text):
        self.writer.write(text.encode())

    async def flush(self):
        await self.writer.drain()

    async def read(self, only_header=False):
        async with asyncio.timeout(PATIENCE_SECONDS):
            return await self.elements.next(only_header)

    async def close(self):
        self.writer.close()
        with contextlib.suppress(Exception):
            await asyncio.wait_for(self.writer.wait_closed(), 1)


class Stream(Line):
    """A stream to the server under test: `async with peer.call(target) as stream`."""

    def __init__(self, reader, writer, peer, to):
        super().__init__(reader, writer)
        self.peer, self.to, self.id = peer, to, None
        self.features = None

    async def open(self, *, to=None, sender=None, namespace=SERVER, version=" version='1.0'"):
        """Sends a stream header; reads the response header and the features."""
        self.elements.restart()
        to, sender = self.to if to is None else to, self.peer.domain if sender is None else sender
        addresses = "".join(f" {name}='{value}'" for name, value in (("to", to), ("from", sender)) if value)
        self.send(f"<?xml version='1.0'?><stream:stream xmlns='{namespace}' xmlns:stream='{STREAMS}' xmlns:db='{DIALBACK}'"
                  f"{addresses}{version}>")
        header = await self.read(only_header=True)
        self.id, self.header = header.get("id"), dict(header.attrib)
        self.features = await self.read()
        if self.features.tag == f"{{{STREAMS}}}error":
            raise Refused(f"the stream was refused: {ET.tostring(self.features).decode()}")
        return self.features

    async def secure(self, certificate=None, name=None, **header):
        """STARTTLS (RFC 6120 §5) and a new stream; `certificate`: the one to present, by default the peer's own."""
        await self.open(**header)
        assert self.features.find(f"{{{TLS}}}starttls") is not None, ET.tostring(self.features).decode()
        self.send(f"<starttls xmlns='{TLS}'/>")
        answer = await self.read()
        assert answer.tag == f"{{{TLS}}}proceed", answer.tag
        await self.writer.start_tls(self.peer.client_context(certificate), server_hostname=name or self.to)
        self.tls = self.writer.get_extra_info("ssl_object")
        return await self.open(**header)

    def offers(self, mechanism):
        return mechanism in [one.text for one in self.features.iter(f"{{{SASL}}}mechanism")]

    async def external(self, authzid=None):
        """SASL EXTERNAL (XEP-0178 §3); returns nothing on success, else the condition of the failure.

        A server that does not trust the certificate need not offer it: that is `not-offered`.
        """
        if not self.offers("EXTERNAL"):
            return "not-offered"
        name = self.peer.domain if authzid is None else authzid
        text = base64.b64encode(name.encode()).decode() if name else "="
        self.send(f"<auth xmlns='{SASL}' mechanism='EXTERNAL'>{text}</auth>")
        answer = await self.read()
        if answer.tag == f"{{{SASL}}}challenge":
            self.send(f"<response xmlns='{SASL}'>{text}</response>")
            answer = await self.read()
        if answer.tag == f"{{{SASL}}}success":
            await self.open()
            return None
        assert answer.tag == f"{{{SASL}}}failure", ET.tostring(answer).decode()
        return answer[0].tag.rpartition("}")[2]

    async def dialback(self, sender=None, to=None, key=None):
        """XEP-0220 §2.1; returns the type of the result, or the condition when that is `error`."""
        sender, to = sender or self.peer.domain, to or self.to
        key = self.peer.key(to, sender, self.id) if key is None else key
        self.send(f"<db:result from='{sender}' to='{to}'>{key}</db:result>")
        return await self.result(sender, to)

    async def result(self, sender, to):
        while True:
            answer = await self.read()
            if answer.tag == f"{{{DIALBACK}}}result" and answer.get("to") == sender and answer.get("from") == to:
                return kind_of(answer)
            if answer.tag == f"{{{STREAMS}}}error":
                return stream_condition(answer)

    async def verify(self, sender, to, stream, key):
        """XEP-0220 §2.2: asks the server under test whether it made a key; returns as `dialback` does."""
        self.send(f"<db:verify from='{sender}' to='{to}' id='{stream}'>{key}</db:verify>")
        while True:
            answer = await self.read()
            if answer.tag == f"{{{DIALBACK}}}verify":
                assert (answer.get("to"), answer.get("from"), answer.get("id")) == (sender, to, stream), answer.attrib
                return kind_of(answer)
            if answer.tag == f"{{{STREAMS}}}error":
                return stream_condition(answer)

    async def stream_error(self):
        """The condition of the stream error that ends the stream; skips other elements before it."""
        while True:
            element = await self.read()
            if element.tag == f"{{{STREAMS}}}error":
                with contextlib.suppress(Ended):
                    while True:
                        await self.read()
                return stream_condition(element)

    async def ended(self):
        """The condition of the stream error that ended the stream, or nothing if it was closed without one."""
        try:
            return await self.stream_error()
        except Ended:
            return None


def kind_of(answer):
    """`valid`, `invalid`, or the condition of an error (XEP-0220 §2.4)."""
    if answer.get("type") != "error":
        return answer.get("type")
    return next((one.tag.rpartition("}")[2] for one in answer.iter() if one.tag.startswith(f"{{{STANZA_ERRORS}}}")), "error")


def stream_condition(error):
    return next((one.tag.rpartition("}")[2] for one in error if one.tag.startswith(f"{{{STREAM_ERRORS}}}")), "?")


class Peer:
    """A domain behind an address. A peer may claim to be any number of other domains as well.

    `judge(sender, to, stream, key)` answers a dialback request: "valid", "invalid", "error", or None for silence. By
    default it tells the truth. With `listens=False` it has no listener. It accepts every caller, by dialback or, with
    `offers_external`, by EXTERNAL.
    """

    def __init__(self, world, domain, address, certificate=None, judge=None, listens=True, offers_tls=True,
                 offers_external=False):
        self.world, self.domain, self.address = world, domain, address
        self.certificate = certificate or world.authority.old(domain)
        self.secret = hashlib.sha256(secrets.token_bytes(32)).hexdigest().encode()
        self.judge, self.listens = judge, listens
        self.offers_tls, self.offers_external = offers_tls, offers_external
        self.asked, self.keys, self.stanzas, self.calls, self.lines = [], [], [], [], []
        self._news = asyncio.Event()
        self._tasks = set()
        self._servers = []

    def key(self, to, sender, stream):
        """XEP-0185 §3."""
        return hmac.digest(self.secret, f"{to} {sender} {stream}".encode(), "sha256").hex()

    async def __aenter__(self):
        if self.listens:
            self._servers.append(await asyncio.start_server(self._accept, self.address, 5269))
            context = self.server_context()
            context.set_alpn_protocols(["xmpp-server"])
            self._servers.append(await asyncio.start_server(self._accept, self.address, 5270, ssl=context))
        return self

    async def __aexit__(self, *_):
        for server in self._servers:
            server.close()
        for task in list(self._tasks):
            task.cancel()
        for line in self.lines:
            await line.close()

    # --- calling -------------------------------------------------------------------------------------------------

    async def connect(self, target, to=None, direct=False, certificate=None):
        """A connection to the server under test; with `direct`, TLS from the first byte (XEP-0368)."""
        to = to or target.domain
        more = {}
        if direct:
            context = self.client_context(certificate)
            context.set_alpn_protocols(["xmpp-server"])
            more = {"ssl": context, "server_hostname": to}
        reader, writer = await asyncio.open_connection(
            target.address, 5270 if direct else 5269, local_addr=(self.address, 0), **more
        )
        stream = Stream(reader, writer, self, to)
        stream.tls = writer.get_extra_info("ssl_object")
        self.lines.append(stream)
        return stream

    async def proved(self, target, how="external"):
        """A stream that has proved this peer's domain."""
        stream = await self.connect(target)
        await stream.secure()
        told = await (stream.external() if how == "external" else stream.dialback())
        assert told == (None if how == "external" else "valid"), told
        return stream

    def client_context(self, certificate=None):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        if certificate is not False:
            shown = certificate or self.certificate
            context.load_cert_chain(shown.chain, shown.key)
        return context

    def server_context(self):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.certificate.chain, self.certificate.key)
        return context

    # --- being called ----------------------------------------------------------------------------------------------

    async def expect(self, what, matches):
        """Takes the first stanza that matches, from any stream."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            while True:
                for index, stanza in enumerate(self.stanzas):
                    if matches(stanza):
                        return self.stanzas.pop(index)
                self._news.clear()
                try:
                    await self._news.wait()
                except asyncio.CancelledError:
                    raise AssertionError(f"{self.domain} did not get {what}; it got "
                                         f"{[ET.tostring(one).decode() for one in self.stanzas]}") from None

    def take(self, stanza):
        self.stanzas.append(stanza)
        self._news.set()

    def _accept(self, reader, writer):
        task = asyncio.ensure_future(self._serve(Line(reader, writer)))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, line):
        self.lines.append(line)
        line.tls = line.writer.get_extra_info("ssl_object")
        with contextlib.suppress(Ended, ET.ParseError, ConnectionError, ssl.SSLError, TimeoutError):
            while True:
                header = await line.elements.next(only_header=True)
                self.calls.append(dict(header.attrib, secure=line.tls is not None))
                line.id = secrets.token_hex(12)
                us, them = header.get("to") or self.domain, header.get("from")
                there = f" to='{them}'" if them else ""
                line.send(f"<?xml version='1.0'?><stream:stream xmlns='{SERVER}' xmlns:stream='{STREAMS}' xmlns:db='{DIALBACK}' "
                          f"from='{us}'{there} id='{line.id}' version='1.0'>")
                if header.get("version"):
                    line.send(f"<stream:features>{self._features(line)}</stream:features>")
                await self._children(line)

    def _features(self, line):
        if line.tls is None and self.offers_tls:
            return f"<starttls xmlns='{TLS}'><required/></starttls>"
        external = f"<mechanisms xmlns='{SASL}'><mechanism>EXTERNAL</mechanism></mechanisms>"
        offered = external if self.offers_external and not line.proved else ""
        return f"{offered}<dialback xmlns='urn:xmpp:features:dialback'><errors/></dialback>"

    async def _children(self, line):
        """Answers until the stream begins anew, under TLS or after EXTERNAL."""
        while True:
            element = await line.elements.next()
            if element.tag == f"{{{TLS}}}starttls":
                line.send(f"<proceed xmlns='{TLS}'/>")
                await line.flush()
                await line.writer.start_tls(self.server_context())
                line.tls = line.writer.get_extra_info("ssl_object")
                line.elements.restart()
                return
            if element.tag == f"{{{DIALBACK}}}verify":
                self._answer(line, element)
            elif element.tag == f"{{{DIALBACK}}}result" and element.get("type") is None:
                self.keys.append((line.id, element.text))
                line.send(f"<db:result from='{element.get('to')}' to='{element.get('from')}' type='valid'/>")
            elif element.tag == f"{{{SASL}}}auth":
                line.send(f"<success xmlns='{SASL}'/>")
                line.proved = True
                line.elements.restart()
                return
            elif element.tag.startswith(f"{{{SERVER}}}"):
                self.take(element)

    def _answer(self, line, element):
        sender, to, stream, key = element.get("from"), element.get("to"), element.get("id"), element.text
        self.asked.append((sender, to, stream, key))
        if self.judge:
            told = self.judge(sender, to, stream, key)
        else:
            told = "valid" if hmac.compare_digest(key or "", self.key(sender, to, stream)) else "invalid"
        if told == "error":
            line.send(f"<db:verify from='{to}' to='{sender}' id='{stream}' type='error'><error type='cancel'>"
                      f"<item-not-found xmlns='{STANZA_ERRORS}'/></error></db:verify>")
        elif told is not None:
            line.send(f"<db:verify from='{to}' to='{sender}' id='{stream}' type='{told}'/>")
