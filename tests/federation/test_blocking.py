"""XEP-0191 between servers: a blocked person gets the answers of an address without anybody, and learns nothing."""

import pytest
from slixmpp import Message, Presence
from slixmpp.exceptions import IqError

from people import presence_kind
from persons import PATIENT

PING = "<ping xmlns='urn:xmpp:ping'/>"


async def block(person, *addresses):
    items = "".join(f"<item jid='{address}'/>" for address in addresses)
    await person.request(None, f"<block xmlns='urn:xmpp:blocking'>{items}</block>", "set")


async def unblock(person, *addresses):
    items = "".join(f"<item jid='{address}'/>" for address in addresses)
    await person.request(None, f"<unblock xmlns='urn:xmpp:blocking'>{items}</unblock>", "set")


async def test_a_blocked_contact(pair, people):
    """§3.3: unavailable presence, service-unavailable for messages and IQs, nothing delivered, until unblocked."""
    alice, bob = await people.friends(pair)
    await block(alice, bob.boundjid.bare)
    await bob.expect_presence(alice.boundjid.full, "unavailable")
    alice.send_presence(pstatus="unseen")
    stanza = bob.say(alice.boundjid.bare, "Do you hear me?")
    await bob.expect_error(Message, "service-unavailable", stanza)
    assert await bob.refused(alice.boundjid.full, PING) == "service-unavailable"
    bob.send_presence(pstatus="look at me")
    await bob.request(pair.home.domain, PING)
    await alice.settle()
    alice.assert_got_nothing_from(bob)
    bob.assert_got_no("what alice shows", lambda s: isinstance(s, Presence) and s["status"] == "unseen")
    # §3.4: back again.
    bob.inbox.clear()
    await unblock(alice, bob.boundjid.bare)
    await bob.expect_status(alice.boundjid.full, "unseen")
    bob.say(alice.boundjid.bare, "And now?")
    await alice.expect_message("And now?")


async def test_a_message_to_one_device_of_who_blocks(pair, people):
    """§3.3: the same error as for the bare JID."""
    alice, bob = await people.strangers(pair)
    await block(alice, bob.boundjid.bare)
    stanza = bob.say(alice.boundjid.full, "Do you hear me there?")
    await bob.expect_error(Message, "service-unavailable", stanza)
    await alice.settle()
    alice.assert_got_nothing_from(bob)


async def test_a_blocked_stranger_asks_in_vain(pair, people):
    """§3.3: a subscription request is not delivered, then or later."""
    alice, bob = await people.strangers(pair)
    account = (alice.boundjid.bare, alice.password)
    await block(alice, bob.boundjid.bare)
    bob.send_presence(pto=alice.boundjid.bare, ptype="subscribe")
    bob.send_presence(pto=alice.boundjid.full, pstatus="directed")
    await bob.request(pair.home.domain, PING)
    await alice.settle()
    alice.assert_got_nothing_from(bob)
    await alice.leave()
    alice = await people.online(pair.home, account)
    await alice.settle()
    alice.assert_got_nothing_from(bob)
    bob.assert_got_no("alice's presence", lambda s: isinstance(s, Presence) and s["from"].bare == account[0]
                      and presence_kind(s) == "available")


async def test_a_blocked_domain(pair, people):
    """§5: blocking a domain blocks everybody there."""
    alice, bob = await people.strangers(pair)
    await block(alice, pair.away.domain)
    stanza = bob.say(alice.boundjid.bare, "Do you hear me?")
    await bob.expect_error(Message, "service-unavailable", stanza)
    await alice.settle()
    alice.assert_got_nothing_from(bob)


async def test_one_does_not_write_to_whom_one_blocks(pair, people):
    """§3.3: not-acceptable with `<blocked/>`, and nothing is sent."""
    alice, bob = await people.strangers(pair)
    await block(alice, bob.boundjid.bare)
    stanza = alice.say(bob.boundjid.bare, "a slip")
    error = await alice.expect_error(Message, "not-acceptable", stanza)
    assert error.xml.find(".//{urn:xmpp:blocking:errors}blocked") is not None
    with pytest.raises(IqError) as refused:
        await alice.plugin["xep_0199"].send_ping(bob.boundjid.full, **PATIENT)
    assert refused.value.condition == "not-acceptable"
    await alice.request(pair.away.domain, PING)
    await bob.settle()
    bob.assert_got_nothing_from(alice)
