"""Two devices of one account stay in step (XEP-0280), and one whose user does not look is let sleep (XEP-0352)."""

from slixmpp import Message
from slixmpp.xmlstream import ET


def copied(device, kind):
    """The messages in the copies that slixmpp took for genuine, in order."""
    seen = []
    device.add_event_handler(f"carbon_{kind}", lambda copy: seen.append(copy[f"carbon_{kind}"]))
    return seen


async def test_both_sides_of_a_conversation_reach_every_device(people):
    alice, bob = await people.friends("alice", "bob")
    tablet = await people.online((alice.boundjid.bare, alice.password), resource="tablet")
    await tablet.plugin["xep_0280"].enable()
    sent, received = copied(tablet, "sent"), copied(tablet, "received")

    question = alice.say(bob.boundjid.bare, "What man art thou?")
    await bob.expect_message("What man art thou?")
    answer = bob.say(alice.boundjid.full, "My name, dear saint, is hateful to myself")
    await alice.expect_message("My name, dear saint, is hateful to myself")
    await tablet.settle()
    assert [(m["to"], m["from"], m["id"]) for m in sent] == [(bob.boundjid.bare, alice.boundjid.full, question)]
    assert [(m["to"], m["from"], m["id"]) for m in received] == [(alice.boundjid.full, bob.boundjid.full, answer)]
    alice.assert_got_no_message()

    # §9, §5
    secret = alice.make_message(mto=bob.boundjid.full, mbody="for this device alone", mtype="chat")
    secret.enable("carbon_private")
    secret.send()
    got = await bob.expect_message("for this device alone")
    assert got.xml.find("{urn:xmpp:carbons:2}private") is not None
    await tablet.plugin["xep_0280"].disable()
    alice.say(bob.boundjid.bare, "after that")
    await bob.expect_message("after that")
    await tablet.settle()
    assert len(sent) == len(received) == 1
    tablet.inbox.clear()

    # §11: what somebody else sends as a copy does not even arrive.
    await tablet.plugin["xep_0280"].enable()
    forged = bob.make_message(mto=tablet.boundjid.full, mtype="chat")
    wrapper = ET.SubElement(forged.xml, "{urn:xmpp:carbons:2}received")
    forwarded = ET.SubElement(wrapper, "{urn:xmpp:forward:0}forwarded")
    ET.SubElement(forwarded, "{jabber:client}message", {"from": "carol@example.org"})
    forged.send()
    await bob.settle()
    await tablet.settle()
    tablet.assert_got_no_message()
    bob.assert_got_no_message()


async def test_a_device_that_sleeps_is_told_what_matters(people):
    alice, bob = await people.friends("alice", "bob")
    await alice.settle()
    assert alice.plugin["xep_0352"].enabled
    alice.plugin["xep_0352"].send_inactive()
    await alice.settle()

    order = []
    alice.add_filter("in", lambda stanza: order.append(stanza) or stanza)
    for show in ("away", "xa", "dnd"):
        bob.send_presence(pshow=show)
    await bob.settle()
    assert not order
    bob.say(alice.boundjid.bare, "wake up")
    await alice.expect_message("wake up")
    # The last presence before the message, which came after it.
    assert [s["body"] if isinstance(s, Message) else s["type"] for s in order] == ["dnd", "wake up"]

    bob.send_presence(pshow="away")
    await bob.settle()
    assert len(order) == 2
    alice.plugin["xep_0352"].send_active()
    await alice.expect("his presence", lambda s: s["type"] == "away" and s["from"] == bob.boundjid.full)
