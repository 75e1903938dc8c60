"""What a client asks its server and its contacts: discovery, caps, ping, version, time, vCard, private storage."""

import datetime

import pytest
from slixmpp.exceptions import IqError
from slixmpp.plugins.xep_0030.stanza import DiscoInfo
from slixmpp.xmlstream import ET

from people import PATIENCE_SECONDS

PATIENT = {"timeout": PATIENCE_SECONDS}


async def test_what_the_server_says_it_can_do(people):
    """XEP-0030 §3, and the features that clients look for on the domain."""
    alice = await people.online("alice")
    info = (await alice.plugin["xep_0030"].get_info(jid=alice.kim.domain, local=False, **PATIENT))["disco_info"]
    assert ("server", "im") in {(category, kind) for category, kind, *_ in info["identities"]}
    expected = {
        "http://jabber.org/protocol/disco#info", "http://jabber.org/protocol/disco#items", "jabber:iq:last",
        "jabber:iq:private", "jabber:iq:version", "msgoffline", "urn:xmpp:blocking", "urn:xmpp:ping",
        "urn:xmpp:time", "vcard-temp",
    }
    assert expected <= set(info["features"]), expected - set(info["features"])
    items = await alice.plugin["xep_0030"].get_items(jid=alice.kim.domain, local=False, **PATIENT)
    assert items["type"] == "result"


async def test_what_an_account_says_it_can_do(people):
    """XEP-0030 §8: one's own account and a friend's are `account/registered`; a stranger learns nothing."""
    alice, bob = await people.friends("alice", "bob")
    for account in (alice.boundjid.bare, bob.boundjid.bare):
        info = (await alice.plugin["xep_0030"].get_info(jid=account, local=False, **PATIENT))["disco_info"]
        assert ("account", "registered") in {(category, kind) for category, kind, *_ in info["identities"]}
    mallory = await people.online("mallory")
    answers = []
    for account in (alice.boundjid.bare, f"nobody@{alice.kim.domain}"):
        with pytest.raises(IqError) as refused:
            await mallory.plugin["xep_0030"].get_info(jid=account, local=False, **PATIENT)
        answers.append((refused.value.iq["error"]["type"], refused.value.iq["error"]["condition"]))
    assert answers[0] == answers[1] == ("cancel", "service-unavailable")


async def test_the_servers_caps_are_true(people):
    """XEP-0115 §6.3: the hash in the stream features is the hash of what disco#info says under node#ver."""
    alice = people.device(people.account("alice"))
    features = []

    def keep(stanza):
        if stanza.name == "features":
            features.append(stanza)
        return stanza

    alice.add_filter("in", keep)
    await alice.sign_in()
    caps = features[-1].xml.find("{http://jabber.org/protocol/caps}c")
    assert caps is not None and caps.get("hash") == "sha-1"
    node = f"{caps.get('node')}#{caps.get('ver')}"
    iq = await alice.plugin["xep_0030"].get_info(jid=alice.kim.domain, node=node, local=False, **PATIENT)
    info = iq["disco_info"]
    assert isinstance(info, DiscoInfo) and info["node"] == node
    assert alice.plugin["xep_0115"].generate_verstring(info, "sha-1") == caps.get("ver")


async def test_a_contacts_caps_arrive_with_the_presence(people):
    """XEP-0115 §6.1: the server carries them as they are, and the hash holds."""
    alice, bob = await people.friends("alice", "bob")
    await bob.plugin["xep_0115"].update_caps(bob.boundjid, broadcast=False)
    bob.send_presence(pstatus="look at me")
    shown = await alice.expect_presence(bob.boundjid.full, "available")
    caps = shown.xml.find("{http://jabber.org/protocol/caps}c")
    info = await alice.plugin["xep_0030"].get_info(
        jid=bob.boundjid.full, node=f"{caps.get('node')}#{caps.get('ver')}", local=False, **PATIENT
    )
    assert alice.plugin["xep_0115"].generate_verstring(info["disco_info"], caps.get("hash")) == caps.get("ver")


async def test_everybody_answers_a_ping(people):
    """XEP-0199 §4: the server, one's own account, and a friend's device through the server; §4.1 the other way."""
    alice, bob = await people.friends("alice", "bob")
    for target in (alice.kim.domain, alice.boundjid.bare, bob.boundjid.full):
        answer = await alice.plugin["xep_0199"].send_ping(target, **PATIENT)
        assert answer["from"] in (target, "") and answer["to"] == alice.boundjid.full
    assert (await bob.plugin["xep_0199"].send_ping(alice.boundjid.full, **PATIENT))["type"] == "result"


