"""Two people, each in a browser: what they write is encrypted from one to the other, files too."""

import base64
import struct
import zlib

import pytest

SIDE = 64


def picture():
    """A PNG of one colour, as small as they get."""
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    row = b"\0" + bytes((11, 110, 99)) * SIDE
    return b"".join((
        b"\x89PNG\r\n\x1a\n",
        chunk(b"IHDR", struct.pack(">IIBBBBB", SIDE, SIDE, 8, 2, 0, 0, 0)),
        chunk(b"IDAT", zlib.compress(row * SIDE)),
        chunk(b"IEND", b""),
    ))


PICTURE = picture()


@pytest.fixture(scope="module")
def house(make_server):
    server = make_server()
    yield server
    server.stop()


async def conversation(open_tab, people, house):
    """Alice and Bob, signed in, each looking at the chat with the other; and what Alice's client sends and gets."""
    accounts = people.account("alice", house), people.account("bob", house)
    tabs, frames = [], []
    for who, account in zip(("alice", "bob"), accounts):
        tab = await open_tab(who, house)
        if who == "alice":
            tab.page.on("websocket", lambda socket: (
                socket.on("framesent", lambda frame: frames.append(str(frame))),
                socket.on("framereceived", lambda frame: frames.append(str(frame))),
            ))
        await tab.sign_in(account)
        tabs.append(tab)
    alice, bob = tabs
    # Neither is a contact of the other, and their keys are published while they look on.
    for tab, (jid, _) in ((alice, accounts[1]), (bob, accounts[0])):
        await tab.chat_with(jid)
        await tab.page.locator("button.toggle-omemo[title='Messages are sent encrypted']:visible").wait_for()
    return alice, bob, frames


async def test_two_people_write_to_each_other_encrypted(open_tab, people, house):
    alice, bob, frames = await conversation(open_tab, people, house)
    await alice.say("meet me at the old oak")
    await bob.hears("meet me at the old oak")
    await bob.say("at nine, then")
    await alice.hears("at nine, then")
    await alice.shot("encrypted")
    await bob.shot("encrypted")
    everything = "".join(frames)
    assert "<encrypted " in everything, "there was traffic to look at"
    assert "old oak" not in everything and "at nine" not in everything

    # And it is still there, readable, after the page was loaded anew.
    await bob.reload()
    await bob.chatting()
    await bob.hears("at nine, then")


async def test_a_file_goes_from_one_to_the_other(open_tab, people, house):
    alice, bob, frames = await conversation(open_tab, people, house)
    await alice.say("look at this")
    await bob.hears("look at this")
    async with alice.page.expect_response(lambda r: r.request.method == "PUT") as put:
        await alice.page.locator("input.fileupload").first.set_input_files(
            {"name": "one-colour.png", "mimeType": "image/png", "buffer": PICTURE})
    response = await put.value
    assert response.status == 201
    url = response.url
    stored = await (await alice.context.request.get(url)).body()
    assert len(stored) >= len(PICTURE) and PICTURE not in stored, "what was uploaded is not the picture as it is"
    await bob.sees_picture(SIDE)
    await bob.shot("the picture")
    assert base64.b64encode(PICTURE).decode() not in "".join(frames)
