"""Makes the bundles in xep/xep0384_omemo/tests/bundles: omemo_bundles.py FOLDER

They come out of the libraries oldmemo and twomemo as these would publish them, so that the checks of the server are
tested with what clients really send. Run it in the environment of tests/clients/requirements.txt. Keys are new each time;
the private ones are thrown away.
"""

import asyncio
import pathlib
import sys
from xml.etree import ElementTree as ET

import oldmemo
import oldmemo.etree
import omemo
import twomemo
import twomemo.etree
from omemo.storage import Just, Nothing, Storage

ACCOUNT = "alice@localhost"


class Memory(Storage):
    """Keeps what the library wants kept for as long as the program runs."""

    def __init__(self):
        super().__init__()
        self.kept = {}

    async def _load(self, key):
        return Just(self.kept[key]) if key in self.kept else Nothing()

    async def _store(self, key, value):
        self.kept[key] = value

    async def _delete(self, key):
        self.kept.pop(key, None)


async def bundles():
    """The bundles of a new device, one for each version of the protocol."""
    published = []

    class Device(omemo.SessionManager):
        @staticmethod
        async def _upload_bundle(bundle):
            published.append(bundle)

        @staticmethod
        async def _upload_device_list(namespace, device_list):
            pass

        @staticmethod
        async def _download_device_list(namespace, bare_jid):
            return {}

        async def _make_trust_decision(self, undecided, identifier):
            raise NotImplementedError

        async def _evaluate_custom_trust_level(self, device):
            raise NotImplementedError

        _download_bundle = _delete_bundle = _send_message = _make_trust_decision

    storage = Memory()
    backends = [twomemo.Twomemo(storage), oldmemo.Oldmemo(storage)]
    await Device.create(backends, storage, ACCOUNT, None, "undecided")
    by_namespace = {bundle.namespace: bundle for bundle in published}
    return by_namespace[twomemo.twomemo.NAMESPACE], by_namespace[oldmemo.oldmemo.NAMESPACE]


def written(element):
    # Without prefixes, as clients write it.
    namespace = element.tag[1:].split("}")[0]
    ET.register_namespace("", namespace)
    return ET.tostring(element, encoding="unicode") + "\n"


async def main(folder):
    """A device with each sign of the identity key; its two bundles have the same key in two forms."""
    wanted = {0, 1}
    while wanted:
        new, old = await bundles()
        sign = new.bundle.identity_key[31] >> 7
        if sign in wanted:
            wanted.remove(sign)
            (folder / f"legacy_sign_{sign}.xml").write_text(written(oldmemo.etree.serialize_bundle(old)))
            (folder / f"omemo2_sign_{sign}.xml").write_text(written(twomemo.etree.serialize_bundle(new)))


asyncio.run(main(pathlib.Path(sys.argv[1])))
