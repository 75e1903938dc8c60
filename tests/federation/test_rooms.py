"""XEP-0045 between servers: people in rooms of another server. The pairs give both directions."""

import secrets

import pytest
from slixmpp import Message, Presence
from slixmpp.exceptions import IqError, PresenceError
from slixmpp.xmlstream import ET

from persons import PATIENT, came, said, went

USER = "{http://jabber.org/protocol/muc#user}"


def muc(person):
    return person.plugin["xep_0045"]


async def enter(person, room, nick, history=20):
    """Enters (§7.2) and waits until the room has told all: who is there, oneself, and the subject at the end."""
    presence = person.make_presence(pto=f"{room}/{nick}")
    joining = ET.SubElement(presence.xml, "{http://jabber.org/protocol/muc}x")
    ET.SubElement(joining, "{http://jabber.org/protocol/muc}history", maxstanzas=str(history))
    presence.send()
    # By hand: slixmpp overlooks an error that does not repeat the request, which it need not (RFC 6120 §8.3.1).
    answer = await person.expect(
        f"an answer of {room}",
        lambda s: isinstance(s, Presence) and s["from"].bare == room and (s["type"] == "error" or "110" in codes(s)),
    )
    if answer["type"] == "error":
        raise PresenceError(answer)
    await person.expect("the subject", lambda s: isinstance(s, Message) and s["from"].bare == room
                        and s.xml.find("{jabber:client}subject") is not None)


def leave(person, room, nick):
    person.send_presence(pto=f"{room}/{nick}", ptype="unavailable")


def codes(presence):
    return {status.get("code") for status in presence.xml.iter(f"{USER}status")}


async def make(owner, room, nick, **settings):
    """Makes a room and configures it by the form that the server sends (§10.1.3)."""
    await enter(owner, room, nick)
    form = await muc(owner).get_room_config(room, **PATIENT)
    form["type"] = "submit"
    known = form.get_values()
    values = {f"muc#roomconfig_{name}": value for name, value in settings.items()}
    form.set_values({name: value for name, value in {**known, **values}.items() if value is not None and name in known})
    await muc(owner).set_room_config(room, form, **PATIENT)


@pytest.fixture
async def meeting(pair, people):
    """Bob's room on his own server, and alice on the other, who has not entered yet."""
    alice, bob = await people.strangers(pair)
    room = f"cave-{secrets.token_hex(3)}@{pair.away.conference}"
    await make(bob, room, "bob", roomname="A Dark Cave", persistentroom=False)
    return alice, bob, room


async def self_ping(person, room, nick):
    """XEP-0410: the error condition, or nothing if the room confirms that the person is in it."""
    try:
        await person.plugin["xep_0199"].send_ping(f"{room}/{nick}", **PATIENT)
    except IqError as error:
        return error.condition


async def test_talk_in_a_room_elsewhere(meeting):
    """§7.2, §7.4, §7.14, §8.1: enter, be seen, talk both ways, a private message, the subject, and leave."""
    alice, bob, room = meeting
    await enter(alice, room, "alice")
    await bob.expect("alice's coming", came(room, "alice"))
    await alice.expect("bob's presence", came(room, "bob"))
    for one, nick in ((alice, "alice"), (bob, "bob")):
        one.send_message(mto=room, mbody=f"I am {nick}", mtype="groupchat")
        for person in (alice, bob):
            await person.expect(f"what {nick} said", said(room, nick, f"I am {nick}"))
    alice.send_message(mto=f"{room}/bob", mbody="psst", mtype="chat")
    assert (await bob.expect_message("psst"))["from"] == f"{room}/alice"
    muc(bob).set_subject(room, "Toil and trouble")
    await alice.expect("the subject", lambda s: isinstance(s, Message) and s["subject"] == "Toil and trouble")
    leave(alice, room, "alice")
    await bob.expect("alice's leaving", went(room, "alice"))
    await alice.expect("the own leaving", went(room, "alice", 110))


async def test_history_for_who_comes_from_elsewhere(meeting, people, pair):
    """§7.2.13, XEP-0203: the last messages in order, with delay stamps."""
    alice, bob, room = meeting
    for number in range(5):
        bob.send_message(mto=room, mbody=f"line {number}", mtype="groupchat")
        await bob.expect("the echo", said(room, "bob", f"line {number}"))
    await enter(alice, room, "alice", history=3)
    await alice.reach(bob)
    old = [s for s in alice.inbox if isinstance(s, Message) and s["type"] == "groupchat" and s["body"]]
    assert [s["body"] for s in old] == ["line 2", "line 3", "line 4"]
    assert all(s.xml.find("{urn:xmpp:delay}delay") is not None for s in old)


async def test_am_i_still_in_it(meeting):
    """XEP-0410: a result for an occupant, not-acceptable for anybody else."""
    alice, bob, room = meeting
    await enter(alice, room, "alice")
    assert await self_ping(alice, room, "alice") is None
    leave(alice, room, "alice")
    await alice.expect("the own leaving", went(room, "alice"))
    assert await self_ping(alice, room, "alice") == "not-acceptable"


