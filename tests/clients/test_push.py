"""Push notifications (XEP-0357), with a component as app server: raw stanzas, as no library here has both sides."""

import asyncio

import pytest
from slixmpp import ComponentXMPP, Iq
from slixmpp.xmlstream import ET
from slixmpp.xmlstream.handler import Callback
from slixmpp.xmlstream.matcher import MatchXPath

from conftest import Crowd
from server import free_ports

SECRET = "a secret that only the two of us know"
PATIENCE_SECONDS = 30
PUSH = "urn:xmpp:push:0"
PUBSUB = "http://jabber.org/protocol/pubsub"
DATA = "jabber:x:data"
OPTIONS = "http://jabber.org/protocol/pubsub#publish-options"


@pytest.fixture
def house(make_server):
    server = make_server()
    (server.port_component,) = free_ports(1)
    (server.home / "kim.toml").write_text(
        f'[listen]\ncomponent = ["127.0.0.1:{server.port_component}"]\n'
        f'[[component]]\njid = "app.localhost"\nsecret = "{SECRET}"\n'
        # Nobody in these stories has keys.
        '[xep0384_omemo]\npolicy = "off"\n'
    )
    server.start()
    yield server
    server.stop()


class AppServer(ComponentXMPP):
    """Keeps what is published, and answers as it was told to."""

    def __init__(self, server):
        super().__init__("app.localhost", SECRET, "127.0.0.1", server.port_component)
        self.came_in = asyncio.Event()
        self.published = asyncio.Queue()
        self.refusal = None
        self.add_event_handler("session_start", lambda _: self.came_in.set())
        publish = MatchXPath(f"{{jabber:component:accept}}iq/{{{PUBSUB}}}pubsub")
        self.register_handler(Callback("publish", publish, self.take))

    def take(self, iq):
        self.published.put_nowait(iq)
        answer = iq.reply(clear=True)
        if self.refusal:
            answer["type"] = "error"
            answer["error"]["type"], answer["error"]["condition"] = self.refusal
        answer.send()

    async def next(self):
        iq = await asyncio.wait_for(self.published.get(), PATIENCE_SECONDS)
        publish = iq.xml.find(f"{{{PUBSUB}}}pubsub/{{{PUBSUB}}}publish")
        fields = {
            field.get("var"): field.findtext(f"{{{DATA}}}value")
            for form in iq.xml.iter(f"{{{DATA}}}x")
            for field in form.iter(f"{{{DATA}}}field")
        }
        return iq, publish.get("node"), fields

    async def __aenter__(self):
        self.connect()
        await asyncio.wait_for(self.came_in.wait(), PATIENCE_SECONDS)
        return self

    async def __aexit__(self, *_):
        await self.disconnect()


async def ask(client, name, node=None, secret=None):
    iq = client.make_iq_set()
    element = ET.SubElement(iq.xml, f"{{{PUSH}}}{name}", jid="app.localhost")
    if node:
        element.set("node", node)
    if secret:
        form = ET.SubElement(element, f"{{{DATA}}}x", type="submit")
        for var, value in (("FORM_TYPE", OPTIONS), ("secret", secret)):
            field = ET.SubElement(form, f"{{{DATA}}}field", var=var)
            ET.SubElement(field, f"{{{DATA}}}value").text = value
    await iq.send(timeout=PATIENCE_SECONDS)


async def test_a_phone_that_is_offline_is_woken_until_it_disables_that(house):
    async with Crowd(house) as people, AppServer(house) as app:
        account = people.account("alice")
        phone = await people.online(account, resource="phone")
        info = await phone.plugin["xep_0030"].get_info(jid=phone.boundjid.bare)
        assert PUSH in info["disco_info"]["features"]
        await ask(phone, "enable", "node-1", "eruio234vzxc2kla-91")
        address = phone.boundjid.bare
        await phone.leave()
        bob = await people.online("bob")
        bob.say(address, "hello")
        iq, node, fields = await app.next()
        assert (iq["from"], node) == (address, "node-1")
        assert fields["message-count"] == "1" and fields["secret"] == "eruio234vzxc2kla-91"
        assert "last-message-sender" not in fields and "last-message-body" not in fields
        assert "hello" not in str(iq)

        phone = await people.online(account, resource="phone")
        await ask(phone, "disable", "node-1")
        await phone.leave()
        # A second account shows that everything before it has come.
        carol = people.account("carol")
        other = await people.online(carol, resource="phone")
        await ask(other, "enable", "node-2")
        await other.leave()
        bob.say(address, "are you there?")
        bob.say(other.boundjid.bare, "and you?")
        _, node, _ = await app.next()
        assert node == "node-2"
        assert app.published.empty()


async def test_a_session_without_a_connection_is_woken_once_and_resumed(house):
    async with Crowd(house) as people, AppServer(house) as app:
        account = people.account("alice")
        # The desktop is online all the time, and does not silence the phone.
        desk = await people.online(account, resource="desk")
        phone = people.device(account, resource="phone")
        phone.register_plugin("xep_0198")
        await phone.sign_in()
        await phone.come_online()
        await ask(phone, "enable", "node-1")
        bob = await people.online("bob")
        await phone.lose_connection()
        # The server may take a moment to notice that; either way the phone is told.
        bob.say(phone.boundjid.bare, "one")
        await desk.expect_message("one")
        _, node, fields = await app.next()
        assert (node, fields["message-count"]) == ("node-1", "1")
        bob.say(phone.boundjid.bare, "two")
        await bob.settle()
        assert app.published.empty(), "the first notification stands for both"
        assert await phone.resume()
        await phone.expect_message("one")
        await phone.expect_message("two")


async def test_an_app_server_that_knows_the_node_no_more_is_left_alone(house):
    async with Crowd(house) as people, AppServer(house) as app:
        app.refusal = ("cancel", "item-not-found")
        phone = await people.online("alice", resource="phone")
        await ask(phone, "enable", "gone")
        address = phone.boundjid.bare
        await phone.leave()
        other = await people.online("carol", resource="phone")
        await ask(other, "enable", "here")
        bob = await people.online("bob")
        bob.say(address, "one")
        _, node, _ = await app.next()
        assert node == "gone"
        # What the app server sent before this is dealt with when the answer comes.
        app.refusal = None
        await asyncio.wait_for(ping_server(app), PATIENCE_SECONDS)
        await other.leave()
        bob.say(address, "two")
        bob.say(other.boundjid.bare, "three")
        _, node, _ = await app.next()
        assert node == "here"
        assert app.published.empty()


async def ping_server(app):
    iq = Iq(stream=app, stype="get", sto="localhost", sfrom="app.localhost", sid="ping")
    ET.SubElement(iq.xml, "{urn:xmpp:ping}ping")
    await iq.send(timeout=PATIENCE_SECONDS)