async def test_the_server_tells_its_version_time_and_uptime(people):
    """XEP-0092, XEP-0202, XEP-0012 §4."""
    alice = await people.online("alice")
    domain = alice.kim.domain
    version = (await alice.plugin["xep_0092"].get_version(domain, **PATIENT))["software_version"]
    assert version["name"] and version["version"]
    time = (await alice.plugin["xep_0202"].get_entity_time(domain, **PATIENT))["entity_time"]
    # Not through slixmpp's own reader: it puts a second Z behind the one that XEP-0082 asks for.
    utc = datetime.datetime.fromisoformat(time.xml.findtext("{urn:xmpp:time}utc"))
    assert abs(datetime.datetime.now(datetime.UTC) - utc) < datetime.timedelta(minutes=5)
    assert time.xml.findtext("{urn:xmpp:time}tzo")
    uptime = (await alice.plugin["xep_0012"].get_last_activity(domain, **PATIENT))["last_activity"]
    assert uptime["seconds"] >= 0


async def test_a_friend_learns_when_someone_was_last_here(people):
    """XEP-0012 §3, §5: 0 while online; seconds and the last words afterwards; a stranger is refused."""
    alice, bob = await people.friends("alice", "bob")
    last = alice.plugin["xep_0012"].get_last_activity
    online = (await last(bob.boundjid.bare, **PATIENT))["last_activity"]
    assert online["seconds"] == 0
    bobs_device = bob.boundjid.full
    bob.send_presence(ptype="unavailable", pstatus="gone fishing")
    await alice.expect_presence(bobs_device, "unavailable")
    await bob.leave()
    away = (await last(bob.boundjid.bare, **PATIENT))["last_activity"]
    assert 0 <= away["seconds"] < 300 and away["status"] == "gone fishing"
    mallory = await people.online("mallory")
    with pytest.raises(IqError) as refused:
        await mallory.plugin["xep_0012"].get_last_activity(bob.boundjid.bare, **PATIENT)
    assert refused.value.iq["error"]["condition"] in ("forbidden", "service-unavailable")


async def test_a_visiting_card(people):
    """XEP-0054 §3: written by its owner, read by others, also while the owner is away; nobody else writes it."""
    alice, bob = await people.friends("alice", "bob")
    card = alice.plugin["xep_0054"].make_vcard()
    card["FN"] = "Alice & Co. <Verona>"
    card["NICKNAME"] = "ali"
    await alice.plugin["xep_0054"].publish_vcard(card, **PATIENT)
    await alice.leave()
    read = await bob.plugin["xep_0054"].get_vcard(alice.boundjid.bare, local=False, **PATIENT)
    assert read["from"] == alice.boundjid.bare
    assert read["vcard_temp"]["FN"] == "Alice & Co. <Verona>"
    assert read["vcard_temp"]["NICKNAME"] in ("ali", ["ali"])

    forged = bob.make_iq_set(ito=alice.boundjid.bare)
    forged.xml.append(ET.fromstring("<vCard xmlns='vcard-temp'><FN>Mallory</FN></vCard>"))
    with pytest.raises(IqError):
        await forged.send(**PATIENT)
    read = await bob.plugin["xep_0054"].get_vcard(alice.boundjid.bare, local=False, **PATIENT)
    assert read["vcard_temp"]["FN"] == "Alice & Co. <Verona>"


async def test_private_storage(people):
    """XEP-0049 §2: kept per element, seen by one's other device, by nobody else."""
    account = people.account("alice")
    phone, laptop = await people.online(account), await people.online(account)

    async def ask(device, kind, payload, to=None):
        iq = device.make_iq(itype=kind, ito=to)
        ET.SubElement(iq.xml, "{jabber:iq:private}query").append(ET.fromstring(payload))
        return (await iq.send(**PATIENT)).xml.find("{jabber:iq:private}query")

    await ask(phone, "set", "<notes xmlns='urn:example:notes'><n>milk &amp; honey</n></notes>")
    await ask(phone, "set", "<other xmlns='urn:example:other'>else</other>")
    kept = await ask(laptop, "get", "<notes xmlns='urn:example:notes'/>")
    assert [child.tag for child in kept] == ["{urn:example:notes}notes"]
    assert kept[0].findtext("{urn:example:notes}n") == "milk & honey"
    empty = await ask(laptop, "get", "<never xmlns='urn:example:never'/>")
    assert [(child.tag, len(child)) for child in empty] == [("{urn:example:never}never", 0)]

    bob = await people.online("bob")
    with pytest.raises(IqError) as refused:
        await ask(bob, "get", "<notes xmlns='urn:example:notes'/>", to=account[0])
    assert refused.value.iq["error"]["condition"] in ("forbidden", "service-unavailable", "not-allowed")


async def test_a_question_nobody_understands_is_answered_at_once(people):
    """RFC 6120 §8.4: by the server, and on behalf of an account as for one that does not exist."""
    alice = await people.online("alice")
    bob = people.account("bob")
    for target in (alice.kim.domain, alice.boundjid.bare, bob[0], f"nobody@{alice.kim.domain}"):
        iq = alice.make_iq_get(ito=target)
        ET.SubElement(iq.xml, "{urn:example:never-heard-of}query")
        with pytest.raises(IqError) as refused:
            await iq.send(**PATIENT)
        assert refused.value.iq["error"]["condition"] == "service-unavailable", target
        assert refused.value.iq["from"] in (target, "")
