"""What is encrypted, what is not, and that nobody takes the one for the other."""

import pytest

from slixmpp import Message

LANGUAGES = {"en-GB": 0, "zh-CN": 1}


@pytest.fixture(params=LANGUAGES)
def locale(request):
    return request.param


def says(body):
    return lambda s: isinstance(s, Message) and s["body"] == body


async def test_nothing_goes_in_the_clear_unasked(open_tab, people, locale):
    bob = await people.online("bob")
    jid = bob.boundjid.bare
    tab = await open_tab(f"alice-{locale}", locale=locale)
    await tab.sign_in(people.account("alice"))
    await tab.chat_with(jid)
    await tab.sees((f"{jid} has no app that encrypts yet.", f"{jid} 尚无支持加密的应用。")[LANGUAGES[locale]], ".kim-clear")
    box = tab.page.locator("textarea.chat-textarea:visible")
    await tab.say("is anybody reading this?")
    await tab.sees(("Nothing was sent", "消息尚未发送")[LANGUAGES[locale]], ".kim-held")
    await tab.shot("held back")
    assert await box.input_value() == "is anybody reading this?"
    assert await tab.messages().count() == 0
    # Told not to, it is not sent, and the text stays.
    await tab.page.get_by_role("button", name=("Do not send", "不发送")[LANGUAGES[locale]], exact=True).click()
    await tab.page.locator(".kim-held").wait_for(state="hidden")
    assert await box.input_value() == "is anybody reading this?"
    await box.fill("nobody reads this")
    await box.press("Enter")
    await tab.page.click(".kim-send-clear")
    await bob.expect("the message in the clear", says("nobody reads this"))
    assert not [s for s in bob.inbox if says("is anybody reading this?")(s)]
    # Asked once in a chat; the mark stays.
    await tab.say("as you know")
    await bob.expect("the next", says("as you know"))
    await tab.page.locator(".kim-clear").wait_for()
    await tab.shot("agreed")


async def both(open_tab, people, **options):
    """Alice and Bob, each looking at the encrypted chat with the other; and what Alice's client sends."""
    accounts = people.account("alice"), people.account("bob")
    alice, bob = [await open_tab(who, **options) for who in ("alice", "bob")]
    frames = []
    alice.page.on("websocket", lambda socket: socket.on("framesent", lambda frame: frames.append(str(frame))))
    for tab, own, other in ((alice, *accounts), (bob, *accounts[::-1])):
        await tab.sign_in(own)
        await tab.chat_with(other[0])
    for tab in (alice, bob):
        await tab.encrypts()
        assert await tab.page.locator(".kim-clear").count() == 0
    return alice, bob, frames, accounts


async def test_what_was_turned_off_is_marked(open_tab, people):
    alice, bob, frames, _ = await both(open_tab, people)
    await alice.say("between us")
    await bob.hears("between us")
    assert "between us" not in "".join(frames)
    await alice.page.locator("button.toggle-omemo:visible").click()
    await alice.sees("You turned encryption off.", ".kim-clear")
    await alice.shot("turned off")
    # It was their own choice: nobody asks.
    await alice.say("in the clear, as I chose")
    await bob.hears("in the clear, as I chose")
    await alice.page.locator("button.toggle-omemo:visible").click()
    await alice.encrypts()
    assert await alice.page.locator(".kim-clear").count() == 0


# What Converse does after it failed to encrypt: from then on it would send everything in the clear.
GIVE_UP = "document.querySelector('converse-chat').model.save('omemo_supported', false)"


async def test_encryption_that_failed_is_not_passed_over(open_tab, people):
    alice, _, frames, _ = await both(open_tab, people)
    await alice.say("between us")
    await alice.hears("between us")
    await alice.page.evaluate(GIVE_UP)
    await alice.page.locator(".kim-clear").wait_for()
    await alice.say("still between us")
    # Either it could be encrypted after all, or it waits.
    sent = alice.messages().get_by_text("still between us", exact=True)
    await alice.page.locator(".kim-held").or_(sent).first.wait_for()
    assert "<encrypted " in "".join(frames) and "still between us" not in "".join(frames)


async def test_a_browser_that_keeps_no_keys_says_so(open_tab, people, locale):
    tab = await open_tab(f"alice-{locale}", locale=locale)
    await tab.open("/")
    await tab.page.uncheck("#sign-in [name=trusted]")
    await tab.fill_sign_in(people.account("alice"))
    await tab.chatting()
    await tab.chat_with(people.account("bob")[0])
    words = "Encryption needs “Keep me signed in on this device”.", "端到端加密需要勾选“在此设备上保持登录”。"
    await tab.sees(words[LANGUAGES[locale]], ".kim-clear")
    await tab.say("hello")
    await tab.page.locator(".kim-held").wait_for()
    await tab.shot("keeps no keys")


async def test_a_second_browser_counts_what_it_cannot_read(open_tab, people, locale):
    alice, bob, _, accounts = await both(open_tab, people, locale=locale)
    for number in range(6):
        await alice.say(f"secret {number}")
        await bob.hears(f"secret {number}")
        await bob.say(f"answer {number}")
        await alice.hears(f"answer {number}")
    second = await open_tab(f"second-{locale}", locale=locale)
    await second.sign_in(accounts[0])
    await second.chat_with(accounts[1][0])
    line = second.page.locator(".kim-unreadable")
    await second.sees(("12 earlier messages were encrypted for your other devices",
                       "有 12 条更早的消息是为您的其他设备加密的")[LANGUAGES[locale]], ".chat-content")
    assert await line.count() == 1
    assert await second.page.locator(".chat-error, .chat-content .error").count() == 0
    await second.shot("one line")
    # From now on it reads along.
    await second.encrypts()
    await bob.page.locator("textarea.chat-textarea:visible").wait_for()
    await second.say("from the second browser")
    await bob.hears("from the second browser")
    await bob.say("to both of them")
    await second.hears("to both of them")
    # The line is still there after a reload, and in the dark on a phone.
    await second.reload()
    await second.chatting()
    await second.hears("to both of them")
    assert await line.count() == 1
    await second.page.emulate_media(color_scheme="dark")
    await second.page.set_viewport_size({"width": 375, "height": 720})
    await second.shot("on a phone")
