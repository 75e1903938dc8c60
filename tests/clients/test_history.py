"""The archive (XEP-0313) beside live delivery: what devices missed they find there, once and in order."""

from test_resumption import bodies, managed


async def history(device, of=None, page=3):
    """All messages of the archive as (id, body), read page after page with slixmpp's plugin."""
    device.register_plugin("xep_0313")
    rows = []
    async for row in device.plugin["xep_0313"].iterate(with_jid=of, rsm={"max": page}):
        rows.append((row["mam_result"]["id"], row["mam_result"]["forwarded"]["stanza"]["body"]))
    return rows


async def test_devices_stay_in_step_through_a_cut_connection_and_a_new_one_catches_up(people):
    account = people.account("alice")
    phone, tablet = await managed(people, account, "phone"), await managed(people, account, "tablet")
    bob = await people.online("bob")
    await phone.befriend(bob)
    for device in (phone, tablet):
        await device.settle()
    on_phone, on_tablet = bodies(phone), bodies(tablet)

    said = []

    async def say(speaker, listener, to, body):
        speaker.say(to, body)
        await listener.expect_message(body)
        said.append(body)

    await say(bob, tablet, phone.boundjid.bare, "before")
    await phone.expect_message("before")
    await phone.lose_connection()
    for number in range(4):
        await say(bob, tablet, phone.boundjid.bare, f"question {number}")
        await say(tablet, bob, bob.boundjid.bare, f"answer {number}")
    assert await phone.resume(), "the session goes on"
    await say(phone, bob, bob.boundjid.bare, "here again")
    for device in (phone, tablet):
        await device.settle()

    # Nobody is told what they said themselves.
    assert on_phone == said[:-1]
    assert on_tablet == [body for body in said if not body.startswith("answer")]

    laptop = await people.online(account, resource="laptop")
    rows = await history(laptop)
    assert [body for _, body in rows] == said
    assert len({id for id, _ in rows}) == len(said)
    # One archive, whichever device asks, and his own for the other side.
    assert await history(phone, of=bob.boundjid.bare, page=50) == rows
    assert [body for _, body in await history(bob)] == said


async def test_whoever_is_away_reads_it_later_and_not_twice(people):
    alice, bob = await people.friends("alice", "bob")
    account = (bob.boundjid.bare, bob.password)
    await bob.leave()
    for number in range(7):
        alice.say(account[0], f"number {number}")
    await alice.settle()
    back = await people.online(account, resource="back")
    waited = []
    for number in range(7):
        message = await back.expect_message(f"number {number}")
        assert message.xml.find("{urn:xmpp:delay}delay") is not None
        waited.append((message.xml.find("{urn:xmpp:sid:0}stanza-id").get("id"), message["body"]))
    # What waited says under which id it is in the archive, so that a client sees that they are the same.
    assert await history(back) == waited
    alice.assert_got_no("an error", lambda stanza: stanza["type"] == "error")
