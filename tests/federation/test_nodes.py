"""XEP-0060 and XEP-0163 between servers: notifications by capabilities, and nodes read and subscribed to from another server."""

import base64
import hashlib
import secrets

from slixmpp import Message

PUBSUB = "http://jabber.org/protocol/pubsub"
EVENT = "{http://jabber.org/protocol/pubsub#event}"
TUNE = "http://jabber.org/protocol/tune"
NICK = "http://jabber.org/protocol/nick"
AVATAR_DATA, AVATAR_METADATA = "urn:xmpp:avatar:data", "urn:xmpp:avatar:metadata"

# Some servers do not even say that a node exists.
NOT_SHOWN = ("not-authorized", "forbidden", "item-not-found")


async def publish(person, node, payload, item="current", to=None, model=None):
    options = "" if model is None else (
        "<publish-options><x xmlns='jabber:x:data' type='submit'><field var='FORM_TYPE' type='hidden'>"
        "<value>http://jabber.org/protocol/pubsub#publish-options</value></field>"
        f"<field var='pubsub#access_model'><value>{model}</value></field></x></publish-options>")
    await person.request(to, f"<pubsub xmlns='{PUBSUB}'><publish node='{node}'><item id='{item}'>{payload}</item></publish>"
                             f"{options}</pubsub>", "set")


def items_of(node, item=None):
    wanted = f"<item id='{item}'/>" if item else ""
    return f"<pubsub xmlns='{PUBSUB}'><items node='{node}'>{wanted}</items></pubsub>"


def news(sender, node):
    def match(stanza):
        if not isinstance(stanza, Message) or stanza["from"].bare != sender:
            return False
        items = stanza.xml.find(f"{EVENT}event/{EVENT}items")
        return items is not None and items.get("node") == node
    return match


async def test_news_of_a_contact_by_capabilities(pair, people):
    """XEP-0163 §4.3: a contact's items go to the devices with `+notify`, and to no others."""
    alice, bob = await people.friends(pair, interests=[TUNE])
    deaf = await people.again(alice, resource="deaf")
    for one, other, title in ((bob, alice, "Heigh ho"), (alice, bob, "Tarantella")):
        await publish(one, TUNE, f"<tune xmlns='{TUNE}'><title>{title}</title></tune>")
        event = await other.expect("the tune", news(one.boundjid.bare, TUNE))
        assert event.xml.find(f".//{{{TUNE}}}title").text == title
    await bob.reach(deaf)
    deaf.assert_got_no("news of bob", news(bob.boundjid.bare, TUNE))
    # A device that comes online later gets the last item (§4.3.4).
    later = await people.again(alice, resource="later", interests=[TUNE])
    event = await later.expect("the last tune", news(bob.boundjid.bare, TUNE))
    assert event.xml.find(f".//{{{TUNE}}}title").text == "Heigh ho"


async def test_a_nickname(pair, people):
    """XEP-0172: nicknames are announced both ways."""
    alice, bob = await people.friends(pair, interests=[NICK])
    for one, other, name in ((bob, alice, "Ben"), (alice, bob, "Al")):
        await publish(one, NICK, f"<nick xmlns='{NICK}'>{name}</nick>")
        event = await other.expect("the new nickname", news(one.boundjid.bare, NICK))
        assert event.xml.find(f".//{{{NICK}}}nick").text == name


async def test_no_news_for_strangers(pair, people):
    """XEP-0163 §4.3.2: without a subscription there are no notifications, whatever the capabilities say."""
    alice, bob = await people.strangers(pair, interests=[NICK])
    await publish(bob, NICK, f"<nick xmlns='{NICK}'>Ben</nick>")
    await bob.reach(alice)
    alice.assert_got_no("news of bob", news(bob.boundjid.bare, NICK))
    assert await alice.refused(bob.boundjid.bare, items_of(NICK)) in NOT_SHOWN


async def test_news_end_with_the_subscription(pair, people):
    """RFC 6121 §3.2, XEP-0163 §4.3.2."""
    alice, bob = await people.friends(pair, interests=[NICK])
    bob.send_presence(pto=alice.boundjid.bare, ptype="unsubscribed")
    await alice.expect_push(bob.boundjid.bare, subscription="from")
    await publish(bob, NICK, f"<nick xmlns='{NICK}'>Ben</nick>")
    await bob.reach(alice)
    alice.assert_got_no("news of bob", news(bob.boundjid.bare, NICK))


