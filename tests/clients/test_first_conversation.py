"""Two people who have never met: from making an account to an offline message (RFC 6121, XEP-0077, XEP-0160)."""

import datetime

from slixmpp import Message

from people import presence_kind


async def test_two_people_meet_and_talk(people):
    alice, bob = await people.online("alice"), await people.online("bob")

    # Alice asks Bob; he sees the request, she sees that she has asked (RFC 6121 §3.1.2, §3.1.3).
    alice.send_presence(pto=bob.boundjid.bare, ptype="subscribe")
    await alice.expect_push(bob.boundjid.bare, subscription="none", ask="subscribe")
    request = await bob.expect_presence(alice.boundjid.bare, "subscribe")
    assert request["to"] == bob.boundjid.bare

    # Bob agrees and at once she sees that he is there (§3.1.5, §3.1.6).
    bob.send_presence(pto=alice.boundjid.bare, ptype="subscribed")
    await bob.expect_push(alice.boundjid.bare, subscription="from")
    item = await alice.expect_push(bob.boundjid.bare, subscription="to")
    assert item.get("ask") is None
    await alice.expect_presence(bob.boundjid.bare, "subscribed")
    await alice.expect_presence(bob.boundjid.full, "available")
    bob.assert_got_no("her presence before he asked", lambda s: s["from"] == alice.boundjid.full)

    # The other way round.
    bob.send_presence(pto=alice.boundjid.bare, ptype="subscribe")
    await alice.expect_presence(bob.boundjid.bare, "subscribe")
    alice.send_presence(pto=bob.boundjid.bare, ptype="subscribed")
    await alice.expect_push(bob.boundjid.bare, subscription="both")
    await bob.expect_push(alice.boundjid.bare, subscription="both")
    await bob.expect_presence(alice.boundjid.full, "available")

    # They talk: to the account first, to the device that answered afterwards (§5.1).
    sent = alice.say(bob.boundjid.bare, "Wherefore art thou?")
    first = await bob.expect_message("Wherefore art thou?")
    assert (first["from"], first["id"], first["type"]) == (alice.boundjid.full, sent, "chat")
    bob.say(first["from"], "Neither, fair saint <&> 'quoted' \"twice\" 你好 🌹")
    answer = await alice.expect_message("Neither, fair saint <&> 'quoted' \"twice\" 你好 🌹")
    assert (answer["from"], answer["to"]) == (bob.boundjid.full, alice.boundjid.full)


async def test_a_message_waits_for_someone_who_is_offline(people):
    alice, bob = await people.friends("alice", "bob")
    bobs_account = (bob.boundjid.bare, bob.password)
    bobs_device = bob.boundjid.full

    await bob.leave()
    await alice.expect_presence(bobs_device, "unavailable")
    before = datetime.datetime.now(datetime.UTC).replace(microsecond=0)
    alice.say(bob.boundjid.bare, "the first that waits")
    alice.say(bob.boundjid.bare, "the second that waits")
    await alice.settle()
    alice.assert_got_no("an error", lambda s: s["type"] == "error")
    after = datetime.datetime.now(datetime.UTC)

    # XEP-0160 §3: delivered in order with the time they were kept (XEP-0203), once.
    bob = await people.online(bobs_account)
    await alice.expect_presence(bob.boundjid.full, "available")
    await bob.expect_presence(alice.boundjid.full, "available")
    for body in ("the first that waits", "the second that waits"):
        waited = await bob.expect("a message that waited", lambda s: isinstance(s, Message) and s["body"])
        assert waited["body"] == body
        assert waited["from"] == alice.boundjid.full
        assert waited["delay"]["from"] in (people.server.domain, bob.boundjid.bare)
        assert before <= waited["delay"]["stamp"] <= after, str(waited)

    await bob.leave()
    bob = await people.online(bobs_account)
    await bob.settle()
    bob.assert_got_no_message()


async def test_two_people_register_in_the_client(people):
    """XEP-0077 §3.1: nobody's help is needed where registration is open."""
    devices = []
    for name in ("carol", "dave"):
        account = (f"{name}-in-band@{people.server.domain}", f"the password of {name}")
        await people.device(account, registers=True).sign_in()
        devices.append(await people.online(account))
    carol, dave = devices
    await carol.befriend(dave)
    carol.say(dave.boundjid.bare, "made it")
    await dave.expect_message("made it")

    # The name is taken now (§3.1.1, error conflict).
    late = people.device((carol.boundjid.bare, "another password"), registers=True)
    try:
        await late.sign_in()
        raise AssertionError("registered a name that was taken")
    except Exception as error:
        assert late.registration_error == "conflict", repr(error)
    carol.say(dave.boundjid.bare, "still me")
    await dave.expect_message("still me")


async def test_presence_of_a_device_is_told_when_it_comes_changes_and_goes(people):
    """RFC 6121 §4.2, §4.4, §4.5."""
    alice, bob = await people.friends("alice", "bob")
    laptop = await people.online((bob.boundjid.bare, bob.password))
    await alice.expect_presence(laptop.boundjid.full, "available")
    await bob.expect_presence(laptop.boundjid.full, "available")

    laptop.send_presence(pshow="dnd", pstatus="at the theatre")
    busy = await alice.expect_presence(laptop.boundjid.full, "available")
    assert (busy["show"], busy["status"]) == ("dnd", "at the theatre")

    laptop.send_presence(ptype="unavailable", pstatus="good night")
    gone = await alice.expect_presence(laptop.boundjid.full, "unavailable")
    assert gone["status"] == "good night"
    await laptop.leave()
    await bob.leave()
    await alice.expect_presence(bob.boundjid.full, "unavailable")
    await alice.settle()
    alice.assert_got_no("a second goodbye", lambda s: presence_kind(s) == "unavailable")


async def test_a_device_with_negative_priority_gets_only_what_is_sent_to_it(people):
    """RFC 6121 §8.5.2.1.1, §8.5.3.1."""
    alice, bob = await people.friends("alice", "bob")
    quiet = people.device((bob.boundjid.bare, bob.password))
    await quiet.sign_in()
    await quiet.come_online(priority=-1)
    alice.say(bob.boundjid.bare, "for whoever listens")
    alice.say(quiet.boundjid.full, "for this device")
    await bob.expect_message("for whoever listens")
    await quiet.expect_message("for this device")
    quiet.assert_got_no_message()
