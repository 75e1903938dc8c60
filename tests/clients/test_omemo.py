"""OMEMO end to end, with the libraries that clients use: nobody here wrote a line of what encrypts and decrypts.

Both versions are published by every device; unless a test says otherwise, messages are of version 0.3, as from all clients.
"""

import asyncio
import secrets
from xml.etree import ElementTree as ET

import pytest
from slixmpp import JID
from slixmpp.exceptions import IqError

from encrypted import LEGACY, TWO, Encrypted, RustDevice
from people import PATIENCE_SECONDS

LIST = "eu.siacs.conversations.axolotl.devicelist"
BUNDLE = "eu.siacs.conversations.axolotl.bundles:{}"


async def encrypted(people, account, **options):
    return await people.online(account, kind=Encrypted, **options)


def again(device):
    """The account of a device, for another one."""
    return device.boundjid.bare, device.password


async def settled(*devices):
    """Nothing was unreadable, and nothing more is under way."""
    for device in devices:
        await device.settle()
    for device in devices:
        assert not device.unreadable and not device.letters, (device.boundjid, device.unreadable, device.letters)


@pytest.mark.parametrize("namespace", [LEGACY, TWO], ids=["0.3", "omemo:2"])
async def test_two_accounts_with_three_devices_write_in_both_directions(people, namespace):
    # Strangers to each other: neither has the other in their roster, so that the keys must be readable for all.
    alice = await encrypted(people, "alice", resource="phone")
    bob = await encrypted(people, "bob", resource="laptop")
    tablet = await encrypted(people, again(bob), resource="tablet")
    here = [(await device.device()).device_id for device in (alice, bob, tablet)]
    assert await alice.devices_of(bob.boundjid.bare, namespace) == sorted(here[1:])

    assert await alice.write(bob.boundjid.bare, "What man art thou?", namespace) == sorted(here[1:])
    for device in (bob, tablet):
        assert await device.expect_letter("What man art thou?", alice.boundjid.bare) == here[0]

    for writer, other, at in ((bob, tablet, 1), (tablet, bob, 2)):
        text = f"My name is hateful to {writer.boundjid.resource}"
        await writer.write(alice.boundjid.bare, text, namespace)
        assert await alice.expect_letter(text, bob.boundjid.bare) == here[at]
        # §1.1: the own other devices read it too, from the copy.
        assert await other.expect_letter(text, bob.boundjid.bare) == here[at]
    for n in range(3):
        await alice.write(bob.boundjid.bare, f"and {n}", namespace)
        await bob.expect_letter(f"and {n}")
        await tablet.expect_letter(f"and {n}")
    await settled(alice, bob, tablet)


async def test_what_was_written_to_somebody_away_is_read_from_the_archive(people):
    alice = await encrypted(people, "alice", resource="phone")
    bob = await encrypted(people, "bob", resource="laptop")
    await alice.write(bob.boundjid.bare, "before")
    await bob.expect_letter("before")
    await settled(alice, bob)
    await bob.leave()
    for n in range(3):
        await alice.write(bob.boundjid.bare, f"letter {n}")
    await alice.settle()

    back = people.device(again(bob), kind=Encrypted, resource="laptop", keys=bob.keys)
    await back.sign_in()
    await back.read_archive(with_jid=JID(alice.boundjid.bare), start=None, rsm={"max": 2})
    # What the device had read before cannot be read twice: the ratchet has gone on.
    assert [text for text, _, _ in back.letters] == [f"letter {n}" for n in range(3)]
    assert len(back.unreadable) <= 1
    back.letters.clear()
    back.unreadable.clear()
    await back.come_online()
    await back.write(alice.boundjid.bare, "I was away")
    await alice.expect_letter("I was away")
    await settled(alice, back)