async def test_an_avatar(pair, people):
    """XEP-0084: the metadata is pushed, the picture is fetched from the contact's account."""
    alice, bob = await people.friends(pair, interests=[AVATAR_METADATA])
    picture = b"\x89PNG\r\n\x1a\n" + secrets.token_bytes(900)
    name = hashlib.sha1(picture).hexdigest()
    text = base64.b64encode(picture).decode()
    await publish(bob, AVATAR_DATA, f"<data xmlns='{AVATAR_DATA}'>{text}</data>", name)
    info = f"<info bytes='{len(picture)}' id='{name}' type='image/png'/>"
    await publish(bob, AVATAR_METADATA, f"<metadata xmlns='{AVATAR_METADATA}'>{info}</metadata>", name)
    event = await alice.expect("the announcement", news(bob.boundjid.bare, AVATAR_METADATA))
    told = event.xml.find(f".//{{{AVATAR_METADATA}}}info").get("id")
    data = await alice.request(bob.boundjid.bare, items_of(AVATAR_DATA, told))
    assert base64.b64decode(data.find(f".//{{{AVATAR_DATA}}}data").text) == picture


async def test_who_may_read_a_node(pair, people):
    """XEP-0060 §4.5: `open` includes strangers on other servers, `presence` means contacts, `whitelist` named people."""
    alice, bob = await people.strangers(pair)
    nodes = {model: f"urn:example:{model}:{secrets.token_hex(3)}" for model in ("open", "presence", "whitelist")}
    for model, node in nodes.items():
        await publish(bob, node, f"<x xmlns='urn:example:x'>{model}</x>", model=model)
    found = await alice.request(bob.boundjid.bare, items_of(nodes["open"]))
    assert found.find(".//{urn:example:x}x").text == "open"
    assert await alice.refused(bob.boundjid.bare, items_of(nodes["presence"])) in NOT_SHOWN
    assert await alice.refused(bob.boundjid.bare, items_of(nodes["whitelist"])) in ("not-allowed", "forbidden", "item-not-found")
    assert await alice.refused(bob.boundjid.bare, items_of("urn:example:none")) in ("item-not-found", "forbidden")
    await alice.befriend(bob)
    found = await alice.request(bob.boundjid.bare, items_of(nodes["presence"]))
    assert found.find(".//{urn:example:x}x").text == "presence"
    # Only the owner may publish.
    payload = (f"<pubsub xmlns='{PUBSUB}'><publish node='{nodes['open']}'><item><x xmlns='urn:example:x'/></item></publish>"
               "</pubsub>")
    assert await alice.refused(bob.boundjid.bare, payload, "set") == "forbidden"


async def test_subscribe_to_a_node_elsewhere(pair, people):
    """XEP-0060 §6.1, §6.2, §7.1: a node on the other server's service, with notifications until unsubscribed."""
    alice, bob = await people.online(pair.home, "alice"), await people.online(pair.away, pair.away.operator())
    service, node = f"pubsub.{pair.away.domain}", f"news-{secrets.token_hex(3)}"
    await bob.request(service, f"<pubsub xmlns='{PUBSUB}'><create node='{node}'/></pubsub>", "set")
    me = alice.boundjid.bare
    await alice.request(service, f"<pubsub xmlns='{PUBSUB}'><subscribe node='{node}' jid='{me}'/></pubsub>", "set")
    await publish(bob, node, "<x xmlns='urn:example:x'>first</x>", "1", to=service)
    event = await alice.expect("the first item", news(service, node))
    assert event.xml.find(".//{urn:example:x}x").text == "first"
    found = await alice.request(service, items_of(node))
    assert found.find(".//{urn:example:x}x").text == "first"
    await alice.request(service, f"<pubsub xmlns='{PUBSUB}'><unsubscribe node='{node}' jid='{me}'/></pubsub>", "set")
    await publish(bob, node, "<x xmlns='urn:example:x'>second</x>", "2", to=service)
    await alice.request(service, "<query xmlns='http://jabber.org/protocol/disco#info'/>")
    alice.assert_got_no("news after the end", news(service, node))


async def test_nobody_subscribes_somebody_else(pair, people):
    """XEP-0060 §6.1.3.1: bad-request."""
    alice, bob = await people.online(pair.home, "alice"), await people.online(pair.away, pair.away.operator())
    service, node = f"pubsub.{pair.away.domain}", f"news-{secrets.token_hex(3)}"
    await bob.request(service, f"<pubsub xmlns='{PUBSUB}'><create node='{node}'/></pubsub>", "set")
    payload = f"<pubsub xmlns='{PUBSUB}'><subscribe node='{node}' jid='{bob.boundjid.bare}'/></pubsub>"
    assert await alice.refused(service, payload, "set") == "bad-request"
