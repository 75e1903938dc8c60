"""The web's door with clients that are not ours: WebSocket by `websockets` (RFC 7395), uploads by slixmpp (XEP-0363)."""

import base64
import hashlib
import hmac
import io
import secrets
import urllib.error
import urllib.request
import xml.etree.ElementTree as ET

import aiohttp
import pytest
import websockets
from slixmpp.plugins.xep_0363 import http_upload
from slixmpp.plugins.xep_0363.http_upload import FileTooBig

FRAMING = "urn:ietf:params:xml:ns:xmpp-framing"
SASL = "urn:ietf:params:xml:ns:xmpp-sasl"
BIND = "urn:ietf:params:xml:ns:xmpp-bind"


class Browser:
    """What a browser would do, as far as the server can see: one XML document a message."""

    def __init__(self, server, socket):
        self.server, self.socket = server, socket

    @classmethod
    async def connect(cls, server):
        socket = await websockets.connect(
            f"wss://localhost:{server.port_https}/xmpp-websocket",
            subprotocols=["xmpp"],
            ssl=server.trust(),
            origin=f"https://localhost:{server.port_https}",
        )
        assert socket.subprotocol == "xmpp"
        return cls(server, socket)

    async def send(self, xml):
        await self.socket.send(xml)

    async def receive(self):
        """The next message, read by a second parser on its own."""
        return ET.fromstring(await self.socket.recv())

    async def open(self, domain):
        await self.send(f"<open xmlns='{FRAMING}' to='{domain}' version='1.0'/>")
        opened = await self.receive()
        assert opened.tag == f"{{{FRAMING}}}open" and opened.get("from") == domain
        features = await self.receive()
        assert features.tag == "{http://etherx.jabber.org/streams}features"
        return features

    async def sign_in(self, jid, password):
        """SCRAM-SHA-256 (RFC 5802, RFC 7677), then a resource."""
        name, domain = jid.split("@")
        await self.open(domain)
        nonce = secrets.token_hex(16)
        bare = f"n={name},r={nonce}"
        await self.send(f"<auth xmlns='{SASL}' mechanism='SCRAM-SHA-256'>{b64('n,,' + bare)}</auth>")
        challenge = base64.b64decode((await self.receive()).text).decode()
        fields = dict(part.split("=", 1) for part in challenge.split(","))
        salted = hashlib.pbkdf2_hmac("sha256", password.encode(), base64.b64decode(fields["s"]), int(fields["i"]))
        key = hmac.digest(salted, b"Client Key", "sha256")
        final = f"c=biws,r={fields['r']}"
        signature = hmac.digest(hashlib.sha256(key).digest(), f"{bare},{challenge},{final}".encode(), "sha256")
        proof = base64.b64encode(bytes(a ^ b for a, b in zip(key, signature))).decode()
        await self.send(f"<response xmlns='{SASL}'>{b64(f'{final},p={proof}')}</response>")
        assert (await self.receive()).tag == f"{{{SASL}}}success"
        await self.open(domain)
        await self.send(f"<iq xmlns='jabber:client' type='set' id='b'><bind xmlns='{BIND}'/></iq>")
        return (await self.receive()).find(f".//{{{BIND}}}jid").text


def b64(text):
    return base64.b64encode(text.encode()).decode()


async def test_a_browser_talks_with_a_phone(server, people):
    bob = await people.online("bob")
    jid, password = people.account("alice")
    alice = await Browser.connect(server)
    me = await alice.sign_in(jid, password)
    await alice.send(
        f"<message xmlns='jabber:client' type='chat' to='{bob.boundjid.full}'><body>from a page 你好</body></message>"
    )
    heard = await bob.expect_message("from a page 你好")
    assert heard["from"] == me
    bob.say(heard["from"], "to a page <&> 'quoted'")
    answer = await alice.receive()
    assert answer.findtext("{jabber:client}body") == "to a page <&> 'quoted'"
    await alice.send(f"<close xmlns='{FRAMING}'/>")
    assert (await alice.receive()).tag == f"{{{FRAMING}}}close"
    with pytest.raises(websockets.ConnectionClosedOK):
        await alice.socket.recv()


async def test_a_foreign_page_may_not_connect(server):
    with pytest.raises(websockets.InvalidStatus) as refused:
        await websockets.connect(
            f"wss://localhost:{server.port_https}/xmpp-websocket",
            subprotocols=["xmpp"], ssl=server.trust(), origin="https://evil.example",
        )
    assert refused.value.response.status_code == 403


@pytest.fixture
def uploads(server, monkeypatch):
    """slixmpp's uploads trust the test server's certificate."""
    def session(**options):
        return aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=server.trust()), **options)

    monkeypatch.setattr(http_upload, "ClientSession", session)


def fetch(server, url, **headers):
    request = urllib.request.Request(url, headers=headers)
    return urllib.request.urlopen(request, context=server.trust())


async def test_a_file_for_a_friend(server, people, uploads):
    alice = await people.online("alice")
    alice.register_plugin("xep_0363")
    content = secrets.token_bytes(300_000)
    url = await alice.plugin["xep_0363"].upload_file(
        "Ferien am Meer ☀.jpg", input_file=io.BytesIO(content), content_type="image/jpeg", domain=server.domain
    )
    assert url.startswith(f"https://localhost:{server.port_https}/upload/") and url.endswith(".jpg")
    with fetch(server, url) as answer:
        assert answer.read() == content
        assert answer.headers["Content-Type"] == "image/jpeg"
    with fetch(server, url, Range="bytes=100-199") as answer:
        assert answer.status == 206 and answer.read() == content[100:200]
    with pytest.raises(urllib.error.HTTPError) as missing:
        fetch(server, url.replace(".jpg", ".png"))
    assert missing.value.code == 404
    stored = [path for path in (server.data / "uploads").rglob("*") if path.is_file()]
    assert stored and all(content[:64] not in path.read_bytes() for path in stored)


async def test_a_file_that_is_too_large(server, people, uploads):
    alice = await people.online("alice")
    alice.register_plugin("xep_0363")
    with pytest.raises(FileTooBig):
        await alice.plugin["xep_0363"].upload_file(
            "film.mkv", size=10**12, input_file=io.BytesIO(b"x"), domain=server.domain
        )
