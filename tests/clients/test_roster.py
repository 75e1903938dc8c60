"""One roster, several devices (RFC 6121 §2, XEP-0237)."""

from slixmpp import Iq

from people import ROSTER, groups_of


async def test_two_devices_keep_one_roster(people):
    account = people.account("alice")
    phone, laptop = await people.online(account), await people.online(account)
    friend = f"friend@{people.server.domain}"
    versions = [phone.roster_version]

    # Added on the phone, renamed on the laptop, removed on the phone: each device hears of each change.
    await phone.set_roster_item(friend, "Friend", ["Work", "Chess & Tea"])
    for device in (phone, laptop):
        item = await device.expect_push(friend, subscription="none")
        assert (item.get("name"), groups_of(item)) == ("Friend", ["Chess & Tea", "Work"])
    versions.append(phone.roster_version)
    assert laptop.roster_version == phone.roster_version

    await laptop.set_roster_item(friend, "Old friend")
    for device in (phone, laptop):
        item = await device.expect_push(friend)
        assert (item.get("name"), groups_of(item)) == ("Old friend", [])
    versions.append(phone.roster_version)

    await phone.set_roster_item(friend, subscription="remove")
    for device in (phone, laptop):
        await device.expect_push(friend, subscription="remove")
    versions.append(phone.roster_version)

    assert None not in versions and len(set(versions)) == len(versions), f"versions move on: {versions}"
    assert await phone.fetch_roster() == {}


async def test_a_device_that_knows_the_roster_is_not_sent_it_again(people):
    """RFC 6121 §2.6.2, §2.6.3."""
    account = people.account("alice")
    first, second = f"first@{people.server.domain}", f"second@{people.server.domain}"
    phone = await people.online(account)
    assert "rosterver" in phone.features
    await phone.set_roster_item(first, "First")
    await phone.expect_push(first)
    known = phone.roster_version

    laptop = await people.device(account).sign_in()
    assert await laptop.fetch_roster(known) is None

    await phone.set_roster_item(second, "Second")
    await phone.expect_push(second)
    tablet = await people.device(account).sign_in()
    # The server may send the whole roster or an empty result followed by pushes of what changed since.
    whole = await tablet.fetch_roster(known)
    if whole is None:
        await tablet.expect_push(second, name="Second")
    else:
        assert set(whole) == {first, second}
    assert tablet.roster_version == phone.roster_version

    stranger = await people.device(account).sign_in()
    assert set(await stranger.fetch_roster("a version that never was")) == {first, second}


async def test_only_devices_that_asked_for_the_roster_get_pushes(people):
    """RFC 6121 §2.1.6: interested resources."""
    account = people.account("alice")
    phone = await people.online(account)
    laptop = await people.device(account).sign_in()
    friend = f"friend@{people.server.domain}"
    await phone.set_roster_item(friend)
    await phone.expect_push(friend)
    await laptop.settle()
    laptop.assert_got_no("a push", lambda s: isinstance(s, Iq) and s.xml.find(f"{ROSTER}query") is not None)


async def test_removing_a_contact_ends_both_subscriptions(people):
    """RFC 6121 §2.5.2."""
    alice, bob = await people.friends("alice", "bob")
    await alice.set_roster_item(bob.boundjid.bare, subscription="remove")
    await alice.expect_push(bob.boundjid.bare, subscription="remove")
    await bob.expect_presence(alice.boundjid.bare, "unsubscribe")
    await bob.expect_presence(alice.boundjid.bare, "unsubscribed")
    await bob.expect_presence(alice.boundjid.full, "unavailable")
    await bob.expect_push(alice.boundjid.bare, subscription="none")


async def test_a_request_waits_for_someone_who_is_offline(people):
    """RFC 6121 §3.1.3: asked while offline, heard at every sign-in until it is answered; no roster item yet."""
    alice, bobs_account = await people.online("alice"), people.account("bob")
    alice.send_presence(pto=bobs_account[0], ptype="subscribe")
    await alice.expect_push(bobs_account[0], ask="subscribe")

    for _ in range(2):
        bob = people.device(bobs_account)
        await bob.sign_in()
        assert alice.boundjid.bare not in await bob.come_online()
        await bob.expect_presence(alice.boundjid.bare, "subscribe")
        await bob.leave()

    bob = await people.online(bobs_account)
    bob.send_presence(pto=alice.boundjid.bare, ptype="unsubscribed")
    await alice.expect_presence(bob.boundjid.bare, "unsubscribed")
    await alice.expect_push(bob.boundjid.bare, subscription="none", ask=None)


async def test_permission_given_before_it_is_asked_for(people):
    """RFC 6121 §3.4: a pre-approved contact is let in without a question."""
    alice, bob = await people.online("alice"), await people.online("bob")
    assert "preapproval" in bob.features
    bob.send_presence(pto=alice.boundjid.bare, ptype="subscribed")
    await bob.expect_push(alice.boundjid.bare, approved="true")
    alice.send_presence(pto=bob.boundjid.bare, ptype="subscribe")
    await alice.expect_presence(bob.boundjid.bare, "subscribed")
    await alice.expect_presence(bob.boundjid.full, "available")
    await bob.expect_push(alice.boundjid.bare, subscription="from")
    bob.assert_got_no("a question", lambda s: s["type"] == "subscribe")


async def test_directed_presence_ends_with_the_session(people):
    """RFC 6121 §4.6.3: a stranger who was shown presence is told when it ends."""
    alice, bob = await people.online("alice"), await people.online("bob")
    alice.send_presence(pto=bob.boundjid.full, pstatus="just for you")
    shown = await bob.expect_presence(alice.boundjid.full, "available")
    assert shown["status"] == "just for you"
    await alice.leave()
    await bob.expect_presence(alice.boundjid.full, "unavailable")
