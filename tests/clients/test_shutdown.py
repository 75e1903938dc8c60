"""How a server ends, politely or not: after the next start nothing is missing that anybody was told is kept."""

import asyncio

import pytest

from conftest import Crowd


@pytest.fixture
async def own_server(make_server):
    """A server that the test itself stops and starts again."""
    return make_server().start()


async def test_a_restart_ends_streams_politely_and_loses_nothing(own_server):
    async with Crowd(own_server) as people:
        alice, bob = await people.friends("alice", "bob")
        accounts = [(one.boundjid.bare, one.password) for one in (alice, bob)]
        await bob.leave()
        await alice.expect_presence(bob.boundjid.full, "unavailable")
        alice.say(bob.boundjid.bare, "said before the restart")
        await alice.settle()

        own_server.ask_to_stop()
        await alice.expect_stream_error("system-shutdown")
        await alice.dropped()
        await asyncio.to_thread(own_server.wait_stopped)

        certificate = own_server.certificate.read_bytes()
        await asyncio.to_thread(own_server.start)
        assert own_server.certificate.read_bytes() == certificate, "the certificate is made once"
        alice, bob = [await people.online(account) for account in accounts]
        await bob.expect_message("said before the restart")
        assert (await alice.fetch_roster())[bob.boundjid.bare].get("subscription") == "both"
        await alice.expect_presence(bob.boundjid.full, "available")
    await asyncio.to_thread(own_server.stop)


async def test_a_killed_server_has_kept_what_it_acknowledged(own_server):
    """kill -9: what was answered was stored before."""
    async with Crowd(own_server) as people:
        alice, bob = await people.friends("alice", "bob")
        accounts = [(one.boundjid.bare, one.password) for one in (alice, bob)]
        await bob.leave()
        await alice.expect_presence(bob.boundjid.full, "unavailable")
        for number in range(20):
            alice.say(bob.boundjid.bare, f"number {number}")
        await alice.set_roster_item(bob.boundjid.bare, "Bob the unlucky")

        await asyncio.to_thread(own_server.kill)
        await alice.dropped()
        await asyncio.to_thread(own_server.start)
        alice, bob = [await people.online(account) for account in accounts]
        assert (await alice.fetch_roster())[bob.boundjid.bare].get("name") == "Bob the unlucky"
        for number in range(20):
            await bob.expect_message(f"number {number}")
    await asyncio.to_thread(own_server.stop)


async def test_accounts_can_be_made_while_the_server_is_down(make_server):
    """The operator's commands need no running server; with it, they take effect at once."""
    server = make_server()
    early = server.add_account("early")
    await asyncio.to_thread(server.start)
    late = server.add_account("late")
    async with Crowd(server) as people:
        one, other = await people.online(early), await people.online(late)
        one.say(other.boundjid.full, "hello")
        await other.expect_message("hello")
    await asyncio.to_thread(server.stop)
