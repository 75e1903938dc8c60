"""People on several servers: the client tests' person with a server of any kind."""

from slixmpp import JID, Iq, Message, Presence
from slixmpp.exceptions import IqError
from slixmpp.xmlstream import ET

from people import PATIENCE_SECONDS, Person, presence_kind

PATIENT = {"timeout": PATIENCE_SECONDS}
MORE_PLUGINS = [
    "xep_0004", "xep_0045", "xep_0059", "xep_0060", "xep_0085", "xep_0163", "xep_0184", "xep_0249", "xep_0313", "xep_0333",
]


class Resident(Person):
    """A person on a server with its own address."""

    def __init__(self, server, jid, password, interests=(), **options):
        """`interests`: PEP nodes that this device asks for with `+notify` in its capabilities."""
        super().__init__(server, jid, password, **options)
        self.interests = interests
        self.address = (server.address, server.port)
        for plugin in MORE_PLUGINS:
            self.register_plugin(plugin)
        self.plugin["xep_0184"].auto_ack = False
        self.plugin["xep_0184"].auto_request = False

    async def come_online(self, priority=None):
        for node in self.interests:
            self.plugin["xep_0030"].add_feature(f"{node}+notify")
        await self.plugin["xep_0115"].update_caps(broadcast=False)
        return await super().come_online(priority)

    async def reach(self, other):
        """When this returns, all earlier stanzas between the two have arrived, in both directions.

        The ping and its answer keep their place in the order (RFC 6120 §10.1).
        """
        await self.plugin["xep_0199"].send_ping(other.boundjid.full, **PATIENT)

    async def refused(self, to, payload, kind="get"):
        """Sends a request that must fail; returns the error's condition."""
        return (await self.refusal(to, payload, kind))["error"]["condition"]

    async def refusal(self, to, payload, kind="get"):
        iq = self.make_iq(itype=kind, ito=JID(to))
        iq.append(ET.fromstring(payload))
        try:
            answer = await iq.send(**PATIENT)
        except IqError as error:
            return error.iq
        raise AssertionError(f"{to} answered {answer}")

    async def request(self, to, payload, kind="get"):
        """Sends a request that must succeed; returns the answer's payload."""
        iq = self.make_iq(itype=kind, ito=JID(to) if to else None)
        iq.append(ET.fromstring(payload))
        answer = await iq.send(**PATIENT)
        return answer.xml[0] if len(answer.xml) else None

    def send_xml(self, text):
        """Sends a stanza exactly as written."""
        self.send_raw(text)

    async def expect_child(self, kind, tag, sender=None, what=None):
        """A stanza that has such an element, anywhere in it; returns the stanza."""
        return await self.expect(
            what or f"a {kind.__name__} with {tag}",
            lambda s: isinstance(s, kind) and s.xml.find(f".//{tag}") is not None
            and (sender is None or s["from"] == sender or s["from"].bare == sender),
        )

    async def expect_status(self, sender, status):
        return await self.expect(
            f"{status!r} from {sender}",
            lambda s: isinstance(s, Presence) and s["from"] == sender and s["status"] == status,
        )

    def assert_got_nothing_from(self, other):
        bare = other.boundjid.bare if isinstance(other, Person) else str(other)
        # IQs come from `reach`; errors come from the own server, about stanzas it did not send.
        self.assert_got_no(f"something from {bare}", lambda s: s["from"].bare == bare and s["type"] != "error"
                           and not isinstance(s, Iq))


def said(room, nick, body):
    return lambda s: (isinstance(s, Message) and s["type"] == "groupchat" and s["from"] == f"{room}/{nick}"
                      and s["body"] == body)


def came(room, nick):
    return lambda s: isinstance(s, Presence) and s["from"] == f"{room}/{nick}" and presence_kind(s) == "available"


def went(room, nick, code=None):
    def match(stanza):
        if not isinstance(stanza, Presence) or stanza["from"] != f"{room}/{nick}" or stanza["type"] != "unavailable":
            return False
        codes = {status.get("code") for status in stanza.xml.iter("{http://jabber.org/protocol/muc#user}status")}
        return code is None or str(code) in codes
    return match


class Crowd:
    """Makes accounts that no other story uses, and the devices that sign in to them."""

    def __init__(self):
        self.devices = []

    async def __aenter__(self):
        return self

    async def __aexit__(self, *_):
        for device in self.devices:
            await device.leave()

    def device(self, server, account, kind=Resident, **options):
        jid, password = account
        device = kind(server, jid, password, **options)
        self.devices.append(device)
        return device

    async def online(self, server, account, **options):
        """Signed in and available. `account`: a name for a new one, or one that there is."""
        account = server.account(account) if isinstance(account, str) else account
        device = self.device(server, account, **options)
        await device.sign_in()
        await device.come_online()
        return device

    async def strangers(self, pair, **options):
        """One person at home and one away, who do not know each other."""
        return await self.online(pair.home, "alice", **options), await self.online(pair.away, "bob", **options)

    async def friends(self, pair, **options):
        """One person at home and one away, subscribed to each other."""
        alice, bob = await self.strangers(pair, **options)
        await alice.befriend(bob)
        if any(server.kind.startswith("ejabberd") for server in (pair.home, pair.away)):
            # It reads capabilities when presence arrives from a subscriber, and not when a subscription is approved later.
            alice.send_presence()
            bob.send_presence()
        await alice.reach(bob)
        await bob.reach(alice)
        for one in (alice, bob):
            one.inbox.clear()
        return alice, bob

    async def again(self, device, **options):
        """Another device of the same account."""
        return await self.online(device.kim, (device.boundjid.bare, device.password), **options)
