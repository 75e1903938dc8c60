"""The server is away: the page keeps what it showed, says so and when it tries again, and comes back by itself."""

import re
import secrets

import pytest

from test_network import behind_a_proxy

LANGUAGES = {
    "en-GB": ("The server cannot be reached.", re.compile("Trying again in [0-9]+ s")),
    "zh-CN": ("无法连接服务器。", re.compile("[0-9]+ 秒后重试")),
}


@pytest.fixture
def house(make_server):
    """A server of its own, to be stopped and started again."""
    server = make_server()
    yield server
    server.stop()


async def says_that_it_is_away(tab, locale):
    away, next_try = LANGUAGES[locale]
    await tab.sees(away, "#away")
    await tab.sees(next_try, "#away")
    assert not await tab.violations("#away")


async def is_back(tab):
    await tab.page.locator("#away").wait_for(state="hidden")


@pytest.mark.parametrize("end, locale", [("stop", "en-GB"), ("kill", "zh-CN")])
async def test_an_account_sees_its_conversation_and_that_the_server_is_away(open_tab, house, end, locale):
    alice, bob = (house.add_account(name) for name in ("alice", "bob"))
    tab = await open_tab(f"alice-{locale}", house, locale=locale)
    await tab.sign_in(alice)
    await tab.chat_with(bob[0])
    await tab.say("see you at nine")
    # Bob never signed in, so he has no keys.
    await tab.page.click(".kim-send-clear")
    await tab.hears("see you at nine")
    # The keys are there: nothing is being fetched when the server goes.
    await tab.page.locator("button.toggle-omemo").first.wait_for()

    getattr(house, end)()
    await says_that_it_is_away(tab, locale)
    await tab.hears("see you at nine")
    await tab.sees(alice[0])
    await tab.shot("away")

    # What is written meanwhile waits in its box: it is not said, and not lost.
    box = tab.page.locator("textarea.chat-textarea:visible")
    await box.fill("are you there?")
    await box.press("Enter")
    assert await box.input_value() == "are you there?"
    assert await tab.messages().get_by_text("are you there?").count() == 0

    house.start()
    await is_back(tab)
    await tab.hears("see you at nine")
    await tab.sees(alice[0])
    await box.wait_for()
    assert await box.input_value() == "are you there?"
    await tab.say("are you there?")
    await tab.hears("are you there?")
    await tab.shot("back")


@pytest.mark.parametrize("locale", LANGUAGES)
async def test_a_guest_sees_the_room_and_that_the_server_is_away(open_tab, house, locale):
    tab = await open_tab(f"guest-{locale}", house, locale=locale, viewport={"width": 375, "height": 720})
    await tab.open("/room/lobby")
    await tab.page.fill("#visit [name=nick]", "Wanda")
    await tab.page.click("#visit button")
    await tab.chatting()
    await tab.say("hello, lobby")
    await tab.hears("hello, lobby")

    house.kill()
    await says_that_it_is_away(tab, locale)
    await tab.hears("hello, lobby")
    await tab.shot("away")
    width = await tab.page.evaluate("document.documentElement.scrollWidth")
    assert width <= 375, f"the page is {width} pixels wide on a phone of 375"

    house.start()
    # "Try now" ends the wait; between two tries it is hidden.
    await tab.page.evaluate("document.querySelector('#away button').click()")
    await is_back(tab)
    text = f"back again {secrets.token_hex(3)}"
    await tab.say(text)
    await tab.hears(text)
    await tab.shot("back")


async def test_somebody_on_plain_requests_is_told_too(open_tab, house):
    """BOSH: Converse gives up a connection only after several requests have failed, each later than the one before."""
    tab = await open_tab("guest", house)
    await behind_a_proxy(tab)
    await tab.open("/room/lobby")
    await tab.page.fill("#visit [name=nick]", "Walter")
    await tab.page.click("#visit button")
    await tab.chatting()
    await tab.say("past the proxy")
    await tab.hears("past the proxy")
    house.kill()
    # When its next request goes out, Converse keeps to itself.
    await tab.sees("The server cannot be reached.", "#away")
    await tab.sees("Trying again", "#away")
    await tab.hears("past the proxy")
