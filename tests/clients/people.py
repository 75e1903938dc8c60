"""A person with a real client: slixmpp, plus an inbox in which a test can wait for what must come."""

import asyncio
import hashlib
import itertools

from slixmpp import ClientXMPP
from slixmpp.exceptions import IqError
from slixmpp.stanza import Iq, Message, Presence, StreamError
from slixmpp.xmlstream import ET

# A wait ends as soon as the thing is there; this only ends a wait for something that never comes.
PATIENCE_SECONDS = 30

PLUGINS = [
    "xep_0012",  # last activity
    "xep_0030",  # service discovery
    "xep_0049",  # private XML storage
    "xep_0054",  # vcard-temp
    "xep_0077",  # in-band registration
    "xep_0092",  # software version
    "xep_0115",  # entity capabilities
    "xep_0191",  # blocking
    "xep_0199",  # ping
    "xep_0202",  # entity time
    "xep_0203",  # delayed delivery
    "xep_0280",  # carbons
    "xep_0352",  # client states
]

ROSTER = "{jabber:iq:roster}"


DATA = "{jabber:x:data}"


def answer_of_challenge(query, username, password):
    """XEP-0158 §4, §6.2: the form filled in, with the answer to its challenge; None where there is no challenge."""
    form = query.find(f"{DATA}x")
    if form is None:
        return None
    fields = {field.get("var"): field for field in form.iter(f"{DATA}field")}
    prefix, label = fields["from"].findtext(f"{DATA}value"), int(fields["SHA-256"].get("label"), 16)
    mask = (1 << label.bit_length()) - 1
    texts = (f"{prefix}{count}" for count in itertools.count())
    found = next(text for text in texts
                 if int.from_bytes(hashlib.sha256(text.encode()).digest()[-4:], "big") & mask == label)
    answer = ET.Element(f"{DATA}x", type="submit")
    for name, value in [("FORM_TYPE", "jabber:iq:register"), ("challenge", fields["challenge"].findtext(f"{DATA}value")),
                        ("SHA-256", found), ("username", username), ("password", password)]:
        ET.SubElement(ET.SubElement(answer, f"{DATA}field", var=name), f"{DATA}value").text = value
    return answer


class SignInFailed(Exception):
    """The server refused; the condition is the SASL failure's, or `None` when the stream ended without one."""

    def __init__(self, condition):
        super().__init__(condition)
        self.condition = condition