async def test_kicked_and_banned_from_elsewhere(meeting):
    """§8.2, §9.1: status 307 and 301; a banned person cannot enter again."""
    alice, bob, room = meeting
    await enter(alice, room, "alice")
    await muc(bob).set_role(room, "alice", "none", reason="Avaunt!", **PATIENT)
    await alice.expect("the kick", went(room, "alice", 307))
    assert await self_ping(alice, room, "alice") == "not-acceptable"
    await enter(alice, room, "alice")
    await muc(bob).set_affiliation(room, "outcast", jid=alice.boundjid.bare, **PATIENT)
    await alice.expect("the ban", went(room, "alice", 301))
    with pytest.raises(PresenceError) as refused:
        await enter(alice, room, "alice")
    assert refused.value.condition == "forbidden"


async def test_a_new_nickname_and_one_that_is_taken(meeting):
    """§7.6 (status 303) and §7.2.8 (conflict)."""
    alice, bob, room = meeting
    with pytest.raises(PresenceError) as refused:
        await enter(alice, room, "bob")
    assert refused.value.condition == "conflict"
    await enter(alice, room, "alice")
    alice.send_presence(pto=f"{room}/alicia")
    await bob.expect("the old name's end", went(room, "alice", 303))
    await bob.expect("the new name", came(room, "alicia"))
    await alice.expect("the new name", came(room, "alicia"))


async def test_members_from_elsewhere(meeting):
    """§7.2.6, §7.8.2, §9.3: a members-only room refuses, invites and admits people of another server."""
    alice, bob, room = meeting
    await make(bob, room, "bob", membersonly=True, whois="anyone")
    with pytest.raises(PresenceError) as refused:
        await enter(alice, room, "alice")
    assert refused.value.condition == "registration-required"
    await muc(bob).set_affiliation(room, "member", jid=alice.boundjid.bare, **PATIENT)
    muc(bob).invite(room, alice.boundjid.bare, reason="Come")
    invitation = await alice.expect_child(Message, f"{USER}invite", room)
    assert invitation.xml.find(f".//{USER}invite").get("from").partition("/")[0] in (bob.boundjid.bare, room)
    await enter(alice, room, "alice")
    seen = await bob.expect("alice with her address", lambda s: came(room, "alice")(s)
                            and s.xml.find(f".//{USER}item").get("jid") is not None)
    assert seen.xml.find(f".//{USER}item").get("jid") == alice.boundjid.full
    assert seen.xml.find(f".//{USER}item").get("affiliation") == "member"


async def test_a_guest_owner(meeting):
    """§10.5: somebody on another server can be an owner and configure the room."""
    alice, bob, room = meeting
    await enter(alice, room, "alice")
    with pytest.raises(IqError) as refused:
        await muc(alice).get_room_config(room, **PATIENT)
    assert refused.value.condition == "forbidden"
    await muc(bob).set_affiliation(room, "owner", jid=alice.boundjid.bare, **PATIENT)
    assert await muc(alice).get_room_config(room, **PATIENT)
    await muc(alice).destroy(room, reason="Dawn", **PATIENT)
    await bob.expect_child(Presence, f"{USER}destroy")


async def test_the_lost_connection_of_somebody_elsewhere(meeting, people):
    """RFC 6121 §4.5: a server sends unavailable presence to the rooms of a person who disconnects."""
    alice, bob, room = meeting
    await enter(alice, room, "alice")
    await bob.expect("alice's coming", came(room, "alice"))
    await alice.leave()
    await bob.expect("alice's going", went(room, "alice"))


async def test_a_message_to_a_room_one_is_not_in(meeting):
    """§7.4: not-acceptable, and no occupant receives it."""
    alice, bob, room = meeting
    alice.send_message(mto=room, mbody="from outside", mtype="groupchat")
    await alice.expect("an error", lambda s: isinstance(s, Message) and s["type"] == "error" and s["from"].bare == room
                       and s["error"]["condition"] in ("not-acceptable", "forbidden"))
    await bob.settle()
    bob.assert_got_no("it", lambda s: isinstance(s, Message) and s["body"] == "from outside")


async def test_a_room_whose_visitors_server_is_gone(target, world, people):
    """§7.14 and XEP-0410: errors from a server that is gone remove its people from the room."""
    gone = world.start("prosody", f"gone-{target.name}", f"127.0.2.{target.address.rpartition('.')[2]}")
    bob, alice = await people.online(target, "bob"), await people.online(gone, "alice")
    room = f"cave-{secrets.token_hex(3)}@{target.conference}"
    await make(bob, room, "bob")
    await enter(alice, room, "alice")
    await bob.expect("alice's coming", came(room, "alice"))
    gone.kill()
    await alice.dropped()
    bob.send_message(mto=room, mbody="Is anybody there?", mtype="groupchat")
    await bob.expect("alice's going", went(room, "alice"))
