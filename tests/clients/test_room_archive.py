"""What was said in a room, read by who comes later (XEP-0313), and what of it was taken back (XEP-0424, XEP-0425)."""

import secrets

from slixmpp import JID, Message
from slixmpp.exceptions import IqError
from slixmpp.xmlstream import ET

from people import PATIENCE_SECONDS

SID = "{urn:xmpp:sid:0}stanza-id"
RETRACT = "{urn:xmpp:message-retract:1}"
MODERATE = "{urn:xmpp:message-moderate:1}"
PLUGINS = ["xep_0045", "xep_0313", "xep_0359", "xep_0421", "xep_0424", "xep_0425"]


async def enter(device, room, nick, makes=False):
    for plugin in PLUGINS:
        device.register_plugin(plugin)
    await device.plugin["xep_0045"].join_muc_wait(JID(room), nick, maxstanzas=20, timeout=PATIENCE_SECONDS)
    if makes:
        iq = device.make_iq_set(ito=room)
        query = ET.SubElement(iq.xml, "{http://jabber.org/protocol/muc#owner}query")
        ET.SubElement(query, "{jabber:x:data}x", type="submit")
        await iq.send(timeout=PATIENCE_SECONDS)


async def say(device, room, body, *listeners):
    """Says something in a room and waits until everybody has it; gives the room's id for it."""
    device.say(room, body, kind="groupchat")
    heard = [await one.expect_message(body) for one in (device, *listeners)]
    ids = {one.xml.find(SID).get("id") for one in heard}
    assert len(ids) == 1 and {one.xml.find(SID).get("by") for one in heard} == {room}
    return ids.pop()


async def history(device, room):
    """All messages of the room's archive as {id: forwarded stanza}, in order, read two at a time."""
    rows = {}
    async for row in device.plugin["xep_0313"].iterate(jid=JID(room), rsm={"max": 2}):
        rows[row["mam_result"]["id"]] = row["mam_result"]["forwarded"]["stanza"]
    return rows


async def refusal(request):
    try:
        await request
    except IqError as error:
        return error.iq["error"]["condition"]
    return None


async def test_who_comes_later_reads_what_was_said(people):
    room = f"coven-{secrets.token_hex(3)}@conference.{people.server.domain}"
    alice, bob, carol = [await people.online(name) for name in ("alice", "bob", "carol")]
    await enter(alice, room, "alice", makes=True)
    await enter(bob, room, "bob")
    said = {}
    for number in range(5):
        said[await say(alice, room, f"question {number}", bob)] = f"question {number}"
        said[await say(bob, room, f"answer {number}", alice)] = f"answer {number}"
    await enter(carol, room, "carol")
    for reader in (carol, bob):
        rows = await history(reader, room)
        assert {id: stanza["body"] for id, stanza in rows.items()} == said
        assert list(rows) == list(said)
        first = next(iter(rows.values()))
        assert first["from"] == f"{room}/alice" and not first["to"].full
        # Who moderates sees who it was, others do not.
        assert first.xml.find("{http://jabber.org/protocol/muc#user}x") is None
    first = next(iter((await history(alice, room)).values()))
    item = first.xml.find("{http://jabber.org/protocol/muc#user}x/{http://jabber.org/protocol/muc#user}item")
    assert item.get("jid") == alice.boundjid.full

    await alice.plugin["xep_0045"].set_affiliation(room, "outcast", jid=carol.boundjid.bare)
    carol.register_plugin("xep_0313")
    query = carol.plugin["xep_0313"].retrieve(jid=JID(room), timeout=PATIENCE_SECONDS)
    assert await refusal(query) == "forbidden"


async def test_a_moderator_and_an_author_take_back_what_was_said(people):
    room = f"coven-{secrets.token_hex(3)}@conference.{people.server.domain}"
    alice, bob, carol = [await people.online(name) for name in ("alice", "bob", "carol")]
    await enter(alice, room, "alice", makes=True)
    await enter(bob, room, "bob")
    spam = await say(bob, room, "DM me for free magic potions!", alice)
    slip = await say(bob, room, "Have not saints lips?", alice)
    kept = await say(alice, room, "Good evening", bob)

    moderated = []
    bob.add_event_handler("moderated_message", moderated.append)
    assert await refusal(bob.plugin["xep_0425"].moderate(JID(room), spam, "mine", timeout=PATIENCE_SECONDS)) == "forbidden"
    await alice.plugin["xep_0425"].moderate(JID(room), spam, "spam", timeout=PATIENCE_SECONDS)
    told = await bob.expect(
        "the moderation",
        lambda s: isinstance(s, Message) and s.xml.find(f"{RETRACT}retract/{MODERATE}moderated") is not None,
    )
    retract = told.xml.find(f"{RETRACT}retract")
    assert told["from"] == room and retract.get("id") == spam
    assert retract.find(f"{MODERATE}moderated").get("by") == f"{room}/alice"
    assert retract.find(f"{RETRACT}reason").text == "spam"
    await bob.settle()
    assert len(moderated) == 1, "slixmpp took it for a moderation"

    # XEP-0424 §5: nobody takes back what somebody else said.
    alice.plugin["xep_0424"].send_retraction(JID(room), slip, mtype="groupchat")
    await alice.expect_error(Message, "forbidden")
    bob.plugin["xep_0424"].send_retraction(JID(room), slip, mtype="groupchat")
    await alice.expect(
        "the retraction",
        lambda s: isinstance(s, Message) and s["from"] == f"{room}/bob"
        and s.xml.find(f"{RETRACT}retract") is not None and s.xml.find(f"{RETRACT}retract").get("id") == slip,
    )

    await enter(carol, room, "carol")
    await carol.settle()
    carol.assert_got_no("what was taken back", lambda s: isinstance(s, Message) and ("potions" in s["body"] or "saints" in s["body"]))
    rows = await history(carol, room)
    assert rows[kept]["body"] == "Good evening"
    for id in (spam, slip):
        assert not rows[id]["body"] and rows[id].xml.find(f"{RETRACT}retracted") is not None
        assert rows[id]["from"] == f"{room}/bob"
    assert rows[spam].xml.find(f"{RETRACT}retracted/{MODERATE}moderated") is not None
    assert rows[slip].xml.find(f"{RETRACT}retracted/{MODERATE}moderated") is None
    replayed = [row.xml.find(f"{RETRACT}retract").get("id") for row in rows.values() if row.xml.find(f"{RETRACT}retract") is not None]
    assert replayed == [spam, slip], "who was away learns of both"