async def test_a_device_that_joins_is_written_to_and_announced_to_the_others(people):
    alice, bob = await encrypted(people, "alice", resource="phone"), await encrypted(people, "bob", resource="laptop")
    await alice.befriend(bob)
    await alice.write(bob.boundjid.bare, "to one device")
    await bob.expect_letter("to one device")
    bob.inbox.clear()

    tablet = await encrypted(people, again(bob), resource="tablet")
    device = (await tablet.device()).device_id
    alert = await bob.expect_alert(str(device), await tablet.fingerprint())
    assert alert["to"] == bob.boundjid.full
    await alice.settle()
    assert device in await alice.write(bob.boundjid.bare, "to two devices")
    for reader in (bob, tablet):
        await reader.expect_letter("to two devices")
    await settled(alice, bob, tablet)
    # Nobody is told of their own device, twice of the same one, or of somebody else's.
    for told in (alice, bob, tablet):
        told.assert_got_no("an alert", lambda s: s["type"] == "headline" and s["from"] == told.kim.domain)


async def test_a_device_that_was_removed_gets_nothing_more(people):
    alice, bob = await encrypted(people, "alice", resource="phone"), await encrypted(people, "bob", resource="laptop")
    await alice.befriend(bob)
    tablet = await encrypted(people, again(bob), resource="tablet")
    gone, kept = (await tablet.device()).device_id, (await bob.device()).device_id
    assert await alice.write(bob.boundjid.bare, "both") == sorted((gone, kept))
    await tablet.leave()

    # What a client does whose user removes a device (§5.3.1, §6), with the owner's requests of XEP-0060.
    pubsub = bob.plugin["xep_0060"]
    await pubsub.publish(None, LIST, "current", ET.fromstring(f"<list xmlns='{LEGACY}'><device id='{kept}'/></list>"))
    await pubsub.delete_node(None, BUNDLE.format(gone))
    await alice.settle()
    assert await alice.devices_of(bob.boundjid.bare) == [kept]
    assert await alice.write(bob.boundjid.bare, "only one") == [kept]
    await bob.expect_letter("only one")

    # It comes back and finds itself missing: it announces itself again, which is what the text wants of it.
    back = await encrypted(people, again(bob), resource="tablet", keys=tablet.keys)
    await back.settle()
    assert await alice.devices_of(bob.boundjid.bare) == sorted((gone, kept))
    await alice.write(bob.boundjid.bare, "both again")
    await back.expect_letter("both again")


async def test_devices_that_announce_themselves_at_once_are_both_there_in_the_end(people):
    # §5.3.1: the later one overwrites the list; the other sees it and announces itself again.
    alice = await encrypted(people, "alice", resource="phone")
    account = people.account("bob")
    devices = await asyncio.gather(*(encrypted(people, account, resource=f"r{n}") for n in range(3)))
    ids = sorted([(await device.device()).device_id for device in devices])
    # A device that announces itself again may do so from an older list, so complete once is not complete for good.
    steady = 0
    async with asyncio.timeout(60):
        while steady < 3:
            for device in devices:
                await device.settle()
            lists = [await alice.devices_of(account[0], namespace) for namespace in (LEGACY, TWO)]
            steady = steady + 1 if lists == [ids, ids] else 0
    await alice.write(account[0], "to all three")
    for device in devices:
        await device.expect_letter("to all three")


async def test_members_of_a_private_room_read_each_other_without_a_subscription(people):
    # §5.8: nobody has anybody in their roster; keys are fetched by the addresses that the room shows its members.
    members = [await encrypted(people, name, resource="phone") for name in ("alice", "bob", "carol")]
    room = JID(f"secret-{secrets.token_hex(3)}@conference.{people.server.domain}")
    alice = members[0].plugin["xep_0045"]
    await alice.join_muc_wait(room, "alice", timeout=PATIENCE_SECONDS)
    form = members[0].plugin["xep_0004"].make_form(ftype="submit")
    form.add_field(var="FORM_TYPE", ftype="hidden", value="http://jabber.org/protocol/muc#roomconfig")
    form.add_field(var="muc#roomconfig_membersonly", value="1")
    form.add_field(var="muc#roomconfig_whois", value="anyone")
    await alice.set_room_config(room, form)
    for nick, member in zip(("bob", "carol"), members[1:]):
        await alice.set_affiliation(room, "member", jid=member.boundjid.bare)
        await member.plugin["xep_0045"].join_muc_wait(room, nick, timeout=PATIENCE_SECONDS)
    for member in members:
        await member.settle()

    addresses = [member.boundjid.bare for member in members]
    for n, writer in enumerate(members):
        await writer.write_in_room(room, f"secret {n}", [jid for jid in addresses if jid != writer.boundjid.bare])
        for reader in members:
            # The writer knows its own message, which the room sends back.
            await reader.expect_letter(f"secret {n}")
    await settled(*members)


