"""What the client keeps on the device: sealed, opened at sign-in, closed at sign-out. A test reads all of the browser's storage, as
somebody who finds the device would."""

import base64
import json
import re

import pytest

from test_conversation import conversation

# Everything that a page of this origin can find on the device: names and values, as text. Bytes become Latin-1, so that a text
# in them is found; keys of WebCrypto say whether they can be taken out.
READ_ALL = """
async () => {
    const all = [];
    const put = (where, name, value) => all.push([where, String(name), write(value)]);
    const latin1 = (bytes) => Array.from(bytes, (byte) => String.fromCharCode(byte)).join('');
    const write = (value) => JSON.stringify(value, (_, part) => {
        if (part instanceof CryptoKey) return `CryptoKey extractable=${part.extractable}`;
        if (part instanceof ArrayBuffer) return latin1(new Uint8Array(part));
        if (ArrayBuffer.isView(part)) return latin1(new Uint8Array(part.buffer, part.byteOffset, part.byteLength));
        return part;
    });
    for (const store of [localStorage, sessionStorage]) {
        for (const name of Object.keys(store)) put(store === localStorage ? 'local' : 'session', name, store.getItem(name));
    }
    const done = (request) => new Promise((resolve, reject) => {
        request.onsuccess = () => resolve(request.result);
        request.onerror = () => reject(request.error);
    });
    for (const { name } of await indexedDB.databases()) {
        const db = await done(indexedDB.open(name));
        for (const table of db.objectStoreNames) {
            const store = db.transaction(table).objectStore(table);
            const [names, values] = await Promise.all([done(store.getAllKeys()), done(store.getAll())]);
            names.forEach((key, at) => put(`${name}/${table}`, key, values[at]));
        }
        db.close();
    }
    for (const name of await caches.keys()) {
        for (const request of await (await caches.open(name)).keys()) put('cache', request.url, '');
    }
    return all;
}
"""

# Words that stand beside keys, messages and contacts wherever Converse writes them in the clear.
TELLTALES = ["identity_keypair", "identity_key", "privKey", "signed_prekey", "scram_keys", "salted_pass", "session_key", "converse.omemo",
             "plaintext", "registrationId", "subscription", "<message", "msgid"]


async def storage(tab):
    """All of it, with what is written in base64 read too."""
    rows = await tab.page.evaluate(READ_ALL)
    text = "\n".join(json.dumps(row, ensure_ascii=False) for row in rows)
    decoded = []
    for run in re.findall(r"[A-Za-z0-9+/]{16,}={0,2}", text):
        try:
            decoded.append(base64.b64decode(run + "=" * (-len(run) % 4)).decode("latin-1"))
        except ValueError:
            continue
    return rows, text + "\n".join(decoded)


def public_keys(frames):
    """The public keys in the bundles that went over the wire."""
    everything = "".join(frames)
    return set(re.findall(r">([A-Za-z0-9+/]{43,44}=?)<", everything))


@pytest.fixture(scope="module")
def house(make_server):
    server = make_server()
    yield server
    server.stop()


async def sign_out(tab):
    """As a person does it, and confirms it."""
    await tab.page.locator("converse-user-profile a.show-profile").first.click()
    await tab.page.get_by_role("button", name="Sign out").click()
    await tab.page.locator("converse-confirm-modal button[type=submit]").click()
    await tab.page.locator("#sign-in").wait_for()


async def test_a_conversation_leaves_nothing_to_read_on_the_device(open_tab, people, house):
    alice, bob, frames = await conversation(open_tab, people, house)
    text = "the treasure is under the old oak"
    await alice.say(text)
    await bob.hears(text)
    await bob.say("dig at nine")
    await alice.hears("dig at nine")
    contact = (await alice.page.evaluate("location.hash")).split("jid=")[1]
    assert "@" in contact
    # What is written a moment later is there too.
    await alice.page.wait_for_timeout(500)

    keys = public_keys(frames)
    assert keys, "no bundle of keys went by"
    rows, everything = await storage(alice)
    kept = [row for row in rows if row[0].startswith(("converse-persistent", "session"))]
    assert len(kept) > 20, "the client keeps nothing: there is nothing to test"
    for secret in [text, "dig at nine", contact, contact.split("@")[0], *keys, *TELLTALES]:
        assert secret not in everything, f"{secret!r} stands readable on the device"
    assert "CryptoKey extractable=false" in everything and "extractable=true" not in everything

    # The same look finds what is not sealed.
    await alice.page.evaluate("text => sessionStorage.setItem('probe', btoa(text))", text)
    assert text in (await storage(alice))[1]
    await alice.page.evaluate("sessionStorage.removeItem('probe')")

    # A reload opens it again, without a password.
    await alice.reload()
    await alice.chatting()
    await alice.hears(text)
    await alice.hears("dig at nine")


async def test_signing_out_locks_it_and_signing_in_opens_it(open_tab, people, house):
    (alice, password), (bob, _) = accounts = people.account("alice", house), people.account("bob", house)
    mine, his = [await open_tab(who, house) for who in ("alice", "bob")]
    for tab, account in zip((mine, his), accounts):
        await tab.sign_in(account)
    for tab, jid in ((mine, bob), (his, alice)):
        await tab.chat_with(jid)
        await tab.page.locator("button.toggle-omemo[title='Messages are sent encrypted']:visible").wait_for()
    text = "only for the two of us"
    await his.say(text)
    await mine.hears(text)
    await mine.page.wait_for_timeout(500)
    await sign_out(mine)
    rows, everything = await storage(mine)
    assert any(row[0].startswith("converse-persistent") for row in rows)
    assert "CryptoKey" not in everything, "a key that needs no password is left"
    assert not [row for row in rows if row[1].startswith("converse-session/") and "client-config" not in row[1]]
    assert text not in everything and bob not in everything

    # A wrong password opens nothing, and spoils nothing.
    await mine.fill_sign_in((alice, "not the password"))
    await mine.sees("The username or the password is wrong.")
    await mine.fill_sign_in((alice, password))
    await mine.chatting()
    await mine.chat_with(bob)
    # The archive has it for the keys of this device alone: it can be read because they were kept.
    await mine.hears(text)


async def test_a_guest_leaves_nothing_to_read_either(open_tab, house):
    tab = await open_tab("guest", house)
    await tab.open("/room/lobby")
    await tab.page.fill("#visit [name=nick]", "Wanda")
    await tab.page.click("#visit button")
    await tab.chatting()
    await tab.say("hello from nowhere")
    await tab.hears("hello from nowhere")
    await tab.page.wait_for_timeout(500)
    rows, everything = await storage(tab)
    assert len([row for row in rows if row[0] == "session"]) > 5
    # The door itself remembers for which room it has which nickname, until they leave.
    everything = everything.replace("kim-guest:lobby@conference.localhost", "")
    for secret in ["hello from nowhere", "lobby@conference", "<message"]:
        assert secret not in everything, f"{secret!r} stands readable on the device"
    await tab.reload()
    await tab.chatting()
    await tab.hears("hello from nowhere")
