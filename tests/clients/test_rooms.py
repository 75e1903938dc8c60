"""XEP-0045 with a real client: a public room, a private one, moderating, inviting, and guests in the default room."""

import pytest
from slixmpp import Message, Presence
from slixmpp.exceptions import IqError, PresenceError

from people import PATIENCE_SECONDS

PATIENT = {"timeout": PATIENCE_SECONDS}


def muc(person):
    """The plugin, loaded when it is first asked for."""
    if "xep_0045" not in person.plugin:
        person.register_plugin("xep_0045")
        person.register_plugin("xep_0249")
    return person.plugin["xep_0045"]


async def enter(person, room, nick):
    return await muc(person).join_muc_wait(room, nick, maxstanzas=20, timeout=PATIENCE_SECONDS)


async def make(owner, room, nick, **settings):
    """Makes a room and configures it by the form that the server sends (§10.1.3)."""
    await enter(owner, room, nick)
    form = await muc(owner).get_room_config(room, **PATIENT)
    form["type"] = "submit"
    values = {field: form.get_values()[field] for field in form.get_values()}
    values.update({f"muc#roomconfig_{name}": value for name, value in settings.items()})
    form.set_values({name: value for name, value in values.items() if value is not None})
    await muc(owner).set_room_config(room, form, **PATIENT)


def said(room, nick, body):
    return lambda s: (isinstance(s, Message) and s["type"] == "groupchat" and s["from"] == f"{room}/{nick}"
                      and s["body"] == body)


def left(room, nick, code):
    def match(stanza):
        if not isinstance(stanza, Presence) or stanza["type"] != "unavailable" or stanza["from"] != f"{room}/{nick}":
            return False
        codes = {int(status.get("code")) for status in stanza.xml.iter("{http://jabber.org/protocol/muc#user}status")}
        return code in codes
    return match


async def test_a_public_room(people):
    """§7.2, §7.4, §8.1, §8.2, §9.1: made, entered, talked in; a subject; a kick; a ban."""
    alice, bob, carol = [await people.online(name) for name in ("alice", "bob", "carol")]
    room = f"cave@conference.{alice.kim.domain}"
    await make(alice, room, "alice", roomname="A Dark Cave", changesubject=False)
    await enter(bob, room, "bob")
    await enter(carol, room, "carol")
    assert {"alice", "bob", "carol"} <= set(muc(carol).get_roster(room))
    bob.send_message(mto=room, mbody="Double, double", mtype="groupchat")
    for person in (alice, bob, carol):
        await person.expect("bob's message", said(room, "bob", "Double, double"))
    muc(alice).set_subject(room, "Toil and trouble")
    await carol.expect("the subject", lambda s: isinstance(s, Message) and s["subject"] == "Toil and trouble")
    await muc(alice).set_role(room, "carol", "none", reason="Avaunt!", **PATIENT)
    await carol.expect("the kick", left(room, "carol", 307))
    await enter(carol, room, "carol")
    with pytest.raises(IqError):
        await muc(bob).set_role(room, "carol", "none", **PATIENT)
    await muc(alice).set_affiliation(room, "outcast", jid=carol.boundjid.bare, **PATIENT)
    await carol.expect("the ban", left(room, "carol", 301))
    with pytest.raises(PresenceError) as refused:
        await enter(carol, room, "carol")
    assert refused.value.condition == "forbidden"
    banned = await muc(alice).get_affiliation_list(room, "outcast", **PATIENT)
    assert [str(jid) for jid in banned] == [carol.boundjid.bare]


async def test_a_private_group(people):
    """§7.2.6, §7.8.2, §9.5: for members only; who is invited by the owner may enter; members see each other's addresses."""
    alice, bob = [await people.online(name) for name in ("alice", "bob")]
    room = f"coven@conference.{alice.kim.domain}"
    await make(alice, room, "alice", membersonly=True, whois="anyone", publicroom=False, persistentroom=True)
    with pytest.raises(PresenceError) as refused:
        await enter(bob, room, "bob")
    assert refused.value.condition == "registration-required"
    muc(alice).invite(room, bob.boundjid.bare, reason="Come")
    invited = await bob.expect("the invitation", lambda s: isinstance(s, Message)
                               and s.xml.find(".//{http://jabber.org/protocol/muc#user}invite") is not None)
    assert invited["from"] == room
    await enter(bob, room, "bob")
    members = await muc(bob).get_affiliation_list(room, "member", **PATIENT)
    assert bob.boundjid.bare in [str(jid) for jid in members]
    bob.send_message(mto=room, mbody="Here I am", mtype="groupchat")
    await alice.expect("bob's message", said(room, "bob", "Here I am"))
    bob.send_message(mto=f"{room}/alice", mbody="psst", mtype="chat")
    private = await alice.expect("a private message", lambda s: isinstance(s, Message) and s["body"] == "psst")
    assert private["from"] == f"{room}/bob"
    rooms = await alice.plugin["xep_0030"].get_items(jid=f"conference.{alice.kim.domain}", local=False, **PATIENT)
    assert room not in {str(item[0]) for item in rooms["disco_items"]["items"]}
    await muc(alice).destroy(room, reason="Dawn", **PATIENT)
    await bob.expect("the end", lambda s: isinstance(s, Presence) and s["type"] == "unavailable"
                     and s.xml.find(".//{http://jabber.org/protocol/muc#user}destroy") is not None)


async def test_guests_and_a_member_in_the_lobby(people):
    """XEP-0175: the default room is there from the first start; strangers without an account talk in it."""
    alice = await people.online("alice")
    room = f"lobby@conference.{alice.kim.domain}"
    await enter(alice, room, "alice")
    guests = []
    for nick in ("wanderer", "stranger"):
        guest = people.device((people.server.guest_domain, ""))
        await guest.sign_in()
        guest.send_presence()
        await enter(guest, room, nick)
        guests.append(guest)
    guests[0].send_message(mto=room, mbody="Is anybody here?", mtype="groupchat")
    for person in (alice, *guests):
        await person.expect("the guest's message", said(room, "wanderer", "Is anybody here?"))
    alice.send_message(mto=room, mbody="Come in", mtype="groupchat")
    for guest in guests:
        await guest.expect("the answer", said(room, "alice", "Come in"))
    with pytest.raises(PresenceError):
        await enter(guests[0], f"mine@conference.{alice.kim.domain}", "wanderer")
    await guests[1].leave()
    await alice.expect("the guest's leaving", lambda s: isinstance(s, Presence) and s["type"] == "unavailable"
                       and s["from"] == f"{room}/stranger")