async def test_a_broken_bundle_is_refused_with_its_reason(people):
    alice, bob = await encrypted(people, "alice", resource="phone"), await encrypted(people, "bob", resource="laptop")
    device = (await bob.device()).device_id
    items = await alice.plugin["xep_0060"].get_items(JID(bob.boundjid.bare), BUNDLE.format(device))
    bundle = items.xml.find(f".//{{{LEGACY}}}bundle")
    key = bundle.find(f"{{{LEGACY}}}identityKey")

    # Alice takes Bob's key for her own: the signature tells.
    own = (await alice.plugin["xep_0060"].get_items(None, BUNDLE.format((await alice.device()).device_id)))
    own = own.xml.find(f".//{{{LEGACY}}}bundle")
    own.find(f"{{{LEGACY}}}identityKey").text = key.text
    refused = await refusal(alice, None, BUNDLE.format(77), own)
    assert refused["error"]["condition"] == "not-acceptable"
    assert "wrong-signature" in refused["error"]["text"]
    key.text = key.text[:-8]
    refused = await refusal(alice, None, BUNDLE.format(77), bundle)
    assert refused["error"]["condition"] == "not-acceptable" and "Base64" not in refused["error"]["text"]
    assert "wrong-key-length" in refused["error"]["text"]
    # Nobody publishes keys for somebody else.
    refused = await refusal(alice, bob.boundjid.bare, BUNDLE.format(77), own)
    assert refused["error"]["condition"] == "forbidden"
    await alice.write(bob.boundjid.bare, "all is as it was")
    await bob.expect_letter("all is as it was")


async def refusal(device, to, node, element):
    with pytest.raises(IqError) as caught:
        await device.plugin["xep_0060"].publish(to and JID(to), node, "current", element)
    return caught.value.iq


async def test_rust_and_python_devices_write_to_each_other(people):
    python = await encrypted(people, "alice", resource="python")
    person = await people.online("bob", resource="rust", kind=Encrypted.__base__)
    for plugin in ("xep_0004", "xep_0060"):
        person.register_plugin(plugin)
    rust = await RustDevice(person, 31415).begin()
    try:
        here = (await python.device()).device_id
        alice, bob = python.boundjid.bare, person.boundjid.bare

        # The one from Python begins: its library takes a bundle that Rust made.
        assert await python.write(bob, "from Python") == [31415]
        assert await rust.read(alice) == ("from Python", here)
        for n in range(3):
            await rust.write(alice, f"from Rust {n}", [here])
            assert await python.expect_letter(f"from Rust {n}", bob) == 31415
            await python.write(bob, f"again {n}")
            texts = []
            while f"again {n}" not in texts:
                texts.append((await rust.read(alice))[0])
            # Only messages without a text may stand between: the library says that it has understood.
            assert texts[:-1] == [None] * (len(texts) - 1)
        await settled(python)

        # The one from Rust begins, with somebody it never met.
        other = await encrypted(people, "carol", resource="python")
        device = (await other.device()).device_id
        await rust.meet(other.boundjid.bare, device)
        await rust.write(other.boundjid.bare, "from Rust first", [device])
        assert await other.expect_letter("from Rust first", bob) == 31415
        await other.write(bob, "answer")
        texts = []
        while "answer" not in texts:
            texts.append((await rust.read(other.boundjid.bare))[0])
        await settled(other)
    finally:
        await rust.end()


async def test_the_operator_sees_devices_with_their_fingerprints(people):
    alice = await encrypted(people, "alice", resource="phone")
    shown = people.server.run("user", "show", alice.boundjid.bare)
    assert str((await alice.device()).device_id) in shown
    assert await alice.fingerprint() in shown
