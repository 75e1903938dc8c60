"""Devices that speak OMEMO with libraries nobody here wrote: slixmpp-omemo with oldmemo and twomemo underneath, and
`kim-device`, which is the Signal protocol in Rust."""

import asyncio
import json
import sys
from xml.etree import ElementTree as ET

import oldmemo.oldmemo
import twomemo
import twomemo.etree
from omemo.session_manager import MessageNotForUs
from omemo.storage import Just, Nothing, Storage
from slixmpp import JID, Message
from slixmpp.plugins import register_plugin
from slixmpp_omemo import XEP_0384, TrustLevel

from people import PATIENCE_SECONDS, Person
from server import TARGET

LEGACY = oldmemo.oldmemo.NAMESPACE
TWO = twomemo.twomemo.NAMESPACE
PLUGINS = ["xep_0004", "xep_0045", "xep_0060", "xep_0163", "xep_0313", "xep_0334"]


class Keys(Storage):
    """What a device keeps; outlives its connections."""

    def __init__(self):
        super().__init__()
        self.kept = {}

    async def _load(self, key):
        return Just(self.kept[key]) if key in self.kept else Nothing()

    async def _store(self, key, value):
        self.kept[key] = value

    async def _delete(self, key):
        self.kept.pop(key, None)


class Omemo(XEP_0384):
    """slixmpp's plugin for a user who trusts every device at first sight."""

    keys = None

    @property
    def storage(self):
        return self.keys

    @property
    def _btbv_enabled(self):
        return True

    async def _prompt_manual_trust(self, manually_trusted, identifier):
        manager = await self.get_session_manager()
        for device in manually_trusted:
            await manager.set_trust(device.bare_jid, device.identity_key, TrustLevel.TRUSTED.value)


register_plugin(Omemo)


class Encrypted(Person):
    """A device that encrypts. What others wrote stays in `letters` as (text, writer's bare JID, writer's device)."""

    def __init__(self, *arguments, keys=None, **options):
        super().__init__(*arguments, **options)
        for plugin in PLUGINS:
            self.register_plugin(plugin)
        self.register_plugin("xep_0384", module=sys.modules[__name__])
        self.omemo = self.plugin["xep_0384"]
        self.keys = self.omemo.keys = keys or Keys()
        self.letters, self.unreadable, self.not_for_us = [], [], 0
        self._seen, self._reading = set(), []
        self._turn = asyncio.Lock()
        self.add_event_handler("carbon_sent", self._read_copy)
        self.add_event_handler("carbon_received", self._read_copy)

    async def come_online(self, priority=None):
        """As a user sees it: online, copies on, keys published."""
        roster = await super().come_online(priority)
        await self.plugin["xep_0280"].enable()
        await self.omemo.get_session_manager()
        return roster

    async def device(self):
        """The own device as the library describes it."""
        manager = await self.omemo.get_session_manager()
        return (await manager.get_own_device_information())[0]

    async def fingerprint(self):
        manager = await self.omemo.get_session_manager()
        return " ".join(manager.format_identity_key((await self.device()).identity_key))

    async def find_devices_of(self, other):
        """Waits until a contact's devices can be read: its server may still be about to take note of the subscription."""
        manager = await self.omemo.get_session_manager()
        for _ in range(int(PATIENCE_SECONDS / 0.2)):
            await self.omemo.refresh_device_lists({JID(other.boundjid.bare)}, force_download=True)
            if await manager.get_device_information(other.boundjid.bare):
                return
            await asyncio.sleep(0.2)
        raise AssertionError(f"{self.boundjid} finds no device of {other.boundjid.bare}")

    # --- writing -----------------------------------------------------------------------------------------------

    async def write(self, to, text, namespace=LEGACY):
        """Encrypts for all devices of `to` and all other own ones, and sends; returns the ids of those devices."""
        to = JID(to)
        message = self.make_message(mto=to, mtype="chat")
        message["id"] = self.new_id()
        if namespace == LEGACY:
            message["body"] = text
            message, errors = await self.omemo.encrypt_message(message, to)
            assert not errors, errors
        else:
            # The plugin leaves the envelope of XEP-0420 to others; the library below does all the rest.
            await self.omemo.refresh_device_lists({to}, force_download=True)
            manager = await self.omemo.get_session_manager()
            envelope = f"<envelope xmlns='urn:xmpp:sce:1'><content><body xmlns='jabber:client'>{text}</body></content></envelope>"
            made, errors = await manager.encrypt(frozenset({to.bare}), {TWO: envelope.encode()}, [TWO])
            assert not errors, errors
            for one in made:
                message.append(twomemo.etree.serialize_message(one))
            message.enable("store")
        message.send()
        return sorted(int(key.get("rid")) for key in message.xml.iter(f"{{{namespace}}}key"))

    async def write_in_room(self, room, text, members):
        """Encrypts for the members of a room, by their own addresses, and sends it there (§5.8.3)."""
        message = self.make_message(mto=room, mbody=text, mtype="groupchat")
        message["id"] = self.new_id()
        message, errors = await self.omemo.encrypt_message(message, {JID(member) for member in members})
        assert not errors, errors
        message.send()

    # --- reading -----------------------------------------------------------------------------------------------

    def _take_in(self, stanza):
        # slixmpp's event for messages is for those with a body; this sees all.
        if isinstance(stanza, Message) and self.omemo.is_encrypted(stanza):
            self._reading.append(asyncio.ensure_future(self._read(stanza)))
        return super()._take_in(stanza)

    async def _read(self, stanza):
        namespaces = self.omemo.is_encrypted(stanza)
        if not namespaces or stanza["type"] == "error" or stanza["from"] == self.boundjid:
            return
        async with self._turn:
            ids = {element.get("id") for element in stanza.xml.iter("{urn:xmpp:sid:0}stanza-id")}
            if ids & self._seen:
                return
            self._seen |= ids
            try:
                text, device = await self._open(stanza, TWO if TWO in namespaces else LEGACY)
            except MessageNotForUs:
                self.not_for_us += 1
            except Exception as error:  # pylint: disable=broad-exception-caught
                self.unreadable.append(error)
            else:
                if text is not None:
                    self.letters.append((text, stanza["from"].bare, device.device_id))
        self._news.set()

    async def _read_copy(self, carbon):
        sent = carbon.xml.find("{urn:xmpp:carbons:2}sent") is not None
        await self._read(carbon["carbon_sent" if sent else "carbon_received"])

    async def _open(self, stanza, namespace):
        if namespace == LEGACY:
            opened, device = await self.omemo.decrypt_message(stanza)
            return opened["body"] or None, device
        element = stanza.xml.find(f"{{{TWO}}}encrypted")
        manager = await self.omemo.get_session_manager()
        envelope, device, _ = await manager.decrypt(twomemo.etree.parse_message(element, stanza["from"].bare))
        if envelope is None:
            return None, device
        return ET.fromstring(envelope).find(".//{jabber:client}body").text, device

    async def expect_letter(self, text, writer=None):
        """Waits for a decrypted text and returns the device that wrote it."""
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                while True:
                    for at, letter in enumerate(self.letters):
                        if letter[0] == text and writer in (None, letter[1]):
                            return self.letters.pop(at)[2]
                    self._news.clear()
                    await self._news.wait()
        except TimeoutError:
            raise AssertionError(
                f"{self.boundjid} never read {text!r}; it read {self.letters} and could not read {self.unreadable}"
            ) from None

    async def settle(self):
        """The same, and what came is decrypted."""
        await super().settle()
        await asyncio.gather(*self._reading)
        self._reading.clear()

    async def read_archive(self, **filters):
        """Catches up from the archive (XEP-0313), before anything waiting is handed over."""
        async for result in self.plugin["xep_0313"].iterate(**filters):
            stanza = result["mam_result"]["forwarded"]["stanza"]
            ET.SubElement(stanza.xml, "{urn:xmpp:sid:0}stanza-id", id=result["mam_result"]["id"])
            await self._read(stanza)

    async def expect_alert(self, *parts):
        """A headline of the server whose text has all these parts."""
        return await self.expect(
            f"a headline with {parts}",
            lambda s: isinstance(s, Message) and s["type"] == "headline" and s["from"] == self.kim.domain
            and all(part in s["body"] for part in parts),
        )

    async def devices_of(self, jid, namespace=LEGACY):
        """The published device list."""
        node = {LEGACY: "eu.siacs.conversations.axolotl.devicelist", TWO: "urn:xmpp:omemo:2:devices"}[namespace]
        items = await self.plugin["xep_0060"].get_items(JID(jid), node, timeout=PATIENCE_SECONDS)
        return sorted(int(device.get("id")) for device in items.xml.iter(f"{{{namespace}}}device"))