class Person(ClientXMPP):
    """One device of one account. Stanzas that come in stay in `inbox` until a test takes them with `expect`."""

    def __init__(self, server, jid, password, *, resource=None, mechanism=None, direct_tls=False, trust=None,
                 registers=False):
        super().__init__(f"{jid}/{resource}" if resource else jid, password, sasl_mech=mechanism)
        self.kim = server
        self.ssl_context = trust or server.trust()
        self.enable_direct_tls, self.enable_starttls = direct_tls, not direct_tls
        self.address = ("127.0.0.1", server.port_tls if direct_tls else server.port)
        # The tests answer subscription requests themselves.
        self.auto_authorize, self.auto_subscribe = None, False
        for plugin in PLUGINS:
            self.register_plugin(plugin)

        self.inbox = []
        self._news = asyncio.Event()
        self.roster_version = None
        self.gone = None
        self.tls_failure = None
        self.add_filter("in", self._take_in)
        self.add_event_handler("failed_auth", self._on_failed_auth)
        self.add_event_handler("ssl_invalid_chain", self._on_tls_failure)
        self._refusal = None
        self.registration_error = None
        if registers:
            self.plugin["xep_0077"].force_registration = False
            self.add_event_handler("register", self._register)

    # --- coming and going --------------------------------------------------------------------------------------

    async def sign_in(self):
        """Connects, secures, authenticates and binds; raises SignInFailed when the server says no."""
        loop = asyncio.get_running_loop()
        started = loop.create_future()
        self.gone = loop.create_future()

        def settle(future, value):
            if not future.done():
                future.set_result(value)

        self.add_event_handler("session_start", lambda _: settle(started, True), disposable=True)

        def on_disconnected(why):
            settle(started, False)
            settle(self.gone, why)
            self._news.set()

        self.add_event_handler("disconnected", on_disconnected, disposable=True)
        self.connect(*self.address)
        async with asyncio.timeout(PATIENCE_SECONDS):
            if not await started:
                raise SignInFailed(self._refusal)
        return self

    async def come_online(self, priority=None):
        """Fetches the roster (which asks for pushes), then sends initial presence and waits until it took effect."""
        roster = await self.fetch_roster()
        self.send_presence(ppriority=priority)
        # RFC 6121 §4.4.2: a client's own presence comes back to it, so that it is known to have been handled.
        await self.expect_presence(self.boundjid.full, "available")
        return roster

    async def leave(self):
        """Ends the stream in the polite way and waits until the connection is closed."""
        if self.gone is None:
            return
        if self.gone.done():
            self.cancel_connection_attempt()
            return
        self.disconnect()
        async with asyncio.timeout(PATIENCE_SECONDS):
            await self.gone

    async def lose_connection(self):
        """The network is gone, without a word to anybody."""
        self.transport.abort()
        await self.dropped()

    async def resume(self):
        """Connects again; tells whether the session went on (XEP-0198 §5) or a new one began."""
        loop = asyncio.get_running_loop()
        outcome = loop.create_future()
        self.gone = loop.create_future()

        def settle(future, value):
            if not future.done():
                future.set_result(value)

        self.add_event_handler("session_resumed", lambda _: settle(outcome, True), disposable=True)
        self.add_event_handler("session_start", lambda _: settle(outcome, False), disposable=True)
        self.add_event_handler("disconnected", lambda why: settle(self.gone, why), disposable=True)
        self.connect(*self.address)
        async with asyncio.timeout(PATIENCE_SECONDS):
            return await outcome

    async def dropped(self):
        """Waits until the server has ended the connection."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            await self.gone

    def _on_failed_auth(self, failure):
        self._refusal = failure["condition"]

    def _on_tls_failure(self, error):
        self.tls_failure = error
        self.disconnect(wait=0)

    async def _register(self, form):
        """XEP-0077 §3.1.1: fills in the form that the server sent before sign-in."""
        wanted = {"username": self.requested_jid.user, "password": self.password}
        iq = self.make_iq_set(sub=None)
        for field in form["register"]["fields"]:
            if field in wanted:
                iq["register"][field] = wanted[field]
        answer = answer_of_challenge(form["register"].xml, **wanted)
        if answer is not None:
            iq["register"].xml.append(answer)
        try:
            await iq.send(timeout=PATIENCE_SECONDS)
        except IqError as error:
            self.registration_error = error.iq["error"]["condition"]
            self.disconnect()

    # --- the inbox ---------------------------------------------------------------------------------------------

    def _take_in(self, stanza):
        if isinstance(stanza, (Message, Presence, Iq, StreamError)):
            self.inbox.append(stanza)
            self._news.set()
        return stanza

    async def expect(self, what, matches):
        """Takes the first stanza for which `matches` holds out of the inbox, waiting for it if need be."""
        reason = f"within {PATIENCE_SECONDS} s"
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                while True:
                    for index, stanza in enumerate(self.inbox):
                        if matches(stanza):
                            return self.inbox.pop(index)
                    if self.gone.done():
                        reason = "before the connection ended"
                        break
                    self._news.clear()
                    await self._news.wait()
        except TimeoutError:
            pass
        seen = "\n".join(str(stanza) for stanza in self.inbox) or "(nothing)"
        raise AssertionError(f"{self.boundjid} did not get {what} {reason}; the inbox has:\n{seen}")

    async def expect_message(self, body):
        return await self.expect(
            f"the message {body!r}",
            lambda s: isinstance(s, Message) and s["type"] != "error" and s["body"] == body,
        )

    async def expect_presence(self, sender, kind):
        """`kind`: available (whatever it shows), unavailable, subscribe, subscribed, unsubscribe, unsubscribed."""
        return await self.expect(
            f"{kind} presence from {sender}",
            lambda s: isinstance(s, Presence) and s["from"] == sender and presence_kind(s) == kind,
        )

    async def expect_push(self, contact, **fields):
        """A roster push (RFC 6121 §2.1.6) with the contact's item; the fields are the item's attributes."""

        def matches(stanza):
            item = roster_item(stanza, contact) if isinstance(stanza, Iq) and stanza["type"] == "set" else None
            return item is not None and all(item.get(name) == value for name, value in fields.items())

        push = await self.expect(f"a roster push for {contact} with {fields}", matches)
        assert push["from"].full in ("", self.boundjid.bare), f"a push from a stranger: {push}"
        self.roster_version = push.xml.find(f"{ROSTER}query").get("ver")
        return roster_item(push, contact)

    async def expect_error(self, kind, condition, stanza_id=None):
        return await self.expect(
            f"a {condition} error",
            lambda s: isinstance(s, kind) and s["type"] == "error" and s["error"]["condition"] == condition
            and stanza_id in (None, s["id"]),
        )

    async def expect_stream_error(self, condition):
        error = await self.expect("a stream error", lambda s: isinstance(s, StreamError))
        assert error["condition"] == condition, str(error)
        return error

    async def settle(self):
        """When this returns, the server has handled all that was sent before, and its answers are in the inbox.

        RFC 6120 §10.1: stanzas between two entities keep their order.
        """
        await self.plugin["xep_0199"].send_ping(self.kim.domain, timeout=PATIENCE_SECONDS)

    def assert_got_no(self, what, matches):
        wrong = [str(stanza) for stanza in self.inbox if matches(stanza)]
        assert not wrong, f"{self.boundjid} got {what}:\n" + "\n".join(wrong)

    def assert_got_no_message(self):
        self.assert_got_no("a message", lambda s: isinstance(s, Message))

    # --- what people do ----------------------------------------------------------------------------------------

    def say(self, to, body, kind="chat"):
        message = self.make_message(mto=to, mbody=body, mtype=kind)
        message["id"] = self.new_id()
        message.send()
        return message["id"]

    async def fetch_roster(self, version=None):
        """The roster as {bare JID: item}, or None when the server says that the known version is current."""
        iq = self.make_iq_get()
        query = ET.SubElement(iq.xml, f"{ROSTER}query")
        if version is not None:
            query.set("ver", version)
        result = await iq.send(timeout=PATIENCE_SECONDS)
        query = result.xml.find(f"{ROSTER}query")
        if query is None:
            return None
        self.roster_version = query.get("ver")
        return {item.get("jid"): item for item in query}

    async def set_roster_item(self, contact, name=None, groups=(), **attributes):
        iq = self.make_iq_set()
        item = ET.SubElement(ET.SubElement(iq.xml, f"{ROSTER}query"), f"{ROSTER}item", jid=str(contact), **attributes)
        if name is not None:
            item.set("name", name)
        for group in groups:
            ET.SubElement(item, f"{ROSTER}group").text = group
        await iq.send(timeout=PATIENCE_SECONDS)

    async def befriend(self, other):
        """Both end subscribed to each other and see each other (RFC 6121 §3.1)."""
        for asking, asked in ((self, other), (other, self)):
            asking.send_presence(pto=asked.boundjid.bare, ptype="subscribe")
            await asked.expect_presence(asking.boundjid.bare, "subscribe")
            asked.send_presence(pto=asking.boundjid.bare, ptype="subscribed")
            await asking.expect_presence(asked.boundjid.bare, "subscribed")
            await asking.expect_presence(asked.boundjid.full, "available")
        await self.expect_push(other.boundjid.bare, subscription="both")
        await other.expect_push(self.boundjid.bare, subscription="both")
        for one in (self, other):
            await one.settle()
            one.inbox.clear()


def presence_kind(presence):
    # slixmpp tells <show/> as the type of available presence.
    kind = presence.xml.get("type")
    return "available" if kind is None else kind


def roster_item(iq, contact):
    query = iq.xml.find(f"{ROSTER}query")
    if query is None:
        return None
    return next((item for item in query if item.get("jid") == str(contact)), None)


def groups_of(item):
    return sorted(group.text for group in item.findall(f"{ROSTER}group"))
