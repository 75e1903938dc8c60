"""IQ requests between servers (RFC 6120 §8.2.3, RFC 6121 §8.5) and their errors."""

import pytest

from persons import PATIENT

PING = "<ping xmlns='urn:xmpp:ping'/>"
DISCO = "{http://jabber.org/protocol/disco#info}"


async def test_discover_the_other_server(pair, people):
    """XEP-0030: the server's identity and services, and the identity of its rooms."""
    alice = await people.online(pair.home, "alice")
    disco = alice.plugin["xep_0030"]
    info = (await disco.get_info(jid=pair.away.domain, cached=False, **PATIENT))["disco_info"]
    assert ("server", "im") in {identity[:2] for identity in info["identities"]}
    assert {"http://jabber.org/protocol/disco#info", "urn:xmpp:ping"} <= set(info["features"])
    items = (await disco.get_items(jid=pair.away.domain, **PATIENT))["disco_items"]["items"]
    assert pair.away.conference in {str(item[0]) for item in items}
    info = (await disco.get_info(jid=pair.away.conference, cached=False, **PATIENT))["disco_info"]
    assert ("conference", "text") in {identity[:2] for identity in info["identities"]}
    assert "http://jabber.org/protocol/muc" in info["features"]


async def test_ping_version_and_time(pair, people):
    """XEP-0199, XEP-0092, XEP-0202: to servers and to people, both ways."""
    alice, bob = await people.strangers(pair)
    for one, other, there in ((alice, bob, pair.away), (bob, alice, pair.home)):
        await one.plugin["xep_0199"].send_ping(there.domain, **PATIENT)
        await one.plugin["xep_0199"].send_ping(other.boundjid.full, **PATIENT)
        version = await one.plugin["xep_0092"].get_version(there.domain, **PATIENT)
        assert version["software_version"]["name"]
        utc = await one.request(there.domain, "<time xmlns='urn:xmpp:time'/>")
        assert utc.find("{urn:xmpp:time}utc").text
        client = await one.plugin["xep_0092"].get_version(other.boundjid, **PATIENT)
        assert client["from"] == other.boundjid.full


async def test_a_card(pair, people):
    """XEP-0054: strangers on other servers may read a vCard; only its owner may write it."""
    alice, bob = await people.strangers(pair)
    await bob.request(None, "<vCard xmlns='vcard-temp'><FN>Benvolio</FN><NICKNAME>Ben</NICKNAME></vCard>", "set")
    card = await alice.request(bob.boundjid.bare, "<vCard xmlns='vcard-temp'/>")
    assert card.findtext("{vcard-temp}FN") == "Benvolio"
    assert await alice.refused(bob.boundjid.bare, "<vCard xmlns='vcard-temp'><FN>Eve</FN></vCard>", "set") in (
        "forbidden", "not-allowed", "not-authorized", "service-unavailable")
    card = await bob.request(None, "<vCard xmlns='vcard-temp'/>")
    assert card.findtext("{vcard-temp}FN") == "Benvolio"


async def test_a_contact_is_discovered(pair, people):
    """XEP-0030 §8: an account and its device answer a contact."""
    alice, bob = await people.friends(pair)
    info = (await alice.plugin["xep_0030"].get_info(jid=bob.boundjid.bare, cached=False, **PATIENT))["disco_info"]
    kinds = {identity[:2] for identity in info["identities"]}
    assert ("account", "registered") in kinds or ("pubsub", "pep") in kinds
    info = (await alice.plugin["xep_0030"].get_info(jid=bob.boundjid.full, cached=False, **PATIENT))["disco_info"]
    assert "urn:xmpp:ping" in info["features"]


@pytest.mark.parametrize("payload", ["<query xmlns='jabber:iq:version'/>", "<x xmlns='urn:example:unknown'/>"],
                         ids=["version", "unknown"])
async def test_nobody_there_to_answer(pair, people, payload):
    """RFC 6121 §8.5.1, §8.5.3.2.3: service-unavailable for a missing account or resource."""
    alice, bob = await people.strangers(pair)
    assert await alice.refused(f"nobody@{pair.away.domain}", payload) == "service-unavailable"
    assert await alice.refused(f"nobody@{pair.away.domain}/x", payload) == "service-unavailable"
    assert await alice.refused(f"{bob.boundjid.bare}/gone", payload) == "service-unavailable"


async def test_an_unknown_namespace(pair, people):
    """RFC 6120 §8.4: the address that was asked answers with an error."""
    alice, bob = await people.strangers(pair)
    for to in (pair.away.domain, bob.boundjid.bare, pair.away.conference):
        error = await alice.refusal(to, "<x xmlns='urn:example:unknown'/>", "set")
        assert error["error"]["condition"] in ("service-unavailable", "feature-not-implemented"), str(error)
        assert error["from"] == to


async def test_no_such_domain(pair, people):
    """RFC 6120 §8.3.3.16."""
    alice = await people.online(pair.home, "alice")
    error = await alice.refusal("no-such-domain.plain", PING)
    assert error["error"]["condition"] == "remote-server-not-found" and error["from"] == "no-such-domain.plain"


async def test_requests_for_owners_and_operators(pair, people):
    """XEP-0133, XEP-0077, RFC 6121 §2: they are refused for people on other servers."""
    alice, bob = await people.strangers(pair)
    for to, payload, kind in (
        (bob.boundjid.bare, "<query xmlns='jabber:iq:roster'/>", "get"),
        (bob.boundjid.bare, "<query xmlns='jabber:iq:private'><x xmlns='urn:example:x'/></query>", "get"),
        (bob.boundjid.bare, "<blocklist xmlns='urn:xmpp:blocking'/>", "get"),
        (bob.boundjid.bare, "<query xmlns='urn:xmpp:mam:2'/>", "set"),
        (pair.away.domain, "<query xmlns='jabber:iq:register'><remove/></query>", "set"),
        (pair.away.domain, "<command xmlns='http://jabber.org/protocol/commands' action='execute' "
                           "node='http://jabber.org/protocol/admin#add-user'/>", "set"),
        (bob.boundjid.bare, "<enable xmlns='urn:xmpp:carbons:2'/>", "set"),
    ):
        assert await alice.refused(to, payload, kind), payload
    assert await bob.fetch_roster() == {}
