"""Subscriptions and presence between servers (RFC 6121 §3 and §4, appendix A), in all states."""

from slixmpp import Presence

from people import presence_kind


async def test_ask_and_approve(pair, people):
    """§3.1: the request, the approval, both rosters, and the presence that follows."""
    alice, bob = await people.strangers(pair)
    alice.send_presence(pto=bob.boundjid.bare, ptype="subscribe")
    await alice.expect_push(bob.boundjid.bare, subscription="none", ask="subscribe")
    await bob.expect_presence(alice.boundjid.bare, "subscribe")
    bob.send_presence(pto=alice.boundjid.bare, ptype="subscribed")
    await alice.expect_presence(bob.boundjid.bare, "subscribed")
    await alice.expect_push(bob.boundjid.bare, subscription="to")
    await bob.expect_push(alice.boundjid.bare, subscription="from")
    await alice.expect_presence(bob.boundjid.full, "available")
    # Only one of them sees the other.
    await alice.reach(bob)
    bob.assert_got_no("alice's presence", lambda s: isinstance(s, Presence) and s["from"] == alice.boundjid.full)


async def test_ask_and_deny(pair, people):
    """§3.2.1: a denied request leaves the subscription at none."""
    alice, bob = await people.strangers(pair)
    alice.send_presence(pto=bob.boundjid.bare, ptype="subscribe")
    await bob.expect_presence(alice.boundjid.bare, "subscribe")
    bob.send_presence(pto=alice.boundjid.bare, ptype="unsubscribed")
    await alice.expect_push(bob.boundjid.bare, subscription="none", ask=None)
    await bob.reach(alice)
    alice.assert_got_no("bob's presence", lambda s: isinstance(s, Presence) and s["from"] == bob.boundjid.full)
    assert (await alice.fetch_roster())[bob.boundjid.bare].get("subscription") == "none"


async def test_cancel_what_was_approved(pair, people):
    """§3.2.1, §3.2.3: cancelling sends unavailable presence; the other direction stays."""
    alice, bob = await people.friends(pair)
    bob.send_presence(pto=alice.boundjid.bare, ptype="unsubscribed")
    await alice.expect_presence(bob.boundjid.bare, "unsubscribed")
    await alice.expect_push(bob.boundjid.bare, subscription="from")
    await alice.expect_presence(bob.boundjid.full, "unavailable")
    await bob.expect_push(alice.boundjid.bare, subscription="to")
    bob.send_presence(pstatus="unseen")
    alice.send_presence(pstatus="seen")
    await bob.expect_status(alice.boundjid.full, "seen")
    await bob.reach(alice)
    alice.assert_got_no("what bob shows", lambda s: isinstance(s, Presence) and s["status"] == "unseen")


async def test_unsubscribe(pair, people):
    """§3.3: both rosters change, the contact is told, and its presence ends."""
    alice, bob = await people.friends(pair)
    alice.send_presence(pto=bob.boundjid.bare, ptype="unsubscribe")
    await alice.expect_push(bob.boundjid.bare, subscription="from")
    await bob.expect_presence(alice.boundjid.bare, "unsubscribe")
    await bob.expect_push(alice.boundjid.bare, subscription="to")
    await alice.expect_presence(bob.boundjid.full, "unavailable")
    bob.send_presence(pstatus="unseen")
    await bob.reach(alice)
    alice.assert_got_no("what bob shows", lambda s: isinstance(s, Presence) and s["status"] == "unseen")


async def test_remove_from_the_roster(pair, people):
    """§2.5.2: removing a contact ends both directions, in the contact's roster too."""
    alice, bob = await people.friends(pair)
    await alice.set_roster_item(bob.boundjid.bare, subscription="remove")
    await bob.expect_presence(alice.boundjid.full, "unavailable")
    await bob.expect_push(alice.boundjid.bare, subscription="none")
    await alice.expect_presence(bob.boundjid.full, "unavailable")
    assert bob.boundjid.bare not in await alice.fetch_roster()


