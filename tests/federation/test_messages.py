"""Messages between servers (RFC 6120 §10, RFC 6121 §5 and §8) and the errors that come back."""

import asyncio
import urllib.request

import pytest
from slixmpp import Message
from slixmpp.exceptions import IqError

from network import DEAD
from persons import PATIENT

RECEIPTS, MARKERS, STATES = "{urn:xmpp:receipts}", "{urn:xmpp:chat-markers:0}", "{http://jabber.org/protocol/chatstates}"
DELAY = "{urn:xmpp:delay}delay"
OOB = "{jabber:x:oob}"


async def test_a_conversation_with_receipts_and_markers(pair, people):
    """XEP-0184, XEP-0333 and XEP-0085: receipts, markers and chat states pass both ways with their ids."""
    alice, bob = await people.strangers(pair)
    for one, other in ((alice, bob), (bob, alice)):
        question = one.make_message(mto=other.boundjid.bare, mbody=f"Do you hear me, {other.boundjid.user}?", mtype="chat")
        question["id"] = one.new_id()
        question["request_receipt"] = True
        question.enable("markable")
        question["chat_state"] = "active"
        question.send()
        heard = await other.expect_message(f"Do you hear me, {other.boundjid.user}?")
        assert heard["from"] == one.boundjid.full and heard["id"] == question["id"]
        assert heard["to"].bare == other.boundjid.bare
        assert heard.xml.find(f"{STATES}active") is not None
        receipt = other.make_message(mto=heard["from"], mtype="chat")
        receipt["receipt"] = heard["id"]
        receipt.send()
        other.plugin["xep_0333"].send_marker(heard["from"], heard["id"], "displayed")
        told = await one.expect_child(Message, f"{RECEIPTS}received", other.boundjid.full)
        assert told.xml.find(f"{RECEIPTS}received").get("id") == question["id"]
        seen = await one.expect_child(Message, f"{MARKERS}displayed", other.boundjid.full)
        assert seen.xml.find(f"{MARKERS}displayed").get("id") == question["id"]


async def test_order_and_content_survive(pair, people):
    """RFC 6120 §10.1: stanzas keep their order; characters and unknown elements arrive unchanged."""
    alice, bob = await people.strangers(pair)
    bodies = [f"{number}: <&>\"' \N{SNOWMAN} \N{GRINNING FACE} a\nb" for number in range(100)]
    for body in bodies:
        alice.say(bob.boundjid.full, body)
    await alice.reach(bob)
    assert [s["body"] for s in bob.inbox if isinstance(s, Message)] == bodies
    bob.send_xml(
        f"<message to='{alice.boundjid.full}' type='chat' id='odd' xml:lang='de'><body>Guten Tag</body>"
        "<body xml:lang='en'>Good day</body><a xmlns='urn:example:a' b='1'><c xmlns=''><d/></c>text<e xmlns:f='urn:f' f:g='h'/>"
        "</a></message>"
    )
    message = (await alice.expect("the odd message", lambda s: s["id"] == "odd")).xml
    bodies = {body.get("{http://www.w3.org/XML/1998/namespace}lang"): body.text
              for body in message.iter("{jabber:client}body")}
    assert bodies.get("en") == "Good day" and "Guten Tag" in bodies.values()
    odd = message.find("{urn:example:a}a")
    assert odd.get("b") == "1" and odd.find("c/d") is not None
    assert odd.find("{urn:example:a}e").get("{urn:f}g") == "h"


async def test_a_large_message(pair, people):
    """RFC 6120 §13.12: a stanza of up to 10,000 bytes must be accepted everywhere."""
    alice, bob = await people.strangers(pair)
    body = "All work and no play. " * 400
    alice.say(bob.boundjid.bare, body)
    await bob.expect_message(body)


async def test_messages_wait_for_somebody_who_is_offline(pair, people):
    """XEP-0160 and XEP-0203: messages are stored for an offline account and delivered with a delay stamp."""
    alice, bob = await people.strangers(pair)
    account = (bob.boundjid.bare, bob.password)
    await bob.leave()
    for number in range(3):
        alice.say(bob.boundjid.bare, f"letter {number}")
    await alice.request(pair.away.domain, "<ping xmlns='urn:xmpp:ping'/>")
    bob = await people.online(pair.away, account)
    for number in range(3):
        letter = await bob.expect_message(f"letter {number}")
        assert letter["from"] == alice.boundjid.full
        assert letter.xml.find(DELAY) is not None, str(letter)


async def test_a_message_to_an_unknown_resource_reaches_the_account(pair, people):
    """RFC 6121 §8.5.3.2.1: a chat message to a missing resource is treated as one to the bare JID."""
    alice, bob = await people.strangers(pair)
    alice.say(f"{bob.boundjid.bare}/gone", "Are you elsewhere?")
    await bob.expect_message("Are you elsewhere?")


