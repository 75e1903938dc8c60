"""XEP-0313 with people elsewhere: each archive has both directions once; a room's archive can be read from another server."""

import secrets

from slixmpp import Message

from persons import PATIENT, said
from test_rooms import enter, make

MAM = "urn:xmpp:mam:2"


async def archive(person, to=None, other=None):
    """The bodies of a conversation as the archive has them, with sender and archive id."""
    collected = []

    def collect(stanza):
        result = stanza.xml.find(f"{{{MAM}}}result") if isinstance(stanza, Message) else None
        if result is not None:
            message = result.find(".//{jabber:client}message")
            body = message.findtext("{jabber:client}body")
            if body is not None:
                collected.append((message.get("from").partition("/")[0], body, result.get("id")))
        return stanza

    person.add_filter("in", collect)
    wish = "" if other is None else (
        "<x xmlns='jabber:x:data' type='submit'><field var='FORM_TYPE' type='hidden'><value>urn:xmpp:mam:2</value></field>"
        f"<field var='with'><value>{other}</value></field></x>")
    await person.request(to, f"<query xmlns='{MAM}'>{wish}</query>", "set")
    person.del_filter("in", collect)
    return collected


async def test_both_archives_have_both_directions(pair, people):
    """§3, §5.1: and a message carries its archive id (XEP-0359)."""
    alice, bob = await people.strangers(pair)
    a, b = alice.boundjid.bare, bob.boundjid.bare
    alice.say(b, "one")
    first = await bob.expect_message("one")
    bob.say(a, "two")
    second = await alice.expect_message("two")
    alice.say(bob.boundjid.full, "three")
    await bob.expect_message("three")
    for person, other, mine, got in ((alice, b, a, second), (bob, a, b, first)):
        await person.settle()
        told = await archive(person, other=other)
        assert [(who, body) for who, body, _ in told] == [(a, "one"), (b, "two"), (a, "three")]
        ids = {entry.get("id") for entry in got.xml.iter("{urn:xmpp:sid:0}stanza-id") if entry.get("by") == mine}
        assert ids == {entry for _, body, entry in told if body == got["body"]}, str(got)


async def test_a_forged_id_is_not_believed(pair, people):
    """XEP-0359 §6: a `stanza-id` with the receiver's address in `by` is removed on arrival."""
    alice, bob = await people.strangers(pair)
    alice.send_xml(f"<message to='{bob.boundjid.bare}' type='chat' id='f1'><body>forged</body>"
                   f"<stanza-id xmlns='urn:xmpp:sid:0' by='{bob.boundjid.bare}' id='forged'/></message>")
    message = await bob.expect_message("forged")
    ids = [entry.get("id") for entry in message.xml.iter("{urn:xmpp:sid:0}stanza-id")
           if entry.get("by") == bob.boundjid.bare]
    assert len(ids) == 1 and ids != ["forged"], str(message)


async def test_a_rooms_archive_from_elsewhere(pair, people):
    """§8, XEP-0045 §7.2.13: occupants may query it from any server."""
    alice, bob = await people.strangers(pair)
    room = f"cave-{secrets.token_hex(3)}@{pair.away.conference}"
    await make(bob, room, "bob", enablearchiving=True, mam=True, persistentroom=True)
    await enter(alice, room, "alice")
    for one, nick in ((alice, "alice"), (bob, "bob")):
        one.send_message(mto=room, mbody=f"I am {nick}", mtype="groupchat")
        for person in (alice, bob):
            await person.expect(f"what {nick} said", said(room, nick, f"I am {nick}"))
    told = await archive(alice, to=room)
    assert [body for _, body, _ in told] == ["I am alice", "I am bob"]
    # Nobody may query somebody else's archive.
    assert await alice.refused(bob.boundjid.bare, f"<query xmlns='{MAM}'/>", "set")
    await alice.plugin["xep_0199"].send_ping(pair.away.domain, **PATIENT)