async def test_a_request_waits_for_who_is_offline(pair, people):
    """§3.1.3 rule 4: it is stored, and delivered at each login until it is answered."""
    alice, bob = await people.strangers(pair)
    account = (bob.boundjid.bare, bob.password)
    await bob.leave()
    alice.send_presence(pto=bob.boundjid.bare, ptype="subscribe", pstatus="It is me")
    await alice.request(pair.away.domain, "<ping xmlns='urn:xmpp:ping'/>")
    for _ in range(2):
        bob = await people.online(pair.away, account)
        await bob.expect_presence(alice.boundjid.bare, "subscribe")
        await bob.leave()
    bob = await people.online(pair.away, account)
    await bob.expect_presence(alice.boundjid.bare, "subscribe")
    bob.send_presence(pto=alice.boundjid.bare, ptype="subscribed")
    await alice.expect_presence(bob.boundjid.full, "available")
    await bob.leave()
    await alice.expect_presence(bob.boundjid.full, "unavailable")
    bob = await people.online(pair.away, account)
    await bob.reach(alice)
    bob.assert_got_no("an old request", lambda s: isinstance(s, Presence) and s["type"] == "subscribe")


async def test_come_and_go(pair, people):
    """§4.2, §4.3, §4.4, §4.5: initial presence, probes, changes and unavailable presence."""
    alice, bob = await people.friends(pair)
    account = (alice.boundjid.bare, alice.password)
    bob.send_presence(pshow="dnd", pstatus="busy", ppriority=7)
    shown = await alice.expect_status(bob.boundjid.full, "busy")
    assert shown["show"] == "dnd" and shown["priority"] == 7
    await alice.leave()
    await bob.expect_presence(alice.boundjid.full, "unavailable")
    alice = await people.online(pair.home, account)
    # Her server probes for it.
    shown = await alice.expect_status(bob.boundjid.full, "busy")
    assert shown["show"] == "dnd"
    await bob.expect_presence(alice.boundjid.full, "available")
    # A second device comes and goes by itself.
    tablet = await people.again(bob, resource="tablet")
    await alice.expect_presence(tablet.boundjid.full, "available")
    await tablet.expect_presence(alice.boundjid.full, "available")
    await tablet.leave()
    await alice.expect_presence(tablet.boundjid.full, "unavailable")
    bob.send_presence(ptype="unavailable", pstatus="good night")
    gone = await alice.expect_status(bob.boundjid.full, "good night")
    assert presence_kind(gone) == "unavailable"


async def test_presence_to_one_who_is_no_contact(pair, people):
    """§4.6: directed presence reaches a stranger, and so does the unavailable presence after it."""
    alice, bob = await people.strangers(pair)
    alice.send_presence(pto=bob.boundjid.full, pstatus="for you")
    await bob.expect_status(alice.boundjid.full, "for you")
    await alice.leave()
    await bob.expect_presence(alice.boundjid.full, "unavailable")


async def test_an_approval_nobody_asked_for(pair, people):
    """§3.1.6: it is ignored and changes no roster."""
    alice, bob = await people.strangers(pair)
    bob.send_presence(pto=alice.boundjid.bare, ptype="subscribed")
    await bob.reach(alice)
    item = (await alice.fetch_roster()).get(bob.boundjid.bare)
    assert item is None or item.get("subscription") in (None, "none")
    alice.assert_got_no("presence", lambda s: isinstance(s, Presence) and s["from"].bare == bob.boundjid.bare
                        and presence_kind(s) == "available")


async def test_a_stranger_sees_nothing(pair, people):
    """§4.3.2: a probe without a subscription reveals no presence."""
    alice, bob = await people.strangers(pair)
    alice.send_presence(pto=bob.boundjid.bare, ptype="probe")
    bob.send_presence(pstatus="private")
    await alice.reach(bob)
    await bob.reach(alice)
    alice.assert_got_no("presence", lambda s: isinstance(s, Presence) and s["from"] == bob.boundjid.full
                        and presence_kind(s) == "available")