async def test_two_devices_see_both_sides(pair, people):
    """XEP-0280: messages from and to another server are copied to the account's other devices."""
    alice, bob = await people.strangers(pair)
    tablet = await people.again(bob, resource="tablet")
    for device in (bob, tablet):
        await device.plugin["xep_0280"].enable()
    alice.say(bob.boundjid.full, "to the phone")
    await bob.expect_message("to the phone")
    carbon = await tablet.expect_child(Message, "{urn:xmpp:carbons:2}received")
    assert carbon.xml.find(".//{jabber:client}body").text == "to the phone"
    bob.say(alice.boundjid.full, "from the phone")
    await alice.expect_message("from the phone")
    carbon = await tablet.expect_child(Message, "{urn:xmpp:carbons:2}sent")
    assert carbon.xml.find(".//{jabber:client}body").text == "from the phone"


async def test_nobody_there(pair, people):
    """RFC 6121 §8.5.1: a message to an account that does not exist comes back as service-unavailable."""
    alice = await people.online(pair.home, "alice")
    stanza = alice.say(f"nobody@{pair.away.domain}", "Hello?")
    error = await alice.expect_error(Message, "service-unavailable", stanza)
    assert error["from"].bare == f"nobody@{pair.away.domain}" and error["error"]["type"] == "cancel"


async def test_no_such_domain(pair, people, world):
    """RFC 6120 §8.3.3.16: a domain that does not exist, or whose SRV target is ".", is remote-server-not-found."""
    alice = await people.online(pair.home, "alice")
    world.names.add(f"_xmpp-server._tcp.dot-{pair.home.name}.plain. SRV 0 0 0 .",
                    f"_xmpps-server._tcp.dot-{pair.home.name}.plain. SRV 0 0 0 .")
    for domain in ("no-such-domain.plain", f"dot-{pair.home.name}.plain"):
        stanza = alice.say(f"bob@{domain}", "Hello?")
        error = await alice.expect_error(Message, "remote-server-not-found", stanza)
        assert error["error"]["type"] in ("cancel", "wait") and error["from"] == f"bob@{domain}"


async def test_nothing_listens_there(pair, people, world):
    """RFC 6120 §8.3.3.16 and §8.3.3.17: the domain resolves but does not answer; either error will do."""
    alice = await people.online(pair.home, "alice")
    domain = f"dead-{pair.home.name}.plain"
    if not world.names.ask(domain, "A"):
        world.names.server(domain, DEAD)
    with pytest.raises(IqError) as failed:
        await alice.plugin["xep_0199"].send_ping(f"bob@{domain}", **PATIENT)
    assert failed.value.condition in ("remote-server-not-found", "remote-server-timeout")


async def test_an_error_is_not_answered(pair, people):
    """RFC 6120 §8.3.1: an error stanza must not be answered with another error."""
    alice, bob = await people.strangers(pair)
    alice.send_xml(
        f"<message to='nobody@{pair.away.domain}' type='error' id='e1'><error type='cancel'>"
        "<item-not-found xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></message>"
    )
    await alice.reach(bob)
    alice.assert_got_no("an answer to an error", lambda s: s["id"] == "e1")


async def test_a_file_goes_as_a_link(pair, people):
    """XEP-0363 and XEP-0066: a file uploaded here is fetched there by its link."""
    alice, bob = await people.strangers(pair)
    payload = f"<request xmlns='urn:xmpp:http:upload:0' filename='s.txt' size='12' content-type='text/plain'/>"
    slot = await alice.request(f"upload.{pair.home.domain}", payload)
    put, get = (slot.find("{urn:xmpp:http:upload:0}" + name) for name in ("put", "get"))
    headers = {header.get("name"): header.text for header in put}
    tls = pair.home.trust() if put.get("url").startswith("https:") else None

    def fetch(url, **more):
        with urllib.request.urlopen(urllib.request.Request(url, **more), timeout=30, context=tls) as answer:
            return answer.status, answer.read()

    status, _ = await asyncio.to_thread(fetch, put.get("url"), data=b"Hello, file!", method="PUT",
                                        headers={"Content-Type": "text/plain", **headers})
    assert status in (200, 201)
    link = get.get("url")
    alice.send_xml(f"<message to='{bob.boundjid.bare}' type='chat'><body>{link}</body>"
                   f"<x xmlns='jabber:x:oob'><url>{link}</url></x></message>")
    message = await bob.expect_child(Message, f"{OOB}x", alice.boundjid.full)
    assert message["body"] == link
    assert await asyncio.to_thread(fetch, message.xml.find(f"{OOB}x/{OOB}url").text) == (200, b"Hello, file!")
