"""UnifiedPush: alice's phone is the distributor for another app, whose server posts to the address that she got."""

import asyncio
import base64
import hashlib
import json
import urllib.error
import urllib.request
import xml.etree.ElementTree as ET
from datetime import UTC, datetime

from slixmpp.exceptions import IqError
from slixmpp.xmlstream.handler import Callback
from slixmpp.xmlstream.matcher import MatchXPath

NS = "http://gultsch.de/xmpp/drafts/unified-push"


def hashed(text):
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def register(person, **attributes):
    iq = person.make_iq_set(ito="up.localhost")
    iq.append(ET.Element(f"{{{NS}}}register", attributes))
    return iq.send()


async def address_of(person, app):
    answer = await register(person, application=hashed(app), instance=hashed("instance"))
    registered = answer.xml.find(f"{{{NS}}}registered")
    left = datetime.fromisoformat(registered.get("expiration")) - datetime.now(UTC)
    assert 13 <= left.days <= 14
    return registered.get("endpoint")


async def request(server, address, message=None):
    """What the app's server asks: the status, and the answer."""

    def ask():
        asked = urllib.request.Request(address, data=message, headers={"TTL": "60"})
        try:
            with urllib.request.urlopen(asked, context=server.trust(), timeout=30) as answer:
                return answer.status, answer.headers, answer.read()
        except urllib.error.HTTPError as error:
            return error.code, error.headers, error.read()

    return await asyncio.to_thread(ask)


def distributor(person):
    """Makes a client take what is for its apps; gives the queue in which it comes."""
    came = asyncio.Queue()
    push = MatchXPath(f"{{jabber:client}}iq/{{{NS}}}push")
    person.register_handler(Callback("UnifiedPush", push, came.put_nowait))
    return came


async def test_an_app_on_the_phone_gets_what_its_server_posts(people, server):
    alice = await people.online("alice")
    pushes = distributor(alice)
    address = await address_of(alice, "org.example.app")
    status, _, body = await request(server, address)
    assert status == 200 and json.loads(body) == {"unifiedpush": {"version": 1}}

    message = bytes(range(256)) * 16
    posted = asyncio.create_task(request(server, address, message))
    came = await asyncio.wait_for(pushes.get(), 30)
    push = came.xml.find(f"{{{NS}}}push")
    assert came["from"] == "up.localhost" and base64.b64decode(push.text) == message
    assert push.get("application") == hashed("org.example.app") and push.get("instance") == hashed("instance")
    came.reply().send()
    status, headers, _ = await posted
    assert status == 201 and headers["TTL"] == "0"

    # The app was uninstalled.
    posted = asyncio.create_task(request(server, address, b"another"))
    error = (await asyncio.wait_for(pushes.get(), 30)).reply()
    error.error()
    error["error"]["condition"] = "item-not-found"
    error.send()
    assert (await posted)[0] == 404


async def test_what_is_wrong_is_told(people, server):
    alice = await people.online("alice")
    address = await address_of(alice, "org.example.app")
    assert (await request(server, address, b"x" * 4_097))[0] == 413
    assert (await request(server, address, b""))[0] == 400
    assert (await request(server, address[:-1], b"hello"))[0] == 404
    assert (await request(server, address + "/more", b"hello"))[0] == 404
    await alice.leave()
    status, headers, _ = await request(server, address, b"hello")
    assert status == 503 and int(headers["Retry-After"]) > 0


async def test_apps_are_called_by_hashes(people):
    alice = await people.online("alice")
    try:
        await register(alice, application="org.example.app", instance=hashed("instance"))
        raise AssertionError("a name was taken")
    except IqError as error:
        assert error.condition == "bad-request" and "application" in error.text
