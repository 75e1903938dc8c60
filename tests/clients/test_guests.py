"""XEP-0175: a guest needs no account, gets a name nobody can guess, and cannot bother people with accounts."""

from slixmpp import Message

from people import PATIENCE_SECONDS


def guest(people):
    return people.device((people.server.guest_domain, ""))


async def test_a_guest_is_let_in_under_a_random_name(people):
    names = set()
    for _ in range(2):
        visitor = guest(people)
        await visitor.sign_in()
        assert visitor.boundjid.domain == people.server.guest_domain
        assert visitor.boundjid.resource
        names.add(visitor.boundjid.user)
        assert len(visitor.boundjid.user) >= 16
        await visitor.plugin["xep_0199"].send_ping(people.server.guest_domain, timeout=PATIENCE_SECONDS)
    assert len(names) == 2


async def test_a_guest_cannot_write_to_an_account(people):
    alice = await people.online("alice")
    visitor = guest(people)
    await visitor.sign_in()
    for target in (alice.boundjid.bare, alice.boundjid.full):
        sent = visitor.say(target, "psst")
        await visitor.expect("an error", lambda s, sent=sent: isinstance(s, Message) and s["type"] == "error"
                             and s["id"] == sent)
    visitor.send_presence(pto=alice.boundjid.bare, ptype="subscribe")
    visitor.send_presence(pto=alice.boundjid.full)
    await visitor.plugin["xep_0199"].send_ping(people.server.guest_domain, timeout=PATIENCE_SECONDS)
    await alice.settle()
    alice.assert_got_no("anything from the guest", lambda s: s["from"].domain == people.server.guest_domain)
