"""Stream management (XEP-0198): two devices of one account stay in step through cut connections."""

import asyncio

from slixmpp import Message

from people import PATIENCE_SECONDS


async def managed(people, account, resource):
    """A device with stream management and carbons."""
    device = people.device(account, resource=resource)
    device.register_plugin("xep_0198")
    enabled = asyncio.get_running_loop().create_future()
    device.add_event_handler("sm_enabled", lambda stanza: enabled.set_result(stanza), disposable=True)
    await device.sign_in()
    async with asyncio.timeout(PATIENCE_SECONDS):
        assert (await enabled)["resume"]
    await device.come_online()
    await device.plugin["xep_0280"].enable()
    return device


def bodies(device):
    """What the device was told, also in copies, in the order in which it came."""
    told = []
    device.add_event_handler("message", lambda m: told.append(m["body"]) if m["body"] else None)
    device.add_event_handler("carbon_sent", lambda c: told.append(c["carbon_sent"]["body"]))
    device.add_event_handler("carbon_received", lambda c: told.append(c["carbon_received"]["body"]))
    return told


async def test_a_device_whose_connection_is_cut_misses_nothing(people):
    account = people.account("alice")
    phone, tablet = await managed(people, account, "phone"), await managed(people, account, "tablet")
    bob = await people.online("bob")
    await phone.befriend(bob)
    for device in (phone, tablet):
        await device.settle()
    on_phone, on_tablet = bodies(phone), bodies(tablet)

    bob.say(phone.boundjid.bare, "one")
    await phone.expect_message("one")
    await tablet.expect_message("one")
    for round in range(3):
        await phone.lose_connection()
        # Her account talks on; nobody sees the phone leave.
        bob.say(phone.boundjid.bare, f"{round} from him")
        await tablet.expect_message(f"{round} from him")
        tablet.say(bob.boundjid.full, f"{round} from her")
        await bob.expect_message(f"{round} from her")
        bob.say(phone.boundjid.full, f"{round} to the phone")
        await bob.settle()
        assert await phone.resume(), "the session goes on"
        await phone.settle()
        await tablet.settle()
    expected = ["one"]
    for round in range(3):
        expected += [f"{round} from him", f"{round} from her", f"{round} to the phone"]
    assert on_phone == expected
    # What the tablet said itself, nobody repeats to it.
    assert on_tablet == [body for body in expected if not body.endswith("from her")]
    bob.assert_got_no("her leaving", lambda s: s["type"] == "unavailable")
    bob.assert_got_no("an error", lambda s: s["type"] == "error")

    # It still is the same session: what it sends arrives, once.
    phone.say(bob.boundjid.full, "back again")
    await bob.expect_message("back again")
    await bob.settle()
    bob.assert_got_no("it twice", lambda s: isinstance(s, Message) and s["body"] == "back again")


async def test_what_was_on_its_way_when_the_connection_was_cut_arrives_once(people):
    """The client sends again what the server has not acknowledged, and nothing else (§5)."""
    phone = await managed(people, people.account("alice"), "phone")
    bob = await people.online("bob")
    got = bodies(bob)
    said, written = [], []
    write = phone.send_raw

    def send_raw(data):
        write(data)
        written.append(data)

    phone.send_raw = send_raw
    for round in range(5):
        for number in range(7):
            said.append(f"{round}.{number}")
            phone.say(bob.boundjid.full, said[-1])
        if round < 4:
            # What slixmpp has written when the connection is cut may reach the server or not.
            while not any(f"<body>{said[-1]}</body>" in str(data) for data in written):
                await asyncio.sleep(0)
            await phone.lose_connection()
            assert await phone.resume()
    await phone.settle()
    async with asyncio.timeout(PATIENCE_SECONDS):
        while len(got) < len(said):
            await asyncio.sleep(0.05)
    await bob.settle()
    assert sorted(got) == sorted(said)


async def test_after_a_crash_of_the_server_a_client_begins_anew(make_server):
    """`<failed/>` with the count of what arrived; the client binds on the same stream."""
    from conftest import Crowd

    server = make_server().start()
    async with Crowd(server) as people:
        phone = await managed(people, people.account("alice"), "phone")
        bob = await people.online("bob")
        for number in range(10):
            phone.say(bob.boundjid.bare, str(number))
        await bob.expect_message("9")
        failed = []
        phone.add_event_handler("sm_failed", failed.append)
        server.kill()
        await phone.dropped()
        await bob.dropped()
        server.start()
        assert not await phone.resume(), "a new session"
        assert failed
        await phone.come_online()
        await phone.settle()
    server.stop()
