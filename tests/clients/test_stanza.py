"""stanza (stanzajs.org) over WebSocket, the library of many web pages: it takes the strongest mechanism it is offered."""

from programs import Program, stanza_command


def client(server, account):
    command = [*stanza_command(), f"wss://localhost:{server.port_https}/xmpp-websocket", *account]
    return Program("stanza", command, NODE_EXTRA_CA_CERTS=str(server.certificate))


async def test_somebody_signs_in_talks_resumes_and_comes_back(people):
    bob = await people.online("bob")
    account = people.account("alice")
    async with client(people.server, account) as alice:
        alice.ask("connect")
        [jid] = await alice.expect("online")
        assert jid == f"{account[0]}/stanza"
        alice.ask("say", bob.boundjid.bare, "hello")
        assert (await bob.expect_message("hello"))["from"] == jid
        bob.say(jid, "hello, Alice")
        await alice.expect("message", bob.boundjid.full, "hello, Alice")

        # It comes back by itself and goes on (XEP-0198 §5): what was said meanwhile is there.
        alice.ask("cut")
        await alice.expect("gone")
        bob.say(jid, "while you were away")
        assert await alice.expect("resumed") == [jid]
        await alice.expect("message", bob.boundjid.full, "while you were away")
        alice.ask("say", bob.boundjid.bare, "back again")
        assert (await bob.expect_message("back again"))["from"] == jid

        # Left in peace, and a new session.
        alice.ask("leave")
        await alice.expect("gone")
        alice.ask("connect")
        await alice.expect("online")
        alice.ask("say", bob.boundjid.bare, "and once more")
        await bob.expect_message("and once more")
