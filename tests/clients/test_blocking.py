"""XEP-0191: a blocked contact meets silence or an error, and learns nothing."""

import pytest
from slixmpp import Iq, Message, Presence
from slixmpp.exceptions import IqError

from people import PATIENCE_SECONDS

PATIENT = {"timeout": PATIENCE_SECONDS}


def is_presence_of(person, stanza):
    return isinstance(stanza, Presence) and stanza["type"] != "error" and stanza["from"].bare == person.boundjid.bare


async def test_a_blocked_contact_is_kept_out(people):
    alice, bob = await people.friends("alice", "bob")
    laptop = await people.online((alice.boundjid.bare, alice.password))
    await bob.expect_presence(laptop.boundjid.full, "available")
    await laptop.expect_presence(bob.boundjid.full, "available")
    blocking = alice.plugin["xep_0191"]
    assert await blocking.get_blocked_jids(**PATIENT) == set()
    await laptop.plugin["xep_0191"].get_blocked(**PATIENT)

    # To Bob it looks as if both devices had left; the other device hears of the change (§3.3).
    await blocking.block(bob.boundjid.bare, **PATIENT)
    for device in (alice, laptop):
        await bob.expect_presence(device.boundjid.full, "unavailable")
    push = await laptop.expect("a blocking push",
                               lambda s: isinstance(s, Iq) and s["type"] == "set" and s["block"]["items"])
    assert {str(item["jid"]) for item in push["block"]["items"]} == {bob.boundjid.bare}
    assert await blocking.get_blocked_jids(**PATIENT) == {bob.boundjid.bare}

    # What Bob sends comes back (messages, questions) or vanishes (presence); nothing reaches Alice.
    for target in (alice.boundjid.bare, alice.boundjid.full):
        sent = bob.say(target, "let me in")
        await bob.expect_error(Message, "service-unavailable", sent)
        with pytest.raises(IqError) as refused:
            await bob.plugin["xep_0199"].send_ping(target, **PATIENT)
        assert refused.value.iq["error"]["condition"] == "service-unavailable"
    bob.send_presence(pto=alice.boundjid.full, pstatus="knock knock")
    await bob.settle()
    for device in (alice, laptop):
        await device.settle()
        device.assert_got_no_message()
        device.assert_got_no("presence of Bob", lambda s: is_presence_of(bob, s))

    # Alice cannot write to him either: she is told why (§3.3, last rule).
    sent = alice.say(bob.boundjid.bare, "just to make sure")
    error = await alice.expect_error(Message, "not-acceptable", sent)
    assert error.xml.find("{jabber:client}error/{urn:xmpp:blocking:errors}blocked") is not None
    alice.send_presence(pstatus="still here")
    await alice.expect_presence(alice.boundjid.full, "available")
    await bob.settle()
    bob.assert_got_no("anything from Alice", lambda s: not isinstance(s, Iq) and s["type"] != "error"
                      and s["from"].bare == alice.boundjid.bare)

    # Unblocked, each is there again for the other (§3.4).
    await blocking.unblock(bob.boundjid.bare, **PATIENT)
    for device in (alice, laptop):
        await bob.expect_presence(device.boundjid.full, "available")
    assert await blocking.get_blocked_jids(**PATIENT) == set()
    bob.say(alice.boundjid.bare, "thank you")
    await alice.expect_message("thank you")


async def test_nothing_from_a_blocked_contact_waits_for_the_owner(people):
    """The block holds while she is offline, and after she has signed in anew."""
    alice, bob = await people.friends("alice", "bob")
    await alice.plugin["xep_0191"].block(bob.boundjid.bare, **PATIENT)
    await alice.leave()
    sent = bob.say(alice.boundjid.bare, "for later")
    await bob.expect_error(Message, "service-unavailable", sent)
    alice = await people.online((alice.boundjid.bare, alice.password))
    await alice.settle()
    alice.assert_got_no_message()
    alice.assert_got_no("presence of Bob", lambda s: is_presence_of(bob, s))
    assert await alice.plugin["xep_0191"].get_blocked_jids(**PATIENT) == {bob.boundjid.bare}
