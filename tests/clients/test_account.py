"""An account's life: another password, and an end that leaves nothing behind (XEP-0077 §3.2, §3.3)."""

import pytest
from slixmpp.exceptions import IqError, IqTimeout

from people import PATIENCE_SECONDS, SignInFailed

PATIENT = {"timeout": PATIENCE_SECONDS}


async def test_another_password(people):
    jid, old = people.account("alice")
    new = "p=ass,wörd & <more>"
    alice = await people.online((jid, old))
    await alice.plugin["xep_0077"].change_password(new, jid=alice.kim.domain, **PATIENT)
    await alice.settle()  # this session goes on

    with pytest.raises(SignInFailed) as refused:
        await people.device((jid, old), mechanism="SCRAM-SHA-256").sign_in()
    assert refused.value.condition == "not-authorized"
    for mechanism in ("SCRAM-SHA-256", "SCRAM-SHA-1"):
        await people.online((jid, new), mechanism=mechanism)


async def test_an_account_that_is_removed_is_gone(people):
    alice, bob = await people.friends("alice", "bob")
    account, device = (alice.boundjid.bare, alice.password), alice.boundjid.full
    laptop = await people.online(account)
    await bob.expect_presence(laptop.boundjid.full, "available")
    card = alice.plugin["xep_0054"].make_vcard()
    card["FN"] = "Alice"
    await alice.plugin["xep_0054"].publish_vcard(card, **PATIENT)

    try:
        await alice.plugin["xep_0077"].cancel_registration(**PATIENT)
    except IqTimeout:
        raise AssertionError("no answer to the removal (§3.2)") from None
    await alice.dropped()
    await laptop.dropped()

    # Her contact sees both devices go, and both subscriptions end.
    await bob.expect_presence(device, "unavailable")
    await bob.expect_presence(laptop.boundjid.full, "unavailable")
    await bob.expect_presence(account[0], "unsubscribe")
    await bob.expect_presence(account[0], "unsubscribed")
    await bob.expect_push(account[0], subscription="none")

    with pytest.raises(SignInFailed) as refused:
        await people.device(account, mechanism="SCRAM-SHA-256").sign_in()
    assert refused.value.condition == "not-authorized"
    with pytest.raises(IqError) as refused:
        await bob.plugin["xep_0054"].get_vcard(account[0], local=False, **PATIENT)
    assert refused.value.iq["error"]["condition"] in ("item-not-found", "service-unavailable")


async def test_nobody_removes_somebody_elses_account(people):
    """XEP-0077 §3.2: the account is the sender's, whatever is written in `to` or inside."""
    alice, mallory = await people.online("alice"), await people.online("mallory")
    with pytest.raises(IqError):
        await mallory.plugin["xep_0077"].cancel_registration(jid=alice.boundjid.bare, **PATIENT)
    iq = mallory.make_iq_set(ito=alice.kim.domain)
    iq["register"]["username"] = alice.boundjid.user
    iq["register"]["password"] = "mine now"
    with pytest.raises(IqError):
        await iq.send(**PATIENT)
    await people.online((alice.boundjid.bare, alice.password))
