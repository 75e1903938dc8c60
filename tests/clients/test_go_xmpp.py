"""go-xmpp, the library of go-sendxmpp and of many bots: it ends every element that it writes with a line break."""

import pytest

from programs import Program, go_xmpp_command


def client(server, account, how):
    port = server.port if how == "starttls" else server.port_tls
    command = [*go_xmpp_command(), how, f"localhost:{port}", str(server.certificate), *account]
    return Program("go-xmpp", command)


@pytest.mark.parametrize("how", ["starttls", "tls"])
async def test_a_bot_signs_in_talks_and_comes_back(people, how):
    bob = await people.online("bob")
    account = people.account("bot")
    async with client(people.server, account, how) as bot:
        for visit in ("first", "second"):
            bot.ask("connect")
            [jid] = await bot.expect("online")
            assert jid == f"{account[0]}/go"
            bot.ask("say", bob.boundjid.bare, f"{visit} visit")
            heard = await bob.expect_message(f"{visit} visit")
            assert heard["from"] == jid
            bob.say(jid, f"welcome at the {visit}")
            await bot.expect("message", bob.boundjid.full, f"welcome at the {visit}")
            bot.ask("leave")
            await bot.expect("gone")


async def test_a_bot_comes_back_after_a_crash_of_the_server(make_server):
    from conftest import Crowd

    server = make_server().start()
    async with Crowd(server) as people:
        account = people.account("bot")
        async with client(server, account, "starttls") as bot:
            bot.ask("connect")
            await bot.expect("online")
            server.kill()
            await bot.expect("gone")
            server.start()
            bob = await people.online("bob")
            bot.ask("connect")
            await bot.expect("online")
            bot.ask("say", bob.boundjid.bare, "back again")
            await bob.expect_message("back again")
    server.stop()
