"""The words of the client: one for each thing, in the language of the page, and whole ones."""

import secrets

import pytest

from test_guest import enter

LANGUAGES = {"en-GB": 0, "zh-CN": 1}
# What stands on the page and in what it says when somebody points at it.
EVERYTHING = """() => [...document.querySelectorAll('.conversejs, .conversejs *')].flatMap((element) => [
    element.title, element.getAttribute('aria-label'), element.placeholder,
    [...element.childNodes].filter((node) => node.nodeType === Node.TEXT_NODE).map((node) => node.data).join(' '),
]).filter(Boolean).join('\\n')"""


@pytest.fixture(params=LANGUAGES)
def locale(request):
    return request.param


async def test_a_room_is_a_room_and_says_who_is_there(open_tab, people, locale):
    language = LANGUAGES[locale]
    tab = await open_tab(f"alice-{locale}", locale=locale)
    await tab.sign_in(people.account("alice"))
    name = f"club-{secrets.token_hex(3)}"
    room = f"{name}@conference.localhost"
    await tab.page.click(".kim-rooms-button")
    await tab.page.fill(".kim-rooms input[name=room]", name)
    await tab.page.click(".kim-rooms [type=submit]")
    await tab.page.locator(".kim-rooms").wait_for(state="hidden")
    await tab.say("hello")
    await tab.hears("hello")
    count = tab.page.locator(".kim-occupants")
    alone, two = (("1 participant", "2 participants"), ("1 位参与者", "2 位参与者"))[language]
    await count.get_by_text(alone, exact=True).wait_for()
    assert not await tab.page.locator(".occupants-heading:visible").count(), "Converse's own count"

    # Somebody who belongs to the room comes and goes: in the list, and not counted.
    bob = await people.online("bob", "xep_0045")
    await enter(bob, room, "bob")
    await count.get_by_text(two, exact=True).wait_for()
    await tab.shot("two")
    badge = tab.page.locator(".occupant-badges .badge-groupchat")
    shown = await badge.evaluate("badge => getComputedStyle(badge, '::after').content")
    assert shown == ('"Owner"', '"所有者"')[language]
    assert (await badge.bounding_box())["height"] > 14, "the badge can be seen"
    bob.send_presence(pto=f"{room}/bob", ptype="unavailable")
    await count.get_by_text(alone, exact=True).wait_for()

    text = await tab.page.evaluate(EVERYTHING)
    for wrong in ("roupchat", "群聊", "This contact is"):
        assert wrong not in text or (wrong == "This contact is" and language == 0), wrong
    archive = ("This room keeps an archive of its messages", "此聊天室会保存聊天记录")[language]
    assert text.count(archive) <= 1, "told once"
    today = await tab.page.evaluate(
        "tag => new Intl.DateTimeFormat(tag, { dateStyle: 'full' }).format(new Date())", ("en-GB", "zh-CN")[language])
    await tab.page.locator(".chat-content").get_by_text(today).first.wait_for()


@pytest.mark.parametrize("password", ["ａｂｃ１２３４", "a\u00a0b\u3000c", "p😀 word", "  blanks  ", "密码密码"])
async def test_a_password_that_the_server_takes_opens_the_client(open_tab, server, password):
    account = server.add_account(f"alice-{secrets.token_hex(3)}", password)
    tab = await open_tab("alice")
    await tab.sign_in(account)


async def test_a_long_name_is_cut_off_beside_its_picture_and_shown_whole_when_pointed_at(open_tab, server):
    account = server.add_account(f"a-name-as-long-as-they-get-{secrets.token_hex(3)}", "a few words to remember")
    tab = await open_tab("alice")
    await tab.sign_in(account)
    jid = account[0]
    for where in ("a.show-profile .username", "converse-roster-contact .contact-name"):
        name = tab.page.locator(f"converse-controlbox {where}:visible").first
        await name.hover()
        await tab.page.locator(f"converse-controlbox {where}[title*='{jid}']").first.wait_for()
    row = tab.page.locator("converse-roster-contact a.open-chat:visible").first
    await tab.shot("a long name")
    assert await row.evaluate("row => row.scrollWidth <= row.clientWidth"), "the picture cannot be scrolled out of sight"
    assert (await row.locator("converse-avatar .avatar-initials").bounding_box())["width"] == 30
