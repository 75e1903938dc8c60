"""The picture of the client in README.md. `KIM_WRITE_SAMPLE=1` writes it to docs/pictures; look at it before you commit it."""

import os
import pathlib

import pytest

from people import Person

PICTURE = pathlib.Path(__file__).parents[2] / "docs" / "pictures" / "client.png"
TALK = [
    ("bob", "Hi Alice! Did you get the invitation link to work?"),
    ("alice", "Yes, I opened it in the browser and was in. And it is encrypted."),
    ("bob", "Great. The others are coming to the lobby at eight."),
    ("alice", "I'll be there. See you tonight!"),
]


@pytest.fixture
def house(make_server):
    server = make_server()
    yield server
    server.stop()


async def make_contacts(house, accounts):
    """Each has the other in the roster, by name, and sees whether they are there."""
    alice, bob = devices = [Person(house, *accounts[name]) for name in ("alice", "bob")]
    for device in devices:
        await device.sign_in()
        await device.come_online()
    await alice.befriend(bob)
    await alice.set_roster_item(bob.boundjid.bare, name="Bob")
    await bob.set_roster_item(alice.boundjid.bare, name="Alice")
    for device in devices:
        await device.leave()


async def test_a_conversation_for_the_readme(open_tab, house):
    accounts = {name: house.add_account(name) for name in ("alice", "bob")}
    await make_contacts(house, accounts)
    tabs = {}
    for name, account in accounts.items():
        tabs[name] = await open_tab(name, house, viewport={"width": 1100, "height": 640})
        await tabs[name].sign_in(account)
    for name, other in (("alice", "bob"), ("bob", "alice")):
        await tabs[name].chat_with(accounts[other][0])
        await tabs[name].page.locator("button.toggle-omemo[title='Messages are sent encrypted']:visible").wait_for()
    for name, text in TALK:
        await tabs[name].say(text)
        await tabs["bob" if name == "alice" else "alice"].hears(text)

    # README shows what Alice sees: all four messages, and that they are encrypted.
    page = tabs["alice"].page
    for _, text in TALK:
        assert await tabs["alice"].messages().get_by_text(text, exact=True).count() == 1, text
    assert PICTURE.is_file() or os.environ.get("KIM_WRITE_SAMPLE"), "README.md shows this picture"
    if os.environ.get("KIM_WRITE_SAMPLE"):
        PICTURE.parent.mkdir(exist_ok=True)
        await page.screenshot(path=PICTURE)
    await tabs["alice"].shot("readme")