class RustDevice:
    """A device of kim-omemo behind a slixmpp client, which carries its bundles and messages as they are."""

    def __init__(self, person, device_id):
        self.person, self.id = person, device_id
        self.process = None

    async def begin(self):
        """Publishes the list and the bundle, as a client does that has no other device."""
        binary = TARGET / "debug" / "kim-device"
        self.process = await asyncio.create_subprocess_exec(
            str(binary), str(self.id), stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, limit=2**20
        )
        await self.publish("eu.siacs.conversations.axolotl.devicelist",
                           f"<list xmlns='{LEGACY}'><device id='{self.id}'/></list>")
        await self.publish_bundle()
        return self

    async def ask(self, do, **request):
        self.process.stdin.write(json.dumps({"do": do, **request}).encode() + b"\n")
        answer = json.loads(await self.process.stdout.readline())
        assert "error" not in answer, answer
        return answer

    async def end(self):
        self.process.stdin.close()
        await self.process.wait()

    async def publish_bundle(self):
        bundle = (await self.ask("bundle"))["bundle"]
        await self.publish(f"eu.siacs.conversations.axolotl.bundles:{self.id}", bundle)

    async def publish(self, node, xml):
        # No options, as Dino does: the server makes the node readable for all.
        await self.person.plugin["xep_0060"].publish(None, node, "current", ET.fromstring(xml), timeout=PATIENCE_SECONDS)

    async def meet(self, jid, device):
        items = await self.person.plugin["xep_0060"].get_items(
            JID(jid), f"eu.siacs.conversations.axolotl.bundles:{device}", timeout=PATIENCE_SECONDS)
        bundle = ET.tostring(items.xml.find(f".//{{{LEGACY}}}bundle"), encoding="unicode")
        await self.ask("meet", account=jid, device=device, bundle=bundle)

    async def write(self, to, text, devices):
        encrypted = (await self.ask("encrypt", text=text, to=[[to, device] for device in devices]))["encrypted"]
        message = self.person.make_message(mto=to, mtype="chat")
        message.append(ET.fromstring(encrypted))
        message.send()

    async def read(self, writer):
        """The next encrypted message of `writer`, decrypted: (text, device)."""
        tag = f"{{{LEGACY}}}encrypted"
        stanza = await self.person.expect(
            f"an encrypted message from {writer}",
            lambda s: isinstance(s, Message) and s["from"].bare == writer and s.xml.find(tag) is not None,
        )
        encrypted = ET.tostring(stanza.xml.find(tag), encoding="unicode")
        read = await self.ask("decrypt", account=writer, encrypted=encrypted)
        if read["used_prekey"]:
            await self.publish_bundle()
        return read["text"], read["device"]
