"""XEP-0384 between servers: strangers read device lists and bundles of another server, and messages decrypt there."""

import pytest

from encrypted import LEGACY, TWO, Encrypted
from persons import Resident


class Device(Encrypted, Resident):
    """A device that encrypts, on a server with an address of its own."""


@pytest.mark.parametrize("namespace", [LEGACY, TWO], ids=["0.3", "omemo:2"])
async def test_strangers_write_to_each_other_from_two_servers(pair, people, namespace):
    alice = await people.online(pair.home, "alice", kind=Device, resource="phone")
    bob = await people.online(pair.away, "bob", kind=Device, resource="laptop")
    here, there = (await alice.device()).device_id, (await bob.device()).device_id
    assert await alice.write(bob.boundjid.bare, "What man art thou?", namespace) == [there]
    assert await bob.expect_letter("What man art thou?", alice.boundjid.bare) == here
    assert await bob.write(alice.boundjid.bare, "I know not how to tell thee", namespace) == [here]
    assert await alice.expect_letter("I know not how to tell thee", bob.boundjid.bare) == there
    assert not alice.unreadable and not bob.unreadable


async def test_a_new_device_is_announced_to_contacts_elsewhere(pair, people):
    """§4.2, §5.2: the device list is a PEP node; contacts are notified and encrypt for the new device at once."""
    alice = await people.online(pair.home, "alice", kind=Device, resource="phone")
    bob = await people.online(pair.away, "bob", kind=Device, resource="laptop")
    await alice.befriend(bob)
    await alice.find_devices_of(bob)
    await alice.write(bob.boundjid.bare, "to one")
    await bob.expect_letter("to one")
    tablet = await people.again(bob, kind=Device, resource="tablet")
    both = sorted([(await device.device()).device_id for device in (bob, tablet)])
    assert await alice.write(bob.boundjid.bare, "to two") == both
    for device in (bob, tablet):
        await device.expect_letter("to two")
